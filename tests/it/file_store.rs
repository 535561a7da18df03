//! A store of files keeps what it was given, for nobody but its user, and touches nothing that is not its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest_auth_refresh::{
    FileStore, Lock, LoginId, NoAppFolder, Record, Sealed, SealingKey, SealingKeys, SessionId, StoreError, Swap,
    TokenStore, Tokens, Version,
};
use rustix::fs::Mode;

use crate::child::Process;
use crate::scratch::{Scratch, names_in};
use crate::support::lock_within;
use crate::support::put;

/// Where a child saves, and under which umask. Without it there is no child.
const FOLDER: &str = "SAVER_CHILD_FOLDER";
const UMASK: &str = "SAVER_CHILD_UMASK";
/// Which calls it tries.
const CALLS: &str = "FILE_STORE_CHILD_CALLS";
/// Whether it seals what it saves.
const SEALED: &str = "FILE_STORE_CHILD_SEALED";

/// A file of a newer major form, and one whose record is.
pub(crate) const NEWER: [&str; 2] = [
    "reqwest-auth-refresh record 2 sha256:cb5402380292e4e1dd5430cc651f1483f00d3de5f717a025be51f5dc3b8ce2fe\nanything",
    "reqwest-auth-refresh record 1 sha256:e7fabe165bf6ea79109a84361533b35b478495ba3cf159658d176186f80a654b\n\
     7\ndefault\n{\"major\":2}",
];

/// A file as this version writes it, which every later one must read.
const KNOWN: &str = "reqwest-auth-refresh record 1 sha256:bdecdf46e5f023140fb70e6d7808f962f38716a64411d27af66d1aec781af2a0\n\
     7\ndefault\n{\"major\":1,\"session\":\"default\",\"login\":\"0000000000000000000000000000cafe\",\"generation\":8,\"tombstone\":{\"why\":\"logged_out\",\"since\":1}}";

/// The name of the default session's file in a folder of many.
pub(crate) const DEFAULT: &str = "default-37a8eec1ce19687d132fe29051dca629d164e2c4.tokens";

fn record(generation: u64) -> Record {
    Record::of_tokens("default", Version::new(LoginId::from_bits(1), generation), Tokens::new("canary").unwrap())
}

fn id() -> SessionId {
    SessionId::default()
}

/// A folder that is not there yet, the store in it, and the default session's file.
fn store() -> (Scratch, FileStore, PathBuf) {
    let scratch = Scratch::new();
    let folder = scratch.join("tokens");
    (scratch, FileStore::new(&folder), folder.join(DEFAULT))
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What is stored in the default session's file, by its generation.
async fn stored(store: &FileStore) -> Option<u64> {
    store.load(&id()).await.unwrap().map(|record| record.version().generation)
}

fn unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    let error = result.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    std::error::Error::source(&error).unwrap().to_string()
}

#[tokio::test]
async fn reading_makes_nothing_and_writing_makes_three_files() {
    let (scratch, store, file) = store();
    assert_eq!(stored(&store).await, None);
    assert_eq!(names_in(scratch.path()), [""; 0]);
    put(&store, &id(), &record(1)).await.unwrap();
    let expected = ["", ".refresh-lock", ".write-lock"].map(|end| format!("{DEFAULT}{end}"));
    let folder = file.parent().unwrap();
    assert_eq!(names_in(folder), expected);
    assert!(expected[1..].iter().all(|lock| fs::metadata(folder.join(lock)).unwrap().len() == 0));

    store.remove(&id()).await.unwrap();
    assert_eq!(names_in(folder), [""; 0]);
    assert_eq!(store.path(), folder);
}

#[tokio::test]
async fn what_this_version_writes_stays_readable() {
    let (_scratch, store, file) = store();
    put(&store, &id(), &record(1)).await.unwrap();
    fs::write(&file, KNOWN).unwrap();
    let known = store.load(&id()).await.unwrap().unwrap();
    assert!(known.ending().is_some());
    put(&store, &id(), &known).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), KNOWN);
}

#[tokio::test]
async fn a_newer_form_is_left_alone() {
    for newer in NEWER {
        let (_scratch, store, file) = store();
        put(&store, &id(), &record(1)).await.unwrap();
        fs::write(&file, newer).unwrap();
        assert!(store.load(&id()).await.unwrap_err().is_newer());
        assert!(put(&store, &id(), &record(2)).await.unwrap_err().is_newer());
        assert!(store.swap(&id(), None, &record(2)).await.unwrap_err().is_newer());
        assert_eq!(fs::read_to_string(&file).unwrap(), newer);
        assert_eq!(names_in(file.parent().unwrap()).len(), 3, "the file and the locks");
    }
}

/// All that is in the folder, with its names: what is nowhere in it has left nothing.
fn everything_in(folder: &Path) -> String {
    let read = |name: String| format!("{name}\n{}\n", String::from_utf8_lossy(&fs::read(folder.join(&name)).unwrap()));
    names_in(folder).into_iter().map(read).collect()
}

