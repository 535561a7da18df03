//! A store of one's own, and the laws that every store must keep, held against it.
//!
//! A store is four methods. This one keeps records in whatever the program keeps its settings in; here that is a table of
//! texts to bytes. Only this process sees them, so the lock of a [`MemoryStore`] will do, which reaches as far; what a store
//! that several processes share must do beyond that is said at [`TokenStore`].
//!
//! The feature `conformance` has the laws. In a program of your own they are tests, each with its own name:
//! `store_conformance!` below. They need the feature in `[dev-dependencies]` only:
//!
//! ```toml
//! reqwest-auth-refresh = { version = "0.1", features = ["conformance"] }
//! ```
//!
//! Run it with `cargo run --example custom_store`, and its tests with `cargo test --example custom_store`.

#![expect(clippy::print_stdout, reason = "the story is for whoever runs the example")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest_auth_refresh::conformance::{self, Subject, hold};
use reqwest_auth_refresh::{
    Lock, LockRequest, MemoryStore, Record, RefreshError, RefreshRequest, Session, SessionId, State, StoreError, Swap,
    TokenStore, Tokens, Version, async_trait,
};

/// The program's settings: a name, and what it stands for. Clones are one table.
#[derive(Clone, Default)]
struct Settings {
    table: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    locks: MemoryStore,
}

impl Settings {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Vec<u8>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn found_in(table: &HashMap<String, Vec<u8>>, id: &SessionId) -> Result<Option<Record>, StoreError> {
    table.get(id.as_str()).map(|bytes| Record::from_bytes(bytes)).transpose()
}

#[async_trait]
impl TokenStore for Settings {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        let mut table = self.open();
        let found = found_in(&table, id);
        // What is no record is said once, and is out of the way then. What is newer stays.
        if found.as_ref().is_err_and(StoreError::is_unreadable) {
            let _broken = table.remove(id.as_str());
        }
        found
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let mut table = self.open();
        let found = match found_in(&table, id) {
            // What is no record counts as nothing, or nobody could log in over it.
            Err(error) if error.is_unreadable() => None,
            found => found?,
        };
        if found.as_ref().map(Record::version) != expected {
            return Ok(Swap::Found(found));
        }
        let _before = table.insert(id.as_str().to_owned(), new.to_bytes().to_vec());
        Ok(Swap::Done)
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        let _removed = self.open().remove(id.as_str());
        Ok(())
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        self.locks.lock(id, wanted).await
    }
}

/// What is kept are secrets, so what is shown is how many there are. There is a law for that too.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.open().len();
        f.debug_struct("Settings").field("count", &count).finish()
    }
}

/// The store as the laws have it: how it is opened again, and how something comes into it that is no record.
fn subject() -> Subject {
    let settings = Settings::default();
    let same = settings.clone();
    Subject::opened_by(move || settings.clone()).corrupted_by(move |id, bytes| {
        let _before = same.open().insert(id.as_str().to_owned(), bytes);
        std::future::ready(())
    })
}

// This is all that a program needs beside it to have its store tried: which promises it makes, and which it does not.
#[cfg(test)]
reqwest_auth_refresh::store_conformance! {
    settings, subject: super::subject(), sessions: many, lasts: no, lock: this_process, content: bytes, fails: no,
}

fn main() -> Result<(), Box<dyn Error>> {
    two_runs_of_a_program()?;
    println!("\nAnd the laws, of which a few are tried here; all of them are tests:");
    a_few_laws()?;
    println!("\ncustom_store: every law is kept");
    Ok(())
}

/// Logs in, ends, begins again, and is still logged in.
fn two_runs_of_a_program() -> Result<(), Box<dyn Error>> {
    let settings = Settings::default();
    let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("nobody is asked in this example")) };
    let run = || Session::builder(never).store(settings.clone()).build();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        run().login(Tokens::new("access")?.with_refresh_token("refresh")).await?;
        println!("The first run logs in; {settings:?}");
        let second = run();
        let _token = second.access_token().await?;
        assert!(matches!(second.state(), State::LoggedIn { saved: true, .. }));
        println!("The second run is logged in.");
        Ok(())
    })
}

fn a_few_laws() -> Result<(), Box<dyn Error>> {
    macro_rules! laws {
        ($($law:ident)+) => {
            $(
                hold(async { subject() }, conformance::$law)?;
                println!("  kept: {}", stringify!($law).replace('_', " "));
            )+
        };
    }
    laws!(
        starts_empty returns_what_was_saved odd_ids_stay_apart tokens_may_be_64_kib_long unknown_members_survive
        tombstones_survive readers_find_whole_records a_swap_says_what_it_found a_newer_record_is_left_alone
        a_login_replaces_content_that_is_no_record debug_shows_no_secret a_lock_excludes
    );
    Ok(())
}
