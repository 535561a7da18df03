//! What a request costs in each of the ways to sign it, in nanoseconds, without network.
//!
//! For reading only: time depends on the machine and on what else it does, so nothing is asserted. The variants take
//! turns, each round beginning with another one, and medians are shown.
//!
//! ```text
//! cargo bench --bench variants
//! ```

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::time::{Duration, Instant};

use support::Variant;
use tracing::level_filters::LevelFilter;

/// How many rounds there are; the first ones warm up and do not count.
const ROUNDS: usize = 220;
const WARM_UP: usize = 20;

/// How many requests each variant sends in a round.
const REQUESTS: u32 = 1_000;

const VARIANTS: usize = Variant::ALL.len();

fn main() -> anyhow::Result<()> {
    // Unoptimised time says nothing: `cargo test --benches` only sees that this builds.
    if cfg!(debug_assertions) {
        return Ok(());
    }
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).init();
    let rounds = rounds()?;
    let place = |variant| Variant::ALL.iter().position(|known| *known == variant).unwrap_or_default();
    let (unsigned, yardstick) = (place(Variant::Unsigned), place(Variant::CloneAndHeader));
    let net = |round: &[f64; VARIANTS], place: usize| round[place] - round[unsigned];
    println!("{:>20} {:>8} {:>8} {:>8}", "one request", "ns", "net ns", "ratio");
    for (place, variant) in Variant::ALL.into_iter().enumerate() {
        let whole = median(rounds.iter().map(|round| round[place]));
        let own = median(rounds.iter().map(|round| net(round, place)));
        let ratio = median(rounds.iter().map(|round| net(round, place) / net(round, yardstick)));
        println!("{:>20} {whole:>8.0} {own:>8.0} {ratio:>8.2}", variant.name());
    }
    println!("net of what is unsigned; ratio to {}", Variant::CloneAndHeader.name());
    Ok(())
}

/// The nanoseconds that one request took, by round and variant.
fn rounds() -> anyhow::Result<Vec<[f64; VARIANTS]>> {
    let clients = Variant::ALL.into_iter().map(Variant::client).collect::<anyhow::Result<Vec<_>>>()?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for turn in 0..ROUNDS {
        let mut round = [0.0; VARIANTS];
        for place in (0..VARIANTS).map(|step| (turn + step) % VARIANTS) {
            let start = Instant::now();
            clients[place].send(REQUESTS)?;
            round[place] = nanoseconds(start.elapsed());
        }
        rounds.push(round);
    }
    Ok(rounds.split_off(WARM_UP))
}

/// The share of one request.
fn nanoseconds(spent: Duration) -> f64 {
    spent.as_secs_f64() * 1e9 / f64::from(REQUESTS)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
