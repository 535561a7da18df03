//! The story: a person at a terminal, and two programs at once at the worst moments.

use std::process::ExitCode;
use std::time::Duration;

use crate::Result;
use crate::program::Terminal;
use crate::support::{Api, Fault, Issuer};

/// What must be so, and was not.
struct Ledger {
    wrong: usize,
}

impl Ledger {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, seen: &T, expected: &T) {
        let is_right = seen == expected;
        println!("  {} {what}: {seen:?}", if is_right { "✓" } else { "✗" });
        if !is_right {
            println!("    expected {expected:?}");
            self.wrong += 1;
        }
    }
}

pub(crate) async fn play() -> Result<ExitCode> {
    let issuer = Issuer::start().await?;
    let api = Api::start(&issuer).await?;
    let folder = std::env::temp_dir().join(format!("cli-login-{}", std::process::id()));
    let base = issuer.token_url().trim_end_matches("/token").to_owned();
    let terminal = Terminal { issuer: base, api: api.url().to_owned(), folder: &folder };
    let mut ledger = Ledger { wrong: 0 };

    println!("Nobody is logged in yet");
    ledger.same("said", &terminal.run("status")?, &Some("nobody has logged in yet".to_owned()));
    ledger.same("whoami fails", &terminal.run("whoami")?, &None);

    println!("\nSomebody logs in, and enters the code in a browser");
    issuer.set_access_life(Duration::from_secs(3));
    log_in(&terminal, &issuer, &mut ledger)?;
    ledger.same("said", &terminal.run("whoami")?, &Some("you are alice".to_owned()));
    let _said = terminal.run("status")?;

    println!("\nThe access token expires, and two programs are started at this moment");
    tokio::time::sleep(Duration::from_secs(3)).await;
    issuer.at_answer().close();
    let mut both = [terminal.start("whoami")?, terminal.start("whoami")?];
    for program in &mut both {
        ledger.same("it is", &program.line()?, &"asking".to_owned());
    }
    issuer.at_answer().arrived(1).await;
    issuer.at_answer().open();
    for program in both {
        ledger.same("said", &program.finish()?, &Some("you are alice".to_owned()));
    }
    ledger.same("calls to the issuer", &issuer.counts().token_calls, &1);

    println!("\nIt expires again, and the program that refreshes is killed while the issuer is silent");
    tokio::time::sleep(Duration::from_secs(3)).await;
    issuer.next_calls(1, &Fault::Never);
    issuer.at_arrival().close();
    let first = terminal.start("whoami")?;
    issuer.at_arrival().arrived(1).await;
    let mut second = terminal.start("whoami")?;
    ledger.same("it is", &second.line()?, &"asking".to_owned());
    issuer.at_arrival().open();
    first.kill()?;
    ledger.same("said", &second.finish()?, &Some("you are alice".to_owned()));
    ledger.same("calls to the issuer", &issuer.counts().token_calls, &3);

    println!("\nThe login is revoked; everyone is told at once, until somebody logs in");
    issuer.revoke_grants("alice");
    ledger.same("whoami fails", &terminal.run("whoami")?, &None);
    let calls = issuer.counts().token_calls;
    ledger.same("whoami fails", &terminal.run("whoami")?, &None);
    ledger.same("and asks nobody", &issuer.counts().token_calls, &calls);
    log_in(&terminal, &issuer, &mut ledger)?;
    ledger.same("said", &terminal.run("whoami")?, &Some("you are alice".to_owned()));
    ledger.same("said", &terminal.run("logout")?, &Some("logged out".to_owned()));
    ledger.same("whoami fails", &terminal.run("whoami")?, &None);

    let counts = issuer.counts();
    println!("\nWhat the issuer counted");
    ledger.same("logins", &counts.logins, &2);
    ledger.same("refreshes", &counts.accepted, &2);
    ledger.same("refresh tokens that came twice", &counts.reuse, &0);
    ledger.same("requests that the API answered", &api.counts().all.ok, &5);
    std::fs::remove_dir_all(&folder)?;

    let closing = if ledger.wrong == 0 { "as many as you like, one login" } else { "the sides do not agree" };
    println!("\ncli_login: {closing}");
    Ok(if ledger.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `login`, and the person who enters the code that it shows.
fn log_in(terminal: &Terminal<'_>, issuer: &Issuer, ledger: &mut Ledger) -> Result<()> {
    let mut program = terminal.start("login")?;
    let shown = program.line()?;
    let code = shown.rsplit(' ').next().unwrap_or_default();
    ledger.same("the code is known", &issuer.approve(code, "alice"), &true);
    ledger.same("said", &program.finish()?, &Some("logged in".to_owned()));
    Ok(())
}
