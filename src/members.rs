//! The members of an issuer's answer, whether it comes as JSON or as a form.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::tokens::InvalidToken;

/// The members of an answer that need not be there twice: which of the two would be believed?
const SINGLE: [&str; 6] = ["access_token", "refresh_token", "expires_in", "expires_at", "token_type", "error"];

/// The top-level members of an answer. Not `Debug`: they hold secrets.
#[derive(Default)]
pub(crate) struct Members {
    map: Map<String, Value>,
    repeated: bool,
}

impl Members {
    /// Reads JSON or a form, as the content type and the look of it say.
    ///
    /// Content types are often wrong, so what begins like an object is JSON. Anything else is a form if it is called
    /// one, or has no byte that a form would have encoded: a page of HTML may well hold `&error=invalid_grant&`.
    #[cfg_attr(not(feature = "_endpoint"), allow(dead_code, reason = "no built-in refresher reads an answer"))]
    pub(crate) fn read(body: &[u8], content_type: Option<&str>) -> Result<Self, InvalidToken> {
        let body = trimmed(body);
        let plain = |byte: &u8| matches!(byte, 0x21..=0x7E) && !b"<>\"{}".contains(byte);
        if body.starts_with(b"{") {
            Self::of_json(body)
        } else if content_type.is_some_and(is_form) || body.iter().all(plain) {
            Self::of_form(body)
        } else {
            Err(InvalidToken::NoAnswer)
        }
    }

    /// Reads a JSON object.
    pub(crate) fn of_json(body: &[u8]) -> Result<Self, InvalidToken> {
        // The parser's own error would quote what it stumbled on, which may be a token.
        let members: Self = serde_json::from_slice(trimmed(body)).map_err(|_quoting| InvalidToken::NoAnswer)?;
        members.checked()
    }

    #[cfg_attr(not(feature = "_endpoint"), allow(dead_code, reason = "no built-in refresher reads an answer"))]
    fn of_form(body: &[u8]) -> Result<Self, InvalidToken> {
        let mut members = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            members.insert(name.into_owned(), Value::String(value.into_owned()));
        }
        members.checked()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.map
    }

    fn insert(&mut self, name: String, value: Value) {
        let single = SINGLE.contains(&name.as_str());
        self.repeated |= self.map.insert(name, value).is_some() && single;
    }

    fn checked(self) -> Result<Self, InvalidToken> {
        if self.repeated { Err(InvalidToken::Repeated) } else { Ok(self) }
    }
}

/// One by one, because a map alone would keep the last of two and say nothing.
impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneByOne;

        impl<'de> Visitor<'de> for OneByOne {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry()? {
                    members.insert(name, value);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(OneByOne)
    }
}

fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Without the byte order mark that some issuers put first, which JSON knows nothing of, and without white space.
fn trimmed(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_form_throughout_is_taken_for_one() {
        let form = Some("Application/X-WWW-Form-Urlencoded; charset=utf-8");
        let cases: [(&[u8], Option<&str>, Option<usize>); 12] = [
            (b"a=1&b=2", None, Some(2)),
            (b"a=1&b=2\n", Some("text/html"), Some(2)),
            (b"\xEF\xBB\xBFa=1", None, Some(1)),
            (b"", None, Some(0)),
            (b"{\"a\":1}", form, Some(1)),
            (b"{\"a\":1", None, None),
            (b"a=1&b=two words", Some("text/plain"), None),
            (b"a=1&b=two words", form, Some(2)),
            (b"<a_href=?x&error=invalid_grant&>", Some("text/html"), None),
            (b"<a_href=?x&error=invalid_grant&>", None, None),
            (b"[\"a=1&error=invalid_grant\"]", Some("application/json"), None),
            (b"a=\xC3\xA9", None, None),
        ];
        for (body, content_type, expected) in cases {
            let found = Members::read(body, content_type).ok().map(|members| members.into_map().len());
            assert_eq!(found, expected, "{:?} as {content_type:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_matters_must_not_come_twice() {
        for name in SINGLE {
            let twice = format!(r#"{{"a":1,"{name}":null,"{name}":"x"}}"#);
            assert_eq!(Members::of_json(twice.as_bytes()).err(), Some(InvalidToken::Repeated), "{name}");
            let twice = format!("a=1&{name}=&{name}=x");
            assert_eq!(Members::read(twice.as_bytes(), None).err(), Some(InvalidToken::Repeated), "{name}");
        }
        assert!(Members::of_json(br#"{"x":1,"x":2}"#).is_ok(), "what nobody reads may come twice");
    }
}
