//! How often a lock that is taken is tried again.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::platform;

const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(32);

/// Short pauses that grow, each drawn shorter by up to half, so that those who wait do not all come at once.
#[derive(Debug)]
pub(crate) struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pace {
    /// Waits for one pause, or for what is `left` if that is less.
    pub(crate) async fn pause(&mut self, left: Duration) {
        let pause = drawn(self.0, platform::random()).min(left);
        self.0 = (self.0 * 2).min(LONGEST);
        if Handle::try_current().is_ok() {
            platform::sleep(pause).await;
        } else {
            // Without a runtime there is no timer, and no worker that is held up.
            std::thread::sleep(pause);
        }
    }
}

fn drawn(full: Duration, chance: u128) -> Duration {
    let thousandths = u32::try_from(chance % 501).unwrap_or_default();
    full / 1000 * (1000 - thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_drawn_shorter_by_up_to_half() {
        let second = Duration::from_secs(1);
        for (chance, millis) in [(0, 1000), (1, 999), (500, 500), (501, 1000), (u128::MAX, 604)] {
            assert_eq!(drawn(second, chance), Duration::from_millis(millis), "{chance}");
        }
    }
}