fn tombstone(generation: u64) -> Record {
    let ended = r#"{"major":1,"session":"default","login":"1","generation":GENERATION,"tombstone":{"why":"logged_out","since":1}}"#;
    Record::from_bytes(ended.replace("GENERATION", &generation.to_string()).as_bytes()).unwrap()
}

/// How a file is broken: by an editor, a full disk, a power failure, or anything.
fn broken(how: usize, whole: &[u8]) -> Vec<u8> {
    match how {
        0 => [whole, b"\n"].concat(),
        1 => whole[..whole.len() - 1].to_vec(),
        2 => whole[..40].to_vec(),
        3 => Vec::new(),
        4 => vec![0; whole.len()],
        5 => [whole, whole].concat(),
        6 => [whole, &vec![b'x'; 17 * 1024 * 1024][..]].concat(),
        _ => b"canary, and nothing else".to_vec(),
    }
}

/// Whoever meets it, and however often.
#[tokio::test]
async fn nothing_of_a_broken_file_is_left_after_a_logout() {
    let (mut tried, mut leftover) = (0, 0);
    for single in [false, true] {
        let scratch = Scratch::in_memory();
        let folder = scratch.path();
        let file = folder.join(if single { "token" } else { DEFAULT });
        let store = if single { FileStore::single_file(&file) } else { FileStore::new(folder) };
        // What is no file of ours at all is left alone where the program named it.
        for how in 0..if single { 7 } else { 8 } {
            for met_by in ["load", "login", "remove", "load and load"] {
                put(&store, &id(), &record(1)).await.unwrap();
                fs::write(&file, broken(how, &fs::read(&file).unwrap())).unwrap();
                set_mode(&file, 0o644);
                match met_by {
                    "login" => {}
                    "remove" => store.remove(&id()).await.unwrap(),
                    _ => {
                        let error = store.load(&id()).await.unwrap_err();
                        assert!(error.is_unreadable() && !format!("{error:?}").contains("canary"), "{error:?}");
                        assert!(!everything_in(folder).contains("canary"), "{how} {met_by}");
                        assert_eq!(stored(&store).await, None);
                    }
                }
                assert!(matches!(store.swap(&id(), None, &record(2)).await.unwrap(), Swap::Done));
                let version = Some(record(2).version());
                assert!(matches!(store.swap(&id(), version, &tombstone(3)).await.unwrap(), Swap::Done));
                let left = everything_in(folder);
                (tried, leftover) = (tried + 1, leftover + left.matches("canary").map(str::len).sum::<usize>());
                assert_eq!(names_in(folder).len(), 3, "the tombstone and the locks: {left}");
                store.remove(&id()).await.unwrap();
                assert_eq!(names_in(folder), [""; 0]);
            }
        }
    }
    println!("figure: broken_files_met = {tried} files");
    println!("figure: leftover_after_logout = {leftover} bytes");
    assert_eq!(leftover, 0);
}

/// What a killed write left behind is gone with the next one, a logout's too.
#[tokio::test]
async fn nothing_of_a_half_written_file_is_left_after_a_logout() {
    for single in [false, true] {
        let scratch = Scratch::in_memory();
        let folder = scratch.path();
        let file = folder.join(if single { "token" } else { DEFAULT });
        let store = if single { FileStore::single_file(&file) } else { FileStore::new(folder) };
        for cut in [usize::MAX, 200, 10, 0] {
            put(&store, &id(), &record(1)).await.unwrap();
            let whole = fs::read(&file).unwrap();
            fs::write(beside(folder, "new"), &whole[..cut.min(whole.len())]).unwrap();
            put(&store, &id(), &tombstone(3)).await.unwrap();
            assert!(!everything_in(folder).contains("canary"), "{single} {cut}");
            fs::write(beside(folder, "new"), &whole[..cut.min(whole.len())]).unwrap();
            store.remove(&id()).await.unwrap();
            assert_eq!(names_in(folder), [""; 0], "{single} {cut}");
        }
    }
}

/// A file of the store's own beside the only record in this folder.
fn beside(folder: &Path, what: &str) -> PathBuf {
    let lock = names_in(folder).into_iter().find(|name| name.ends_with(".write-lock")).unwrap();
    folder.join(lock.replace("write-lock", what))
}

