//! No token, no secret of the client, no query and no session id gets out: not in a log line of ours at `TRACE`, not in `Debug`
//! or `Display` of a public type, not in an error or its sources, whatever goes wrong.
//!
//! What a *program* writes into the errors of its own store or refresher, it shows itself; so do the errors of `reqwest` that
//! are handed on untouched, with the address that the program asked for. What hyper and reqwest log at `TRACE` is counted and
//! printed, since it is not ours to prevent. A panic's message is shown by the panic hook before anyone can catch it; it never
//! gets into an error.

pub(crate) mod canaries;
mod faulty;
mod files;
mod moods;
mod scenes;
mod sealing;
mod shown;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::panic;
use std::sync::{Arc, Mutex, Once};

use crate::child::alone;
use canaries::{ACCESS, ALL, CLIENT, Canary, ID_TOKEN, QUERY, REFRESH};
use reqwest_auth_refresh::AuthError;
pub(crate) use shown::Log;
use shown::Shown;

pub(crate) type Shared = Arc<Mutex<Shown>>;

/// The targets under which this crate logs.
const TARGETS: [&str; 3] = [
    "reqwest_auth_refresh::middleware::trip",
    "reqwest_auth_refresh::session::exchange",
    "reqwest_auth_refresh::store::keyring::keyring_or_file",
];

/// What is public and no type of ours with a `Debug`, or has no values.
const NEVER_SHOWN: [&str; 9] = [
    "AnyClient",
    "Clock",
    "ExposeSecret",
    "LockGuard",
    "OwnClient",
    "Refresher",
    "RequestBuilderExt",
    "SecretString",
    "TokenStore",
];

/// The names that the crate's front page exports.
fn exported() -> BTreeSet<&'static str> {
    let front_page = include_str!("../../src/lib.rs");
    let statements = front_page.split(';').filter_map(|statement| Some(statement.split_once("pub use ")?.1));
    let names = statements.flat_map(|path| {
        let names = path.rsplit_once("::").map_or(path, |(_, names)| names);
        names.trim_matches(['{', '}', '\n', ' ']).split(',').map(str::trim)
    });
    names.filter(|name| !name.is_empty()).collect()
}

thread_local!(static PANICS: RefCell<Option<String>> = const { RefCell::new(None) });

/// Panics of this thread are written down in place of being printed, from now on.
fn write_panics_down() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let ours = PANICS.with_borrow_mut(|panics| panics.as_mut().map(|panics| *panics += &panic.to_string()));
            if ours.is_none() {
                before(panic);
            }
        }));
    });
    PANICS.set(Some(String::new()));
}

