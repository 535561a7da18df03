//! Who may call the issuer when many sessions share it: so many at once, nobody while it rests, and one alone when that ends.

use std::time::Duration;

use crate::policy::rest;
use crate::refresh::error::{RefreshError, Verdict};

/// The right to call the issuer once. Numbers grow in the order in which the rights were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// What becomes of a session that wants to call the issuer.
#[derive(Debug)]
pub(crate) enum Entry {
    Go(Ticket),
    /// Others are calling, or one of them finds out whether anybody can: ask again when something has changed.
    Wait,
    /// All sessions rest, for this reason and as long as it says.
    Rests(RefreshError),
}

/// The calls that are under way, and the rest of all sessions.
#[derive(Debug)]
pub(crate) struct CommonRest {
    /// So many calls at once.
    most: usize,
    /// Whoever has not come back after this stands on a runtime that stands still, and is no longer waited for.
    bound: Duration,
    under_way: Vec<(Ticket, Duration)>,
    issued: u64,
    rest: Option<Resting>,
    /// Failures for everybody in a row.
    failures: u32,
}

#[derive(Debug)]
struct Resting {
    /// By the monotonic clock.
    until: Duration,
    error: RefreshError,
    /// The first ticket given after the failure that led here.
    since: Ticket,
    /// Whoever finds out, once the time has come.
    probe: Option<Ticket>,
}

impl CommonRest {
    pub(crate) fn new(most: usize, bound: Duration) -> Self {
        Self { most: most.max(1), bound, under_way: Vec::new(), issued: 0, rest: None, failures: 0 }
    }

    pub(crate) fn enter(&mut self, now: Duration) -> Entry {
        self.under_way.retain(|(_, expires)| now < *expires);
        let (issued, full) = (self.issued, self.under_way.len() >= self.most);
        match &mut self.rest {
            Some(rest) if now < rest.until => {
                return Entry::Rests(rest.error.clone().retry_after(rest.until.saturating_sub(now)));
            }
            Some(rest) => {
                if rest.probe.is_some_and(|probe| self.under_way.iter().any(|(ticket, _)| *ticket == probe)) {
                    return Entry::Wait;
                }
                rest.probe = Some(Ticket(issued));
            }
            None if full => return Entry::Wait,
            None => {}
        }
        self.issued += 1;
        self.under_way.push((Ticket(issued), now.saturating_add(self.bound)));
        Entry::Go(Ticket(issued))
    }

    /// A call came back. If it failed in a way that everybody would meet, all rest, and this is for how long.
    pub(crate) fn landed(
        &mut self,
        now: Duration,
        jitter: u32,
        ticket: Ticket,
        failed: Option<&RefreshError>,
    ) -> Option<Duration> {
        self.left(ticket);
        if let Some(error) = failed
            && let Verdict::Unavailable { every_session: true, retry_after, .. } = error.verdict()
        {
            return Some(match &self.rest {
                // It went out before anybody knew, so that it is the same failure once more.
                Some(rest) if ticket < rest.since && now < rest.until => rest.until.saturating_sub(now),
                Some(rest) if ticket < rest.since => rest::pause(self.failures, jitter, *retry_after),
                Some(_) | None => {
                    self.failures = self.failures.saturating_add(1);
                    let pause = rest::pause(self.failures, jitter, *retry_after);
                    let (until, since) = (now.saturating_add(pause), Ticket(self.issued));
                    self.rest = Some(Resting { until, error: error.clone(), since, probe: None });
                    pause
                }
            });
        }
        if self.rest.as_ref().is_none_or(|rest| ticket >= rest.since) {
            self.rest = None;
            if !failed.is_some_and(RefreshError::is_unavailable) {
                self.failures = 0;
            }
        }
        None
    }

    /// A call ended and nothing is known of it.
    pub(crate) fn left(&mut self, ticket: Ticket) {
        self.under_way.retain(|(other, _)| *other != ticket);
    }

