//! Closed after a logout: until the requests that were sent before it have ended, their answers may bring cookies that
//! would undo it.

/// Counts the requests under way, and says whether cookies are taken.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// Grows with each login and each logout.
    epoch: u64,
    /// The epoch of the last logout.
    logout: u64,
    /// Requests under way that were sent since the last logout.
    since: usize,
    /// Requests under way that were sent before it.
    before: usize,
    /// Nobody has logged in since.
    logged_out: bool,
}

impl Closing {
    /// A request is sent; the number is for [`end`](Self::end).
    pub(super) fn send(&mut self) -> u64 {
        self.since += 1;
        self.epoch
    }

    /// A request that was sent in this epoch has ended.
    pub(super) fn end(&mut self, sent: u64) {
        let count = if sent < self.logout { &mut self.before } else { &mut self.since };
        *count = count.saturating_sub(1);
    }

    pub(super) fn log_in(&mut self) {
        self.epoch += 1;
        self.logged_out = false;
    }

    pub(super) fn log_out(&mut self) {
        self.epoch += 1;
        self.logout = self.epoch;
        self.before += std::mem::take(&mut self.since);
        self.logged_out = true;
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether cookies may belong to a login that has ended. After the next login nobody can tell any longer: an answer to
    /// a request of the old one that comes so late can still land.
    pub(super) fn is_closed(&self) -> bool {
        self.logged_out && self.before > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_closed_until_the_last_request_from_before_has_ended() {
        let mut closing = Closing::default();
        let (first, second) = (closing.send(), closing.send());
        assert!(!closing.is_closed());
        closing.log_out();
        assert!(closing.is_closed());
        let after = closing.send();
        closing.end(first);
        closing.end(after);
        assert!(closing.is_closed(), "a request from after it is none of those");
        closing.end(second);
        assert!(!closing.is_closed());
    }

    #[test]
    fn with_nobody_under_way_a_logout_closes_nothing() {
        let mut closing = Closing::default();
        let sent = closing.send();
        closing.end(sent);
        closing.log_out();
        assert!(!closing.is_closed());
    }

    #[test]
    fn a_login_opens_and_a_second_logout_counts_everyone() {
        let mut closing = Closing::default();
        let old = closing.send();
        closing.log_out();
        closing.log_in();
        assert!(!closing.is_closed());
        let new = closing.send();
        closing.log_out();
        closing.end(new);
        assert!(closing.is_closed(), "the first one's request is still out");
        closing.end(old);
        assert!(!closing.is_closed());
    }
}
