//! What the servers counted. A count is up to date before the answer it belongs to is sent.

use std::collections::BTreeMap;

/// What became of the grants; see [`Grants::counts`](super::Grants::counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GrantCounts {
    /// Grants begun.
    pub logins: usize,
    /// Refreshes that yielded tokens, repeated ones included.
    pub accepted: usize,
    /// Of the accepted: those that sent a spent refresh token within the grace period and got the same tokens again.
    pub repeated: usize,
    /// Refreshes refused because the grant was unknown, ended, or ended by this very reuse.
    pub rejected: usize,
    /// Of the rejected: those that sent a refresh token which had been spent before.
    pub reuse: usize,
    /// Grants that are alive now.
    pub live_grants: usize,
}

/// What a token endpoint counted; see [`Issuer::counts`](super::Issuer::counts).
///
/// When nothing is under way, `token_calls` = `accepted` + `rejected` + `turned_away`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IssuerCounts {
    /// Requests that arrived at the token endpoint, whatever became of them.
    pub token_calls: usize,
    /// Those that yielded tokens, whether or not the answer was heard.
    pub accepted: usize,
    /// Of the accepted: repeated within the grace period.
    pub repeated: usize,
    /// Those refused with `invalid_grant`.
    pub rejected: usize,
    /// Those for which no grant was looked at: an outage, a fault, a client or a request that is not in order.
    pub turned_away: usize,
    /// Refresh tokens sent a second time.
    pub reuse: usize,
    /// Requests that arrived at the revocation endpoint.
    pub revocation_calls: usize,
    /// Grants begun.
    pub logins: usize,
    /// Grants that are alive now.
    pub live_grants: usize,
}

/// How many requests the API answered with 401, and how many otherwise, so with 200 unless it was told what to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Let in.
    pub ok: usize,
    /// Answered with 401.
    pub refused: usize,
}

impl Tally {
    fn count(&mut self, ok: bool) {
        if ok { self.ok += 1 } else { self.refused += 1 }
    }
}

/// What an API counted; see [`Api::counts`](super::Api::counts).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiCounts {
    /// Requests that arrived; when nothing is under way, `all.ok + all.refused`.
    pub requests: usize,
    /// All answers.
    pub all: Tally,
    /// Answers to requests that brought no bearer token.
    pub unsigned: Tally,
    /// Answers by path.
    pub by_path: BTreeMap<String, Tally>,
    /// Answers by grant and generation of the token that was brought, where it was one of the issuer's.
    pub by_tokens: BTreeMap<(usize, usize), Tally>,
}

impl ApiCounts {
    /// The answers for this path.
    pub fn path(&self, path: &str) -> Tally {
        self.by_path.get(path).copied().unwrap_or_default()
    }

    /// The answers to tokens of this grant and generation.
    pub fn tokens(&self, grant: usize, generation: usize) -> Tally {
        self.by_tokens.get(&(grant, generation)).copied().unwrap_or_default()
    }

    pub(super) fn answer(&mut self, path: &str, tokens: Option<(usize, usize)>, signed: bool, ok: bool) {
        self.all.count(ok);
        self.by_path.entry(path.to_owned()).or_default().count(ok);
        if let Some(tokens) = tokens {
            self.by_tokens.entry(tokens).or_default().count(ok);
        }
        if !signed {
            self.unsigned.count(ok);
        }
    }
}
