//! A program that sends one request and ends does not end in the middle of the early refresh that it began.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_auth_refresh::{
    AuthRefresh, LoginId, Origins, Record, RefreshError, RefreshRequest, Session, SessionId, StoreError, Swap,
    TokenStore, Tokens, Version, async_trait,
};
use reqwest_middleware::{ClientBuilder, Middleware, Next};
use secrecy::ExposeSecret;
use tokio::sync::Notify;

use crate::support::{PATIENCE, bounded, bounded_thread, found_instead};
use crate::torture::rounds;
use crate::virtual_world::{API, response};

/// Where a child finds its files. Without it there is no child.
const FOLDER: &str = "EXIT_CHILD_FOLDER";
/// Set where the child is not to wait for its early refresh.
const LEFT_BESIDE: &str = "EXIT_CHILD_LEFT_BESIDE";

/// One record in one file.
struct OneFile(PathBuf);

impl OneFile {
    fn of(folder: &Path) -> Self {
        Self(folder.join("record"))
    }

    fn read(&self) -> Record {
        Record::from_bytes(&std::fs::read(&self.0).unwrap()).unwrap()
    }

    fn write(&self, record: &Record) -> std::io::Result<()> {
        let new = self.0.with_extension("new");
        std::fs::write(&new, record.to_bytes())?;
        std::fs::rename(&new, &self.0)
    }
}

#[async_trait]
impl TokenStore for OneFile {
    async fn load(&self, _id: &SessionId) -> Result<Option<Record>, StoreError> {
        Ok(Some(self.read()))
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        if let Some(found) = found_instead(self, id, expected).await? {
            return Ok(found);
        }
        self.write(new).map_err(StoreError::unavailable)?;
        Ok(Swap::Done)
    }

    async fn remove(&self, _id: &SessionId) -> Result<(), StoreError> {
        std::fs::remove_file(&self.0).map_err(StoreError::unavailable)
    }
}

/// An API that answers when the issuer was asked.
struct Api(Arc<Notify>);

#[async_trait]
impl Middleware for Api {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        bounded(|| "a call to the issuer", self.0.notified()).await;
        Ok(response(&request, StatusCode::OK))
    }
}

/// What the issuer has written down when it rotated.
fn rotated(folder: &Path) -> PathBuf {
    folder.join("rotated")
}

/// The program: one request with tokens that are due, and the end.
#[test]
#[ignore = "torture: the child that another test starts; by itself it does nothing"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let left_beside = std::env::var_os(LEFT_BESIDE).is_some();
    // However slow the machine is, who waits waits long enough, and who does not wait ends too early.
    let (takes, waits) = if left_beside { (PATIENCE, Duration::ZERO) } else { (Duration::from_millis(100), PATIENCE) };
    let (issuer, asked) = (rotated(&folder), Arc::new(Notify::new()));
    let api = Api(Arc::clone(&asked));
    let refresher = move |_: RefreshRequest| {
        let (issuer, asked) = (issuer.clone(), Arc::clone(&asked));
        async move {
            // It rotates when it is asked, and its answer takes a while.
            std::fs::write(issuer, "").map_err(RefreshError::unavailable)?;
            asked.notify_one();
            tokio::time::sleep(takes).await;
            Tokens::new("second").map_err(RefreshError::unavailable)
        }
    };
    let session = Session::builder(refresher).store(OneFile::of(&folder)).build();
    let auth = AuthRefresh::new(&session, Origins::new(API).unwrap()).early_wait(waits);
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).with(api).build();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let status = runtime.block_on(client.get(API).send()).unwrap().status();
    std::process::exit(i32::from(status != StatusCode::OK));
}

/// Whether new tokens were lost when the program ended.
fn is_lost(folder: &Path, left_beside: bool) -> bool {
    std::fs::create_dir_all(folder).unwrap();
    let file = OneFile::of(folder);
    let now = SystemTime::now();
    let (issued, expires) = (now - Duration::from_secs(3580), now + Duration::from_secs(20));
    let due = Tokens::new("first").unwrap().with_issued_at(issued).with_expires_at(expires).with_refresh_token("r");
    file.write(&Record::of_tokens("default", Version::new(LoginId::from_bits(1), 0), due)).unwrap();

    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "exit::child", "--ignored", "--nocapture"]).env(FOLDER, folder);
    if left_beside {
        program.env(LEFT_BESIDE, "");
    }
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ended = bounded_thread(PATIENCE, "the end of a program", move || program.status().unwrap());
    assert!(ended.success(), "{ended}");
    assert!(rotated(folder).exists(), "the issuer was asked");
    let lost = file.read().tokens().unwrap().access_token().unwrap().expose_secret() == "first";
    std::fs::remove_dir_all(folder).unwrap();
    lost
}

/// How many of so many programs lost their new tokens.
fn lost(rounds: usize, left_beside: bool) -> usize {
    let kind = if left_beside { "left-beside" } else { "held-back" };
    let folder = std::env::temp_dir().join(format!("reqwest-auth-refresh-exit-{kind}-{}", std::process::id()));
    let folder = &folder;
    let side_by_side = 4;
    let lost = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..side_by_side)
            .map(|first| {
                let mine = (first..rounds).step_by(side_by_side);
                scope.spawn(move || mine.filter(|round| is_lost(&folder.join(round.to_string()), left_beside)).count())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    std::fs::remove_dir_all(folder).unwrap();
    lost
}

#[test]
#[ignore = "torture: 300 programs that send one request and end, and 300 that do not wait"]
fn three_hundred_programs_end_and_nothing_is_lost() {
    let rounds = rounds(300);
    let (held_back, left_beside) = (lost(rounds, false), lost(rounds, true));
    println!("figure: exit_rounds_lost = {held_back} programs");
    println!("figure: exit_rounds_lost_left_beside = {left_beside} programs");
    assert_eq!(held_back, 0);
    assert!(left_beside > rounds / 2, "the harness catches it: {left_beside} of {rounds}");
}

#[test]
fn programs_end_and_nothing_is_lost() {
    let rounds = 10;
    assert_eq!(lost(rounds, false), 0);
    assert!(lost(rounds, true) > rounds / 2);
}
