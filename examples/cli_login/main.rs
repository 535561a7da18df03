//! A command-line program whose login survives its end, and which may run as often at once as you like.
//!
//! `login` by the device flow, `whoami`, `status`, `logout`; the login is kept by a [`FileStore`], and the `oauth2` crate
//! does the login itself. Run without a command, it plays a story: it starts an issuer and an API on loopback and runs
//! itself, as a person at a terminal would. The issuer is strict: a refresh token works once, and its second use ends the
//! login.
//!
//! ```text
//! cargo run --example cli_login
//! ```
//!
//! [`FileStore`]: reqwest_auth_refresh::FileStore

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

mod app;
mod http;
mod play;
mod program;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    match std::env::args().nth(1) {
        None => runtime.block_on(play::play()),
        Some(command) => {
            runtime.block_on(app::run(&command))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
