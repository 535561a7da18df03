//! Sixteen processes share one login, whose tokens live for 200 ms, at an issuer that ends it when a refresh token comes twice.

mod program;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use reqwest_auth_refresh::{FileStore, RefreshGrant, Session, State, Tokens};
use tokio::time::sleep;

use crate::child::Process;
use crate::scratch::Scratch;
use crate::support::{Api, Grants, Issuer, PATIENCE, Redemption, Refused, until};
use crate::torture::{Chance, rounds};

const PROCESSES: usize = 16;
const LIFE: Duration = Duration::from_millis(200);

/// What the processes said.
#[derive(Debug, Default)]
struct Said {
    /// Login and generation of tokens that are in the store.
    saved: HashSet<(u128, u64)>,
    logouts: usize,
    early: usize,
    /// Requests that were refused twice, as when a process stood still for longer than a token lives.
    refused: usize,
    failed: Vec<String>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "saved" => {
                let (login, generation) = rest.split_once(' ').unwrap();
                self.saved.insert((login.parse().unwrap(), generation.parse().unwrap()));
            }
            "logout" => self.logouts += 1,
            "early" => self.early += 1,
            "refused" => self.refused += 1,
            "failed" => self.failed.push(rest.to_owned()),
            // What the test harness says of itself.
            _ => {}
        }
    }
}

/// The servers, the folder, and the processes.
struct Field {
    issuer: Issuer,
    api: Api,
    folder: Scratch,
    locks: bool,
    /// A session of the program that logs in.
    login: Session,
    /// The login of each grant.
    logins: Vec<u128>,
    said: Arc<Mutex<Said>>,
    running: Vec<(String, Process)>,
    listeners: Vec<JoinHandle<()>>,
    begun: usize,
    /// Whom, and between which moments.
    killed: Vec<(String, [SystemTime; 2])>,
}

impl Field {
    async fn set(locks: bool) -> Self {
        let issuer = Issuer::start_over(Grants::new(LIFE), SystemTime::now).await.unwrap();
        let api = Api::start(&issuer).await.unwrap();
        let folder = Scratch::new();
        let grant = RefreshGrant::new(issuer.token_url(), "login").unwrap();
        let login = Session::builder(grant)
            .registration(program::REGISTRATION)
            .store(FileStore::new(folder.join("tokens")))
            .build();
        let mut field = Self {
            issuer,
            api,
            folder,
            locks,
            login,
            logins: Vec::new(),
            said: Arc::default(),
            running: Vec::new(),
            listeners: Vec::new(),
            begun: 0,
            killed: Vec::new(),
        };
        field.log_in().await;
        for _ in 0..PROCESSES {
            field.start();
        }
        field
    }

    async fn log_in(&mut self) {
        let tokens = Tokens::from_json(self.issuer.login("alice").to_string()).unwrap();
        self.login.login(tokens.with_expires_in(LIFE)).await.unwrap();
        let State::LoggedIn { version, saved: true, .. } = self.login.state() else { panic!("not stored") };
        self.logins.push(version.login.to_bits());
    }

    fn start(&mut self) {
        self.begun += 1;
        let name = format!("process-{}", self.begun);
        let variables = [
            (program::FOLDER, self.folder.join("tokens").into_os_string()),
            (program::NAME, name.clone().into()),
            (program::TOKEN_URL, self.issuer.token_url().into()),
            (program::API_URL, self.api.url().into()),
            (program::LOCKS, if self.locks { "yes" } else { "no" }.into()),
        ];
        let mut process = Process::start("process_race::program::child", variables);
        let said = Arc::clone(&self.said);
        self.listeners.push(process.listen(move |line| said.lock().unwrap().hear(line)));
        self.running.push((name, process));
    }

    /// `kill -9`, and another in its place.
    fn kill(&mut self, nth: usize) {
        let (name, process) = self.running.swap_remove(nth);
        // What a process held is free before it is known to be dead.
        let began = SystemTime::now();
        process.kill();
        self.killed.push((name, [began, SystemTime::now()]));
        self.start();
    }

    /// Kills the process that spends a refresh token next, after it was spent and before the answer is heard.
    async fn kill_between_answer_and_save(&mut self) {
        self.issuer.at_answer().close();
        self.issuer.at_answer().arrived(1).await;
        let spends = self.issuer.redemptions().pop().unwrap();
        if let Some(nth) = self.running.iter().position(|(name, _)| Some(name) == spends.client.as_ref()) {
            self.kill(nth);
        }
        self.issuer.at_answer().open();
    }

    /// Logs in again if the issuer has ended the login.
    async fn log_in_again(&mut self) {
        if self.issuer.counts().live_grants == 0 {
            self.log_in().await;
        }
    }

    /// The end of all processes, and what they said up to then.
    fn end(&mut self) -> Said {
        // All inputs are closed first, or the last would go on for as long as the others take.
        let ending: Vec<_> =
            self.running.drain(..).map(|(_, process)| std::thread::spawn(move || process.finish())).collect();
        ending.into_iter().chain(self.listeners.drain(..)).for_each(|thread| thread.join().unwrap());
        std::mem::take(&mut *self.said.lock().unwrap())
    }

