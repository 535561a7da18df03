//! What went wrong at an endpoint, in words that hold no secret.

use std::sync::Arc;

use http::StatusCode;

use crate::refresh::error::RefreshError;
use crate::tokens::InvalidToken;

/// What went wrong at an endpoint; the source of a [`RefreshError`]. The errors of `reqwest` in it have lost their URL,
/// which they would show with its query.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{endpoint} could not be reached")]
    Unreached { endpoint: Arc<str>, source: reqwest::Error },
    #[error("{endpoint} was asked, and its answer was lost")]
    Lost { endpoint: Arc<str>, source: reqwest::Error },
    #[error("{endpoint} answered {status}, and too much to read")]
    TooLong { endpoint: Arc<str>, status: StatusCode },
    #[error("{endpoint} answered {status}, and nothing that can be used")]
    Unusable { endpoint: Arc<str>, status: StatusCode, source: InvalidToken },
    #[error("{endpoint} answered {status}{}", in_brackets(code.as_deref()))]
    Refused { endpoint: Arc<str>, status: StatusCode, code: Option<String> },
}

impl Failure {
    /// A refresh that failed so before there was an answer to judge.
    pub(crate) fn into_error(self) -> RefreshError {
        let lost = matches!(self, Self::Lost { .. });
        let unreached = matches!(self, Self::Unreached { .. });
        let error = RefreshError::unavailable(self);
        if unreached {
            error.for_every_session()
        } else if lost {
            error.maybe_processed()
        } else {
            error
        }
    }
}

fn in_brackets(code: Option<&str>) -> String {
    code.map_or_else(String::new, |code| format!(" ({code})"))
}
