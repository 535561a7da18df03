//! How often new tokens may be asked for when new tokens do not help.

use std::time::Duration;

use crate::clock::Wall;
use crate::tokens::Tokens;

/// How many refreshes in excess are let through in one [`WINDOW`].
pub(crate) const MOST: usize = 5;
/// The span of time in which they are counted.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// To ask for a replacement of tokens at least this old is no excess.
const YOUNG: Duration = Duration::from_secs(10);

/// Whether to ask for a replacement of these settled tokens is excess: they are younger than ten seconds, and than a
/// quarter of their life. A clock that went back makes nothing young.
pub(crate) fn is_excess(tokens: &Tokens, now: Wall) -> bool {
    let Some(issued) = tokens.issued_at().map(Wall::of) else { return false };
    let quarter = tokens.expires_at().map(|expires| Wall::of(expires).since(issued) / 4);
    let young = quarter.filter(|life| !life.is_zero()).map_or(YOUNG, |quarter| quarter.min(YOUNG));
    now >= issued && now.since(issued) < young
}

/// The refreshes in excess of the last minute, by the monotonic clock. In a box, since hardly any session has some.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[expect(clippy::box_collection, reason = "a third of the room while it is empty, and there may be a million")]
pub(crate) struct Window(Option<Box<Vec<Duration>>>);

impl Window {
    /// How long the window stays closed; `None` when one more is let through.
    pub(crate) fn closed_for(&self, now: Duration) -> Option<Duration> {
        let counted = self.counted(now);
        let oldest = *counted.clone().min()?;
        (counted.count() >= MOST).then(|| oldest.saturating_add(WINDOW).saturating_sub(now))
    }

    /// Counts one.
    pub(crate) fn count(&mut self, now: Duration) {
        let times = self.0.get_or_insert_default();
        times.retain(|time| now < time.saturating_add(WINDOW));
        if times.len() == MOST {
            times.remove(0);
        }
        times.push(now);
    }

    /// Whether nothing of the last minute is counted.
    pub(crate) fn is_empty(&self, now: Duration) -> bool {
        self.counted(now).next().is_none()
    }

    fn counted(&self, now: Duration) -> impl Iterator<Item = &Duration> + Clone {
        self.0.iter().flat_map(|times| times.iter()).filter(move |time| now < time.saturating_add(WINDOW))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn young_is_ten_seconds_or_a_quarter_of_the_life() {
        let issued = Wall(1_000_000);
        // life in ms (0 = unknown), age in ms, excess
        let table = [
            (0, 0, true),
            (0, 9_999, true),
            (0, 10_000, false),
            (3_600_000, 9_999, true),
            (3_600_000, 10_000, false),
            (8_000, 1_999, true),
            (8_000, 2_000, false),
            (4, 0, true),
            (4, 1, false),
        ];
        for (life, age, excess) in table {
            let tokens = Tokens::new("t").unwrap().with_expires_in(Duration::from_millis(life)).settled(issued);
            assert_eq!(is_excess(&tokens, Wall(issued.0 + age)), excess, "{life} {age}");
        }
        let tokens = Tokens::new("t").unwrap();
        assert!(!is_excess(&tokens, issued), "nothing is known of its age");
        assert!(!is_excess(&tokens.settled(issued), Wall(issued.0 - 1)), "the clock went back");
    }

    #[test]
    fn five_in_a_minute_close_it_until_the_first_is_a_minute_old() {
        let mut window = Window::default();
        let at = Duration::from_secs;
        for second in 0..5 {
            assert_eq!(window.closed_for(at(second)), None);
            window.count(at(second));
        }
        assert_eq!(window.closed_for(at(5)), Some(at(55)));
        assert_eq!(window.closed_for(at(59)), Some(at(1)));
        assert_eq!(window.closed_for(at(60)), None);
        window.count(at(60));
        assert_eq!(window.closed_for(at(60)), Some(at(1)));
        assert_eq!(window.closed_for(Duration::MAX), None);
    }
}
