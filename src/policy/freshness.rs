//! When tokens are to be replaced: at leisure, or before the next request.

use std::time::Duration;

use crate::clock::Wall;
use crate::tokens::Tokens;

/// How long before its expiry a long-lived token is due, unless the program says otherwise.
pub(crate) const AHEAD: Duration = Duration::from_secs(60);

/// How the time left of a token is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Nothing is to be done.
    Fresh,
    /// Still good, but to be replaced at leisure.
    Due,
    /// No longer to be sent.
    Expired,
}

/// The two moments in the life of one set of tokens. Where no expiry is known they never come, and the tokens are used
/// until a response says that they are no longer good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Freshness {
    pub(crate) due_at: Wall,
    pub(crate) expired_at: Wall,
}

impl Freshness {
    /// Judges settled tokens. They are due `ahead` of their expiry and count as expired a twelfth of that ahead of it, but
    /// never more than a fifth and a twentieth of their real life, so that short-lived tokens are not replaced without
    /// end. `jitter` draws the due moment closer by up to half, so that processes sharing tokens do not all come at once.
    pub(crate) fn of(tokens: &Tokens, ahead: Duration, jitter: u32) -> Self {
        const NEVER: Freshness = Freshness { due_at: Wall(u64::MAX), expired_at: Wall(u64::MAX) };
        let (Some(expires), Some(issued)) = (tokens.expires_at(), tokens.issued_at()) else { return NEVER };
        let (expires, issued) = (Wall::of(expires), Wall::of(issued));
        let life = expires.since(issued);
        if life.is_zero() {
            // Expired before it was issued: one of the two clocks is wrong, and trusting it would mean a refresh for every
            // request. The issuer's word, a 401, still counts.
            return NEVER;
        }
        let longest = ahead.min(life / 5);
        let due = longest / 2 + scaled(longest / 2, jitter);
        Self { due_at: expires.minus(due), expired_at: expires.minus((ahead / 12).min(life / 20)) }
    }

    pub(crate) fn at(&self, now: Wall) -> Stage {
        if now < self.due_at {
            Stage::Fresh
        } else if now < self.expired_at {
            Stage::Due
        } else {
            Stage::Expired
        }
    }
}

/// The part of `whole` that `jitter` is of the largest jitter.
pub(crate) fn scaled(whole: Duration, jitter: u32) -> Duration {
    whole.mul_f64(f64::from(jitter) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_000_000_000_000);

    fn stages(life: Duration, jitter: u32) -> Freshness {
        Freshness::of(&Tokens::new("t").unwrap().with_expires_in(life).settled(NOW), AHEAD, jitter)
    }

    #[test]
    fn thresholds_are_fractions_of_short_lives_and_fixed_for_long_ones() {
        // life, jitter, due before expiry in ms, expired before expiry in ms
        let table = [
            (3_600_000, u32::MAX, 60_000, 5_000),
            (3_600_000, 0, 30_000, 5_000),
            (300_000, u32::MAX, 60_000, 5_000),
            (100_000, u32::MAX, 20_000, 5_000),
            (60_000, u32::MAX, 12_000, 3_000),
            (60_000, 0, 6_000, 3_000),
            (1_000, u32::MAX, 200, 50),
            (1, u32::MAX, 0, 0),
        ];
        for (life, jitter, due, expired) in table {
            let got = stages(Duration::from_millis(life), jitter);
            let ends = Wall(NOW.0 + life);
            assert_eq!((ends.0 - got.due_at.0, ends.0 - got.expired_at.0), (due, expired), "{life} {jitter}");
            assert_eq!(got.at(NOW), Stage::Fresh, "a token just issued is used, {life} {jitter}");
            assert_eq!(got.at(ends), Stage::Expired, "{life} {jitter}");
        }
    }

    #[test]
    fn the_three_stages_follow_each_other() {
        let got = stages(Duration::from_secs(3600), u32::MAX);
        let at = |before: u64| got.at(Wall(NOW.0 + 3_600_000 - before));
        assert_eq!(
            [at(60_001), at(60_000), at(5_001), at(5_000)],
            [Stage::Fresh, Stage::Due, Stage::Due, Stage::Expired]
        );
    }

    #[test]
    fn what_is_not_known_or_not_possible_never_expires() {
        let past = Tokens::new("t").unwrap().with_expires_at(Wall(5).time()).settled(NOW);
        for tokens in [Tokens::new("t").unwrap().settled(NOW), past] {
            assert_eq!(Freshness::of(&tokens, AHEAD, 0).at(Wall(u64::MAX - 1)), Stage::Fresh);
        }
    }

    #[test]
    fn no_clock_makes_it_panic() {
        for now in [0, 1, u64::MAX / 2, u64::MAX] {
            for life in [1, i32::MAX as u64, u64::MAX] {
                let tokens = Tokens::new("t").unwrap().with_expires_in(Duration::from_secs(life)).settled(Wall(now));
                let _stage = Freshness::of(&tokens, Duration::MAX, u32::MAX).at(Wall(now));
            }
        }
    }
}