    /// How many of those who wait may ask again; `None`: all of them, since they will be told something.
    pub(crate) fn may_ask(&self, now: Duration) -> Option<usize> {
        match &self.rest {
            Some(rest) if now < rest.until => None,
            Some(_) => Some(1),
            None => Some(self.most.saturating_sub(self.under_way.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn go(rest: &mut CommonRest, now: Duration) -> Ticket {
        let entry = rest.enter(now);
        let Entry::Go(ticket) = entry else { panic!("{entry:?}") };
        ticket
    }

    fn rests_for(rest: &mut CommonRest, now: Duration) -> u64 {
        let entry = rest.enter(now);
        let Entry::Rests(error) = entry else { panic!("{entry:?}") };
        let Verdict::Unavailable { retry_after, .. } = error.verdict() else { panic!("{error:?}") };
        retry_after.unwrap().as_secs()
    }

    fn down() -> RefreshError {
        RefreshError::unavailable("down").for_every_session()
    }

    #[test]
    fn so_many_call_at_once_and_the_next_when_one_is_back() {
        let mut rest = CommonRest::new(2, at(10));
        let (first, second) = (go(&mut rest, at(0)), go(&mut rest, at(1)));
        assert!(matches!(rest.enter(at(1)), Entry::Wait));
        assert_eq!(rest.may_ask(at(1)), Some(0));
        assert_eq!(rest.landed(at(2), 0, first, None), None);
        assert_eq!(rest.may_ask(at(2)), Some(1));
        go(&mut rest, at(2));
        rest.left(second);
        go(&mut rest, at(2));
        assert!(matches!(rest.enter(at(2)), Entry::Wait));
        // Both stand on runtimes that stand still.
        go(&mut rest, at(12));
    }

    #[test]
    fn one_failure_for_everybody_is_one_however_many_meet_it() {
        let mut rest = CommonRest::new(8, at(10));
        let calls: Vec<_> = (0..8).map(|_| go(&mut rest, at(0))).collect();
        let failed = down().retry_after(at(30));
        for (nth, ticket) in (0..).zip(calls) {
            assert_eq!(rest.landed(at(nth), 0, ticket, Some(&failed)), Some(at(30 - nth)), "all rest to the same end");
        }
        assert_eq!(rests_for(&mut rest, at(10)), 20);
        assert_eq!(rest.may_ask(at(10)), None);
    }

    #[test]
    fn one_finds_out_and_the_others_follow() {
        let mut rest = CommonRest::new(8, at(10));
        let begun_before = go(&mut rest, at(0));
        let mut now = at(0);
        let first = go(&mut rest, now);
        // The pauses grow.
        let mut pauses = vec![rest.landed(now, u32::MAX, first, Some(&down())).unwrap().as_secs()];
        for _ in 0..3 {
            now += at(*pauses.last().unwrap());
            let probe = go(&mut rest, now);
            assert!(matches!(rest.enter(now), Entry::Wait));
            pauses.push(rest.landed(now, u32::MAX, probe, Some(&down())).unwrap().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8]);
        // What went out before the failure says nothing about how it is now.
        assert_eq!(rest.landed(now, 0, begun_before, None), None);
        assert_eq!(rests_for(&mut rest, now), 8);
        now += at(8);
        // A probe that went with its runtime is followed by another, and so is one that does not come back.
        let lost = go(&mut rest, now);
        rest.left(lost);
        go(&mut rest, now);
        now += at(10);
        let probe = go(&mut rest, now);
        assert_eq!(rest.landed(now, 0, probe, None), None);
        assert_eq!(rest.may_ask(now), Some(8));
        let calls: Vec<_> = (0..8).map(|_| go(&mut rest, now)).collect();
        assert_eq!(rest.landed(now, u32::MAX, calls[0], Some(&down())), Some(at(1)), "and it begins anew");
    }

    #[test]
    fn one_sessions_failure_is_its_own() {
        let mut rest = CommonRest::new(2, at(10));
        for error in [RefreshError::rejected("x"), RefreshError::unavailable("x"), RefreshError::misconfigured("x")] {
            let ticket = go(&mut rest, at(0));
            assert_eq!(rest.landed(at(0), 0, ticket, Some(&error)), None);
        }
        go(&mut rest, at(0));
    }
}
