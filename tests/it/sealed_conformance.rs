//! Stores that seal keep every law that the stores below them keep.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest_auth_refresh::conformance::Subject;
use reqwest_auth_refresh::{
    FileStore, KeyringStore, MemoryStore, Sealed, SealingKey, SessionId, TokenStore, store_conformance,
};

use crate::child::Process;
use crate::fake_keyring::{FakeKeyring, Mood};
use crate::scratch::Scratch;

fn sealed<S: TokenStore>(store: S) -> Sealed<S> {
    Sealed::new(store, SealingKey::new("2026", &[7; 32]).unwrap())
}

fn arc(store: impl TokenStore) -> Arc<dyn TokenStore> {
    Arc::new(store)
}

/// Another process takes the lock of the files below, and is killed with it.
fn dying(folder: PathBuf) -> impl Fn(&SessionId) + Send + Sync + 'static {
    move |_| {
        let mut holder = Process::start("conformance::holder", [("HOLDER_CHILD_FOLDER", &folder)]);
        holder.wait_for("held");
        holder.kill();
    }
}

fn in_memory<S: TokenStore + std::fmt::Debug>(pointer: fn(Sealed<MemoryStore>) -> S) -> Subject {
    let kept = MemoryStore::default();
    Subject::new(pointer(sealed(kept.clone()))).reopened_by(move || pointer(sealed(kept.clone())))
}

fn in_files<S: TokenStore + std::fmt::Debug>(pointer: fn(Sealed<FileStore>) -> S) -> Subject {
    let scratch = Scratch::new();
    let path = scratch.join("tokens");
    let open = move |path: &PathBuf| pointer(sealed(FileStore::new(path)));
    Subject::new(open(&path)).holder_dies_by(dying(path.clone())).reopened_by(move || open(&path)).keeping(scratch)
}

fn keyring<S: TokenStore + std::fmt::Debug>(pointer: fn(KeyringStore) -> S) -> Subject {
    let (scratch, keyring) = (Scratch::new(), FakeKeyring::new(Mood::Open));
    let path = scratch.join("tokens");
    let open = move |path: &PathBuf| pointer(KeyringStore::new(path, "my-app").keyring(keyring.connecting()));
    Subject::new(open(&path)).holder_dies_by(dying(path.clone())).reopened_by(move || open(&path)).keeping(scratch)
}

store_conformance! {
    sealed_memory, subject: in_memory(|store| store), sessions: many, swap: atomic, lasts: no, lock: not_shared,
}

store_conformance! {
    sealed_memory_behind_an_arc, subject: in_memory(arc), sessions: many, swap: atomic, lasts: no, lock: not_shared,
}

store_conformance! {
    sealed_around_an_arc,
    subject: Subject::new(sealed(arc(MemoryStore::default()))),
    sessions: many, swap: atomic, lasts: no, lock: not_shared,
}

store_conformance! {
    sealed_twice,
    subject: Subject::new(sealed(sealed(MemoryStore::default()))),
    sessions: many, swap: atomic, lasts: no, lock: not_shared,
}

store_conformance! {
    sealed_file, subject: in_files(|store| store), sessions: many, swap: atomic, lasts: yes, lock: excludes,
}

store_conformance! {
    sealed_file_behind_an_arc, subject: in_files(arc), sessions: many, swap: atomic, lasts: yes, lock: excludes,
}

store_conformance! {
    keyring_store, subject: keyring(|store| store), sessions: many, swap: atomic, lasts: yes, lock: excludes,
}

store_conformance! {
    keyring_store_behind_an_arc, subject: keyring(arc), sessions: many, swap: atomic, lasts: yes, lock: excludes,
}
