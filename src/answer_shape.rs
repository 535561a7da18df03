//! How an issuer writes its answers: where each thing is found, and how it is meant.

use std::time::Duration;

use crate::member_path::MemberPath;

/// Where the parts of an answer are found, and how they are meant. Each part may have several places.
#[derive(Debug, Clone)]
pub(crate) struct AnswerShape {
    pub(crate) access_token: Vec<MemberPath>,
    pub(crate) refresh_token: Vec<MemberPath>,
    pub(crate) expires_in: Vec<MemberPath>,
    pub(crate) expires_at: Vec<MemberPath>,
    pub(crate) scope: Vec<MemberPath>,
    pub(crate) token_type: Vec<MemberPath>,
    pub(crate) error: Vec<MemberPath>,
    /// What a lifetime counts.
    pub(crate) unit: Duration,
    /// Whether a token type that is not understood is taken as it is.
    pub(crate) any_token_type: bool,
}

/// The shape that RFC 6749 section 5 gives an answer, with the `expires_at` that many add.
impl Default for AnswerShape {
    fn default() -> Self {
        let at = |name| vec![MemberPath::new(name)];
        Self {
            access_token: at("access_token"),
            refresh_token: at("refresh_token"),
            expires_in: at("expires_in"),
            expires_at: at("expires_at"),
            scope: at("scope"),
            token_type: at("token_type"),
            error: at("error"),
            unit: Duration::from_secs(1),
            any_token_type: false,
        }
    }
}

impl AnswerShape {
    /// The places that need not be there twice: which of the two would be believed? A scope that comes twice does no harm.
    pub(crate) fn single(&self) -> Vec<&[String]> {
        let Self { access_token, refresh_token, expires_in, expires_at, token_type, error, .. } = self;
        let all = [access_token, refresh_token, expires_in, expires_at, token_type, error];
        all.into_iter().flatten().map(MemberPath::names).collect()
    }
}
