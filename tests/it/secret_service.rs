//! A real keyring, on its good days and its bad ones: a Secret Service (gnome-keyring) in a D-Bus session of its own, and
//! programs beside it that are other processes.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_auth_refresh::keyring_core::CredentialStore;
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, KeyringStore, Origins, RefreshError, RefreshRequest, Session, SessionId, TokenStore, Tokens,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret;

use crate::scratch::Scratch;
use crate::support::{PATIENCE, until_blocking};
use crate::virtual_world::{API, response};

/// What a Secret Service is called on a bus.
const SECRETS: &str = "org.freedesktop.secrets";

const SERVICE: &str = "reqwest-auth-refresh-test";

/// Where a program keeps its tokens. Without it there is no program.
const FOLDER: &str = "KEYRING_CHILD_FOLDER";

/// How long a program waits for the keyring, in milliseconds, if it is not to wait as long as others.
const HASTE: &str = "KEYRING_CHILD_BOUND";

/// How long those wait who will wait in vain.
const BOUND: Duration = Duration::from_secs(2);

// The program.

/// An API that says which token it was sent.
struct Api;

#[async_trait]
impl Middleware for Api {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        let signed = request.headers().contains_key("authorization");
        Ok(response(&request, if signed { StatusCode::OK } else { StatusCode::FORBIDDEN }))
    }
}

struct Program {
    store: KeyringStore,
    session: Session,
    client: ClientWithMiddleware,
}

impl Program {
    fn new(folder: PathBuf) -> Self {
        let haste = std::env::var(HASTE).ok().and_then(|millis| millis.parse().ok()).map(Duration::from_millis);
        let bound = haste.unwrap_or(Duration::from_secs(10));
        let store = KeyringStore::new(folder, SERVICE).bound(bound).unlock_bound(bound);
        let refresher = |_: RefreshRequest| async { Tokens::new("refreshed").map_err(RefreshError::unavailable) };
        let session = Session::builder(refresher).store(store.clone()).build();
        let auth = AuthRefresh::new(&session, Origins::new(API).unwrap());
        let client = ClientBuilder::new(reqwest::Client::new()).with(auth).with(Api).build();
        Self { store, session, client }
    }

    async fn does(&self, what: &str) -> String {
        let told = |error: &AuthError| {
            eprintln!("{what}: {error:?}");
            format!("store error: {}", error.is_store())
        };
        match what.split_once(' ').unwrap_or((what, "")) {
            ("load", _) => match self.store.load(&SessionId::default()).await {
                Ok(None) => "absent".to_owned(),
                Ok(Some(_)) => "there".to_owned(),
                Err(error) if error.is_unavailable() => "unavailable".to_owned(),
                Err(error) => format!("{error:?}"),
            },
            ("unlock", _) => self.store.unlock().await.map_or("unavailable", |()| "ok").to_owned(),
            ("renew", _) => self.store.renew_key().await.map_or("unavailable", |()| "ok").to_owned(),
            ("login", token) => self
                .session
                .login(Tokens::new(token).unwrap())
                .await
                .map_or_else(|error| told(&error), |()| "ok".into()),
            ("refresh", _) => self.session.refresh().await.map_or_else(|error| told(&error), |()| "ok".into()),
            ("token", _) => match self.session.access_token().await {
                Ok(token) => token.expose_secret().to_owned(),
                Err(error) => told(&error),
            },
            ("request", _) => self.client.get(API).send().await.unwrap().status().as_u16().to_string(),
            ("why", _) => {
                let error = self.store.load(&SessionId::default()).await.unwrap_err();
                std::error::Error::source(&error).unwrap().to_string()
            }
            ("keys", _) => keys(),
            _ => unreachable!("{what}"),
        }
    }
}

/// How many keys the keyring holds for us, and their hash.
fn keys() -> String {
    let keyring: Arc<CredentialStore> = zbus_secret_service_keyring_store::Store::new().unwrap();
    let entries = keyring.search(&HashMap::from([("service", SERVICE)])).unwrap();
    let mut secrets: Vec<_> = entries.iter().map(|entry| entry.get_secret().unwrap()).collect();
    assert!(secrets.iter().all(|secret| secret.len() == 32));
    secrets.sort();
    let mut hasher = DefaultHasher::new();
    secrets.hash(&mut hasher);
    format!("{} {:016x}", secrets.len(), hasher.finish())
}

