//! The store under trial, and what the laws must be able to do to it from outside.

use std::any::Any;
use std::ffi::OsStr;
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::id::SessionId;
use crate::platform;
use crate::store::contract::TokenStore;

/// Where another process of the laws finds the place of its subject. Without it there is no such process.
pub(crate) const PLACE: &str = "REQWEST_AUTH_REFRESH_LAWS_PLACE";

/// What no law waits longer for, unless the subject says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

type Reopen = Box<dyn Fn() -> Arc<dyn TokenStore> + Send + Sync>;
type Hook<A> = Option<Box<dyn Fn(A) -> LocalBoxFuture<'static, ()> + Send + Sync>>;

/// An empty store under trial, how it is opened again, and how the world around it is changed.
pub struct Subject {
    store: Arc<dyn TokenStore>,
    shown: Box<dyn Fn() -> String + Send + Sync>,
    reopen: Option<Reopen>,
    corrupt: Hook<(SessionId, Vec<u8>)>,
    fail: Hook<bool>,
    lose: Hook<SessionId>,
    pass: Hook<Duration>,
    patience: Duration,
    place: Option<PathBuf>,
    other_process: Option<String>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// An empty store.
    pub fn new(store: impl TokenStore + fmt::Debug) -> Self {
        let store = Arc::new(store);
        let same = Arc::clone(&store);
        Self {
            store,
            shown: Box::new(move || format!("{same:?} {same:#?}")),
            reopen: None,
            corrupt: None,
            fail: None,
            lose: None,
            pass: None,
            patience: PATIENCE,
            place: None,
            other_process: None,
            kept: Vec::new(),
        }
    }

    /// An empty store, and how it is [opened again](Self::reopened_by): in the same way.
    pub fn opened_by<S: TokenStore + fmt::Debug>(open: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self::new(open()).reopened_by(open)
    }

    /// A subject at a new, empty place that other processes can open too: a path, or a text such as the prefix of keys in a
    /// database.
    ///
    /// `place` makes a place. What it returns is kept as long as the trial, so it may be a temporary folder that is removed
    /// when it is dropped. In another process of the same trial it is not called: `subject` is given the place of the first.
    pub fn at<P: AsRef<Path> + Any + Send + Sync>(
        place: impl FnOnce() -> P,
        subject: impl FnOnce(PathBuf) -> Self,
    ) -> Self {
        if let Some(place) = std::env::var_os(PLACE) {
            return subject(PathBuf::from(place));
        }
        let place = place();
        let path = place.as_ref().to_owned();
        let mut subject = subject(path.clone()).keeping(place);
        subject.place = Some(path);
        subject
    }

    /// How the same store is opened again, as by the next run of the program. Without it, the same handle is used.
    #[must_use]
    pub fn reopened_by<S: TokenStore>(mut self, reopen: impl Fn() -> S + Send + Sync + 'static) -> Self {
        self.reopen = Some(Box::new(move || Arc::new(reopen())));
        self
    }

    /// How these bytes come to stand where the bytes of a session's record stand. A store that adds something of its own to
    /// them, such as a checksum, adds it here too.
    #[must_use]
    pub fn corrupted_by<F>(mut self, corrupt: impl Fn(SessionId, Vec<u8>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        self.corrupt = Some(Box::new(move |(id, bytes)| corrupt(id, bytes).boxed_local()));
        self
    }

    /// How the place of the store begins (`true`) and ceases (`false`) to be out of reach, with all that it holds.
    #[must_use]
    pub fn failing_by<F>(mut self, fail: impl Fn(bool) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        self.fail = Some(Box::new(move |fails| fail(fails).boxed_local()));
        self
    }

    /// How the lock of a session is taken from its holder, by somebody who removes its file, or its key.
    #[must_use]
    pub fn lock_is_lost_by<F>(mut self, lose: impl Fn(SessionId) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        self.lose = Some(Box::new(move |id| lose(id).boxed_local()));
        self
    }

    /// How time passes, for a store with a clock that a test can set, or with none at all. Without it, the laws wait.
    #[must_use]
    pub fn time_passes_by<F>(mut self, pass: impl Fn(Duration) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        self.pass = Some(Box::new(move |time| pass(time).boxed_local()));
        self
    }

    /// How long a law waits for what must happen before it says that it does not; 60 s unless said otherwise.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The name of the ignored test of this program that calls
    /// [`another_process`](crate::conformance::another_process) with this subject, with its modules and the name of the
    /// crate in front. The macro says it.
    #[must_use]
    pub fn other_process_is(mut self, test: &str) -> Self {
        self.other_process = test.split_once("::").map(|(_crate, test)| test.to_owned());
        self
    }

    /// What must last as long as the trial.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(kept));
        self
    }

    pub(crate) fn store(&self) -> &dyn TokenStore {
        &*self.store
    }

    /// What `Debug` says of the store.
    pub(crate) fn shown(&self) -> String {
        (self.shown)()
    }

    /// The store, opened again.
    pub(crate) fn reopened(&self) -> Arc<dyn TokenStore> {
        assert!(self.reopen.is_some(), "a store that lasts must say how it is reopened: `Subject::reopened_by`");
        self.another()
    }

    /// The store as another user has it: opened again, where that can be done.
    pub(crate) fn another(&self) -> Arc<dyn TokenStore> {
        self.reopen.as_ref().map_or_else(|| Arc::clone(&self.store), |reopen| reopen())
    }

    /// The store as this many users have it, some of them by the same handle.
    pub(crate) fn handles(&self, count: usize) -> Vec<Arc<dyn TokenStore>> {
        (0..count).map(|nth| if nth % 2 == 0 { Arc::clone(&self.store) } else { self.another() }).collect()
    }

    pub(crate) async fn corrupt(&self, id: &SessionId, bytes: &[u8]) {
        assert!(self.corrupt.is_some(), "`content: bytes` needs `Subject::corrupted_by`");
        if let Some(corrupt) = &self.corrupt {
            corrupt((id.clone(), bytes.to_vec())).await;
        }
    }

    pub(crate) async fn fail(&self, fails: bool) {
        assert!(self.fail.is_some(), "`fails: yes` needs `Subject::failing_by`");
        if let Some(fail) = &self.fail {
            fail(fails).await;
        }
    }

    pub(crate) async fn lose_lock(&self, id: &SessionId) {
        assert!(self.lose.is_some(), "a lock that other processes see needs `Subject::lock_is_lost_by`");
        if let Some(lose) = &self.lose {
            lose(id.clone()).await;
        }
    }

    pub(crate) async fn let_pass(&self, time: Duration) {
        match &self.pass {
            Some(pass) => pass(time).await,
            None => platform::sleep(time).await,
        }
    }

    pub(crate) fn bound(&self) -> Duration {
        self.patience
    }

    /// The place, and the test that another process is.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "there are no other processes"))]
    pub(crate) fn other_process(&self) -> Option<(&OsStr, &str)> {
        Some((self.place.as_deref()?.as_os_str(), self.other_process.as_deref()?))
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("store", &self.shown()).finish_non_exhaustive()
    }
}