#[tokio::test]
async fn a_named_file_touches_nothing_else_in_its_folder() {
    let scratch = Scratch::new();
    set_mode(scratch.path(), 0o700);
    let others = ["token.new", "token.broken-1", "token.broken-2", "token.broken-3", "token.write-lock", ".token.new"];
    for name in others {
        fs::write(scratch.join(name), "the user's own").unwrap();
    }
    let store = FileStore::single_file(scratch.join("token"));
    let other = FileStore::single_file(scratch.join("token.refresh-lock"));
    put(&other, &id(), &record(7)).await.unwrap();
    for generation in 1..4 {
        put(&store, &id(), &record(generation)).await.unwrap();
        fs::write(scratch.join("token"), "reqwest-auth-refresh record 1 broken").unwrap();
        assert!(store.load(&id()).await.unwrap_err().is_unreadable());
        drop(store.lock(&id(), lock_within(Duration::ZERO)).await.unwrap());
        store.remove(&id()).await.unwrap();
    }
    for name in others {
        assert_eq!(fs::read_to_string(scratch.join(name)).unwrap(), "the user's own", "{name}");
    }
    assert_eq!(stored(&other).await, Some(7));
    other.remove(&id()).await.unwrap();
    assert_eq!(names_in(scratch.path()).len(), others.len());

    // What stands in the place of a file of the store's own, and is none.
    put(&store, &id(), &record(1)).await.unwrap();
    for what in ["new", "write-lock"] {
        let path = beside(scratch.path(), what);
        fs::write(&path, "the user's own").unwrap();
        assert!(unavailable(put(&store, &id(), &record(2)).await).contains("remove it"));
        unavailable(store.remove(&id()).await);
        assert_eq!(fs::read_to_string(&path).unwrap(), "the user's own");
        fs::write(&path, "").unwrap();
    }
    assert_eq!(stored(&store).await, Some(1));
}

#[tokio::test]
async fn a_named_file_that_is_none_of_ours_is_left_alone() {
    let scratch = Scratch::new();
    set_mode(scratch.path(), 0o700);
    let (file, target) = (scratch.join("notes"), scratch.join("target"));
    let store = FileStore::single_file(&file);
    for content in ["notes", "{\"access_token\":\"theirs\"}", "\n", " "] {
        fs::write(&file, content).unwrap();
        assert!(unavailable(store.load(&id()).await).contains("no file of this store"));
        assert!(unavailable(store.swap(&id(), None, &record(1)).await).contains("name another one"));
        unavailable(store.remove(&id()).await);
        unavailable(store.lock(&id(), lock_within(Duration::ZERO)).await);
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
        assert_eq!(names_in(scratch.path()), ["notes"]);
    }
    // An empty one was made for us.
    fs::write(&file, "").unwrap();
    put(&store, &id(), &record(1)).await.unwrap();
    // A save would replace the link, and leave what it leads to as it is.
    fs::rename(&file, &target).unwrap();
    symlink(&target, &file).unwrap();
    assert!(unavailable(store.load(&id()).await).contains("it is a link"));
    unavailable(put(&store, &id(), &record(2)).await);
    unavailable(store.remove(&id()).await);
    assert_eq!(stored(&FileStore::single_file(&target)).await, Some(1));

    for given in [DEFAULT.to_owned(), format!("{DEFAULT}.new"), format!(".{}", DEFAULT.replace("tokens", "new"))] {
        let store = FileStore::single_file(scratch.join(&given));
        assert!(unavailable(put(&store, &id(), &record(1)).await).contains("choose another"), "{given}");
    }
}

/// A service that takes ids from outside asks for many that it does not know.
#[tokio::test]
async fn what_is_not_known_leaves_no_files() {
    let (_scratch, store, file) = store();
    let folder = file.parent().unwrap();
    fs::create_dir(folder).unwrap();
    set_mode(folder, 0o700);
    for nth in 0..100_u64 {
        let id = SessionId::from(format!("unknown {nth}"));
        assert!(store.load(&id).await.unwrap().is_none());
        let wait = Duration::from_secs(nth % 2);
        let Lock::Held(guard) = store.lock(&id, lock_within(wait)).await.unwrap() else { panic!("it is free") };
        assert!(guard.is_held());
        let other = FileStore::new(folder);
        assert!(matches!(other.lock(&id, lock_within(Duration::ZERO)).await.unwrap(), Lock::Busy));
        assert!(matches!(store.swap(&id, Some(record(1).version()), &record(2)).await.unwrap(), Swap::Found(None)));
        store.remove(&id).await.unwrap();
        assert!(guard.is_held(), "a removal takes no lock away");
        guard.release().await;
    }
    println!("figure: unknown_ids_leftover_files = {} files", names_in(folder).len());
    assert_eq!(names_in(folder), [""; 0]);

    // Stored while the lock is held, removed while it is held, and both.
    for (stores, removes) in [(true, false), (true, true)] {
        let lock = store.lock(&id(), lock_within(Duration::ZERO)).await.unwrap();
        if stores {
            put(&store, &id(), &record(1)).await.unwrap();
        }
        if removes {
            store.remove(&id()).await.unwrap();
        }
        drop(lock);
        let left = names_in(folder).len();
        assert_eq!(left, if removes { 0 } else { 3 });
        store.remove(&id()).await.unwrap();
        assert_eq!(names_in(folder), [""; 0]);
    }
}

