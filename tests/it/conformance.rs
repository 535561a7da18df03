//! Every store keeps every law, and the laws catch stores that do not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest_auth_refresh::conformance::Subject;
use reqwest_auth_refresh::{FileStore, Lock, MemoryStore, SessionId, TokenStore, store_conformance};

use crate::child::Process;
use crate::scratch::Scratch;
use crate::support::{PATIENCE, lock_within};

mod wrong;

/// Where a child finds what to lock. Without it there is no child.
const FOLDER: &str = "HOLDER_CHILD_FOLDER";
const FILE: &str = "HOLDER_CHILD_FILE";

/// The process that takes the lock of the default session and never gives it back.
#[tokio::test]
#[ignore = "torture: the child that another test starts; by itself it does nothing"]
async fn holder() {
    let path = |variable| std::env::var_os(variable).map(PathBuf::from);
    let folder = path(FOLDER).map(FileStore::new);
    let Some(store) = folder.or_else(|| path(FILE).map(FileStore::single_file)) else { return };
    let held = store.lock(&SessionId::default(), lock_within(PATIENCE)).await.unwrap();
    assert!(matches!(held, Lock::Held(_)));
    println!("held");
    std::future::pending::<()>().await;
}

/// A process takes the lock and is killed with it.
fn die_with_the_lock(variable: &'static str, path: &Path, id: &SessionId) {
    assert_eq!(*id, SessionId::default());
    let mut holder = Process::start("conformance::holder", [(variable, path)]);
    holder.wait_for("held");
    holder.kill();
}

/// A store of files in a folder of its own, bare or behind a pointer.
fn folder<S: TokenStore + std::fmt::Debug>(pointer: fn(FileStore) -> S) -> Subject {
    let scratch = Scratch::new();
    let (path, other) = (scratch.join("tokens"), scratch.join("tokens"));
    Subject::new(pointer(FileStore::new(&path)))
        .reopened_by({
            let path = path.clone();
            move || pointer(FileStore::new(&path))
        })
        .holder_dies_by(move |id| die_with_the_lock(FOLDER, &other, id))
        .keeping(scratch)
}

fn single_file<S: TokenStore + std::fmt::Debug>(pointer: fn(FileStore) -> S) -> Subject {
    let scratch = Scratch::new();
    let (path, other) = (scratch.join("tokens.txt"), scratch.join("tokens.txt"));
    Subject::new(pointer(FileStore::single_file(&path)))
        .reopened_by(move || pointer(FileStore::single_file(&path)))
        .holder_dies_by(move |id| die_with_the_lock(FILE, &other, id))
        .keeping(scratch)
}

fn arc(store: impl TokenStore) -> Arc<dyn TokenStore> {
    Arc::new(store)
}

fn boxed(store: impl TokenStore) -> Box<dyn TokenStore> {
    Box::new(store)
}

store_conformance! {
    memory,
    subject: {
        let store = MemoryStore::default();
        let same = store.clone();
        Subject::new(store).reopened_by(move || same.clone())
    },
    sessions: many, swap: atomic, lasts: no, lock: not_shared,
}

store_conformance! {
    memory_behind_an_arc,
    subject: Subject::new(arc(MemoryStore::default())),
    sessions: many, swap: atomic, lasts: no, lock: not_shared,
}

store_conformance! {
    file, subject: folder(|store| store), sessions: many, swap: atomic, lasts: yes, lock: excludes,
}

store_conformance! {
    file_behind_an_arc, subject: folder(arc), sessions: many, swap: atomic, lasts: yes, lock: excludes,
}

store_conformance! {
    file_behind_a_box, subject: folder(boxed), sessions: many, swap: atomic, lasts: yes, lock: excludes,
}

store_conformance! {
    single, subject: single_file(|store| store), sessions: one, swap: atomic, lasts: yes, lock: excludes,
}

store_conformance! {
    single_behind_an_arc, subject: single_file(arc), sessions: one, swap: atomic, lasts: yes, lock: excludes,
}
