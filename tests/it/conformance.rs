//! Every store keeps every law, and the laws catch stores that do not.

use std::sync::Arc;

use reqwest_auth_refresh::{FileStore, MemoryStore, TokenStore, store_conformance};

pub(crate) use files::{folder, single_file};

mod files;
#[cfg(unix)]
mod torture;
#[cfg(unix)]
mod wrong;

pub(crate) fn arc(store: impl TokenStore) -> Arc<dyn TokenStore> {
    Arc::new(store)
}

fn boxed(store: impl TokenStore) -> Box<dyn TokenStore> {
    Box::new(store)
}

store_conformance! {
    memory,
    subject: {
        let store = MemoryStore::default();
        Subject::opened_by(move || store.clone())
    },
    sessions: many, lasts: no, lock: this_process, content: records, fails: no,
}

store_conformance! {
    memory_behind_an_arc,
    subject: Subject::new(arc(MemoryStore::default())),
    sessions: many, lasts: no, lock: this_process, content: records, fails: no,
}

store_conformance! {
    file,
    subject: folder(|folder| FileStore::new(folder)),
    sessions: many, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}

store_conformance! {
    file_behind_an_arc,
    subject: folder(|folder| arc(FileStore::new(folder))),
    sessions: many, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}

store_conformance! {
    file_behind_a_box,
    subject: folder(|folder| boxed(FileStore::new(folder))),
    sessions: many, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}

store_conformance! {
    single,
    subject: single_file(|file| FileStore::single_file(file)),
    sessions: one, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}

store_conformance! {
    single_behind_an_arc,
    subject: single_file(|file| arc(FileStore::single_file(file))),
    sessions: one, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}
