//! Real disks that are full or read-only: what cannot be saved is used all the same, and saved once it can be.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest_auth_refresh::{
    Events, ExposeSecret, FileStore, Lock, RefreshGrant, Session, SessionId, State, TokenStore, Tokens,
};
use tokio::time::sleep;

use crate::scratch::Scratch;
use crate::support::{Api, Issuer, PATIENCE, Tally, bounded, lock_within};
use crate::wire_world::Wire;

/// The longest pause after one failure, and some time for the disk.
const REST: Duration = Duration::from_millis(1_200);

/// A file system in memory of 16 KiB.
struct Disk(Scratch);

impl Disk {
    fn mount() -> Self {
        let disk = Self(Scratch::new());
        disk.run(&["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs"]);
        disk
    }

    fn run(&self, command: &[&str]) {
        let ran = Command::new(command[0]).args(&command[1..]).arg(self.0.path()).output().unwrap();
        assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    fn tokens(&self) -> PathBuf {
        self.0.join("tokens")
    }

    fn fill(&self) {
        let mut room = 64 * 1024;
        while room > 0 {
            let name = self.0.join(format!("filler-{room}"));
            // A write that fails half-way has taken what there was.
            let _full = std::fs::write(name, vec![0; room]);
            room /= 2;
        }
    }

    fn empty(&self) {
        for entry in std::fs::read_dir(self.0.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    fn protect(&self) {
        self.run(&["mount", "-o", "remount,ro"]);
    }

    fn unprotect(&self) {
        self.run(&["mount", "-o", "remount,rw"]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _best_effort = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn session(issuer: &Issuer, disk: &Disk) -> Session {
    let grant = RefreshGrant::new(issuer.token_url(), "app").unwrap().never_resubmit();
    Session::builder(grant).store(FileStore::new(disk.tokens())).build()
}

async fn world(disk: &Disk) -> Wire {
    let issuer = Issuer::start().await.unwrap();
    let api = Api::start(&issuer).await.unwrap();
    let session = session(&issuer, disk);
    session.login(login(&issuer, "alice")).await.unwrap();
    Wire { issuer, api, session }
}

fn login(issuer: &Issuer, user: &str) -> Tokens {
    Tokens::from_json(issuer.login(user).to_string()).unwrap()
}

/// The name of the next event.
async fn next(events: &mut Events) -> String {
    let event = bounded(|| "an event", events.next()).await.unwrap();
    format!("{event:?}").split('(').next().unwrap().to_owned()
}

fn is_saved(session: &Session) -> bool {
    matches!(session.state(), State::LoggedIn { saved: true, .. })
}

/// How long it takes until nothing is left to save.
async fn saved(session: &Session) -> Duration {
    let began = Instant::now();
    while !is_saved(session) {
        assert!(began.elapsed() < PATIENCE, "{:?}", session.state());
        sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

/// Whether the newest refresh token is in the store, as another process reads it.
async fn stored(wire: &Wire, disk: &Disk) -> bool {
    let record = FileStore::new(disk.tokens()).load(&SessionId::default()).await.unwrap().unwrap();
    wire.issuer.grants().is_newest(record.tokens().unwrap().refresh_token().unwrap().expose_secret())
}

async fn goes_on(disk: Disk, breaks: fn(&Disk), heals: fn(&Disk)) -> Duration {
    let wire = world(&disk).await;
    let client = wire.client();
    let mut events = wire.session.events();
    assert_eq!(next(&mut events).await, "Now");

    breaks(&disk);
    for expiry in 1..=2 {
        wire.issuer.revoke_access("alice");
        wire.api.at_refusal().close_until(5);
        let requests: Vec<_> = (0..5).map(|_| tokio::spawn(client.get(wire.api.at("/me")).send())).collect();
        for request in requests {
            assert_eq!(request.await.unwrap().unwrap().status(), 200);
        }
        wire.api.at_refusal().open();
        assert_eq!(wire.issuer.counts().token_calls, expiry, "once for each expiry");
        assert!(!is_saved(&wire.session));
        assert_eq!(next(&mut events).await, "StoreFailed");
        // In the second round also what was left from the first could not be saved.
        while next(&mut events).await != "Refreshed" {}
        // Nobody may spend the refresh token that is stored.
        let other = FileStore::new(disk.tokens());
        assert!(matches!(other.lock(&SessionId::default(), lock_within(Duration::ZERO)).await.unwrap(), Lock::Busy));
        assert!(!stored(&wire, &disk).await);
    }
    heals(&disk);
    let took = saved(&wire.session).await;
    assert!(stored(&wire, &disk).await, "the newest");
    let other = FileStore::new(disk.tokens());
    let lock = other.lock(&SessionId::default(), lock_within(Duration::from_secs(5))).await.unwrap();
    assert!(matches!(lock, Lock::Held(_)));
    drop(lock);

    drop((client, events));
    let again = Wire { session: session(&wire.issuer, &disk), ..wire };
    assert_eq!(again.client().get(again.api.at("/me")).send().await.unwrap().status(), 200);
    let counts = again.issuer.counts();
    assert_eq!((counts.token_calls, counts.accepted, counts.reuse), (2, 2, 0));
    assert_eq!(again.api.counts().all, Tally { ok: 11, refused: 10 });
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs root to mount a tmpfs"]
async fn a_full_disk_stops_nobody() {
    let took = goes_on(Disk::mount(), Disk::fill, Disk::empty).await;
    println!("figure: full_disk_saved_after = {} ms", took.as_millis());
    assert!(took <= REST, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs root to mount a tmpfs"]
async fn a_disk_that_became_read_only_stops_nobody() {
    let took = goes_on(Disk::mount(), Disk::protect, Disk::unprotect).await;
    println!("figure: read_only_disk_saved_after = {} ms", took.as_millis());
    assert!(took <= REST, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs root to mount a tmpfs"]
async fn a_login_that_could_not_be_saved_is_not_undone_by_the_one_that_is_stored() {
    for refreshes in [false, true] {
        let disk = Disk::mount();
        let wire = world(&disk).await;
        disk.fill();
        let bobs = login(&wire.issuer, "bob");
        assert!(wire.session.login(bobs).await.unwrap_err().is_store());

        // Another process starts anew meanwhile, finds the login before, and may even go on with it.
        let other = session(&wire.issuer, &disk);
        if refreshes {
            other.refresh().await.unwrap();
        } else {
            other.access_token().await.unwrap();
        }
        disk.empty();
        saved(&wire.session).await;
        saved(&other).await;

        let last = Wire { session: session(&wire.issuer, &disk), ..wire };
        let me = last.client().get(last.api.at("/me")).send().await.unwrap();
        let me: serde_json::Value = me.json().await.unwrap();
        assert_eq!(me["user"], "bob", "refreshed: {refreshes}");
        assert_eq!(last.issuer.counts().reuse, 0);
    }
}
