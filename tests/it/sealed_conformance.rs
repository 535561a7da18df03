//! Stores that seal keep every law that the stores below them keep.

use std::path::Path;

use reqwest_auth_refresh::conformance::Subject;
use reqwest_auth_refresh::{FileStore, KeyringStore, MemoryStore, Sealed, SealingKey, TokenStore, store_conformance};

use crate::conformance::{arc, folder};
use crate::keyring_in_files::KeyringInFiles;

fn sealed<S: TokenStore>(store: S) -> Sealed<S> {
    Sealed::new(store, SealingKey::new("2026", &[7; 32]).unwrap())
}

fn in_memory<S: TokenStore + std::fmt::Debug>(pointer: fn(Sealed<MemoryStore>) -> S) -> Subject {
    let kept = MemoryStore::default();
    Subject::opened_by(move || pointer(sealed(kept.clone())))
}

/// With a keyring that other processes see too.
fn keyring(folder: &Path) -> KeyringStore {
    let keyring = KeyringInFiles::new(folder.with_extension("keyring"));
    KeyringStore::new(folder, "my-app").keyring(keyring.connecting())
}

store_conformance! {
    sealed_memory,
    subject: in_memory(|store| store),
    sessions: many, lasts: no, lock: this_process, content: records, fails: no,
}

store_conformance! {
    sealed_memory_behind_an_arc,
    subject: in_memory(arc),
    sessions: many, lasts: no, lock: this_process, content: records, fails: no,
}

store_conformance! {
    sealed_around_an_arc,
    subject: Subject::new(sealed(arc(MemoryStore::default()))),
    sessions: many, lasts: no, lock: this_process, content: records, fails: no,
}

store_conformance! {
    sealed_twice,
    subject: Subject::new(sealed(sealed(MemoryStore::default()))),
    sessions: many, lasts: no, lock: this_process, content: records, fails: no,
}

store_conformance! {
    sealed_file,
    subject: folder(|folder| sealed(FileStore::new(folder))),
    sessions: many, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}

store_conformance! {
    sealed_file_behind_an_arc,
    subject: folder(|folder| arc(sealed(FileStore::new(folder)))),
    sessions: many, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}

store_conformance! {
    keyring_store,
    subject: folder(keyring),
    sessions: many, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}

store_conformance! {
    keyring_store_behind_an_arc,
    subject: folder(|folder| arc(keyring(folder))),
    sessions: many, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}
