//! The laws again and again: a law that a right store breaks now and then is no law.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest_auth_refresh::conformance::Law;
use reqwest_auth_refresh::{FileStore, MemoryStore, Sealed, SealingKey, store_conformance};

use super::files::{folder, without_clock};
use crate::torture::rounds;

store_conformance! {
    memory,
    subject: {
        let store = MemoryStore::default();
        without_clock(Subject::opened_by(move || store.clone()))
    },
    sessions: many, lasts: no, lock: this_process, content: records, fails: no,
}

store_conformance! {
    sealed,
    subject: {
        let store = MemoryStore::default();
        let key = SealingKey::new("2026", &[7; 32]).unwrap();
        without_clock(Subject::opened_by(move || Sealed::new(store.clone(), key.clone())))
    },
    sessions: many, lasts: no, lock: this_process, content: records, fails: no,
}

store_conformance! {
    file,
    subject: without_clock(folder(|folder| FileStore::new(folder))),
    sessions: many, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}

/// Holds each law this often, several at the same time; says which were broken, and how often.
fn broken(laws: &[Law], times: usize) -> BTreeMap<&'static str, (usize, String)> {
    let (next, broken) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _thread in 0..4 {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let Some((name, law)) = laws.get(nth % laws.len()).filter(|_| nth < laws.len() * times) else {
                        return;
                    };
                    let kept = std::panic::catch_unwind(law).unwrap_or_else(|panic| {
                        let said = panic.downcast::<String>().map_or("a panic".to_owned(), |said| *said);
                        Err(said.into())
                    });
                    if let Err(error) = kept {
                        broken.lock().unwrap().entry(*name).or_insert_with(|| (0, format!("{error:?}"))).0 += 1;
                    }
                }
            });
        }
    });
    broken.into_inner().unwrap()
}

#[test]
#[ignore = "torture: every law hundreds of times"]
fn no_law_is_broken_by_chance() {
    let trials = [
        ("memory", memory::LAWS, 1000),
        ("sealed", sealed::LAWS, 20),
        ("file", file::LAWS, 250),
        ("processes over files", file::LAWS_OF_PROCESSES, 20),
    ];
    let (mut held, mut flaky) = (0, Vec::new());
    for (store, laws, times) in trials {
        let (times, began) = (rounds(times), std::time::Instant::now());
        let broken = broken(laws, times);
        println!("{store}: {} laws {times} times in {:?}", laws.len(), began.elapsed());
        held += laws.len() * times;
        flaky.extend(broken.into_iter().map(|(law, how)| (store, law, how)));
    }
    println!("figure: laws_held = {held} times");
    println!("figure: law_flakes = {} laws", flaky.len());
    assert!(flaky.is_empty(), "{flaky:#?}");
}
