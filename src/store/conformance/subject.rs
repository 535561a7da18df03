//! The store under trial, and what the laws must be able to do to it from outside.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::id::SessionId;
use crate::store::contract::TokenStore;

type Reopen = Box<dyn Fn() -> Arc<dyn TokenStore> + Send + Sync>;
type Die = Box<dyn Fn(&SessionId) + Send + Sync>;

/// An empty store under trial, and how it is opened again, locked by others, and cleared away.
pub struct Subject {
    store: Arc<dyn TokenStore>,
    shown: Box<dyn Fn() -> String + Send + Sync>,
    reopen: Option<Reopen>,
    die: Option<Die>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// An empty store.
    pub fn new(store: impl TokenStore + fmt::Debug) -> Self {
        let store = Arc::new(store);
        let same = Arc::clone(&store);
        let shown = Box::new(move || format!("{same:?} {same:#?}"));
        Self { store, shown, reopen: None, die: None, kept: Vec::new() }
    }

    /// How the same store is opened again, as by the next run of the program, or by another process at the same time.
    #[must_use]
    pub fn reopened_by<S: TokenStore>(mut self, reopen: impl Fn() -> S + Send + Sync + 'static) -> Self {
        self.reopen = Some(Box::new(move || Arc::new(reopen())));
        self
    }

    /// How another process takes the lock of a session and dies with it, best by `kill -9`. It has died when this returns.
    #[must_use]
    pub fn holder_dies_by(mut self, die: impl Fn(&SessionId) + Send + Sync + 'static) -> Self {
        self.die = Some(Box::new(die));
        self
    }

    /// What must last as long as the trial, such as a temporary folder that is removed when it is dropped.
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

    /// The store as somebody else has it: opened again, where that can be done.
    pub(crate) fn another(&self) -> Arc<dyn TokenStore> {
        self.reopen.as_ref().map_or_else(|| Arc::clone(&self.store), |reopen| reopen())
    }

    /// The store as so many users have it, some of them by the same handle.
    pub(crate) fn handles(&self, count: usize) -> Vec<Arc<dyn TokenStore>> {
        (0..count).map(|nth| if nth % 2 == 0 { Arc::clone(&self.store) } else { self.another() }).collect()
    }

    pub(crate) fn let_a_holder_die(&self, id: &SessionId) {
        assert!(self.die.is_some(), "a store that locks must say how a holder dies: `Subject::holder_dies_by`");
        if let Some(die) = &self.die {
            die(id);
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("store", &self.shown()).finish_non_exhaustive()
    }
}