    /// How often a refresh token came twice, and how many of these times no kill explains: the tokens that it had yielded
    /// were nowhere saved, and the process that they were meant for was killed in between.
    fn unexplained(&self, said: &Said) -> (usize, usize) {
        let all = self.issuer.redemptions();
        let reused: Vec<_> = all.iter().filter(|one| one.refused == Some(Refused::Reused)).collect();
        let explained = |reuse: &Redemption| {
            let spent = all.iter().find(|one| one.refused.is_none() && one.refresh_token == reuse.refresh_token);
            spent.is_some_and(|spent| {
                let (grant, generation) = numbers(&spent.refresh_token);
                let mut kills = self.killed.iter().filter(|(name, _)| Some(name) == spent.client.as_ref());
                let killed = kills.any(|(_, [began, dead])| spent.at <= *dead && *began <= reuse.at);
                // The issuer counts from 1 and the session from 0, and the tokens in question are those that came of it.
                let saved = said.saved.contains(&(self.logins[grant - 1], generation));
                if !killed || saved {
                    println!("unexplained: {reuse:?} after {spent:?}; killed: {killed}, saved: {saved}");
                }
                killed && !saved
            })
        };
        (reused.len(), reused.iter().filter(|reuse| !explained(reuse)).count())
    }
}

/// The numbers of grant and generation in a refresh token of the test issuer.
fn numbers(refresh_token: &str) -> (usize, u64) {
    let mut parts = refresh_token.split('-').skip(1);
    let mut next = || parts.next().unwrap();
    (next().parse().unwrap(), next().parse().unwrap())
}

/// How old, to the issuer's mind, the youngest tokens were that were refreshed.
fn youngest(redemptions: &[Redemption]) -> Duration {
    let accepted: Vec<_> = redemptions.iter().filter(|one| one.refused.is_none()).collect();
    let ages =
        accepted.windows(2).filter(|pair| numbers(&pair[0].refresh_token).0 == numbers(&pair[1].refresh_token).0);
    ages.filter_map(|pair| pair[1].at.duration_since(pair[0].at).ok()).min().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "torture: 16 processes on one login for a minute, and without the lock for a few seconds"]
async fn sixteen_processes_refresh_once_between_them() {
    let mut field = Field::set(true).await;
    sleep(Duration::from_secs(rounds(60) as u64)).await;
    until("enough refreshes", || field.issuer.counts().accepted >= rounds(100)).await;
    let said = field.end();
    let (counts, (reused, _)) = (field.issuer.counts(), field.unexplained(&said));
    println!("figure: process_race_expiries = {} expiries", counts.accepted);
    println!("figure: process_race_reuse_events = {reused} events");
    println!("figure: process_race_logouts = {} logouts", said.logouts);
    println!("figure: process_race_early_refreshes = {} refreshes", said.early);
    println!("figure: process_race_requests = {} requests", field.api.counts().all.ok);
    println!(
        "the youngest that were refreshed were {:?} old; refused twice: {}",
        youngest(&field.issuer.redemptions()),
        said.refused
    );
    assert!(said.failed.is_empty(), "{:?}", said.failed);
    assert_eq!((reused, counts.reuse, said.logouts, said.early, counts.live_grants), (0, 0, 0, 0, 1));
    assert_eq!(counts.rejected, 0);

    let mut unlocked = Field::set(false).await;
    let began = Instant::now();
    while unlocked.issuer.counts().reuse == 0 && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50)).await;
    }
    let said = unlocked.end();
    let (reused, unexplained) = unlocked.unexplained(&said);
    println!("figure: process_race_unlocked_reuse_events = {reused} events");
    assert!(reused > 0 && unexplained > 0, "the harness catches it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "torture: 16 processes on one login, one of which is killed every second for a minute"]
async fn whoever_is_killed_takes_nobody_with_it_but_between_answer_and_save() {
    let mut field = Field::set(true).await;
    let mut chance = Chance::new(4);
    let (mut aimed, seconds) = (0, rounds(60).max(6));
    for second in 1..=seconds {
        for _ in 0..20 {
            sleep(Duration::from_millis(50)).await;
            field.log_in_again().await;
        }
        if second % 6 == 0 {
            field.kill_between_answer_and_save().await;
            aimed += 1;
        } else {
            let nth = chance.below(PROCESSES as u64);
            field.kill(usize::try_from(nth).unwrap());
        }
    }
    // Time for the last kill to show.
    sleep(Duration::from_secs(2)).await;
    field.log_in_again().await;
    let said = field.end();
    let (reused, unexplained) = field.unexplained(&said);
    println!("figure: process_kill_kills = {} kills", field.killed.len());
    println!("figure: process_kill_expiries = {} expiries", field.issuer.counts().accepted);
    println!("figure: process_kill_reuse_events = {reused} events");
    println!("figure: process_kill_unexplained = {unexplained} events");
    assert_eq!((unexplained, said.early), (0, 0));
    assert!(reused >= aimed, "each of {aimed} kills that were aimed costs the login: {reused}");
    assert!(said.failed.is_empty(), "{:?}", said.failed);
    assert_eq!(field.issuer.counts().live_grants, 1);
}
