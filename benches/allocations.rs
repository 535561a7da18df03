//! With good tokens a request makes no allocation beyond those of a clone of itself and of a header, and the one box that
//! any middleware is.
//!
//! Counts exactly, so that it needs no optimised build:
//!
//! ```text
//! cargo test --bench allocations
//! ```

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use async_trait::async_trait;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};
use support::Variant;
use tracing::level_filters::LevelFilter;

/// How many requests are counted.
const REQUESTS: u32 = 1_000;

/// The largest block that glibc hands out and takes back through its cache of each thread; beyond it a box costs several
/// times as much.
const MOST_BYTES: usize = 1_032;

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).init();
    let extra = beyond(Variant::Ours)?;
    println!("figure: hot_path_extra_allocations = {extra} allocations");
    let by_hand = beyond(Variant::CloneAndFormat)?;
    println!("figure: hot_path_extra_allocations_by_hand = {by_hand} allocations");

    let named = beyond(Variant::BySession)?;
    println!("figure: hot_path_by_session_extra_allocations = {named} allocations");

    let bytes = future_bytes()?;
    println!("figure: handle_future_bytes = {bytes} bytes");

    ensure!(by_hand > 0, "a header written for each request makes no allocation: this does not count");
    ensure!(extra == 0, "{REQUESTS} of our requests make {extra} allocations more than clone and header");
    ensure!(named == 0, "{REQUESTS} of our requests that name a session make {named} allocations more");
    ensure!(bytes <= MOST_BYTES, "the future of `handle` has {bytes} bytes, more than {MOST_BYTES}");
    Ok(())
}

/// How many allocations the requests make beyond those of clone and header.
fn beyond(variant: Variant) -> anyhow::Result<i64> {
    Ok(i64::try_from(allocations(variant)?)? - i64::try_from(allocations(Variant::CloneAndHeader)?)?)
}

/// How many allocations the requests make, answers included.
fn allocations(variant: Variant) -> anyhow::Result<u64> {
    let client = variant.client()?;
    // First times may cost more: the first clone of a prepared header makes the count of its owners.
    client.send(10)?;
    let mut sent = Ok(());
    let counted = allocation_counter::measure(|| sent = client.send(REQUESTS));
    sent?;
    ensure!(counted.count_current == 0, "{} allocations are left over", counted.count_current);
    Ok(counted.count_total)
}

/// How large the future is that `handle` boxes for a request with good tokens.
fn future_bytes() -> anyhow::Result<usize> {
    let bytes = Arc::new(AtomicUsize::new(0));
    Variant::Ours.client_behind(Measuring(Arc::clone(&bytes)))?.send(1)?;
    Ok(bytes.load(Ordering::Relaxed))
}

/// Measures the future of the middleware behind it.
struct Measuring(Arc<AtomicUsize>);

#[async_trait]
impl Middleware for Measuring {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let future = next.run(request, extensions);
        self.0.store(size_of_val(&*future), Ordering::Relaxed);
        future.await
    }
}