#[test]
#[ignore = "torture: the child that other tests start; by itself it does nothing"]
fn program() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let program = Program::new(folder.into());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for line in std::io::stdin().lines() {
        let began = Instant::now();
        let said = runtime.block_on(program.does(&line.unwrap()));
        println!("\n> {} {said}", began.elapsed().as_millis());
    }
}

// The world around it.

/// A D-Bus session, and folders that stand for a person's home.
struct Bus {
    scratch: Scratch,
    daemon: Child,
    address: String,
    keyring: Option<Pid>,
}

impl Bus {
    /// A session whose D-Bus would start a keyring daemon for an empty home, which nobody unlocks.
    fn new() -> Self {
        let scratch = Scratch::new();
        for name in ["home", "empty", "run", "run-empty"] {
            std::fs::create_dir(scratch.join(name)).unwrap();
        }
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        bus.env("HOME", scratch.join("empty")).env("XDG_RUNTIME_DIR", scratch.join("run-empty"));
        bus.env_remove("XDG_DATA_HOME").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        let mut daemon = bus.spawn().expect("dbus-daemon");
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { scratch, daemon, address: address.trim_end().to_owned(), keyring: None }
    }

    fn with_keyring() -> Self {
        let mut bus = Self::new();
        bus.unlock();
        bus
    }

    fn at_home(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.scratch.join("home")).env("XDG_RUNTIME_DIR", self.scratch.join("run"));
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command.env_remove("XDG_DATA_HOME").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command
    }

    /// Starts the person's own keyring daemon, with their password, in place of any other.
    fn unlock(&mut self) {
        let before = self.owner();
        let mut command = self.at_home("gnome-keyring-daemon");
        command.args(["--replace", "--unlock", "--components=secrets"]);
        let mut daemon =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("gnome-keyring");
        daemon.stdin.take().unwrap().write_all(b"password").unwrap();
        assert!(daemon.wait().unwrap().success());
        self.keyring = Some(self.owner_other_than(before));
        let began = Instant::now();
        while !self.is_unlocked() {
            assert!(began.elapsed() < PATIENCE, "the keyring stays locked");
        }
    }

    /// The process that has become the Secret Service in place of this one.
    fn owner_other_than(&self, before: Option<Pid>) -> Pid {
        let began = Instant::now();
        loop {
            let now = self.owner();
            if let Some(now) = now.filter(|_| now != before) {
                return now;
            }
            assert!(began.elapsed() < PATIENCE, "no other Secret Service comes up");
        }
    }

    /// The process that is the Secret Service now.
    fn owner(&self) -> Option<Pid> {
        let method = "org.freedesktop.DBus.GetConnectionUnixProcessID";
        let said = self.asks("org.freedesktop.DBus", "/org/freedesktop/DBus", method, &[SECRETS]);
        Pid::from_raw(said.split_whitespace().last()?.parse().ok()?)
    }

    /// Whether the person's keyring is open. A daemon is the Secret Service a moment before that.
    fn is_unlocked(&self) -> bool {
        let (path, method) = ("/org/freedesktop/secrets/aliases/default", "org.freedesktop.DBus.Properties.Get");
        let said = self.asks(SECRETS, path, method, &["org.freedesktop.Secret.Collection", "Locked"]);
        said.split_whitespace().last() == Some("false")
    }

    fn asks(&self, whom: &str, path: &str, method: &str, what: &[&str]) -> String {
        let mut ask = self.at_home("dbus-send");
        ask.args(["--session", "--print-reply=literal", &format!("--dest={whom}"), path, method]);
        ask.args(what.iter().map(|text| format!("string:{text}"))).stderr(Stdio::null());
        String::from_utf8(ask.output().expect("dbus-send").stdout).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.keyring.expect("a keyring of our own"), signal).unwrap();
    }

    /// Ends the keyring daemon, and waits until it has gone.
    fn kill_keyring(&mut self) {
        self.signal(Signal::KILL);
        let gone = self.keyring.take();
        until_blocking(PATIENCE, "the end of the keyring", || (self.owner() != gone).then_some(()));
    }

    /// A program in this session.
    fn program(&self) -> Running {
        Running::start(self.at_home(std::env::current_exe().unwrap()), self.tokens())
    }

    /// A program in this session that does not wait for long.
    fn hasty_program(&self) -> Running {
        let mut command = self.at_home(std::env::current_exe().unwrap());
        command.env(HASTE, BOUND.as_millis().to_string());
        Running::start(command, self.tokens())
    }

    fn tokens(&self) -> PathBuf {
        self.scratch.join("tokens")
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(keyring) = self.keyring.take().or_else(|| self.owner()) {
            let _gone_already = kill_process(keyring, Signal::KILL);
        }
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

/// A program that runs, and comes to its end when this is dropped.
struct Running {
    child: Child,
    ask: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl Running {
    fn start(mut program: Command, tokens: PathBuf) -> Self {
        program.args(["--exact", "secret_service::program", "--ignored", "--nocapture"]).env(FOLDER, tokens);
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (ask, said) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, ask: Some(ask), said }
    }

    fn begin(&mut self, what: &str) {
        writeln!(self.ask.as_ref().unwrap(), "{what}").unwrap();
    }

    /// What the program said at last, and how long that took it.
    fn end(&mut self) -> (String, Duration) {
        loop {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "the program has ended");
            if let Some((millis, said)) = line.strip_prefix("> ").and_then(|line| line.split_once(' ')) {
                return (said.trim_end().to_owned(), Duration::from_millis(millis.parse().unwrap()));
            }
        }
    }

    fn says(&mut self, what: &str) -> String {
        self.begin(what);
        self.end().0
    }

    /// Lets the program come to its end; how long that took.
    fn exits(mut self) -> Duration {
        self.end_it()
    }

    fn end_it(&mut self) -> Duration {
        let began = Instant::now();
        drop(self.ask.take());
        let _rest = std::io::copy(&mut self.said, &mut std::io::sink());
        self.child.wait().unwrap();
        began.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // It may be waiting for what this test will not do any more.
            let _ended = self.child.kill();
        }
        self.end_it();
    }
}

