//! What the program saw against what the servers counted, and against what was to be expected.

use std::time::Duration;

use crate::crowd::{Seen, TASKS};
use crate::story::Table;
use crate::support::{ApiCounts, IssuerCounts};
use crate::watch::Heard;

/// How many requests this story has: one for each task in five scenes, five in one, and thirty in two.
const REQUESTS: usize = (5 + 5 + 2 * 30) * TASKS;

/// Prints the table. Returns whether all of it is as it must be.
pub(crate) fn compare(seen: &Seen, heard: &Heard, issuer: &IssuerCounts, api: &ApiCounts, took: Duration) -> bool {
    let mut table = Table::begin();

    Table::heading("the program", "the servers");
    table.same("requests answered with 200", seen.ok, api.all.ok);
    table.same("refused, then sent again or told to log in", seen.retried + seen.needs_login_refused, signed(api));
    table.same("refused while nobody was logged in", seen.unsigned, api.unsigned.refused);
    table.same("logins", heard.logged_in, issuer.logins);
    table.same("refreshes", heard.refreshed, issuer.accepted);
    table.same("refreshes that failed for now", heard.refresh_failed, issuer.turned_away);
    table.same("refreshes refused for good: needs login", heard.needs_login, issuer.rejected);
    table.same("token calls, all in all", calls(heard), issuer.token_calls);

    Table::heading("the program", "expected");
    table.same("requests", seen.requests, REQUESTS);
    table.same("error: try later, in the outage", seen.try_later, TASKS);
    table.same("error: needs login, after the revocation", seen.needs_login, 2 * TASKS);
    table.same("401, while logged out", seen.unsigned, TASKS);
    table.same("logouts", heard.logged_out, 1);
    table.same("any other error, 401 or event", seen.unexpected + heard.unexpected, 0);

    Table::heading("the servers", "expected");
    table.same("refresh tokens used twice", issuer.reuse, 0);
    // One after the storm, one after the outage, and one at least in each three seconds; at most one in half a second.
    let most = 4 + usize::try_from(took.as_millis() / 500).unwrap_or(usize::MAX);
    table.between("refreshes", issuer.accepted, 4, most);

    table.is_all_right()
}

/// The 401s to requests that brought a token.
fn signed(api: &ApiCounts) -> usize {
    api.all.refused - api.unsigned.refused
}

/// How often the issuer must have been asked, going by what the session told.
fn calls(heard: &Heard) -> usize {
    heard.refreshed + heard.refresh_failed + heard.needs_login
}
