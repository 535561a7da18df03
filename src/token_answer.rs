//! The answer of a token endpoint (RFC 6749 section 5), read as leniently as real issuers need it.

use std::borrow::Cow;
use std::time::SystemTime;

use serde_json::Value;

use crate::answer_shape::AnswerShape;
use crate::answer_time::{lifetime, moment};
use crate::member_path::MemberPath;
use crate::members::Members;
use crate::tokens::{InvalidToken, Tokens};

impl Tokens {
    /// Reads a token endpoint's JSON answer (RFC 6749 section 5.1), as the program's own login flow received it.
    ///
    /// ```
    /// use reqwest_auth_refresh::Tokens;
    ///
    /// let answer = r#"{"access_token": "2YotnFZFEjr1zCsicMWpAA", "token_type": "Bearer", "expires_in": "3600",
    ///                  "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA", "instance_url": "https://eu.example.com"}"#;
    /// let tokens = Tokens::from_json(answer)?;
    ///
    /// assert_eq!(tokens.token_type(), Some("Bearer"));
    /// assert!(tokens.refresh_token().is_some());
    /// assert_eq!(tokens.extra()["instance_url"], "https://eu.example.com");
    /// # Ok::<(), reqwest_auth_refresh::InvalidToken>(())
    /// ```
    ///
    /// Only the access token must be there. A lifetime may be a number or a text; one that is zero, negative or makes no
    /// sense counts as unknown. `expires_at`, in seconds or milliseconds since 1970, goes before `expires_in`, because
    /// the answer may have been kept for a while. A scope may be a list. What has no accessor of its own goes to
    /// [`extra`](Self::extra).
    ///
    /// # Errors
    ///
    /// When it is no JSON object with an access token that can be sent, names a token type other than `Bearer` or `DPoP`,
    /// reports an error, or says one thing twice. The error never quotes the answer.
    pub fn from_json(answer: impl AsRef<[u8]>) -> Result<Self, InvalidToken> {
        TokenAnswer::kept(answer.as_ref(), &AnswerShape::default())
    }
}

/// How long ago the issuer gave an answer, which decides what to believe if it names both a lifetime and a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// Just now: the lifetime is right even if the clocks here and there differ.
    #[cfg_attr(not(feature = "_endpoint"), allow(dead_code, reason = "no built-in refresher reads an answer"))]
    Fresh,
    /// Perhaps long ago: only the moment says when it ends.
    Unknown,
}

/// What a token endpoint answered, as its members. Not `Debug`: they hold secrets.
pub(crate) struct TokenAnswer<'a> {
    members: Members,
    shape: &'a AnswerShape,
}

impl<'a> TokenAnswer<'a> {
    #[cfg_attr(not(feature = "_endpoint"), allow(dead_code, reason = "no built-in refresher reads an answer"))]
    pub(crate) fn read(body: &[u8], content_type: Option<&str>, shape: &'a AnswerShape) -> Result<Self, InvalidToken> {
        Ok(Self { members: Members::read(body, content_type, shape.single())?, shape })
    }

    /// The tokens of a JSON answer that the program received by itself, perhaps long ago.
    pub(crate) fn kept(body: &[u8], shape: &'a AnswerShape) -> Result<Tokens, InvalidToken> {
        let answer = Self { members: Members::of_json(body, shape.single())?, shape };
        if answer.error().is_some() { Err(InvalidToken::ErrorAnswer) } else { answer.into_tokens(Age::Unknown) }
    }

    #[cfg_attr(not(feature = "_endpoint"), allow(dead_code, reason = "no built-in refresher reads an answer"))]
    pub(crate) fn member(&self, path: &MemberPath) -> Option<&Value> {
        self.members.get(path)
    }

