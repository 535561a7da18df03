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
    assert_eq!(names_in(folder), expected[1..], "the locks stay");
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

/// The three newest of them: whoever breaks a file again and again does not fill the disk.
#[tokio::test]
async fn broken_files_are_set_aside_whoever_meets_them() {
    let (_scratch, store, file) = store();
    put(&store, &id(), &record(1)).await.unwrap();
    let aside = |nth: u32| PathBuf::from(format!("{}.broken-{nth}", file.display()));
    for nth in 1..=5_u64 {
        fs::write(&file, format!("canary {nth}")).unwrap();
        set_mode(&file, 0o644);
        match nth % 3 {
            0 => put(&store, &id(), &record(nth)).await.unwrap(),
            1 => {
                let error = store.load(&id()).await.unwrap_err();
                assert!(error.is_unreadable() && !format!("{error:?}").contains("canary"), "{error:?}");
                assert_eq!(stored(&store).await, None);
            }
            _ => assert!(matches!(store.swap(&id(), None, &record(nth)).await.unwrap(), Swap::Done)),
        }
        assert_eq!(fs::read_to_string(aside(1)).unwrap(), format!("canary {nth}"));
        assert_eq!(mode(&aside(1)), 0o600);
    }
    assert_eq!(fs::read_to_string(aside(3)).unwrap(), "canary 3");
    assert!(!aside(4).exists());
    store.remove(&id()).await.unwrap();
    let locks = [".refresh-lock", ".write-lock"].map(|end| format!("{DEFAULT}{end}"));
    assert_eq!(names_in(file.parent().unwrap()), locks, "forgotten with all that was kept");
}

#[tokio::test]
async fn what_cannot_be_set_aside_is_neither_overwritten_nor_called_lost() {
    let (_scratch, store, file) = store();
    put(&store, &id(), &record(1)).await.unwrap();
    fs::write(&file, "canary").unwrap();
    fs::create_dir(format!("{}.broken-1", file.display())).unwrap();
    assert!(unavailable(store.load(&id()).await).contains("broken-1"));
    unavailable(put(&store, &id(), &record(2)).await);
    assert_eq!(fs::read_to_string(&file).unwrap(), "canary");
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
async fn what_was_open_to_others_is_closed() {
    let (_scratch, store, file) = store();
    let folder = file.parent().unwrap();
    fs::create_dir(folder).unwrap();
    set_mode(folder, 0o777);
    put(&store, &id(), &record(1)).await.unwrap();
    assert_eq!((mode(folder), mode(&file)), (0o700, 0o600));
    set_mode(&file, 0o664);
    assert_eq!(stored(&store).await, Some(1));
    assert_eq!(mode(&file), 0o600);
}

#[tokio::test]
async fn the_folder_of_a_single_file_is_left_as_it_is_unless_others_may_write_to_it() {
    let scratch = Scratch::new();
    let store = FileStore::single_file(scratch.join("tokens"));
    set_mode(scratch.path(), 0o755);
    put(&store, &id(), &record(1)).await.unwrap();
    assert_eq!((mode(scratch.path()), mode(&scratch.join("tokens"))), (0o755, 0o600));

    for open in [0o775, 0o757, 0o1777] {
        set_mode(scratch.path(), open);
        let store = FileStore::single_file(scratch.join("tokens"));
        assert!(unavailable(store.load(&id()).await).contains("chmod"));
    }
    for nameless in ["", "/", ".."] {
        unavailable(put(&FileStore::single_file(nameless), &id(), &record(1)).await);
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
    for path in [link.clone(), link.join("")] {
        unavailable(put(&FileStore::new(path), &id(), &record(1)).await);
    }
    assert_eq!(names_in(&link), [""; 0]);
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
    let ended =
        r#"{"major":1,"session":"default","login":"cafe","generation":8,"tombstone":{"why":"logged_out","since":1}}"#;
    put(&store, &id(), &Record::from_bytes(ended.as_bytes()).unwrap()).await.unwrap();
    assert!(matches!(store.lock(&id(), lock_within(Duration::ZERO)).await.unwrap(), Lock::Held(_)));
}

#[test]
fn whatever_the_umask_says_nobody_else_may_read() {
    for umask in [0o000, 0o022, 0o077, 0o277, 0o477] {
        let scratch = Scratch::new();
        // Made here, since a folder that its owner may not enter is of no use to anyone.
        let folder = scratch.join("tokens");
        if umask > 0o077 {
            fs::create_dir(&folder).unwrap();
        }
        let variables = [(FOLDER, folder.clone().into_os_string()), (UMASK, umask.to_string().into())];
        Process::start("file_store::saver", variables).finish();
        assert_eq!(mode(&folder), 0o700, "{umask:o}");
        for name in names_in(&folder) {
            assert_eq!(mode(&folder.join(&name)) & 0o177, 0, "{name} under {umask:o}");
        }
        assert_eq!(mode(&folder.join(DEFAULT)), 0o600, "{umask:o}");
    }
}

mod strace {
    use super::*;

    /// The calls to the system by which a file was written, in order, each as `strace` shows it.
    fn calls(folder: &Path, scratch: &Scratch, sealed: bool) -> Vec<String> {
        let log = scratch.join("strace");
        let mut program = std::process::Command::new("strace");
        program.args(["-f", "-y", "-qq", "-e", "signal=none", "-s", "0", "-o"]).arg(&log);
        program.args(["-e", "trace=openat,write,fsync,fdatasync,rename,renameat,renameat2,fchmod,fchmodat,chmod"]);
        program.arg(std::env::current_exe().unwrap()).args(["--exact", "file_store::saver", "--ignored"]);
        program.env(FOLDER, folder).env(UMASK, "0").stdout(std::process::Stdio::null());
        program.envs(sealed.then_some((SEALED, "1")));
        assert!(program.status().expect("strace is needed").success());
        let log = fs::read_to_string(log).unwrap();
        let ours = log.lines().filter(|line| line.contains(folder.to_str().unwrap()) && !line.contains("lock"));
        ours.map(|line| line.split_once(' ').unwrap().1.trim().to_owned()).collect()
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
            let folder = scratch.join("tokens");
            let calls = calls(&folder, &scratch, sealed);
            let (new, mut at) = (format!("{DEFAULT}.new"), 0);
            for _save in ["tokens", "tombstone"] {
                at = find(&calls, at, "openat", &[&new, "O_CREAT|O_EXCL", "O_NOFOLLOW", "0600)"]);
                at = find(&calls, at, "write", &[&new]);
                at = find(&calls, at, "fsync", &[&new]);
                at = find(&calls, at, "renameat", &[&new]);
                at = find(&calls, at, "fsync", &["tokens>"]);
            }
            let of = |name: &str| calls.iter().filter(|call| call.starts_with(name)).count();
            let counts = (of("write"), of("fsync"), of("rename"), of("fchmod") + of("chmod"));
            assert_eq!(counts, (2, 4, 2, 0), "sealed: {sealed}, {calls:#?}");
        }
        println!("figure: file_save_system_calls_in_order = 5 calls");
    }
}