/// Futures that are polled once and then left, as those of a runtime that stands still.
#[tokio::test]
async fn callers_that_stand_still_hold_up_nobody() {
    let (_scratch, store, file) = store();
    put(&store, &id(), &record(1)).await.unwrap();
    let mut still = Vec::new();
    for nth in 0..40 {
        let (store, wait) = (store.clone(), lock_within(Duration::from_secs(30 * (nth % 2))));
        let mut lock = Box::pin(async move { store.lock(&id(), wait).await });
        assert!(futures_util::FutureExt::now_or_never(&mut lock).is_none_or(|lock| matches!(lock, Ok(Lock::Busy))));
        still.push(lock);
    }
    let mut writing = Vec::new();
    for nth in 0..40 {
        let (store, record) = (FileStore::new(file.parent().unwrap()), record(100 + nth));
        let mut swap = Box::pin(async move { store.swap(&id(), Some(record.version()), &record).await });
        assert!(futures_util::FutureExt::now_or_never(&mut swap).is_none());
        writing.push(swap);
    }
    // A store of its own for the same files, and the same one.
    for (store, generation) in [(FileStore::new(file.parent().unwrap()), 2), (store.clone(), 3)] {
        let lock = store.lock(&id(), lock_within(Duration::from_secs(30))).await.unwrap();
        assert!(matches!(lock, Lock::Held(_)), "who comes too late releases: {lock:?}");
        put(&store, &id(), &record(generation)).await.unwrap();
        assert_eq!(stored(&store).await, Some(generation));
    }
    drop(still);
}

#[tokio::test]
async fn a_file_of_another_session_is_not_taken_for_ones_own() {
    let (_scratch, store, file) = store();
    put(&store, &SessionId::from("bob"), &record(7)).await.unwrap();
    let folder = file.parent().unwrap();
    let bobs = names_in(folder).into_iter().find(|name| name.ends_with(".tokens")).unwrap();
    fs::copy(folder.join(bobs), &file).unwrap();
    assert!(store.load(&id()).await.unwrap_err().is_unreadable());

    let single = FileStore::single_file(folder.join("mine"));
    put(&single, &id(), &record(1)).await.unwrap();
    unavailable(single.load(&SessionId::from("bob")).await);
    unavailable(put(&single, &SessionId::from("bob"), &record(2)).await);
    unavailable(single.remove(&SessionId::from("bob")).await);
    unavailable(single.lock(&SessionId::from("bob"), lock_within(Duration::ZERO)).await);
    assert_eq!(stored(&single).await, Some(1));
    assert_eq!(single.path(), folder.join("mine"));
}

#[tokio::test]
async fn a_file_that_was_open_to_others_is_closed() {
    let (_scratch, store, file) = store();
    put(&store, &id(), &record(1)).await.unwrap();
    assert_eq!((mode(file.parent().unwrap()), mode(&file)), (0o700, 0o600));
    set_mode(&file, 0o664);
    assert_eq!(stored(&store).await, Some(1));
    assert_eq!(mode(&file), 0o600);
}

/// It is used as it is, or refused as it is.
#[tokio::test]
async fn a_folder_that_we_did_not_make_is_never_changed() {
    let all = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode();
    for single in [false, true] {
        let at = |scratch: &Scratch| {
            if single { FileStore::single_file(scratch.join("token")) } else { FileStore::new(scratch.path()) }
        };
        for used in [0o700, 0o755, 0o750, 0o1755, 0o2711] {
            let scratch = Scratch::new();
            set_mode(scratch.path(), used);
            let (store, before) = (at(&scratch), all(scratch.path()));
            assert_eq!(stored(&store).await, None);
            put(&store, &id(), &record(1)).await.unwrap();
            drop(store.lock(&id(), lock_within(Duration::ZERO)).await.unwrap());
            assert_eq!(all(scratch.path()), before, "{used:o}");
            assert!(names_in(scratch.path()).iter().all(|name| mode(&scratch.join(name)) == 0o600));
        }
        for refused in [0o775, 0o757, 0o777, 0o1777, 0o2770, 0o720] {
            let scratch = Scratch::new();
            set_mode(scratch.path(), refused);
            let (store, before) = (at(&scratch), all(scratch.path()));
            assert!(unavailable(store.load(&id()).await).contains("chmod go-w"));
            assert!(unavailable(put(&store, &id(), &record(1)).await).contains("name one inside it"));
            unavailable(store.remove(&id()).await);
            unavailable(store.lock(&id(), lock_within(Duration::ZERO)).await);
            assert_eq!((all(scratch.path()), names_in(scratch.path()).len()), (before, 0), "{refused:o}");
        }
    }
    let (root, temporary) = (all(Path::new("/")), all(Path::new("/tmp")));
    let _whatever_it_says = FileStore::new("/").load(&id()).await;
    unavailable(FileStore::new("/tmp").load(&id()).await);
    assert_eq!((all(Path::new("/")), all(Path::new("/tmp"))), (root, temporary));
    assert!(FileStore::new(".").path().is_absolute());

    for nameless in ["", "/", ".."] {
        unavailable(put(&FileStore::single_file(nameless), &id(), &record(1)).await);
    }
}

