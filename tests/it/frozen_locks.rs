//! Runtimes that stand still with a lock, or on their way to one, hold up no session of another runtime.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use reqwest_auth_refresh::{
    FileStore, Lock, LoginId, Record, RefreshError, RefreshRequest, Session, SessionId, TokenStore, Tokens, Version,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use crate::scratch::{Scratch, names_in};
use crate::support::{lock_within, put};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn expired(access: &str) -> Tokens {
    let tokens = Tokens::new(access).unwrap().with_refresh_token("refresh");
    tokens.with_issued_at(SystemTime::UNIX_EPOCH).with_expires_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
}

/// Stores expired tokens for this session.
fn prepare(store: &FileStore, id: &SessionId) {
    let record = Record::of_tokens(id.clone(), Version::new(LoginId::from_bits(1), 1), expired("old"));
    runtime().block_on(put(store, id, &record)).unwrap();
}

/// A runtime that is left while a refresh of this session holds the lock.
fn frozen_holder(store: &FileStore, id: &SessionId) -> Runtime {
    let runtime = runtime();
    let asked = Arc::new(Notify::new());
    let told = Arc::clone(&asked);
    let refresher = move |_: RefreshRequest| {
        told.notify_one();
        std::future::pending::<Result<Tokens, RefreshError>>()
    };
    let session = Session::builder(refresher).store(store.clone()).id(id.clone()).build();
    drop(runtime.spawn(async move { session.access_token().await }));
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(30), asked.notified()).await.expect("its refresher was not asked");
    });
    runtime
}

/// A runtime that is left after a few steps on the way to the lock, which it cannot have.
fn frozen_waiter(store: &FileStore, id: &SessionId, steps: usize) -> Runtime {
    let runtime = runtime();
    let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("it does not get as far as this")) };
    let session = Session::builder(never).store(store.clone()).id(id.clone()).build();
    drop(runtime.spawn(async move { session.access_token().await }));
    runtime.block_on(async {
        for _step in 0..steps {
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
    });
    runtime
}

#[test]
fn eight_that_stand_still_hold_up_no_ninth() {
    let scratch = Scratch::new();
    let folder = scratch.join("tokens");
    let store = FileStore::new(&folder);
    let id = |what: &str, nth: usize| SessionId::from(format!("{what} {nth}"));
    let (mut frozen, mut held, mut outsiders, mut blocked) = (Vec::new(), Vec::<Lock>::new(), Vec::new(), 0);
    for nth in 0..8 {
        let (holder, local, outside) = (id("holder", nth), id("local", nth), id("outside", nth));
        for id in [&holder, &local, &outside] {
            prepare(&store, id);
        }
        frozen.push(frozen_holder(&store, &holder));
        // Behind another one of this process, and behind another process.
        held.push(runtime().block_on(store.lock(&local, lock_within(Duration::ZERO))).unwrap());
        frozen.push(frozen_waiter(&store, &local, 10 + 1000 * nth));
        let name = names_in(&folder).into_iter().find(|name| name.starts_with(&format!("outside_{nth}-"))).unwrap();
        let file = File::open(folder.join(format!("{name}.refresh-lock"))).unwrap();
        file.lock().unwrap();
        frozen.push(frozen_waiter(&store, &outside, 10 + 1000 * nth));
        outsiders.push(file);
    }
    for (nth, store) in [store.clone(), FileStore::new(&folder)].into_iter().enumerate() {
        let (calls, runtime) = (Arc::new(AtomicUsize::new(0)), runtime());
        let counted = Arc::clone(&calls);
        let refresher = move |_: RefreshRequest| {
            let nth = counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok(Tokens::new(format!("new-{nth}")).unwrap().with_refresh_token("next")) }
        };
        let ninth = id("ninth", nth);
        let session = Session::builder(refresher).store(store.clone()).id(ninth.clone()).build();
        let works = async {
            session.login(expired("old")).await.unwrap();
            session.access_token().await.unwrap();
            session.refresh().await.unwrap();
            store.load(&ninth).await.unwrap().unwrap().version().generation
        };
        let works = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), works).await });
        blocked += usize::from(works.is_err());
        assert!(works.is_err() || calls.load(Ordering::SeqCst) == 2, "{works:?}");
    }
    println!("figure: frozen_locks_blocked = {blocked} sessions");
    assert_eq!(blocked, 0);
    // Without its runtime, a flight is over.
    drop(frozen);
    drop((held, outsiders));
}
