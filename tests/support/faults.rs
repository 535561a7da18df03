//! What can go wrong at a token endpoint.

use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;

use super::gate::Gate;

/// What goes wrong with one call; see [`Issuer::next_calls`](super::Issuer::next_calls).
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection is closed before the grant is looked at.
    DropBefore,
    /// The refresh token is spent, then the connection is closed without an answer.
    DropAfter,
    /// The refresh token is spent, then the connection is closed in the middle of the answer.
    HalfAnswer,
    /// The refresh token is spent, then the answer comes one byte at a time with this pause before each.
    Drip(Duration),
    /// No answer ever comes, and the grant is not looked at.
    Never,
    /// The call waits at this gate before the grant is looked at; it goes on even if its caller has left.
    Hold(Gate),
    /// The refresh token is spent, then the answer waits at this gate.
    HoldAnswer(Gate),
    /// An answer with this status and `Retry-After`, without a body; the grant is not looked at.
    Status(StatusCode, Option<Duration>),
    /// An answer with this status and OAuth error code; the grant is not looked at.
    Error(StatusCode, &'static str),
    /// A 200 with a page for people, as firewalls and captive portals send it; the grant is not looked at.
    Html,
    /// A 200 with these bytes as JSON; the grant is not looked at.
    Body(Bytes),
}

/// How a token endpoint is out of order; see [`Issuer::down`](super::Issuer::down).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It answers every call with 503, and `Retry-After` if given.
    Unavailable(Option<Duration>),
    /// Nobody listens: connections are refused, and those that were open are cut.
    Refused,
}