/// What leads to the folder is the program's choice: links in it are followed, and it may be open to others, who can put
/// another folder there, but none of ours.
#[tokio::test]
async fn what_leads_to_the_folder_is_not_looked_at() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.join("parent")).unwrap();
    set_mode(&scratch.join("parent"), 0o777);
    symlink(scratch.join("parent"), scratch.join("link")).unwrap();
    let store = FileStore::new(scratch.join("link/a/tokens"));
    put(&store, &id(), &record(1)).await.unwrap();
    assert_eq!(stored(&FileStore::new(scratch.join("parent/a/tokens"))).await, Some(1));
    assert_eq!(mode(&scratch.join("parent/a/tokens")), 0o700);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(scratch.join("parent/a/tokens"), Some(65_534), None).unwrap();
        let again = FileStore::new(scratch.join("link/a/tokens"));
        assert!(unavailable(again.load(&id()).await).contains("another user"));
    }
}

/// Links in every place, a second name, a pipe, a folder: refused, and left alone.
#[tokio::test]
async fn what_is_no_file_of_ours_is_refused() {
    let scratch = Scratch::new();
    let outside = scratch.join("outside");
    for place in ["", ".write-lock", ".refresh-lock"] {
        for plant in ["link", "second name", "folder", "pipe"] {
            let folder = scratch.join(format!("{plant}{place}"));
            fs::create_dir(&folder).unwrap();
            fs::write(&outside, "outside").unwrap();
            let path = folder.join(format!("{DEFAULT}{place}"));
            match plant {
                "link" => symlink(&outside, &path).unwrap(),
                "second name" => fs::hard_link(&outside, &path).unwrap(),
                "folder" => fs::create_dir(&path).unwrap(),
                _ => rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RWXU).unwrap(),
            }
            let store = FileStore::new(&folder);
            if place == ".refresh-lock" {
                unavailable(store.lock(&id(), lock_within(Duration::ZERO)).await);
            } else {
                unavailable(put(&store, &id(), &record(1)).await);
            }
            assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
            assert!(fs::symlink_metadata(&path).is_ok(), "{plant} in the place of {path:?}");
            fs::remove_dir_all(&folder).unwrap();
        }
    }
    let link = scratch.join("link");
    fs::create_dir(scratch.join("elsewhere")).unwrap();
    symlink(scratch.join("elsewhere"), &link).unwrap();
    let (dangling, file) = (scratch.join("dangling"), scratch.join("file"));
    symlink(scratch.join("nowhere"), &dangling).unwrap();
    for path in [link.clone(), link.join(""), dangling] {
        for store in [FileStore::new(&path), FileStore::single_file(path.join("token"))] {
            assert!(unavailable(put(&store, &id(), &record(1)).await).contains("the folder is a link"), "{path:?}");
        }
    }
    assert_eq!(names_in(&link), [""; 0]);
    assert!(!scratch.join("nowhere").exists());
    fs::write(&file, "").unwrap();
    assert!(unavailable(put(&FileStore::new(&file), &id(), &record(1)).await).contains("no folder"));
}

/// It is made anew, so that nothing of what was there is left in it.
#[tokio::test]
async fn what_is_in_the_place_of_the_new_file_is_replaced() {
    let (scratch, store, file) = store();
    put(&store, &id(), &record(1)).await.unwrap();
    let (outside, new) = (scratch.join("outside"), PathBuf::from(format!("{}.new", file.display())));
    fs::write(&outside, "outside").unwrap();
    for generation in 2..5 {
        match generation {
            2 => symlink(&outside, &new).unwrap(),
            3 => fs::hard_link(&outside, &new).unwrap(),
            _ => fs::write(&new, "left behind, and longer than any record ".repeat(1000)).unwrap(),
        }
        put(&store, &id(), &record(generation)).await.unwrap();
        assert_eq!(stored(&store).await, Some(generation));
        assert!(!new.exists());
        assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
    }
}

#[tokio::test]
async fn a_removed_folder_is_said_once_and_made_again() {
    let (scratch, store, file) = store();
    let folder = file.parent().unwrap();
    for away in [false, true] {
        put(&store, &id(), &record(1)).await.unwrap();
        let Lock::Held(held) = store.lock(&id(), lock_within(Duration::ZERO)).await.unwrap() else {
            panic!("it is free")
        };
        if away {
            fs::rename(folder, scratch.join("away")).unwrap();
        } else {
            fs::remove_dir_all(folder).unwrap();
        }
        assert!(!held.is_held(), "whoever comes next locks another file");
        assert!(unavailable(store.lock(&id(), lock_within(Duration::ZERO)).await).contains("removed or replaced"));
        assert_eq!(stored(&store).await, None);
        assert!(matches!(store.lock(&id(), lock_within(Duration::ZERO)).await.unwrap(), Lock::Held(_)));
        assert!(matches!(store.swap(&id(), None, &record(2)).await.unwrap(), Swap::Done));
    }
    // A disk that is gone: nothing is written in its place, until it is back.
    fs::rename(scratch.join("tokens"), scratch.join("away/tokens")).unwrap();
    let (parent, gone) = (scratch.join("disk"), scratch.join("gone"));
    let store = FileStore::new(parent.join("tokens"));
    put(&store, &id(), &record(3)).await.unwrap();
    fs::rename(&parent, &gone).unwrap();
    for _call in 0..3 {
        unavailable(put(&store, &id(), &record(4)).await);
    }
    assert!(!parent.exists());
    fs::rename(&gone, &parent).unwrap();
    assert_eq!(stored(&store).await, Some(3));
}

