//! The shape of a home-grown refresh request: what it holds, and where.

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use secrecy::SecretString;
use serde_json::Value;

use crate::member_path::MemberPath;
use crate::refresh::error::RefreshError;
use crate::refresh::setup::SetupError;
use crate::refresh::wire::{self, Sent, Written};
use crate::tokens::Tokens;

/// Where a token is written.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Nowhere,
    Member(MemberPath),
    /// After this prefix.
    Header(HeaderName, String),
}

/// A value that is the same in each request. A text may be a secret.
#[derive(Clone)]
enum Fixed {
    Text(SecretString),
    Other(Value),
}

/// What a request holds, and where. Not `Debug`: it holds secrets.
#[derive(Clone)]
pub(crate) struct JsonRequest {
    has_body: bool,
    pub(crate) refresh_token: Place,
    pub(crate) access_token: Place,
    members: Vec<(MemberPath, Fixed)>,
    headers: Vec<(HeaderName, SecretString)>,
}

impl Place {
    pub(crate) fn member(path: &str) -> Self {
        Self::Member(MemberPath::new(path))
    }

    pub(crate) fn header(name: &str, prefix: String) -> Result<Self, SetupError> {
        HeaderValue::from_str(&prefix).map_err(|_quoting| SetupError::Header)?;
        Ok(Self::Header(header_name(name)?, prefix))
    }

    fn path(&self) -> Option<&MemberPath> {
        match self {
            Self::Member(path) => Some(path),
            Self::Nowhere | Self::Header(..) => None,
        }
    }

    fn header_name(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name, _) => Some(name),
            Self::Nowhere | Self::Member(_) => None,
        }
    }
}

impl JsonRequest {
    /// A request with the refresh token at this place, and nothing else.
    pub(crate) fn new(has_body: bool, refresh_token: Place) -> Self {
        Self { has_body, refresh_token, access_token: Place::Nowhere, members: Vec::new(), headers: Vec::new() }
    }

    pub(crate) fn with_member(mut self, path: &str, value: Value) -> Result<Self, SetupError> {
        let value = if let Value::String(text) = value { Fixed::Text(text.into()) } else { Fixed::Other(value) };
        self.members.push((MemberPath::new(path), value));
        self.checked()
    }

    pub(crate) fn with_header(mut self, name: &str, value: SecretString) -> Result<Self, SetupError> {
        let name = header_name(name)?;
        wire::secret_header("", &value).ok_or(SetupError::Header)?;
        self.headers.push((name, value));
        self.checked()
    }

    /// That nothing is written where something else is, or where there is no room for it.
    pub(crate) fn checked(self) -> Result<Self, SetupError> {
        let tokens = [&self.refresh_token, &self.access_token];
        let paths = tokens.iter().filter_map(|place| place.path()).chain(self.members.iter().map(|(path, _)| path));
        let paths: Vec<&[String]> = paths.map(MemberPath::names).collect();
        if !self.has_body && !paths.is_empty() {
            return Err(SetupError::NoBody);
        }
        for (at, path) in paths.iter().enumerate() {
            let meets = |other: &&[String]| path.starts_with(other) || other.starts_with(path);
            if path.iter().any(String::is_empty) || paths[..at].iter().any(meets) {
                return Err(SetupError::Taken(path.join(".")));
            }
        }
        let names =
            tokens.iter().filter_map(|place| place.header_name()).chain(self.headers.iter().map(|(name, _)| name));
        let names: Vec<&HeaderName> = names.collect();
        match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            Some((_, name)) => Err(SetupError::Taken(name.to_string())),
            None => Ok(self),
        }
    }

    /// The headers that are the same in each request.
    pub(crate) fn fixed_headers(&self) -> HeaderMap {
        let fixed = self.headers.iter().map(|(name, value)| (name, wire::secret_header("", value)));
        let mut headers: HeaderMap = fixed.filter_map(|(name, value)| Some((name.clone(), value?))).collect();
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        headers
    }

    /// The headers and the body of the request that is to replace `tokens`; no body if nothing is to be in it. What is needed
    /// and not there cannot come back by itself: somebody has to log in.
    pub(crate) fn write(&self, tokens: Option<&Tokens>) -> Result<(HeaderMap, Option<Vec<u8>>), RefreshError> {
        let mut headers = self.fixed_headers();
        let mut members = Vec::with_capacity(self.members.len() + 2);
        let refresh_token = tokens.and_then(Tokens::refresh_token);
        let access_token = tokens.and_then(Tokens::access_token);
        for (place, token, missing, unsendable) in [
            (&self.refresh_token, refresh_token, "no_refresh_token", "unsendable_refresh_token"),
            (&self.access_token, access_token, "no_access_token", "unsendable_access_token"),
        ] {
            let needed = || token.ok_or_else(|| RefreshError::rejected(missing));
            match place {
                Place::Nowhere => {}
                Place::Member(path) => members.push((path.names(), Written::Secret(needed()?))),
                Place::Header(name, prefix) => {
                    let value = wire::secret_header(prefix, needed()?);
                    headers.insert(name, value.ok_or_else(|| RefreshError::misconfigured(unsendable))?);
                }
            }
        }
        members.extend(self.members.iter().map(|(path, fixed)| match fixed {
            Fixed::Text(text) => (path.names(), Written::Secret(text)),
            Fixed::Other(value) => (path.names(), Written::Value(value)),
        }));
        if members.is_empty() {
            // An empty body is no JSON, and a server that is told it were would complain.
            return Ok((headers, None));
        }
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        Ok((headers, Some(wire::json_body(members))))
    }

    /// What must not come back in a message.
    pub(crate) fn secrets<'a>(&'a self, tokens: Option<&'a Tokens>) -> Sent<'a> {
        let held = tokens.into_iter().flat_map(|tokens| [tokens.refresh_token(), tokens.access_token()]);
        let texts = self.members.iter().filter_map(|(_, fixed)| match fixed {
            Fixed::Text(text) => Some(text),
            Fixed::Other(_) => None,
        });
        let texts = texts.chain(self.headers.iter().map(|(_, value)| value));
        Sent::new(held.flatten()).and_perhaps(texts)
    }

    /// The names of the members and headers that are the same in each request.
    pub(crate) fn fixed_names(&self) -> Vec<String> {
        let members = self.members.iter().map(|(path, _)| path.names().join("."));
        members.chain(self.headers.iter().map(|(name, _)| name.to_string())).collect()
    }
}

