//! With good tokens a request pays a clone of itself, a header and a clock reading, and little beside.
//!
//! Counts instructions under callgrind, which does not depend on how busy the machine is, and fails when ours are more
//! than 1.20 times those of the barest middleware that could send a request again. Needs `valgrind` on the path:
//!
//! ```text
//! cargo bench --bench hot_path
//! ```
//!
//! Callgrind does not see what the kernel does, and under it the kernel reads the clock; the times of the bench `variants`
//! hold that too.
//!
//! Each variant is run twice, in processes of their own, the second time with twice as many requests: the difference is
//! what the requests cost, without start, end and first times. The canned answer is then taken off.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::process::Command;

use anyhow::{Context, bail, ensure};
use support::Variant;
use tracing::level_filters::LevelFilter;

/// How many requests the first run sends; the second one sends twice as many.
const REQUESTS: u32 = 2_000;

/// How much more than clone and header ours may cost.
const MOST: f64 = 1.20;

/// The same where the request names its session, among ten thousand.
const MOST_BY_SESSION: f64 = 1.45;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["send", variant, times] => send(variant, times),
        // Unoptimised instructions say nothing: `cargo test --benches` only sees that this builds.
        _ if cfg!(debug_assertions) => Ok(()),
        _ => compare(),
    }
}

/// One run, under callgrind.
fn send(variant: &str, times: &str) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).init();
    let variant = Variant::ALL.into_iter().find(|known| known.name() == variant).context("unknown variant")?;
    variant.client()?.send(times.parse()?)
}

fn compare() -> anyhow::Result<()> {
    let terminal = instructions(Variant::Unsigned)?;
    println!("{:>20} {terminal:>8.1} instructions a request", Variant::Unsigned.name());
    let net = |variant: Variant| -> anyhow::Result<f64> {
        let net = instructions(variant)? - terminal;
        println!("{:>20} {net:>8.1} net of that", variant.name());
        Ok(net)
    };
    let clone_and_header = net(Variant::CloneAndHeader)?;
    let by_hand = net(Variant::CloneAndFormat)? / clone_and_header;
    let ours = net(Variant::Ours)? / clone_and_header;
    println!("figure: hot_path_by_hand_vs_clone_and_header = {by_hand:.3} ratio");
    println!("figure: hot_path_vs_clone_and_header = {ours:.3} ratio");
    let by_session = net(Variant::BySession)? / clone_and_header;
    println!("figure: hot_path_by_session_vs_clone_and_header = {by_session:.3} ratio");
    ensure!(by_session <= MOST_BY_SESSION, "by session it costs {by_session:.3} times, more than {MOST_BY_SESSION:.2}");
    ensure!(by_hand > MOST, "what is written by hand costs {by_hand:.3} times as much: this does not measure");
    ensure!(ours <= MOST, "ours costs {ours:.3} times clone and header, more than {MOST:.2}");
    Ok(())
}

/// What one request costs.
fn instructions(variant: Variant) -> anyhow::Result<f64> {
    let once = collected(variant, REQUESTS)?;
    let twice = collected(variant, 2 * REQUESTS)?;
    Ok((twice - once) / f64::from(REQUESTS))
}

/// What callgrind counts in one run. Its profile is left in the target directory, for `callgrind_annotate`.
fn collected(variant: Variant, times: u32) -> anyhow::Result<f64> {
    let profile = format!("{}/callgrind.{}.{times}", env!("CARGO_TARGET_TMPDIR"), variant.name());
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={profile}")])
        .arg(std::env::current_exe()?)
        .args(["send", variant.name(), &times.to_string()])
        .output()
        .context("valgrind did not start; is it installed?")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("valgrind failed:\n{said}");
    }
    let count = said.lines().find_map(|line| line.split_once("Collected :")).context("callgrind counted nothing")?;
    Ok(count.1.trim().parse()?)
}
