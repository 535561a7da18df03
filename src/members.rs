//! The members of an issuer's answer, whether it comes as JSON or as a form.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::member_path::MemberPath;
use crate::tokens::InvalidToken;

/// The members of an answer. Not `Debug`: they hold secrets.
#[derive(Default)]
pub(crate) struct Members(Map<String, Value>);

impl Members {
    /// Reads JSON or a form, as the content type and the look of it say. Nothing on the way to a `single` place may be
    /// there twice.
    ///
    /// Content types are often wrong, so what begins like an object is JSON. Anything else is a form if it is called
    /// one, or has no byte that a form would have encoded: a page of HTML may well hold `&error=invalid_grant&`.
    #[cfg_attr(not(feature = "_endpoint"), allow(dead_code, reason = "no built-in refresher reads an answer"))]
    pub(crate) fn read(body: &[u8], content_type: Option<&str>, single: Vec<&[String]>) -> Result<Self, InvalidToken> {
        let body = trimmed(body);
        let plain = |byte: &u8| matches!(byte, 0x21..=0x7E) && !b"<>\"{}".contains(byte);
        if body.starts_with(b"{") {
            Self::of_json(body, single)
        } else if content_type.is_some_and(is_form) || body.iter().all(plain) {
            Self::of_form(body, &single)
        } else {
            Err(InvalidToken::NoAnswer)
        }
    }

    /// Reads a JSON object.
    pub(crate) fn of_json(body: &[u8], single: Vec<&[String]>) -> Result<Self, InvalidToken> {
        let repeated = Cell::new(false);
        let mut json = serde_json::Deserializer::from_slice(trimmed(body));
        let map = (&mut json).deserialize_map(OneByOne { single, repeated: &repeated });
        // The parser's own error would quote what it stumbled on, which may be a token.
        match (map, json.end()) {
            (Ok(Value::Object(_)), Ok(())) if repeated.get() => Err(InvalidToken::Repeated),
            (Ok(Value::Object(map)), Ok(())) => Ok(Self(map)),
            _ => Err(InvalidToken::NoAnswer),
        }
    }

    #[cfg_attr(not(feature = "_endpoint"), allow(dead_code, reason = "no built-in refresher reads an answer"))]
    fn of_form(body: &[u8], single: &[&[String]]) -> Result<Self, InvalidToken> {
        let mut map = Map::new();
        for (name, value) in form_urlencoded::parse(body) {
            let is_single = single.iter().any(|path| matches!(path, [only] if **only == *name));
            let before = map.insert(name.into_owned(), Value::String(value.into_owned()));
            if is_single && before.is_some() {
                return Err(InvalidToken::Repeated);
            }
        }
        Ok(Self(map))
    }

    pub(crate) fn get(&self, path: &MemberPath) -> Option<&Value> {
        path.get(&self.0)
    }

    pub(crate) fn take(&mut self, path: &MemberPath) -> Option<Value> {
        path.take(&mut self.0)
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

/// Reads a value through which the way to a single place leads. Members one by one, because a map alone would keep the
/// last of two and say nothing.
struct OneByOne<'a> {
    /// What is left of the ways from here on.
    single: Vec<&'a [String]>,
    repeated: &'a Cell<bool>,
}

impl<'a> OneByOne<'a> {
    /// The ways that lead through this member: whether there are any, and what is left of those that go on.
    fn through(&self, name: &str) -> (bool, Self) {
        let tails = self.single.iter().filter_map(|way| way.split_first()).filter(|(first, _)| *first == name);
        let tails: Vec<&'a [String]> = tails.map(|(_, tail)| tail).collect();
        let any = !tails.is_empty();
        let single = tails.into_iter().filter(|tail| !tail.is_empty()).collect();
        (any, Self { single, repeated: self.repeated })
    }
}

impl<'de> DeserializeSeed<'de> for OneByOne<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        // What nobody looks into may be what it likes.
        if self.single.is_empty() {
            serde::Deserialize::deserialize(deserializer)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for OneByOne<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let (single, way) = self.through(&name);
            let value = entries.next_value_seed(way)?;
            if map.insert(name, value).is_some() && single {
                self.repeated.set(true);
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.through(&list.len().to_string()).1)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
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
            let found = Members::read(body, content_type, Vec::new()).ok().map(|members| members.into_map().len());
            assert_eq!(found, expected, "{:?} as {content_type:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_matters_must_not_come_twice() {
        let paths = ["at", "error.code", "data.a.b", "list.1.x", "/d.t"].map(MemberPath::new);
        let single = || paths.iter().map(MemberPath::names).collect::<Vec<_>>();
        let cases = [
            (r#"{"x":1,"x":2}"#, false),
            (r#"{"a":{"at":1,"at":2}}"#, false),
            (r#"{"data":{"x":{"y":1,"y":2},"x":1}}"#, false),
            (r#"{"data":{"a":{"b":{"c":1,"c":2}}}}"#, false),
            (r#"{"list":[{"x":1,"x":2},{"y":1,"y":2},{"x":1,"x":2}]}"#, false),
            (r#"{"at":[{"at":1}],"error":null,"data":-1,"list":1.5}"#, false),
            (r#"{"at":true,"error":"x","data":18446744073709551615,"list":false}"#, false),
            (r#"{"at":null,"at":"x"}"#, true),
            (r#"{"error":{"code":1,"code":1}}"#, true),
            (r#"{"error":{"code":1},"error":{"code":1}}"#, true),
            (r#"{"error":null,"error":{}}"#, true),
            (r#"{"data":{"a":{"b":1},"a":2}}"#, true),
            (r#"{"data":{"a":{"b":1,"b":2}}}"#, true),
            (r#"{"list":[0,{"x":1,"x":2}]}"#, true),
            (r#"{"list":[],"\u006cist":[]}"#, true),
            (r#"{"d.t":1,"d.t":2}"#, true),
            ("at=&x=1&x=2&error=1&error=2", false),
            ("at=&at=x", true),
            ("d.t=1&d.t=2", true),
        ];
        for (body, repeated) in cases {
            let found = Members::read(body.as_bytes(), None, single());
            assert_eq!(found.as_ref().err(), repeated.then_some(&InvalidToken::Repeated), "{body}");
            // Whoever looks closely reads the same.
            if let (Ok(found), true) = (found, body.starts_with('{')) {
                assert_eq!(Value::Object(found.into_map()), serde_json::from_str::<Value>(body).unwrap(), "{body}");
            }
        }
    }
}