#[tokio::test]
async fn no_canary_gets_out() {
    // What is logged depends on who else listens in this process, and the panic hook is everybody's.
    if !alone("redaction::no_canary_gets_out") {
        return;
    }
    write_panics_down();
    let log = Log::begin();
    let shown = Shared::default();
    let seen = scenes::all(&shown).await;
    let (ours, others, targets) = (log.ours(), log.others(), log.targets());
    drop(log);
    let panics = PANICS.take().unwrap();
    let shown = shown.lock().unwrap();

    assert_eq!(targets, BTreeSet::from(TARGETS), "list every target of ours, and play it");
    for target in targets {
        println!("log target: {target}");
    }
    assert_eq!(seen.kinds, [true; 7], "an error of every kind was shown");
    let events =
        ["CallbackFailed", "LoggedIn", "LoggedOut", "Missed", "NeedsLogin", "Now", "RefreshFailed", "Refreshed"];
    assert_eq!(
        seen.events,
        BTreeSet::from(events.map(str::to_owned)).into_iter().chain(["StoreFailed".to_owned()]).collect()
    );
    let is_type = |name: &&&str| name.starts_with(char::is_uppercase) && !NEVER_SHOWN.contains(name);
    let missing: Vec<_> =
        exported().into_iter().filter(|name| is_type(&name) && !shown.types.contains(*name)).collect();
    assert!(missing.is_empty(), "public types that were never shown: {missing:?}");
    assert!(exported().contains("AuthError") && exported().len() > 30, "{:?}", exported());

    let lines = ours.lines().count();
    let [debug, display, sources] = shown.counts();
    println!("figure: canary_texts_searched = {} texts", lines + debug + display + sources);
    assert!(lines > 500 && debug > 1000 && display > 100 && sources > 100, "{lines} {debug} {display} {sources}");

    // The secrets were there to be found: in what reqwest and hyper log of the bytes they move, and in what panics said.
    let elsewhere = canaries::search(&ALL, [others.as_str()]);
    println!("figure: canary_hits_in_other_crates_logs = {} hits", elsewhere.len());
    for canary in [ACCESS, REFRESH, CLIENT, QUERY] {
        assert!(elsewhere.iter().any(|hit| hit.name == canary.name), "{} is on the wire", canary.name);
    }
    println!("figure: canary_hits_in_panic_messages = {} hits", canaries::search(&ALL, [panics.as_str()]).len());
    assert!(!canaries::search(&[ACCESS], [panics.as_str()]).is_empty());
    // The address in an error of reqwest is the program's own, its query with it. Tokens are not in it.
    let handed_on = seen.handed_on.iter().map(String::as_str);
    println!("figure: canary_hits_in_errors_handed_on = {} hits", canaries::search(&[QUERY], handed_on.clone()).len());
    let tokens = canaries::search(&[ACCESS, REFRESH, CLIENT, ID_TOKEN], handed_on);
    assert!(tokens.is_empty(), "{tokens:#?}");

    let leaks: Vec<_> = shown.hits(&ours, &ALL).into_iter().flatten().collect();
    println!("figure: canary_leaks = {} hits", leaks.len());
    for hit in leaks.iter().take(20) {
        println!("leak of the {}: {}", hit.name, hit.around);
    }
    assert_eq!(leaks.len(), 0);
}

/// A type that shows what it should not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Leak(String);

#[derive(Debug, thiserror::Error)]
#[error("something failed")]
struct Caused(#[source] Leak);

struct Quiet(String);

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[test]
fn a_planted_leak_is_found_in_each_channel() {
    let plant = |canary: Canary, form: &str| -> [bool; 4] {
        let log = Log::begin();
        let mut shown = Shown::default();
        tracing::trace!(target: "reqwest_auth_refresh::planted", form, "a log line");
        let logged = shown.hits(&log.ours(), &[canary]);
        shown.debug(&Leak(form.to_owned()));
        let debugged = shown.hits("", &[canary]);
        let mut shown = Shown::default();
        shown.display(&Quiet(form.to_owned()));
        let displayed = shown.hits("", &[canary]);
        let mut shown = Shown::default();
        shown.error(&Caused(Leak(form.to_owned())));
        let caused = shown.hits("", &[canary]);
        [!logged[0].is_empty(), !debugged[1].is_empty(), !displayed[2].is_empty(), !caused[3].is_empty()]
    };
    let mut found = [true; 4];
    for canary in ALL {
        let secret = canary.secret(7);
        let percent = canaries::each(secret.as_bytes(), |byte| format!("%{byte:02X}"), "");
        let hex = canaries::each(secret.as_bytes(), |byte| format!("{byte:02x}"), "");
        for form in [secret.clone(), secret[..12].to_owned(), format!("{:?}", secret.as_bytes()), percent, hex] {
            let each = plant(canary, &form);
            found = [0, 1, 2, 3].map(|channel| found[channel] && each[channel]);
        }
    }
    println!("figure: planted_leaks_found = {} channels", found.iter().filter(|found| **found).count());
    assert_eq!(found, [true; 4]);
    assert!(AuthError::find(&Leak(String::new())).is_none());
}
