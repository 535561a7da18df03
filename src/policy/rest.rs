//! How long a session leaves the issuer and the store alone after a failure.

use std::time::Duration;

use crate::policy::freshness::scaled;

/// The first pause; each further failure doubles it.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause of our own accord, and the one after a refusal of the program's set-up.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);
/// The longest pause that an issuer may ask for.
pub(crate) const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

/// The pause after so many failures in a row (the first is 1): half of it fixed and half of it drawn, which keeps a fleet
/// apart without ever asking at once. What the issuer asked for counts if it is longer.
pub(crate) fn pause(failures: u32, jitter: u32, asked: Option<Duration>) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(6)).min(LONGEST);
    let own = whole / 2 + scaled(whole / 2, jitter);
    own.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_a_minute_with_half_of_it_drawn() {
        let longest: Vec<_> = (0..9).map(|failures| pause(failures, u32::MAX, None).as_secs()).collect();
        assert_eq!(longest, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
        let shortest: Vec<_> = (1..9).map(|failures| pause(failures, 0, None).as_millis()).collect();
        assert_eq!(shortest, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(pause(u32::MAX, 0, None).as_secs(), 30);
    }

    #[test]
    fn an_issuer_may_ask_for_more_up_to_an_hour_but_not_for_less() {
        let asked = |seconds| pause(3, u32::MAX, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!([asked(0), asked(1), asked(5), asked(3_600), asked(u64::MAX)], [4, 4, 5, 3_600, 3_600]);
    }
}