    /// The error code, if this is an error, with whatever status it came; empty where the code is neither text nor number.
    /// Zero is how some say that there was none.
    pub(crate) fn error(&self) -> Option<Cow<'_, str>> {
        let code = |path| match self.members.get(path)? {
            Value::Null | Value::Bool(false) => None,
            Value::String(code) if code.is_empty() => None,
            Value::String(code) => Some(Cow::from(code)),
            Value::Number(code) if code.as_f64() == Some(0.0) => None,
            Value::Number(code) => Some(Cow::from(code.to_string())),
            Value::Bool(true) | Value::Array(_) | Value::Object(_) => Some(Cow::default()),
        };
        // A code says more than that there is an error.
        self.shape.error.iter().filter_map(code).reduce(|found, next| if found.is_empty() { next } else { found })
    }

    /// The tokens that the issuer gave, if this is no error.
    pub(crate) fn into_tokens(mut self, age: Age) -> Result<Tokens, InvalidToken> {
        let shape = self.shape;
        self.take(&shape.error);
        let Some(Value::String(access_token)) = self.take(&shape.access_token) else {
            return Err(InvalidToken::NoAnswer);
        };
        let mut tokens = Tokens::new(access_token)?;
        if let Some(kind) = self.take_type()? {
            tokens = tokens.with_token_type(kind);
        }
        tokens = self.take_expiry(tokens, age);
        if let Some(Value::String(refresh_token)) = self.take(&shape.refresh_token) {
            tokens = tokens.with_refresh_token(refresh_token);
        }
        if let Some(scope) = self.take_scope() {
            tokens = tokens.with_scope(scope);
        }
        Ok(tokens.with_extra(self.members.into_map()))
    }

    /// Tokens that stay unseen: of this answer only their end is read.
    #[cfg_attr(not(feature = "_endpoint"), allow(dead_code, reason = "no built-in refresher reads an answer"))]
    pub(crate) fn into_unseen(mut self, age: Age) -> Tokens {
        self.take_expiry(Tokens::unseen(), age)
    }

    /// Takes what stands at these places away, and returns the first of it that says something.
    fn take(&mut self, places: &[MemberPath]) -> Option<Value> {
        let mut said = None;
        for place in places {
            let value = self.members.take(place).filter(|value| !value.is_null());
            said = said.or(value);
        }
        said
    }

    /// Only a type whose use is understood (RFC 6749 section 7.1). Some issuers name none, and mean a bearer token.
    fn take_type(&mut self) -> Result<Option<String>, InvalidToken> {
        let any = self.shape.any_token_type;
        match self.take(&self.shape.token_type) {
            None => Ok(None),
            Some(Value::String(kind)) if kind.is_empty() => Ok(None),
            Some(Value::String(kind))
                if any || ["bearer", "dpop"].iter().any(|known| kind.eq_ignore_ascii_case(known)) =>
            {
                Ok(Some(kind))
            }
            Some(_unknown) if any => Ok(None),
            Some(_unknown) => Err(InvalidToken::TokenType),
        }
    }

    fn take_expiry(&mut self, tokens: Tokens, age: Age) -> Tokens {
        let unit = self.shape.unit;
        let life = self.take(&self.shape.expires_in).and_then(|value| lifetime(&value, unit));
        let moment = self.take_moment().filter(|_| age == Age::Unknown || life.is_none());
        match (moment, life) {
            (Some(moment), _) => tokens.with_expires_at(moment),
            (None, Some(life)) => tokens.with_expires_in(life),
            (None, None) => tokens,
        }
    }

    /// Takes the moment of expiry, unless it is in a form that is not understood: then the program may know better.
    fn take_moment(&mut self) -> Option<SystemTime> {
        let mut moments = Vec::new();
        for place in &self.shape.expires_at {
            if let Some(moment) = self.members.get(place).and_then(moment) {
                self.members.take(place);
                moments.push(moment);
            }
        }
        moments.into_iter().next()
    }

    /// Takes the scope, which some issuers write as a list. An empty one says nothing.
    fn take_scope(&mut self) -> Option<String> {
        let scope = match self.take(&self.shape.scope)? {
            Value::String(scope) => scope,
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
        };
        (!scope.is_empty()).then_some(scope)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::clock::Wall;

    const JSON: Option<&str> = Some("application/json");
    const FORM: Option<&str> = Some("Application/X-WWW-Form-Urlencoded; charset=utf-8");
    const TEXT: Option<&str> = Some("text/plain; charset=utf-8");
    const HTML: Option<&str> = Some("text/html");

    fn read(body: impl AsRef<[u8]>, content_type: Option<&str>) -> Result<Tokens, InvalidToken> {
        let shape = AnswerShape::default();
        let answer = TokenAnswer::read(body.as_ref(), content_type, &shape)?;
        if answer.error().is_some() { Err(InvalidToken::ErrorAnswer) } else { answer.into_tokens(Age::Fresh) }
    }

    /// Seconds from the moment of receipt, or since 1970, whichever was said.
    fn life(tokens: Tokens) -> Option<u64> {
        let at = tokens.settled(Wall(0)).expires_at()?;
        Some(at.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn of_a_lifetime_and_a_moment_the_one_is_believed_that_can_be_right() {
        let both = r#"{"access_token":"at","expires_in":60,"expires_at":1900000000}"#;
        assert_eq!(life(read(both, JSON).unwrap()), Some(60), "just received: the clocks may differ");
        assert_eq!(life(Tokens::from_json(both).unwrap()), Some(1_900_000_000), "perhaps kept for a while");
        let useless = r#"{"access_token":"at","expires_in":0,"expires_at":1900000000}"#;
        assert_eq!(life(read(useless, JSON).unwrap()), Some(1_900_000_000));
        assert_eq!(life(read(r#"{"access_token":"at"}"#, JSON).unwrap()), None);
    }

    #[test]
    fn a_moment_that_is_not_understood_is_left_to_the_program() {
        for (written, understood) in [("1900000000", true), ("\"2030-03-17T17:46:40Z\"", false), ("0", false)] {
            let tokens = read(format!(r#"{{"access_token":"at","expires_at":{written}}}"#), JSON).unwrap();
            assert_eq!(tokens.extra().contains_key("expires_at"), !understood, "{written}");
            assert_eq!(life(tokens).is_some(), understood, "{written}");
        }
    }

    #[test]
    fn each_member_is_taken_as_issuers_write_it() {
        // the answer; access token, refresh token; type; scope; the names of the others
        type Case<'a> = (&'a str, [Option<&'a str>; 2], Option<&'a str>, Option<&'a str>, &'a [&'a str]);
        let cases: [Case<'_>; 17] = [
            (r#"{"access_token":"at"}"#, [Some("at"), None], None, None, &[]),
            (r#"{"access_token":"at","token_type":"bEaReR"}"#, [Some("at"), None], Some("bEaReR"), None, &[]),
            (r#"{"access_token":"at","token_type":"DPoP"}"#, [Some("at"), None], Some("DPoP"), None, &[]),
            (r#"{"access_token":"at","token_type":null}"#, [Some("at"), None], None, None, &[]),
            (r#"{"access_token":"at","token_type":""}"#, [Some("at"), None], None, None, &[]),
            (r#"{"access_token":"at","refresh_token":"r/%+ t"}"#, [Some("at"), Some("r/%+ t")], None, None, &[]),
            (r#"{"access_token":"at","refresh_token":""}"#, [Some("at"), None], None, None, &[]),
            (r#"{"access_token":"at","refresh_token":null}"#, [Some("at"), None], None, None, &[]),
            (r#"{"access_token":"at","refresh_token":false}"#, [Some("at"), None], None, None, &[]),
            (r#"{"access_token":"at","scope":"a b"}"#, [Some("at"), None], None, Some("a b"), &[]),
            (r#"{"access_token":"at","scope":["a","b"]}"#, [Some("at"), None], None, Some("a b"), &[]),
            (r#"{"access_token":"at","scope":null}"#, [Some("at"), None], None, None, &[]),
            (r#"{"access_token":"at","scope":""}"#, [Some("at"), None], None, None, &[]),
            (r#"{"access_token":"at","error":null}"#, [Some("at"), None], None, None, &[]),
            (r#"{"access_token":"at","error":""}"#, [Some("at"), None], None, None, &[]),
            (r#"{"access_token":"at","id_token":"i","ok":true}"#, [Some("at"), None], None, None, &["id_token", "ok"]),
            ("\u{FEFF}\r\n {\"access_token\":\"\\u0061t\"}\n", [Some("at"), None], None, None, &[]),
        ];
        for (body, texts, kind, scope, extra) in cases {
            for content_type in [JSON, None, TEXT, HTML, FORM] {
                let tokens = read(body, content_type).unwrap();
                assert_eq!(tokens.texts(), texts, "{body}");
                assert_eq!((tokens.token_type(), tokens.scope()), (kind, scope), "{body}");
                assert_eq!(tokens.extra().keys().collect::<Vec<_>>(), extra, "{body}");
            }
        }
    }

    #[test]
    fn a_form_is_read_like_json() {
        let body = "access_token=a%2Bt&refresh_token=r%2F+t&expires_in=3600&token_type=bearer&scope=a+b&x=1\r\n";
        for content_type in [FORM, TEXT, None, HTML, JSON] {
            let tokens = read(body, content_type).unwrap();
            assert_eq!(tokens.texts(), [Some("a+t"), Some("r/ t")]);
            assert_eq!((tokens.scope(), &tokens.extra()["x"]), (Some("a b"), &Value::from("1")));
            assert_eq!(life(tokens), Some(3600));
        }
        assert_eq!(Tokens::from_json(body).unwrap_err(), InvalidToken::NoAnswer);
    }

    #[test]
    fn what_is_no_answer_is_a_typed_error() {
        use InvalidToken::{Empty, ErrorAnswer, NoAnswer, Repeated, TokenType, Unsendable};
        let deep = format!(r#"{{"access_token":"at","x":{}}}"#, "[".repeat(100_000));
        let cases: [(&[u8], InvalidToken); 29] = [
            (b"", NoAnswer),
            (b"   ", NoAnswer),
            (b"null", NoAnswer),
            (b"[]", NoAnswer),
            (b"\"access_token\"", NoAnswer),
            (b"{}", NoAnswer),
            (b"{", NoAnswer),
            (br#"{"access_token":"at""#, NoAnswer),
            (br#"{"access_token":"at"}{}"#, NoAnswer),
            (b"{\"access_token\":\"\xFF\"}", NoAnswer),
            (deep.as_bytes(), NoAnswer),
            (b"<html><a href='/?x=1&access_token=at&'>go</a></html>", NoAnswer),
            (b"sorry &access_token=at& but no", NoAnswer),
            (b"\0\0\0\0", NoAnswer),
            (br#"{"access_token":null}"#, NoAnswer),
            (br#"{"access_token":12345}"#, NoAnswer),
            (br#"{"access_token":["at"]}"#, NoAnswer),
            (br#"{"data":{"access_token":"at"}}"#, NoAnswer),
            (br#"{"access_token":""}"#, Empty),
            (br#"{"access_token":"a t"}"#, Unsendable),
            (br#"{"access_token":"at","token_type":"mac"}"#, TokenType),
            (br#"{"access_token":"at","token_type":"N_A"}"#, TokenType),
            (br#"{"access_token":"at","token_type":7}"#, TokenType),
            (br#"{"access_token":"at","error":"invalid_grant"}"#, ErrorAnswer),
            (br#"{"access_token":"at","error":{"code":400}}"#, ErrorAnswer),
            (b"error=bad_refresh_token&error_description=The+token", ErrorAnswer),
            (br#"{"access_token":"at","access_token":"at"}"#, Repeated),
            (b"access_token=at&access_token=other", Repeated),
            (b"access_token=at&error=&error=x", Repeated),
        ];
        for (body, expected) in cases {
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert_eq!(read(body, None).err(), Some(expected), "{shown}");
        }
    }

    #[test]
    fn any_byte_in_an_access_token_is_refused_or_comes_out_as_it_went_in() {
        let mut intact = 0;
        for byte in 0..=u8::MAX {
            for position in 0..3 {
                let mut token = b"xyz".to_vec();
                token[position] = byte;
                let raw = [b"{\"access_token\":\"", token.as_slice(), b"\"}"].concat();
                let latin: String = token.iter().copied().map(char::from).collect();
                let json = serde_json::json!({ "access_token": latin }).to_string();
                let escaped = token.iter().map(|byte| format!("\\u{byte:04x}")).collect::<Vec<_>>().concat();
                let escaped = format!(r#"{{"access_token":"{escaped}"}}"#);
                let form = token.iter().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
                let form = format!("access_token={form}");
                for (body, encoded) in [
                    (raw.as_slice(), false),
                    (json.as_bytes(), true),
                    (escaped.as_bytes(), true),
                    (form.as_bytes(), true),
                ] {
                    let sendable = matches!(byte, 0x21..=0x7E);
                    match read(body, None) {
                        Ok(tokens) => {
                            assert!(sendable, "{byte:#04x} at {position}");
                            assert_eq!(tokens.texts()[0].map(str::as_bytes), Some(token.as_slice()));
                            intact += 1;
                        }
                        Err(_refused) => assert!(!encoded || !sendable, "{byte:#04x} at {position}"),
                    }
                }
            }
        }
        // 94 characters can be sent; written raw, a quote and a backslash are JSON's own.
        assert_eq!(intact, 3 * (94 * 4 - 2));
    }
}