// The laws.

#[test]
#[ignore = "needs a Secret Service"]
fn the_next_run_of_a_program_is_still_logged_in() {
    let bus = Bus::with_keyring();
    let mut first = bus.program();
    assert_eq!(first.says("load"), "absent");
    assert_eq!(first.says("login first"), "ok");
    assert_eq!(first.says("request"), "200");
    first.exits();
    let mut next = bus.program();
    assert_eq!(next.says("token"), "first");
    assert_eq!(next.says("refresh"), "ok");
    next.exits();
    let mut last = bus.program();
    assert_eq!(last.says("token"), "refreshed");
    assert!(last.says("keys").starts_with("1 "));
}

#[test]
#[ignore = "needs a Secret Service"]
fn a_locked_keyring_that_says_no_entry_is_no_logout() {
    let mut bus = Bus::with_keyring();
    let mut program = bus.program();
    assert_eq!(program.says("login first"), "ok");
    let keys = program.says("keys");
    program.exits();

    // A daemon that knows nothing of the person's keyring says that there is no entry.
    bus.kill_keyring();
    let mut program = bus.program();
    assert_eq!(program.says("load"), "unavailable");
    let why = program.says("why");
    assert!(why.starts_with("the keyring has no such entry"), "{why}");
    assert_eq!(program.says("token"), "store error: true");
    assert_eq!(program.says("unlock"), "unavailable");
    assert_eq!(program.says("login second"), "store error: true", "kept in memory, and no other key is made");

    // One that has the keyring, locked, asks for a password that nobody can type.
    let before = bus.owner();
    let mut locked = bus.at_home("gnome-keyring-daemon");
    locked.args(["--replace", "--components=secrets"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(locked.status().unwrap().success());
    bus.keyring = Some(bus.owner_other_than(before));
    let mut other = bus.program();
    assert_eq!(other.says("load"), "unavailable");
    let why = other.says("why");
    assert!(why.starts_with("the keyring gives no access"), "{why}");
    other.exits();

    bus.unlock();
    let mut after = bus.program();
    assert_eq!(after.says("token"), "first", "still logged in");
    assert_eq!(after.says("keys"), keys, "with the same key");
    program.exits();
}

#[test]
#[ignore = "needs a Secret Service"]
fn first_starts_at_once_make_one_key() {
    let rounds = 5;
    let mut too_many = 0;
    for _ in 0..rounds {
        let bus = Bus::with_keyring();
        let mut programs: Vec<_> = (0..2).map(|_| bus.program()).collect();
        for program in &mut programs {
            assert_eq!(program.says("load"), "absent", "up and running");
        }
        for program in &mut programs {
            program.begin("unlock");
        }
        for program in &mut programs {
            assert_eq!(program.end().0, "ok");
        }
        let keys = programs[0].says("keys");
        too_many += keys.split(' ').next().unwrap().parse::<usize>().unwrap() - 1;
        assert_eq!(programs[0].says("login first"), "ok");
        assert_eq!(programs[1].says("token"), "first");
    }
    println!("figure: secret_service_first_starts_keys_too_many = {too_many} of {rounds}");
    assert_eq!(too_many, 0);
}

#[test]
#[ignore = "needs a Secret Service"]
fn without_a_bus_a_program_works_and_logs_nobody_out() {
    let bus = Bus::with_keyring();
    assert_eq!(bus.program().says("login first"), "ok");
    for address in ["unix:path=/nonexistent/bus", "nonsense"] {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.env("DBUS_SESSION_BUS_ADDRESS", address);
        let mut program = Running::start(program, bus.tokens());
        for what in ["load", "unlock", "renew"] {
            program.begin(what);
            let (said, took) = program.end();
            assert_eq!(said, "unavailable", "{what}");
            assert!(took < BOUND, "{what} took {took:?}");
        }
        assert_eq!(program.says("login second"), "store error: true");
        assert_eq!(program.says("request"), "200", "with what is in memory");
        assert!(program.exits() < Duration::from_secs(1));
    }
    assert_eq!(bus.program().says("token"), "first");
}

#[test]
#[ignore = "needs a Secret Service"]
fn a_keyring_that_hangs_holds_up_nobody_beyond_the_bound() {
    let bus = Bus::with_keyring();
    let mut running = bus.program();
    assert_eq!(running.says("login first"), "ok");
    let mut new = bus.hasty_program();
    assert_eq!(new.says("keys").split(' ').next(), Some("1"));
    let mut naive = bus.program();
    assert_eq!(naive.says("keys"), new.says("keys"));
    bus.signal(Signal::STOP);

    naive.begin("keys");
    let mut longest = Duration::ZERO;
    for _ in 0..2 {
        new.begin("load");
        // Those who have what they need go on meanwhile.
        for (what, said) in [("request", "200"), ("refresh", "ok"), ("token", "refreshed")] {
            running.begin(what);
            let (heard, took) = running.end();
            assert_eq!(heard, said, "{what}");
            assert!(took < BOUND, "{what} took {took:?}");
        }
        let (said, took) = new.end();
        assert_eq!(said, "unavailable");
        longest = longest.max(took);
    }
    assert_eq!(new.says("login second"), "store error: true");
    assert_eq!(new.says("request"), "200");
    let exit = new.exits();
    println!(
        "figure: secret_service_stopped_longest_call = {} ms over a bound of {}",
        longest.as_millis(),
        BOUND.as_millis()
    );
    println!("figure: secret_service_stopped_exit = {} ms", exit.as_millis());
    assert!(longest < BOUND + Duration::from_millis(500), "{longest:?}");
    assert!(exit < Duration::from_secs(1), "{exit:?}");

    let mut waiting = bus.hasty_program();
    assert_eq!(waiting.says("load"), "unavailable");
    bus.signal(Signal::CONT);
    assert_eq!(waiting.says("load"), "there", "it heals by itself");
    assert_eq!(waiting.says("token"), "refreshed");
    let (_, took) = naive.end();
    println!("figure: secret_service_stopped_naive_call = {} ms", took.as_millis());
    assert!(took > 2 * BOUND, "the harness catches who asks without a bound: {took:?}");
}

#[test]
#[ignore = "needs a Secret Service"]
fn after_a_restart_of_the_keyring_the_next_call_works() {
    let mut bus = Bus::with_keyring();
    let mut program = bus.program();
    assert_eq!(program.says("login first"), "ok");
    for _ in 0..2 {
        bus.unlock();
        assert_eq!(program.says("renew"), "ok", "a call that needs the keyring");
    }
    // Killed while it hangs: the call that hangs ends, and the next one finds the new daemon.
    let mut other = bus.hasty_program();
    bus.signal(Signal::STOP);
    assert_eq!(other.says("load"), "unavailable");
    bus.kill_keyring();
    bus.unlock();
    assert_eq!(other.says("load"), "there");
    assert_eq!(other.says("token"), "first");
}
