//! What a session costs in memory while it is live, and what is left when it was forgotten.
//!
//! A million ids are each asked for once, in waves, over a store outside the process; then time passes and the idle sessions
//! are forgotten. Bytes are counted as they are asked for. Tokens and the header made of them are not counted as overhead.
//!
//! ```text
//! cargo bench --bench memory
//! ```

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use allocation_counter::measure;
use anyhow::ensure;
use http::HeaderValue;
use reqwest_auth_refresh::{
    Clock, LoginId, Record, RefreshError, RefreshRequest, SessionId, Sessions, StoreError, Swap, TokenStore, Tokens,
    Version, async_trait,
};

/// How many ids there are in a wave. Just beyond a power of two by the load that a table takes, so that it is as empty as it
/// ever is.
const WAVE: usize = 115_000;
const WAVES: usize = 9;

/// What a session may cost beyond its tokens.
const MOST_BYTES: i64 = 512;
/// What may be left of a wave, as a part of what there was before.
const MOST_LEFT: f64 = 1.1;

fn main() -> anyhow::Result<()> {
    // Unoptimised it takes minutes: `cargo test --benches` only sees that this builds.
    let (waves, wave) = if cfg!(debug_assertions) { (1, 1_000) } else { (WAVES, WAVE) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clock = Stepped::default();
    let sessions = Sessions::builder(unasked).store(Elsewhere).clock(clock.clone()).most_idle(usize::MAX).build();
    let touch = |ids: std::ops::Range<usize>| {
        runtime.block_on(async {
            for id in ids {
                sessions.session(name(id)).access_token().await?;
            }
            anyhow::Ok(())
        })
    };
    // First times may cost more, and a process that does nothing is no measure: a thousand sessions stay.
    let kept: Vec<_> = (0..1_000).map(|nth| sessions.session(format!("kept-{nth}"))).collect();
    let mut done = Ok(());
    let start = measure(|| {
        let more = Sessions::builder(unasked).store(Elsewhere).clock(clock.clone()).build();
        done = runtime.block_on(async {
            for nth in 0..1_000 {
                more.session(name(nth)).access_token().await?;
            }
            anyhow::Ok(())
        });
        std::mem::forget(more);
    });
    done?;
    let start = start.bytes_current;
    for session in &kept {
        runtime.block_on(session.access_token())?;
    }

    let tokens = bytes_of_tokens();
    let (mut most, mut left) = (0, 0);
    for nth in 0..waves {
        let ids = nth * wave..(nth + 1) * wave;
        let mut outcome = Ok(());
        let mut live = 0;
        let after = measure(|| {
            let during = measure(|| outcome = touch(ids));
            live = during.bytes_current;
            clock.step(Duration::from_secs(11 * 60));
            sessions.forget_idle();
        });
        outcome?;
        let overhead = live / i64::try_from(wave)? - tokens;
        most = most.max(overhead);
        left += after.bytes_current;
        ensure!(sessions.in_memory() == kept.len(), "{} sessions are left", sessions.in_memory());
    }
    #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
    let ratio = (start + left) as f64 / start as f64;
    println!("figure: session_tokens_bytes = {tokens} bytes");
    println!("figure: session_overhead_bytes = {most} bytes");
    println!("figure: evicted_live_ratio = {ratio:.3} ratio");
    ensure!(most <= MOST_BYTES, "a session costs {most} bytes beside its tokens, more than {MOST_BYTES}");
    ensure!(ratio <= MOST_LEFT, "{ratio:.3} times of what there was is left, more than {MOST_LEFT}");
    Ok(())
}

fn name(nth: usize) -> String {
    format!("user-{nth:07}")
}

async fn unasked(_: RefreshRequest) -> Result<Tokens, RefreshError> {
    Err(RefreshError::rejected("unasked"))
}

/// As a token endpoint answers.
fn tokens() -> Tokens {
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    let tokens = Tokens::new("t".repeat(860)).unwrap_or_else(|_| Tokens::unseen()).with_refresh_token("r".repeat(40));
    tokens.with_expires_at(expires).with_issued_at(SystemTime::UNIX_EPOCH)
}

/// What the tokens of one session take, and the header made of them.
fn bytes_of_tokens() -> i64 {
    const MANY: usize = 1_000;
    let mut kept = Vec::with_capacity(MANY);
    let counted = measure(|| {
        for _ in 0..MANY {
            let tokens = Arc::new(tokens());
            let header = HeaderValue::try_from(format!("Bearer {}", "t".repeat(860)));
            // The first clone makes the count of its owners.
            kept.push((tokens, header.map(|header| (header.clone(), header).0)));
        }
    });
    let inline = i64::try_from(size_of::<HeaderValue>()).unwrap_or_default();
    counted.bytes_current / i64::try_from(MANY).unwrap_or(1) + inline
}

/// A store outside the process: it has everybody's tokens, and keeps nothing here.
struct Elsewhere;

#[async_trait]
impl TokenStore for Elsewhere {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        Ok(Some(Record::of_tokens(id.clone(), Version::new(LoginId::from_bits(1), 1), tokens())))
    }

    async fn swap(&self, _: &SessionId, _: Option<Version>, _: &Record) -> Result<Swap, StoreError> {
        Ok(Swap::Done)
    }

    async fn remove(&self, _: &SessionId) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A clock that goes when it is told to.
#[derive(Debug, Clone, Default)]
struct Stepped(Arc<AtomicU64>);

impl Stepped {
    fn step(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}

impl Clock for Stepped {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}
