//! Whatever is done to a store of files from outside, it reads as the old or the new tokens, goes on, and touches nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use reqwest_auth_refresh::{
    FileStore, Lock, LoginId, Record, RefreshError, RefreshRequest, Session, SessionId, TokenStore, Tokens, Version,
};
use secrecy::ExposeSecret;

use crate::child::Process;
use crate::file_store::{DEFAULT, NEWER};
use crate::scratch::{Scratch, names_in};
use crate::support::{PATIENCE, lock_within, put, until_blocking};
use crate::torture::{Chance, rounds};

/// What a child is to do, and where. Without them there is no child.
const PART: &str = "FILE_CHILD_PART";
const FOLDER: &str = "FILE_CHILD_FOLDER";
const ROUNDS: &str = "FILE_CHILD_ROUNDS";

fn id() -> SessionId {
    SessionId::default()
}

fn record(generation: u64, length: usize) -> Record {
    let tokens = Tokens::new("x".repeat(length)).unwrap().with_refresh_token(generation.to_string());
    Record::of_tokens("default", Version::new(LoginId::from_bits(1), generation), tokens)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The process that plays one part until it is killed or has done its rounds.
#[test]
#[ignore = "torture: the child that another test starts; by itself it does nothing"]
fn child() {
    let (Ok(part), Some(folder)) = (std::env::var(PART), std::env::var_os(FOLDER).map(PathBuf::from)) else { return };
    let rounds = std::env::var(ROUNDS).unwrap().parse().unwrap();
    match part.as_str() {
        "refresh" => block_on(refresh(&folder)),
        "plain write" => write_over_and_over(|record| fs::write(folder.join("record"), record)),
        "temporary names" => write_over_and_over(|record| {
            let new = folder.join(format!("record.{}", std::process::id()));
            fs::write(&new, record)?;
            fs::rename(&new, folder.join("record"))
        }),
        #[cfg(target_os = "linux")]
        "wait by one store" => block_on(wait_for_locks(&folder, rounds, false)),
        #[cfg(target_os = "linux")]
        "wait by many stores" => block_on(wait_for_locks(&folder, rounds, true)),
        "save" => {
            let (saved, failed) = block_on(save_to_one_file(&folder, rounds, Duration::from_secs(10)));
            println!("\nsaved {saved} {failed}");
        }
        "brackets" => block_on(brackets(&folder, rounds, false)),
        "brackets with unlinked locks" => block_on(brackets(&folder, rounds, true)),
        "naive brackets with unlinked locks" => naive_brackets(&folder, rounds),
        part => panic!("{part}"),
    }
}

fn start(part: &str, folder: &Path, rounds: usize) -> Process {
    let variables = [(PART, part.into()), (FOLDER, folder.as_os_str().to_owned()), (ROUNDS, rounds.to_string().into())];
    Process::start("file_torture::child", variables)
}

/// The number that the tokens of a session carry, which each refresh counts up.
fn number(tokens: &Tokens) -> u64 {
    tokens.refresh_token().unwrap().expose_secret().parse().unwrap()
}

/// A session whose tokens expire at once is asked for them again and again.
async fn refresh(folder: &Path) {
    let refresher = |request: RefreshRequest| async move {
        let next = number(request.tokens().unwrap()) + 1;
        // Another access token each time: the same one would count as no refresh at all.
        let tokens = Tokens::new(format!("token-{next}")).map_err(RefreshError::unavailable)?;
        let tokens = tokens.with_refresh_token(next.to_string());
        Ok(tokens.with_expires_in(Duration::from_millis(1)))
    };
    let store = FileStore::new(folder);
    let session = Session::builder(refresher).store(store.clone()).build();
    loop {
        session.access_token().await.unwrap();
        let saved = store.load(&id()).await.unwrap().unwrap();
        println!("saved {}", number(saved.tokens().unwrap()));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn write_over_and_over(write: impl Fn(&[u8]) -> std::io::Result<()>) {
    let record = record(1, 64 * 1024).to_bytes();
    write(&record).unwrap();
    println!("saved 1");
    loop {
        write(&record).unwrap();
    }
}

/// What became of a store whose writer was killed again and again.
#[derive(Debug, Default)]
struct Killed {
    corrupt: usize,
    went_back: usize,
    leftover_files: usize,
    /// Killed between the first call of a save and the word that it was done.
    in_the_midst: usize,
    writes: u64,
}

/// Kills one child after another; all of them write to the same folder.
fn kill_refreshing(scratch: &Scratch, rounds: usize, seed: u64) -> Killed {
    let (mut chance, mut killed) = (Chance::new(seed), Killed::default());
    let folder = scratch.join("tokens");
    let store = FileStore::new(&folder);
    let first = Tokens::new("token").unwrap().with_refresh_token("0");
    let first = first.with_issued_at(UNIX_EPOCH).with_expires_at(UNIX_EPOCH + Duration::from_secs(1));
    block_on(put(&store, &id(), &Record::of_tokens("default", Version::new(LoginId::from_bits(1), 0), first))).unwrap();
    let mut last = 0;
    for _round in 0..rounds {
        let (mut child, mut said) = (start("refresh", &folder, 0), None);
        if chance.below(8) > 0 {
            said = Some(child.wait_for_front("saved").parse().unwrap());
        }
        std::thread::sleep(Duration::from_micros(chance.below(20_000)));
        let heard = child.kill_and_hear();
        said = heard.iter().rev().find_map(|line| line.strip_prefix("saved ")?.parse().ok()).or(said);
        match block_on(store.load(&id())) {
            Ok(Some(record)) => {
                let now = number(record.tokens().unwrap());
                let went_back = now < last.max(said.unwrap_or(0)) || record.version().generation != now;
                killed.went_back += usize::from(went_back);
                let half_written = folder.join(format!("{DEFAULT}.new")).exists();
                killed.in_the_midst += usize::from(half_written || said.is_some_and(|said| now > said));
                last = now;
            }
            Ok(None) | Err(_) => killed.corrupt += 1,
        }
        let known = ["", ".new", ".refresh-lock", ".write-lock"].map(|end| format!("{DEFAULT}{end}"));
        killed.leftover_files += names_in(&folder).iter().filter(|name| !known.contains(name)).count();
    }
    killed.writes = last;
    block_on(put(&store, &id(), &record(last, 1))).unwrap();
    killed.leftover_files += names_in(&folder).len() - 3;
    killed
}

/// Kills one naive child after another.
fn kill_naive(part: &str, rounds: usize, seed: u64) -> Killed {
    let (scratch, mut chance, mut killed) = (Scratch::in_memory(), Chance::new(seed), Killed::default());
    for _round in 0..rounds {
        let mut child = start(part, scratch.path(), 0);
        child.wait_for("saved 1");
        std::thread::sleep(Duration::from_micros(chance.below(6_000)));
        child.kill();
        let whole = fs::read(scratch.join("record")).is_ok_and(|bytes| Record::from_bytes(&bytes).is_ok());
        killed.corrupt += usize::from(!whole);
    }
    killed.leftover_files = names_in(scratch.path()).len().saturating_sub(1);
    killed
}

fn side_by_side<T: Send>(count: usize, each: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let each = &each;
        let threads: Vec<_> = (0..count).map(|nth| scope.spawn(move || each(nth))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
#[ignore = "torture: 10000 kills of a process that refreshes and saves, and 4400 of naive ones"]
fn ten_thousand_kills_leave_the_old_or_the_new_tokens() {
    let (lanes, rounds) = (8, rounds(10_000).next_multiple_of(8));
    let mut all = Killed::default();
    // Half of them wait for the disk, so that most are killed while they do; the others get further.
    let lane = |nth| {
        let scratch = if nth % 2 == 0 { Scratch::new() } else { Scratch::in_memory() };
        kill_refreshing(&scratch, rounds / lanes, nth as u64)
    };
    for killed in side_by_side(lanes, lane) {
        all.corrupt += killed.corrupt;
        all.went_back += killed.went_back;
        all.leftover_files += killed.leftover_files;
        all.in_the_midst += killed.in_the_midst;
        all.writes += killed.writes;
    }
    println!("figure: file_kill9_rounds = {rounds} kills");
    println!("figure: file_kill9_saves = {} saves", all.writes);
    println!("figure: file_kill9_in_the_midst_of_a_save = {} kills", all.in_the_midst);
    println!("figure: file_kill9_corrupt = {} files", all.corrupt);
    println!("figure: file_kill9_went_back = {} times", all.went_back);
    println!("figure: file_kill9_leftover_files = {} files", all.leftover_files);
    assert_eq!((all.corrupt, all.went_back, all.leftover_files), (0, 0, 0));
    assert!(all.writes > rounds as u64 / 2 && all.in_the_midst > rounds / 50, "they did write: {all:?}");

    let naive = rounds * 2 / 5;
    let plain = side_by_side(lanes, |nth| kill_naive("plain write", naive.div_ceil(lanes), nth as u64));
    let plain: usize = plain.iter().map(|killed| killed.corrupt).sum();
    let named = side_by_side(2, |nth| kill_naive("temporary names", naive.div_ceil(20), nth as u64));
    let named: usize = named.iter().map(|killed| killed.leftover_files).sum();
    println!("figure: plain_write_kill9_corrupt = {plain} of {naive} files");
    println!("figure: per_pid_temp_leftover_files = {named} files");
    assert!(plain > rounds / 10 && named > 0, "the harness catches both: {plain} and {named}");
}

/// A place where two can be seen to be at once: a file that must not be there yet.
struct Inside(PathBuf);

impl Inside {
    /// Whether somebody else is inside as well.
    fn enter(&self) -> bool {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.0)
            .is_err_and(|e| e.kind() == ErrorKind::AlreadyExists)
    }

    fn leave(&self) {
        let _somebody_else_did = fs::remove_file(&self.0);
    }
}

/// Takes the lock, steps inside, and gives it back, again and again. Whoever has the lock may unlink its file first: one
/// that is unlinked in the midst of it is noticed by its holder only, who then no longer holds it.
async fn brackets(folder: &Path, rounds: usize, unlink: bool) {
    let (store, inside, mut overlaps) = (FileStore::new(folder), Inside(folder.join("inside")), 0);
    for _round in 0..rounds {
        let lock = store.lock(&id(), lock_within(Duration::from_secs(120))).await.unwrap();
        let Lock::Held(guard) = lock else { panic!("{lock:?}") };
        overlaps += usize::from(inside.enter() || !guard.is_held());
        std::thread::yield_now();
        inside.leave();
        if unlink {
            fs::remove_file(folder.join(format!("{DEFAULT}.refresh-lock"))).unwrap();
        }
        guard.release().await;
    }
    println!("overlaps {overlaps}");
}

/// The same with a lock as one writes it at first, which does not look whether its file is still there.
fn naive_brackets(folder: &Path, rounds: usize) {
    let (path, inside, mut overlaps) = (folder.join("lock"), Inside(folder.join("inside")), 0);
    for _round in 0..rounds {
        let file = File::create(&path).unwrap();
        file.lock().unwrap();
        overlaps += usize::from(inside.enter());
        std::thread::yield_now();
        inside.leave();
        let _somebody_else_did = fs::remove_file(&path);
        drop(file);
    }
    println!("overlaps {overlaps}");
}

/// How often two of so many processes were inside at once.
fn overlaps(part: &str, processes: usize, rounds: usize) -> usize {
    let scratch = Scratch::new();
    let folder = scratch.join("tokens");
    fs::create_dir(&folder).unwrap();
    let mut children: Vec<_> = (0..processes).map(|_| start(part, &folder, rounds)).collect();
    children.iter_mut().map(|child| child.wait_for_front("overlaps").parse::<usize>().unwrap()).sum()
}

#[test]
#[ignore = "torture: 64 processes take a lock 1000 times each, and some more whose lock file is unlinked"]
fn a_lock_is_held_by_one_process_at_a_time() {
    let (processes, rounds) = (64, rounds(1000));
    let began = Instant::now();
    let held = overlaps("brackets", processes, rounds);
    println!("figure: lock_oracle_brackets = {} brackets", processes * rounds);
    println!("figure: lock_oracle_seconds = {} s", began.elapsed().as_secs());
    println!("figure: lock_oracle_overlaps = {held} overlaps");
    assert_eq!(held, 0);
    let unlinked = overlaps("brackets with unlinked locks", 16, rounds.div_ceil(4));
    let naive = overlaps("naive brackets with unlinked locks", 16, rounds.div_ceil(4));
    println!("figure: lock_oracle_overlaps_unlinked = {unlinked} overlaps");
    println!("figure: lock_oracle_overlaps_unlinked_unchecked = {naive} overlaps");
    assert_eq!(unlinked, 0);
    assert!(naive > 0, "the harness catches it");
}

/// Reads a file with these bytes: whether tokens came of it, and whether it was said to be unreadable and is gone.
async fn read_bad(store: &FileStore, file: &Path, bytes: &[u8]) -> (bool, bool) {
    fs::write(file, bytes).unwrap();
    let read = store.load(&id()).await;
    (read.is_ok(), !file.exists() && read.is_err_and(|error| error.is_unreadable()))
}

#[tokio::test]
#[ignore = "torture: a file cut short at every byte and changed in every bit"]
async fn no_bad_file_is_taken_for_tokens() {
    let scratch = Scratch::in_memory();
    let (store, file) = (FileStore::new(scratch.path()), scratch.join(DEFAULT));
    let good = record(1, 820);
    assert!(good.to_bytes().len() >= 1000, "{}", good.to_bytes().len());
    put(&store, &id(), &good).await.unwrap();
    let good = fs::read(&file).unwrap();

    let cut = (0..good.len()).map(|end| good[..end].to_vec());
    let flipped = (0..good.len() * 8).map(|nth| {
        let mut bytes = good.clone();
        bytes[nth / 8] ^= 1 << (nth % 8);
        bytes
    });
    let longer = [&b"\0"[..], b"\n", b"}", &good].map(|tail| [&good[..], tail].concat());
    let renumbered = ["0", "2", "3", "10", "-1", "4294967296", ""].map(|major| {
        let text = String::from_utf8(good.clone()).unwrap();
        text.replacen("record 1 ", &format!("record {major} "), 1).into_bytes()
    });
    let (mut tried, mut wrong, mut removed) = (0, 0, 0);
    for bytes in cut.chain(flipped).chain(longer).chain(renumbered) {
        let (tokens, gone) = read_bad(&store, &file, &bytes).await;
        tried += 1;
        wrong += usize::from(tokens);
        removed += usize::from(gone);
    }
    for newer in NEWER {
        fs::write(&file, newer).unwrap();
        assert!(store.load(&id()).await.unwrap_err().is_newer());
        assert_eq!(fs::read_to_string(&file).unwrap(), newer, "left alone");
        tried += 1;
    }
    println!("figure: record_bad_inputs = {tried} files");
    println!("figure: record_wrong_tokens = {wrong} files");
    println!("figure: record_bad_inputs_removed = {removed} files");
    assert_eq!((wrong, removed), (0, tried - NEWER.len()));
    fs::write(&file, &good).unwrap();
    assert!(store.load(&id()).await.unwrap().is_some(), "the harness knows a good one");
}

/// The tick by which the system counts processor time: a hundredth of a second, on all of Linux.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of this process so far, and how many threads it has of each name.
#[cfg(target_os = "linux")]
fn usage() -> (Duration, std::collections::BTreeMap<String, usize>) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1.split_whitespace().collect::<Vec<_>>();
    let ticks: u32 = after_name[11..13].iter().map(|ticks| ticks.parse::<u32>().unwrap()).sum();
    let mut threads = std::collections::BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        // It may have ended meanwhile.
        let Ok(name) = fs::read_to_string(task.unwrap().path().join("comm")) else { continue };
        *threads.entry(name.trim().to_owned()).or_default() += 1;
    }
    (TICK * ticks, threads)
}

/// Waits for the locks of sessions, each by a store of its own or all by one, and says what that costs.
#[cfg(target_os = "linux")]
async fn wait_for_locks(folder: &Path, sessions: usize, apart: bool) {
    let store = FileStore::new(folder);
    let lock = |nth: usize| {
        let (store, id) =
            (if apart { FileStore::new(folder) } else { store.clone() }, SessionId::from(nth.to_string()));
        tokio::spawn(async move { store.lock(&id, lock_within(Duration::from_secs(60))).await.unwrap() })
    };
    let waiting: Vec<_> = (0..sessions).map(lock).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, began, mut most) = (usage().0, Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(5) {
        let threads = usage().1;
        most = most.max(threads.iter().filter(|(name, _)| name.starts_with("token")).map(|(_, count)| count).sum());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let percent = usage().0.saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
    println!("\nwaited {most} {percent:.1}");
    for lock in waiting {
        assert!(matches!(lock.await.unwrap(), Lock::Held(_)));
    }
    println!("\nall had");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "torture: 200 sessions that wait for the locks of another process"]
fn waiting_for_locks_costs_next_to_nothing() {
    for part in ["wait by one store", "wait by many stores"] {
        let (scratch, sessions) = (Scratch::in_memory(), 200);
        let store = FileStore::new(scratch.path());
        fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let lock = |nth: usize| {
            let id = SessionId::from(nth.to_string());
            block_on(store.lock(&id, lock_within(Duration::ZERO))).unwrap()
        };
        let held: Vec<Lock> = (0..sessions).map(lock).collect();
        assert!(held.iter().all(|lock| matches!(lock, Lock::Held(_))));
        let mut child = start(part, scratch.path(), sessions);
        let said = child.wait_for_front("waited ");
        let (threads, percent) = said.split_once(' ').unwrap();
        println!("figure: lock_threads = {threads} threads, {part}");
        println!("figure: lock_cpu = {percent} %, {part}");
        let released = Instant::now();
        drop(held);
        child.wait_for("all had");
        println!("figure: lock_handed_over = {} ms, {part}", released.elapsed().as_millis());
        child.finish();
        assert_eq!(names_in(scratch.path()), [""; 0]);
        assert!(threads.parse::<usize>().unwrap() <= 16, "{said}");
        assert!(percent.parse::<f64>().unwrap() < 5.0, "{said}");
    }
}

/// Saves to one file by stores of its own, all at once, and says how often that went well and how often not.
async fn save_to_one_file(folder: &Path, stores: usize, bound: Duration) -> (usize, usize) {
    let began = Instant::now();
    let save = |_: usize| {
        let store = FileStore::new(folder);
        tokio::spawn(async move {
            let (mut generation, mut counts) = (0, (0, 0));
            while began.elapsed() < bound {
                generation += 1;
                match store.swap(&id(), None, &record(generation, 64)).await {
                    Ok(_) => counts.0 += 1,
                    Err(_) => counts.1 += 1,
                }
            }
            counts
        })
    };
    let saving: Vec<_> = (0..stores).map(save).collect();
    let (mut saved, mut failed) = (0, 0);
    for saving in saving {
        let counts = saving.await.unwrap();
        (saved, failed) = (saved + counts.0, failed + counts.1);
    }
    (saved, failed)
}

#[test]
#[ignore = "torture: 48 stores that write to one file for 10 s, in one process and in six"]
fn whoever_writes_to_one_file_has_its_turn() {
    for processes in [1, 6] {
        let scratch = Scratch::new();
        let folder = scratch.join("tokens");
        let mut children: Vec<_> = (0..processes).map(|_| start("save", &folder, 48 / processes)).collect();
        let mut counts = (0, 0);
        for child in &mut children {
            let said = child.wait_for_front("saved ");
            let (saved, failed) = said.split_once(' ').unwrap();
            counts.0 += saved.parse::<usize>().unwrap();
            counts.1 += failed.parse::<usize>().unwrap();
        }
        println!("figure: one_file_swaps = {} swaps, {processes} processes", counts.0);
        println!("figure: one_file_unavailable = {} swaps, {processes} processes", counts.1);
        assert!(counts.0 >= 48 && counts.1 == 0, "{counts:?}");
    }
}

/// Puts links to what is outside in the place of the folder, of the files in it and of those that are about to be made.
fn attack(scratch: &Scratch, chance: &mut Chance) {
    let (folder, away, outside) = (scratch.join("tokens"), scratch.join("away"), scratch.join("outside"));
    let target = outside.join(["victim", "nothing"][usize::from(chance.coin())]);
    let place = ["", ".new", ".write-lock", ".refresh-lock"][usize::try_from(chance.below(4)).unwrap()];
    let path = folder.join(format!("{DEFAULT}{place}"));
    let moment = Duration::from_micros(chance.below(1000));
    // Each step may fail, since the store puts its own files there at the same time.
    match chance.below(3) {
        0 => {
            let _moved = fs::rename(&folder, &away);
            let _linked = symlink(&outside, &folder);
            std::thread::sleep(moment);
            let _unlinked = fs::remove_file(&folder);
            if fs::rename(&away, &folder).is_err() {
                let _made_anew_meanwhile = fs::remove_dir_all(&away);
            }
        }
        1 => {
            let _removed = fs::remove_file(&path);
            let _linked = symlink(&target, &path);
            std::thread::sleep(moment);
            let _unlinked = fs::remove_file(&path);
        }
        _ => {
            let planted = scratch.join("planted");
            let _second_name = fs::hard_link(outside.join("victim"), &planted);
            let _planted = fs::rename(&planted, &path);
            std::thread::sleep(moment);
            let _unlinked = fs::remove_file(&path);
        }
    }
}

/// How many files outside were written to while somebody swapped and somebody saved; and how many saves went well.
fn attacked(swaps: usize, save: impl Fn(&Path, u64) -> bool + Sync) -> (usize, usize) {
    let scratch = Scratch::new();
    let (outside, over) = (scratch.join("outside"), AtomicBool::new(false));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(scratch.join("tokens")).unwrap();
    fs::write(outside.join("victim"), "victim").unwrap();
    let (saved, tried, mut written) = (AtomicUsize::new(0), AtomicUsize::new(0), 0);
    std::thread::scope(|scope| {
        for nth in 0..2 {
            let (saved, tried, over, folder, save) = (&saved, &tried, &over, scratch.join("tokens"), &save);
            scope.spawn(move || {
                let mut generation = nth;
                while !over.load(Ordering::SeqCst) {
                    generation += 2;
                    saved.fetch_add(usize::from(save(&folder, generation)), Ordering::SeqCst);
                    tried.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let mut chance = Chance::new(7);
        for _swap in 0..swaps {
            let before = tried.load(Ordering::SeqCst);
            attack(&scratch, &mut chance);
            until_blocking(PATIENCE, "three saves", || (tried.load(Ordering::SeqCst) >= before + 3).then_some(()));
            let intact = fs::read(outside.join("victim")).is_ok_and(|bytes| bytes == b"victim");
            let nothing_else = names_in(&outside).len() == 1;
            if !intact || !nothing_else {
                written += 1;
                for name in names_in(&outside).iter().filter(|name| *name != "victim") {
                    let _gone_by_itself = fs::remove_file(outside.join(name));
                }
                fs::write(outside.join("victim"), "victim").unwrap();
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    (written, saved.into_inner())
}

#[test]
#[ignore = "torture: folder, files and links swapped 1000 times during saves"]
fn nothing_outside_is_written_to_whoever_swaps_what() {
    let swaps = rounds(1000);
    let stores = std::sync::Mutex::new(None);
    let (outside, saved) = attacked(swaps, |folder, generation| {
        let store = stores.lock().unwrap().get_or_insert_with(|| FileStore::new(folder)).clone();
        block_on(async {
            let lock = store.lock(&id(), lock_within(Duration::ZERO)).await;
            let saved = put(&store, &id(), &record(generation, 64)).await.is_ok();
            drop(lock);
            saved
        })
    });
    let (control, _) = attacked(swaps, |folder, generation| {
        let (new, bytes) = (folder.join(format!("{DEFAULT}.new")), record(generation, 64).to_bytes());
        let write = || File::create(&new)?.write_all(&bytes);
        write().and_then(|()| fs::rename(&new, folder.join(DEFAULT))).is_ok()
    });
    println!("figure: swapped_places = {swaps} swaps");
    println!("figure: swapped_saves = {saved} saves");
    println!("figure: swapped_writes_outside = {outside} files");
    println!("figure: swapped_writes_outside_by_paths = {control} files");
    assert_eq!(outside, 0);
    assert!(saved > swaps / 10, "and it did save: {saved}");
    assert!(control > 0, "the harness catches it");
}
