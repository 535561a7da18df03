//! Stores that end in files, as subjects: how their place fails, holds garbage, and loses its locks.

use std::fmt::Debug;
use std::fs;
use std::future::ready;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest_auth_refresh::TokenStore;
use reqwest_auth_refresh::conformance::Subject;
use sha2::{Digest, Sha256};

use crate::scratch::Scratch;

/// A store in a folder of its own.
pub(crate) fn folder<S: TokenStore + Debug>(open: fn(&Path) -> S) -> Subject {
    Subject::at(Scratch::in_memory, |place| {
        let folder = place.join("state");
        let subject = Subject::opened_by({
            let folder = folder.clone();
            move || open(&folder)
        });
        in_files(subject, folder)
    })
}

/// A store in one file.
pub(crate) fn single_file<S: TokenStore + Debug>(open: fn(&Path) -> S) -> Subject {
    Subject::at(Scratch::in_memory, |place| {
        let folder = place.join("state");
        let subject = Subject::opened_by({
            let file = folder.join("tokens.txt");
            move || open(&file)
        });
        in_files(subject, folder)
    })
}

/// What can be done to a store whose files are in this folder.
pub(crate) fn in_files(subject: Subject, folder: PathBuf) -> Subject {
    let (records, locks) = (folder.clone(), folder.clone());
    subject
        .corrupted_by(move |id, bytes| {
            assert_eq!(id.as_str(), "default", "the session of all laws that are about one");
            fs::write(record_in(&records), framed(&bytes)).unwrap();
            ready(())
        })
        .failing_by(move |fails| {
            let away = folder.with_extension("away");
            if fails {
                let _not_there_yet = fs::rename(&folder, &away);
                fs::write(&folder, "no folder").unwrap();
            } else {
                fs::remove_file(&folder).unwrap();
                let _was_not_there = fs::rename(&away, &folder);
            }
            ready(())
        })
        .lock_is_lost_by(move |_| {
            let lost = files_in(&locks).into_iter().filter(|path| path.to_str().unwrap().contains("lock"));
            assert_ne!(lost.map(|path| fs::remove_file(path).unwrap()).count(), 0, "no lock is a file");
            ready(())
        })
}

/// A subject that has no clock.
pub(crate) fn without_clock(subject: Subject) -> Subject {
    subject.time_passes_by(|_: Duration| ready(()))
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The file of the default session.
fn record_in(folder: &Path) -> PathBuf {
    let is_it = |name: &str| name == "tokens.txt" || (name.starts_with("default-") && name.ends_with(".tokens"));
    let found = files_in(folder).into_iter().find(|path| is_it(path.file_name().unwrap().to_str().unwrap()));
    found.unwrap_or_else(|| panic!("no record in {:?}", files_in(folder)))
}

/// What a file with these bytes of a record would be: whole, so that what is newer can be told from what is broken.
fn framed(record: &[u8]) -> Vec<u8> {
    let rest = [b"7\ndefault\n", record].concat();
    let title = "reqwest-auth-refresh record 1 sha256:";
    let sum = Sha256::new_with_prefix(title).chain_update(&rest).finalize();
    let sum: Vec<String> = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    [title.as_bytes(), sum.concat().as_bytes(), b"\n", &rest].concat()
}
