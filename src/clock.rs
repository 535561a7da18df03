//! What time it is. Time is always asked of a [`Clock`], so that a test can say what it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::platform;

/// A source of time.
///
/// Expiry is judged by the wall clock, because a monotonic clock stands still while a machine sleeps and tokens do not.
/// Rest and the window of excess are judged by the monotonic clock, because they are pauses of this process. Either may
/// jump in any direction without harm. In place of a clock that panics the machine's is asked.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use reqwest_auth_refresh::Clock;
///
/// #[derive(Debug)]
/// struct Stopped;
///
/// impl Clock for Stopped {
///     fn wall(&self) -> SystemTime {
///         SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
///     }
///     fn monotonic(&self) -> Duration {
///         Duration::ZERO
///     }
/// }
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The time of day.
    fn wall(&self) -> SystemTime;

    /// The time since some fixed moment, which never goes back.
    fn monotonic(&self) -> Duration;
}

/// The clock of the machine; the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> SystemTime {
        platform::wall()
    }

    fn monotonic(&self) -> Duration {
        platform::monotonic()
    }
}

/// A wall-clock moment as the core counts it: milliseconds since 1970, clamped at both ends, so that arithmetic on it can
/// neither overflow nor panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Wall(pub(crate) u64);

impl Wall {
    pub(crate) fn of(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, millis))
    }

    pub(crate) fn time(self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.0)).unwrap_or(UNIX_EPOCH)
    }

    pub(crate) const fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The moment at which something happens to a session, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Now {
    pub(crate) wall: Wall,
    /// Since the monotonic clock's start.
    pub(crate) monotonic: Duration,
}

impl Now {
    pub(crate) fn read(clock: &dyn Clock) -> Self {
        Self { wall: Wall::of(clock.wall()), monotonic: clock.monotonic() }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "584 million years fit")]
const fn millis(duration: Duration) -> u64 {
    let millis = duration.as_millis();
    if millis > u64::MAX as u128 { u64::MAX } else { millis as u64 }
}