/// A header that is not the client's own business.
fn header_name(name: &str) -> Result<HeaderName, SetupError> {
    let name = HeaderName::try_from(name).map_err(|_quoting| SetupError::Header)?;
    let own = [CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name);
    if own { Err(SetupError::Header) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn old() -> Tokens {
        Tokens::new("a.t").unwrap().with_refresh_token("r/\"\\\n\u{1}é")
    }

    fn written(request: &JsonRequest, tokens: &Tokens) -> (Vec<(String, String)>, Option<String>) {
        let (headers, body) = request.write(Some(tokens)).unwrap();
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        (headers, body.map(|body| String::from_utf8(body).unwrap()))
    }

    #[test]
    fn each_value_stands_in_its_place() {
        let json = |body: &str| (vec!["accept: application/json", "content-type: application/json"], body.to_owned());
        let refresh_token = json!("r/\"\\\n\u{1}é").to_string();
        let at = |path| JsonRequest::new(true, Place::member(path));
        let mut both = at("auth.refreshToken");
        both.access_token = Place::member("auth.accessToken");
        let device = at("r").with_member("device.id", json!("d")).unwrap().with_member("n", json!([1, null])).unwrap();
        let device = device.with_member("device.os", json!({"name": "x"})).unwrap();
        let cases = [
            (at("refresh_token"), json(&format!(r#"{{"refresh_token":{refresh_token}}}"#))),
            (at("/a.b/c~1d"), json(&format!(r#"{{"a.b":{{"c/d":{refresh_token}}}}}"#))),
            (both, json(&format!(r#"{{"auth":{{"refreshToken":{refresh_token},"accessToken":"a.t"}}}}"#))),
            (
                device,
                json(&format!(r#"{{"r":{refresh_token},"device":{{"id":"d","os":{{"name":"x"}}}},"n":[1,null]}}"#)),
            ),
        ];
        for (request, (headers, body)) in cases {
            let (found, written) = written(&request, &old());
            assert_eq!(written.as_deref(), Some(body.as_str()));
            let mut found: Vec<_> = found.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            found.sort_unstable();
            assert_eq!(found, headers, "{body}");
        }
    }

    #[test]
    fn a_header_holds_its_prefix_and_the_token_and_is_sensitive() {
        let bearer = Place::header("Authorization", "Bearer ".to_owned()).unwrap();
        let mut request = JsonRequest::new(false, bearer).with_header("X-Key", "k".into()).unwrap();
        request.access_token = Place::header("x-old", String::new()).unwrap();
        let tokens = Tokens::new("at").unwrap().with_refresh_token("r té");
        let (headers, body) = request.write(Some(&tokens)).unwrap();
        assert_eq!(headers["authorization"].as_bytes(), "Bearer r té".as_bytes());
        assert_eq!((headers["x-old"].as_bytes(), headers["x-key"].as_bytes(), body), (&b"at"[..], &b"k"[..], None));
        assert_eq!((headers.len(), headers.contains_key("content-type")), (4, false));
        assert!(["authorization", "x-old", "x-key"].iter().all(|name| headers[*name].is_sensitive()));

        let unsendable = Tokens::new("at").unwrap().with_refresh_token("r\r\nx: y");
        assert_eq!(request.write(Some(&unsendable)).unwrap_err().code(), Some("unsendable_refresh_token"));
    }

    #[test]
    fn what_is_said_otherwise_takes_the_place_of_what_is_usual() {
        let request = JsonRequest::new(true, Place::member("r"));
        let request = request.with_header("accept", "application/vnd.api+json".into()).unwrap();
        let request = request.with_header("content-type", "application/vnd.api+json".into()).unwrap();
        let (headers, _) = written(&request, &old());
        assert!(
            headers.len() == 2 && headers.iter().all(|(_, value)| value == "application/vnd.api+json"),
            "{headers:?}"
        );
    }

    #[test]
    fn what_is_needed_and_not_there_is_a_rejection() {
        let mut request = JsonRequest::new(true, Place::member("r"));
        let code = |request: &JsonRequest, tokens: Option<&Tokens>| {
            request.write(tokens).map_err(|error| error.code().map(str::to_owned)).err().flatten()
        };
        let [bare, unseen] = [Tokens::new("at").unwrap(), Tokens::unseen().with_refresh_token("rt")];
        assert_eq!(code(&request, None).as_deref(), Some("no_refresh_token"));
        assert_eq!(code(&request, Some(&bare)).as_deref(), Some("no_refresh_token"));
        assert_eq!(code(&request, Some(&unseen)), None);
        request.access_token = Place::header("x", String::new()).unwrap();
        assert_eq!(code(&request, Some(&unseen)).as_deref(), Some("no_access_token"));
        request.refresh_token = Place::Nowhere;
        assert_eq!(code(&request, Some(&bare)), None);
    }

    #[test]
    fn two_things_never_stand_in_one_place() {
        let request = || {
            let mut request = JsonRequest::new(true, Place::member("auth.r"));
            request.access_token = Place::header("X-At", String::new()).unwrap();
            let request = request.with_member("a.b", json!(1)).unwrap();
            request.with_header("x-key", "k".into()).unwrap()
        };
        for (path, fits) in [
            ("c", true),
            ("a.c", true),
            ("auth.s", true),
            ("authr", true),
            ("a", false),
            ("a.b", false),
            ("/a/b", false),
            ("a.b.c", false),
            ("auth", false),
            ("auth.r", false),
            ("auth.r.x", false),
            ("", false),
            ("c.", false),
            ("/", false),
        ] {
            assert_eq!(request().with_member(path, json!("x")).is_ok(), fits, "{path}");
            assert!(JsonRequest::new(false, Place::Nowhere).with_member(path, json!("x")).is_err(), "{path}");
        }
        for (name, fits) in [
            ("x-other", true),
            ("Accept", true),
            ("X-KEY", false),
            ("x-at", false),
            ("content-length", false),
            ("transfer-encoding", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(request().with_header(name, "v".into()).is_ok(), fits, "{name}");
        }
        assert!(request().with_header("x", "a\nb".into()).is_err() && Place::header("x", "\r".to_owned()).is_err());
        let mut twice = request();
        twice.refresh_token = Place::header("x-at", "Bearer ".to_owned()).unwrap();
        assert!(matches!(twice.checked(), Err(SetupError::Taken(name)) if name == "x-at"));
        let mut twice = request();
        twice.access_token = Place::member("a.b");
        assert!(matches!(twice.checked(), Err(SetupError::Taken(path)) if path == "a.b"));
    }

    #[test]
    fn what_may_be_a_secret_is_known_when_it_comes_back() {
        let request = JsonRequest::new(true, Place::Nowhere).with_member("s", json!("member-secret")).unwrap();
        let request = request.with_member("web", json!("web")).unwrap();
        let request = request.with_header("x-key", "Key header-secret".into()).unwrap();
        let tokens = Tokens::new("at").unwrap().with_refresh_token("rt");
        let secrets = request.secrets(Some(&tokens));
        for (text, expected) in [
            ("bad rt", true),
            ("at", true),
            ("no member-secret", true),
            ("header-secret!", true),
            ("no web", false),
            ("Key", false),
        ] {
            assert_eq!(secrets.is_echoed_in(text), expected, "{text}");
        }
    }
}
