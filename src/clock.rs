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

    /// The moment, unless it is further away than any clock will ever say.
    pub(crate) fn if_ever(self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.0))
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

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// The first or the last moment that this platform can tell.
    fn extreme(step: fn(&SystemTime, Duration) -> Option<SystemTime>) -> SystemTime {
        let seconds = (0..64).rev().map(|bit| Duration::from_secs(1 << bit));
        seconds.fold(UNIX_EPOCH, |time, more| step(&time, more).unwrap_or(time))
    }

    #[test]
    fn moments_are_clamped_at_both_ends() {
        let last = extreme(SystemTime::checked_add);
        let cases = [
            (extreme(SystemTime::checked_sub), Wall(0)),
            (UNIX_EPOCH - Duration::from_nanos(1), Wall(0)),
            (UNIX_EPOCH, Wall(0)),
            (UNIX_EPOCH + Duration::from_nanos(999_999), Wall(0)),
            (UNIX_EPOCH + MILLI, Wall(1)),
            (UNIX_EPOCH + Duration::from_secs(253_402_300_799), Wall(253_402_300_799_000)),
            (last, last.duration_since(UNIX_EPOCH).map_or(Wall(0), |since| Wall(millis(since)))),
        ];
        for (time, expected) in cases {
            assert_eq!(Wall::of(time), expected, "{time:?}");
        }
        for (duration, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_micros(1999), 1),
            (Duration::from_millis(u64::MAX), u64::MAX),
            (Duration::from_millis(u64::MAX) + MILLI, u64::MAX),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(millis(duration), expected);
        }
    }

    #[test]
    fn what_was_counted_is_told_again() {
        for wall in [Wall(0), Wall(1), Wall(1_800_000_000_123), Wall(253_402_300_799_999)] {
            assert_eq!(Wall::of(wall.time()), wall);
        }
        // Nothing that a platform can tell, or else the start; never a panic.
        assert!([Wall(0), Wall(u64::MAX)].contains(&Wall::of(Wall(u64::MAX).time())));
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        // from, by, less
        let cases = [
            (Wall(0), MILLI, Wall(0)),
            (Wall(1), MILLI, Wall(0)),
            (Wall(5), Duration::from_micros(1999), Wall(4)),
            (Wall(5), Duration::MAX, Wall(0)),
            (Wall(u64::MAX), Duration::ZERO, Wall(u64::MAX)),
            (Wall(u64::MAX), Duration::MAX, Wall(0)),
        ];
        for (from, by, expected) in cases {
            assert_eq!(from.minus(by), expected, "{from:?} {by:?}");
        }
        let cases = [
            (Wall(0), Wall(0), Duration::ZERO),
            (Wall(3), Wall(1), 2 * MILLI),
            (Wall(1), Wall(3), Duration::ZERO),
            (Wall(u64::MAX), Wall(0), Duration::from_millis(u64::MAX)),
            (Wall(0), Wall(u64::MAX), Duration::ZERO),
        ];
        for (late, early, expected) in cases {
            assert_eq!(late.since(early), expected, "{late:?} {early:?}");
        }
    }

    #[test]
    fn now_is_read_from_both_clocks() {
        struct Stopped(SystemTime);

        impl Clock for Stopped {
            fn wall(&self) -> SystemTime {
                self.0
            }
            fn monotonic(&self) -> Duration {
                3 * MILLI
            }
        }

        let now = Now::read(&Stopped(UNIX_EPOCH + 2 * MILLI));
        assert_eq!(now, Now { wall: Wall(2), monotonic: 3 * MILLI });
        let (before, after) = (Now::read(&SystemClock), Now::read(&SystemClock));
        assert!(before.monotonic <= after.monotonic && before.wall > Wall(1_700_000_000_000));
    }
}
