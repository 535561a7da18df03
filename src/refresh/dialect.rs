//! How an issuer's answers differ from RFC 6749.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::answer_shape::AnswerShape;
use crate::refresh::member_paths::MemberPaths;
use crate::refresh::refresh_answer::RefreshAnswer;
use crate::token_answer::TokenAnswer;
use crate::tokens::{InvalidToken, Tokens};

/// The codes that say: this grant is dead. The second is GitHub's.
const REJECTED: [&str; 2] = ["invalid_grant", "bad_refresh_token"];

/// The codes that say: this program asks wrongly, whatever the grant (RFC 6749 section 5.2, RFC 8707 section 2).
const MISCONFIGURED: [&str; 6] = [
    "invalid_client",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
];

type Predicate = Arc<dyn Fn(&RefreshAnswer<'_>) -> bool + Send + Sync>;

/// How an issuer's answers differ from RFC 6749: where things stand in them, what they count, and which of them mean that
/// it worked or that the grant is dead. One type for all refreshers that come with this crate.
///
/// ```
/// use reqwest_auth_refresh::Dialect;
///
/// // {"status": "success", "data": {"accessToken": "..", "refreshToken": "..", "expiresIn": 900000}}
/// let gateway = Dialect::new()
///     .access_token("data.accessToken")
///     .refresh_token("data.refreshToken")
///     .expires_in("data.expiresIn")
///     .milliseconds()
///     .success_when(|answer| answer.member("status").is_some_and(|status| status == "success"));
/// // {"ok": false, "error": "token_revoked"}, with a 200
/// let slack = Dialect::new().rejected_code("token_revoked").rejected_code("invalid_refresh_token");
/// // {"status": "BAD_REFRESH_TOKEN", "message": ".."}
/// let hubspot = Dialect::new().error_code(["error", "status"]).rejected_code("BAD_REFRESH_TOKEN");
/// # drop((gateway, slack, hubspot));
/// ```
///
/// # How an answer is judged
///
/// 1. Does it say that the grant is dead? See [`rejected_when`](Self::rejected_when). The session needs a login.
/// 2. Does its code say that the program is set up wrongly? See [`misconfigured_code`](Self::misconfigured_code). The
///    tokens are kept.
/// 3. Did it work? See [`success_when`](Self::success_when). Then the tokens are read.
/// 4. Anything else, and what cannot be read, means: no tokens now. The old ones are kept.
///
/// What is read as a token, its type, its end or an error must not be there twice (RFC 6749 section 3.2), nor the members on
/// the way to it: such an answer cannot be used. What is not read goes to [`Tokens::extra`](crate::Tokens::extra), in its
/// old place and without what was taken.
///
/// # Predicates
///
/// They see the [`RefreshAnswer`] and nothing else, once for each answer, and should be quick. One that panics fails its
/// refresh like any other panic of a refresher: those who wait get an error, and the session keeps its tokens. Those in
/// the answer are lost then.
#[derive(Clone, Default)]
pub struct Dialect {
    shape: AnswerShape,
    rejected_codes: Vec<Arc<str>>,
    rejected_statuses: Vec<StatusCode>,
    misconfigured_codes: Vec<Arc<str>>,
    rejected_when: Option<Predicate>,
    success_when: Option<Predicate>,
}

impl Dialect {
    /// No difference from RFC 6749, read leniently, with the `expires_at` that many add to it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the access token stands, `access_token` by default. Of several places the first is taken where there is
    /// something other than `null`, here and for all that follows; the others are left out of the rest of the answer.
    #[must_use]
    pub fn access_token(mut self, paths: impl Into<MemberPaths>) -> Self {
        self.shape.access_token = paths.into().into_list();
        self
    }

    /// Where the refresh token stands, `refresh_token` by default. What is left out, empty or no text keeps the old one.
    #[must_use]
    pub fn refresh_token(mut self, paths: impl Into<MemberPaths>) -> Self {
        self.shape.refresh_token = paths.into().into_list();
        self
    }

    /// Where the access token's lifetime stands, `expires_in` by default. It may be a number or a text; one that is zero,
    /// negative or makes no sense counts as unknown.
    #[must_use]
    pub fn expires_in(mut self, paths: impl Into<MemberPaths>) -> Self {
        self.shape.expires_in = paths.into().into_list();
        self
    }

    /// Where the moment stands at which the access token expires, `expires_at` by default. It may be seconds or
    /// milliseconds since 1970, which are told apart by their size. If there is a lifetime too, that goes first: it is
    /// right even if the clocks here and there differ.
    #[must_use]
    pub fn expires_at(mut self, paths: impl Into<MemberPaths>) -> Self {
        self.shape.expires_at = paths.into().into_list();
        self
    }

    /// Where the scope stands, `scope` by default: a text, or a list of texts.
    #[must_use]
    pub fn scope(mut self, paths: impl Into<MemberPaths>) -> Self {
        self.shape.scope = paths.into().into_list();
        self
    }

    /// Where the token type stands, `token_type` by default.
    #[must_use]
    pub fn token_type(mut self, paths: impl Into<MemberPaths>) -> Self {
        self.shape.token_type = paths.into().into_list();
        self
    }

    /// Where an error's code stands, `error` by default: a text, or a number. If something stands there other than `null`,
    /// `false`, zero or an empty text, the answer is an error, whatever its status. Of several places the first with a code
    /// counts.
    #[must_use]
    pub fn error_code(mut self, paths: impl Into<MemberPaths>) -> Self {
        self.shape.error = paths.into().into_list();
        self
    }

    /// Counts lifetimes in milliseconds; in seconds by default.
    #[must_use]
    pub fn milliseconds(mut self) -> Self {
        self.shape.unit = Duration::from_millis(1);
        self
    }

    /// Takes any token type, and sends the token as a bearer token; by default only `Bearer`, `DPoP` and none, since another
    /// type may have to be sent in another way (RFC 6749 section 7.1). For issuers like eBay, whose `User Access Token` is
    /// one all the same.
    #[must_use]
    pub fn any_token_type(mut self) -> Self {
        self.shape.any_token_type = true;
        self
    }

    /// One more code that says that the grant is dead; by default `invalid_grant` and GitHub's `bad_refresh_token` do. It
    /// counts with any status, and whatever [`rejected_when`](Self::rejected_when) says.
    #[must_use]
    pub fn rejected_code(mut self, code: impl Into<Arc<str>>) -> Self {
        self.rejected_codes.push(code.into());
        self
    }

    /// One more status that says that the grant is dead, unless a page of HTML comes with it; none by default for the
    /// refresh token grant, 401 and 403 for home-grown endpoints. It counts whatever [`rejected_when`](Self::rejected_when)
    /// says.
    #[must_use]
    pub fn rejected_status(mut self, status: StatusCode) -> Self {
        self.rejected_statuses.push(status);
        self
    }

    /// One more code that says that the program is set up wrongly; by default those of RFC 6749 section 5.2 other than
    /// `invalid_grant`, and `invalid_target`, do.
    #[must_use]
    pub fn misconfigured_code(mut self, code: impl Into<Arc<str>>) -> Self {
        self.misconfigured_codes.push(code.into());
        self
    }

    /// Which answers say that the grant is dead. By default those with the code `invalid_grant` or `bad_refresh_token`; at a
    /// home-grown endpoint also a 401 or 403, unless it comes as HTML, since a firewall's page is no logout, or its code says
    /// that the program is set up wrongly.
    ///
    /// The predicate takes the place of that whole default, the two codes included. To add to it, name a
    /// [code](Self::rejected_code) or a [status](Self::rejected_status).
    ///
    /// ```
    /// use reqwest_auth_refresh::Dialect;
    ///
    /// // This one answers 401 when it is overrun as well.
    /// let dialect = Dialect::new().rejected_when(|answer| {
    ///     answer.status() == 401 && answer.member("reason").is_some_and(|reason| reason == "session_ended")
    /// });
    /// # drop(dialect);
    /// ```
    #[must_use]
    pub fn rejected_when(mut self, predicate: impl Fn(&RefreshAnswer<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.rejected_when = Some(Arc::new(predicate));
        self
    }

    /// Which answers say that it worked. By default those with a 2xx status and without an error; where no tokens are
    /// expected, a page of HTML says nothing either. Where tokens are expected, there must be an access token in any case.
    #[must_use]
    pub fn success_when(mut self, predicate: impl Fn(&RefreshAnswer<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.success_when = Some(Arc::new(predicate));
        self
    }

    /// Reads the JSON answer that the program's own login got from such an issuer, as [`Tokens::from_json`] reads one of RFC
    /// 6749. A moment of expiry goes before a lifetime here, because the answer may have been kept for a while. Statuses and
    /// predicates have no part in it.
    ///
    /// ```
    /// use reqwest_auth_refresh::Dialect;
    ///
    /// let dialect = Dialect::new().access_token("data.accessToken").refresh_token("data.refreshToken");
    /// let answer = r#"{"status": "success", "data": {"accessToken": "a", "refreshToken": "r", "user": "alice"}}"#;
    /// let tokens = dialect.tokens(answer)?;
    ///
    /// assert!(tokens.access_token().is_some() && tokens.refresh_token().is_some());
    /// assert_eq!(tokens.extra()["data"], serde_json::json!({"user": "alice"}));
    /// # Ok::<(), reqwest_auth_refresh::InvalidToken>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Tokens::from_json`].
    pub fn tokens(&self, answer: impl AsRef<[u8]>) -> Result<Tokens, InvalidToken> {
        TokenAnswer::kept(answer.as_ref(), &self.shape)
    }

    pub(crate) fn shape(&self) -> &AnswerShape {
        &self.shape
    }

    /// Whether `answer` says that the grant is dead. `statuses` are those that say so by default.
    pub(crate) fn is_rejected(&self, answer: &RefreshAnswer<'_>, statuses: &[StatusCode]) -> bool {
        let is = |list: &[StatusCode]| list.contains(&answer.status()) && !answer.is_html();
        let by_default = || {
            let blamed = self.misconfigured_codes.iter().any(|code| answer.code() == Some(code));
            !blamed
                && (REJECTED.iter().any(|code| answer.code() == Some(code)) || (is(statuses) && !self.blames(answer)))
        };
        self.rejected_codes.iter().any(|code| answer.code() == Some(code))
            || is(&self.rejected_statuses)
            || self.rejected_when.as_ref().map_or_else(by_default, |predicate| predicate(answer))
    }

    /// Whether the code of `answer` says that the program is set up wrongly.
    pub(crate) fn blames(&self, answer: &RefreshAnswer<'_>) -> bool {
        let own = self.misconfigured_codes.iter().map(|code| &**code);
        answer.code().is_some_and(|code| MISCONFIGURED.into_iter().chain(own).any(|known| known == code))
    }

    /// What the program says about whether `answer` is a success.
    pub(crate) fn is_success(&self, answer: &RefreshAnswer<'_>) -> Option<bool> {
        self.success_when.as_ref().map(|predicate| predicate(answer))
    }
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialect")
            .field("shape", &self.shape)
            .field("rejected_codes", &self.rejected_codes)
            .field("rejected_statuses", &self.rejected_statuses)
            .field("misconfigured_codes", &self.misconfigured_codes)
            .field("rejected_when", &self.rejected_when.is_some())
            .field("success_when", &self.success_when.is_some())
            .finish()
    }
}