#[tokio::test]
async fn a_lock_file_that_was_unlinked_is_no_longer_held() {
    let (_scratch, store, file) = store();
    let Lock::Held(held) = store.lock(&id(), lock_within(Duration::ZERO)).await.unwrap() else { panic!("it is free") };
    assert!(held.is_held());
    fs::remove_file(format!("{}.refresh-lock", file.display())).unwrap();
    assert!(!held.is_held());
    assert!(matches!(store.lock(&id(), lock_within(Duration::ZERO)).await.unwrap(), Lock::Held(_)));
}

/// What a swap waits for is another write, and not for ever.
#[tokio::test]
async fn a_writer_that_stands_still_is_not_waited_for_for_ever() {
    let (_scratch, store, file) = store();
    put(&store, &id(), &record(1)).await.unwrap();
    let standing_still = fs::File::open(format!("{}.write-lock", file.display())).unwrap();
    standing_still.lock().unwrap();
    assert!(unavailable(put(&store, &id(), &record(2)).await).contains("writing for too long"));
    assert_eq!(stored(&store).await, Some(1));
    drop(standing_still);
    put(&store, &id(), &record(2)).await.unwrap();
}

/// The runtime's end does not wait for a writer that waits.
#[test]
fn a_store_does_not_hold_up_the_end_of_the_runtime() {
    let (_scratch, store, file) = store();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    runtime().block_on(put(&store, &id(), &record(1))).unwrap();
    let standing_still = fs::File::open(format!("{}.write-lock", file.display())).unwrap();
    standing_still.lock().unwrap();
    let ends_at_once = || {
        let (runtime, waiting) = (runtime(), store.clone());
        drop(runtime.spawn(async move { put(&waiting, &id(), &record(2)).await }));
        let began = std::time::Instant::now();
        drop(runtime);
        began.elapsed() < Duration::from_secs(1)
    };
    // A write that is waited for takes four seconds each time. A busy machine takes its time once and again.
    assert!((0..10).any(|_| ends_at_once()));
    drop(standing_still);
    // Without any runtime, too.
    assert!(futures_util::FutureExt::now_or_never(store.load(&id())).is_none(), "it waits for a thread");
}

#[test]
fn a_program_has_a_folder_of_its_name() {
    let store = FileStore::for_app("my-app").unwrap();
    assert!(store.path().ends_with("my-app"), "{store:?}");
    assert_eq!(FileStore::for_app("a/b").unwrap_err(), NoAppFolder::UnfitName);
}

/// The process that saves once, and a tombstone after it.
#[tokio::test]
#[ignore = "torture: the child that another test starts; by itself it does nothing"]
async fn saver() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let umask: u32 = std::env::var(UMASK).unwrap().parse().unwrap();
    let _before = rustix::process::umask(Mode::from_raw_mode(umask));
    let file = FileStore::new(folder);
    let store: Box<dyn TokenStore> = if std::env::var_os(SEALED).is_some() {
        Box::new(Sealed::new(file, SealingKeys::new(SealingKey::new("key", &[7; 32]).unwrap())))
    } else {
        Box::new(file)
    };
    put(&store, &id(), &record(1)).await.unwrap();
    assert_eq!(store.load(&id()).await.unwrap().map(|record| record.version().generation), Some(1));
    put(&store, &id(), &tombstone(8)).await.unwrap();
    assert!(matches!(store.lock(&id(), lock_within(Duration::ZERO)).await.unwrap(), Lock::Held(_)));
}

#[test]
fn whatever_the_umask_says_nobody_else_may_read() {
    for umask in [0o000, 0o022, 0o077, 0o277, 0o477] {
        let scratch = Scratch::new();
        let folder = scratch.join("a/tokens");
        let variables = [(FOLDER, folder.clone().into_os_string()), (UMASK, umask.to_string().into())];
        Process::start("file_store::saver", variables).finish();
        assert_eq!(mode(&folder), 0o700, "{umask:o}");
        assert_eq!(mode(&scratch.join("a")), 0o700, "{umask:o}");
        assert_eq!(names_in(&folder).len(), 3);
        for name in names_in(&folder) {
            assert_eq!(mode(&folder.join(&name)), 0o600, "{name} under {umask:o}");
        }
    }
}

/// The process that says where its program keeps its state.
#[test]
#[ignore = "torture: the child that another test starts; by itself it does nothing"]
fn at_home() {
    if std::env::var_os(CALLS).is_some() {
        println!("\nat {}", FileStore::for_app("my-app").unwrap().path().display());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_service_has_the_folder_that_its_system_gives_it() {
    let folder = |given: &'static str, home: &'static str| {
        let variables = [(CALLS, ""), ("STATE_DIRECTORY", given), ("XDG_STATE_HOME", home), ("HOME", "/home/me")];
        Process::start("file_store::at_home", variables).wait_for_front("at ")
    };
    assert_eq!(folder("/var/lib/service", "/state"), "/var/lib/service/my-app");
    assert_eq!(folder("/var/lib/my-app:/var/lib/b", "/state"), "/var/lib/my-app/my-app");
    assert_eq!(folder("", "/state"), "/state/my-app");
    assert_eq!(folder("relative", ""), "/home/me/.local/state/my-app");
}

/// The process that tries a few calls, and says what came of them.
#[tokio::test]
#[ignore = "torture: the child that another test starts; by itself it does nothing"]
async fn tries() {
    let (Some(folder), Ok(calls)) = (std::env::var_os(FOLDER), std::env::var(CALLS)) else { return };
    let store = FileStore::new(folder);
    for call in calls.split(' ') {
        let result = match call {
            "put" => put(&store, &id(), &record(1)).await,
            "again" => store.swap(&id(), None, &record(1)).await.map(drop),
            "end" => store.swap(&id(), Some(record(1).version()), &tombstone(2)).await.map(drop),
            "load" => store.load(&id()).await.map(drop),
            "remove" => store.remove(&id()).await,
            _ => store.lock(&id(), lock_within(Duration::ZERO)).await.map(drop),
        };
        // A line of its own: the harness may have begun one.
        println!("\n{call}: {}", result.map_or_else(|_error| "error", |()| "ok"));
    }
}

mod strace {
    use super::*;

    fn strace(options: &[&str], test: &str, folder: &Path) -> std::process::Command {
        let mut program = std::process::Command::new("strace");
        program.args(["-f", "-qq", "-e", "signal=none"]).args(options);
        program.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--ignored", "--nocapture"]);
        program.env(FOLDER, folder).env(UMASK, "0").stdin(std::process::Stdio::null());
        program
    }

    /// The calls to the system by which a file was written, in order, each as `strace` shows it.
    fn calls(folder: &Path, scratch: &Scratch, sealed: bool) -> Vec<String> {
        let log = scratch.join("strace");
        let trace = "trace=openat,write,fsync,fdatasync,rename,renameat,renameat2,fchmod,fchmodat,chmod,mkdir,mkdirat";
        let options = ["-y", "-s", "0", "-o", log.to_str().unwrap(), "-e", trace];
        let mut program = strace(&options, "file_store::saver", folder);
        program.envs(sealed.then_some((SEALED, "1"))).stdout(std::process::Stdio::null());
        assert!(program.status().expect("strace is needed").success());
        let log = fs::read_to_string(log).unwrap();
        let ours = log.lines().filter(|line| line.contains(scratch.path().to_str().unwrap()) && !line.contains("lock"));
        ours.map(|line| line.split_once(' ').unwrap().1.trim().to_owned()).collect()
    }

    /// What came of these calls where something is done to calls to the system; `-P` says which file's.
    fn tried(calls: &str, folder: &Path, options: &[&str]) -> Vec<String> {
        let log = folder.with_extension("strace");
        let options = [&["-o", log.to_str().unwrap()], options].concat();
        let output =
            strace(&options, "file_store::tries", folder).env(CALLS, calls).output().expect("strace is needed");
        let said = String::from_utf8(output.stdout).unwrap();
        let said = said.lines().filter(|line| line.ends_with(": ok") || line.ends_with(": error"));
        said.map(str::to_owned).collect()
    }

    /// Where the first line that begins so and holds these stands, at `from` or later.
    fn find(calls: &[String], from: usize, begins: &str, holds: &[&str]) -> usize {
        let fits = |call: &String| call.starts_with(begins) && holds.iter().all(|text| call.contains(text));
        from + calls[from..].iter().position(fits).unwrap_or_else(|| panic!("no {begins} {holds:?} in {calls:#?}"))
    }

    #[test]
    #[ignore = "torture: needs strace"]
    fn a_save_opens_writes_syncs_renames_and_syncs_in_this_order() {
        for sealed in [false, true] {
            let scratch = Scratch::new();
            let folder = scratch.join("a/b/tokens");
            let calls = calls(&folder, &scratch, sealed);
            let mut at = 0;
            let scratch_name = scratch.path().file_name().unwrap().to_str().unwrap();
            // What was made is written down in what it was made in.
            for (made, parent) in [("a", scratch_name), ("a/b", "a"), ("a/b/tokens", "b")] {
                at = find(&calls, at, "mkdir", &[&format!("{scratch_name}/{made}\""), "0700) = 0"]);
                at = find(&calls, at, "fsync", &[&format!("/{parent}>")]);
            }
            let new = format!("{DEFAULT}.new");
            for _save in ["tokens", "tombstone"] {
                at = find(&calls, at, "openat", &[&new, "O_CREAT|O_EXCL", "O_NOFOLLOW", "0600)"]);
                at = find(&calls, at, "write", &[&new]);
                at = find(&calls, at, "fsync", &[&new]);
                at = find(&calls, at, "renameat", &[&new]);
                at = find(&calls, at, "fsync", &["tokens>"]);
            }
            let of = |name: &str| calls.iter().filter(|call| call.starts_with(name)).count();
            let counts = (of("write"), of("fsync"), of("rename"), of("fchmod") + of("chmod"));
            // The second save of `put` begins with a swap that finds the first one, and has it written down. A sealed store
            // looks for itself before.
            let syncs = if sealed { 7 } else { 8 };
            assert_eq!(counts, (2, syncs, 2, 0), "sealed: {sealed}, {calls:#?}");
        }
        println!("figure: file_save_system_calls_in_order = 5 calls");
    }

    /// As long as the folder cannot be synced, nothing that was tried again counts as stored, removed or made.
    #[test]
    #[ignore = "torture: needs strace"]
    fn what_was_not_synced_is_not_said_to_be_stored() {
        let scratch = Scratch::new();
        let folder = scratch.join("tokens");
        fs::create_dir(&folder).unwrap();
        set_mode(&folder, 0o700);
        let calls = "put again end remove remove load";
        let fails = ["-P", folder.to_str().unwrap(), "-e", "inject=fsync:error=EIO"];
        let all_fail = ["put: error", "again: error", "end: error", "remove: error", "remove: error", "load: ok"];
        assert_eq!(tried(calls, &folder, &fails), all_fail);
        assert!(tried(calls, &folder, &[]).iter().all(|said| said.ends_with(": ok")));
        // What a folder that was made is in. It is not there either, since nothing would make it again.
        fs::remove_dir(&folder).unwrap();
        let fails = ["-P", scratch.path().to_str().unwrap(), "-e", "inject=fsync:error=EIO"];
        assert_eq!(tried("put put", &folder, &fails), ["put: error", "put: error"]);
        assert!(!folder.exists());
        assert_eq!(tried("put", &folder, &[]), ["put: ok"]);
    }

    #[test]
    #[ignore = "torture: needs strace"]
    fn an_interrupted_call_is_made_again() {
        for call in
            ["openat", "renameat", "unlinkat", "fsync", "fchmod", "flock", "mkdir", "write", "read", "newfstatat"]
        {
            let scratch = Scratch::new();
            let folder = scratch.join("tokens");
            let paths: Vec<String> = ["", DEFAULT].map(|name| folder.join(name).display().to_string()).into();
            if call == "fchmod" {
                fs::create_dir(&folder).unwrap();
                set_mode(&folder, 0o700);
                fs::write(folder.join(format!("{DEFAULT}.write-lock")), "").unwrap();
            }
            let front = format!("{}/", folder.display());
            let new = format!("{front}{DEFAULT}.new");
            let locks = ["write", "refresh"].map(|lock| format!("{front}{DEFAULT}.{lock}-lock"));
            let inject = format!("inject={call}:error=EINTR:when=1+3");
            let mut options = vec!["-e", &inject];
            let all = [paths[0].trim_end_matches('/'), &paths[1], &new, &locks[0], &locks[1]];
            for path in all {
                options.extend(["-P", path]);
            }
            let tried = tried("put again end lock load remove", &folder, &options);
            assert_eq!(tried.len(), 6, "{call}: {tried:?}");
            assert!(tried.iter().all(|said| said.ends_with(": ok")), "{call}: {tried:?}");
        }
    }

    /// CIFS, and the disks of Windows under WSL, say that they did what they cannot do.
    #[test]
    #[ignore = "torture: needs strace"]
    fn a_file_system_that_only_says_it_closes_a_file_is_refused() {
        let scratch = Scratch::new();
        let folder = scratch.join("tokens");
        assert_eq!(tried("put", &folder, &[]), ["put: ok"]);
        for name in [DEFAULT.to_owned(), format!("{DEFAULT}.write-lock"), format!("{DEFAULT}.refresh-lock")] {
            set_mode(&folder.join(&name), 0o644);
            let fails = tried("load end lock", &folder, &["-e", "inject=fchmod:retval=0"]);
            let expected = match name.rsplit('.').next().unwrap() {
                "write-lock" => ["load: ok", "end: error", "lock: ok"],
                "refresh-lock" => ["load: ok", "end: ok", "lock: error"],
                _ => ["load: error", "end: error", "lock: ok"],
            };
            assert_eq!(fails, expected, "{name}");
            set_mode(&folder.join(&name), 0o600);
        }
    }
}
