//! What is sent to an endpoint, as bytes. No I/O.

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use serde_json::Value;
use zeroize::Zeroizing;

/// No text shorter than this is taken for a secret that nobody called one.
const SHORTEST_SECRET: usize = 8;

/// Who asks, and how it proves that.
#[derive(Debug, Clone)]
pub(crate) struct ClientIdentity {
    pub(crate) id: String,
    pub(crate) authentication: Authentication,
}

/// One way of client authentication, never two (RFC 6749 section 2.3).
#[derive(Debug, Clone)]
pub(crate) enum Authentication {
    /// A public client says who it is and proves nothing.
    Public,
    /// In the `Authorization` header, encoded as section 2.3.1 wants it.
    Basic(SecretString),
    /// In the `Authorization` header, as it is.
    BasicRaw(SecretString),
    /// In the form.
    Post(SecretString),
}

impl ClientIdentity {
    /// User name and password for the `Authorization` header, if that is the way.
    pub(crate) fn basic(&self) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
        let (encode, secret): (fn(&str) -> String, _) = match &self.authentication {
            Authentication::Basic(secret) => {
                (|text| form_urlencoded::byte_serialize(text.as_bytes()).collect(), secret)
            }
            Authentication::BasicRaw(secret) => (str::to_owned, secret),
            Authentication::Public | Authentication::Post(_) => return None,
        };
        Some((Zeroizing::new(encode(&self.id)), Zeroizing::new(encode(secret.expose_secret()))))
    }

    /// What stands in the form of each request.
    fn in_form(&self) -> Vec<(&'static str, &str)> {
        match &self.authentication {
            Authentication::Public => vec![("client_id", self.id.as_str())],
            Authentication::Post(secret) => {
                vec![("client_id", self.id.as_str()), ("client_secret", secret.expose_secret())]
            }
            Authentication::Basic(_) | Authentication::BasicRaw(_) => Vec::new(),
        }
    }

    pub(crate) fn secret(&self) -> Option<&SecretString> {
        match &self.authentication {
            Authentication::Basic(secret) | Authentication::BasicRaw(secret) | Authentication::Post(secret) => {
                Some(secret)
            }
            Authentication::Public => None,
        }
    }
}

/// The body of a revocation (RFC 7009 section 2.1).
pub(crate) fn revocation_form(token: &SecretString, hint: &str, client: &ClientIdentity) -> String {
    let mut pairs = vec![("token", token.expose_secret()), ("token_type_hint", hint)];
    pairs.extend(client.in_form());
    form(pairs)
}

/// The body of a refresh request. What is empty counts as left out (RFC 6749 section 3.2), and is.
pub(crate) fn refresh_form(
    refresh_token: &SecretString,
    client: &ClientIdentity,
    scope: Option<&str>,
    parameters: &[(String, SecretString)],
) -> String {
    let mut pairs = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
    pairs.extend(client.in_form());
    pairs.extend(scope.map(|scope| ("scope", scope)));
    pairs.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.expose_secret())));
    form(pairs)
}

fn form(mut pairs: Vec<(&str, &str)>) -> String {
    pairs.retain(|(_, value)| !value.is_empty());
    // Room for the worst case: growing would leave copies of the secrets behind.
    let room = pairs.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    form_urlencoded::Serializer::new(String::with_capacity(room)).extend_pairs(pairs).finish()
}

/// A value of a JSON body.
pub(crate) enum Written<'a> {
    Secret(&'a SecretString),
    Value(&'a Value),
}

/// A JSON body, or a part of it, on its way out.
enum Node<'a> {
    Object(Vec<(&'a str, Self)>),
    Leaf(Written<'a>),
}

/// A JSON body with these values, each at the end of its path. No path leads through another's end.
pub(crate) fn json_body<'a>(members: impl IntoIterator<Item = (&'a [String], Written<'a>)>) -> Vec<u8> {
    let mut root = Vec::new();
    for (path, value) in members {
        put(&mut root, path, value);
    }
    let root = Node::Object(root);
    // As in a form: growing would leave copies of the secrets behind.
    let mut body = Vec::with_capacity(root.room());
    // A buffer takes everything, and every key is a text.
    drop(serde_json::to_writer(&mut body, &root));
    body
}

fn put<'a>(object: &mut Vec<(&'a str, Node<'a>)>, path: &'a [String], value: Written<'a>) {
    let Some((name, rest)) = path.split_first() else {
        return;
    };
    let there = object.iter().position(|(other, _)| other == name);
    if rest.is_empty() {
        object.push((name, Node::Leaf(value)));
    } else if let Some((_, Node::Object(inner))) = there.and_then(|at| object.get_mut(at)) {
        put(inner, rest, value);
    } else {
        let mut inner = Vec::new();
        put(&mut inner, rest, value);
        object.push((name, Node::Object(inner)));
    }
}

impl Node<'_> {
    /// As many bytes as it may take.
    fn room(&self) -> usize {
        let escaped = |byte| match byte {
            0..=0x1F => 6,
            b'"' | b'\\' => 2,
            _ => 1,
        };
        let text = |text: &str| text.bytes().map(escaped).sum::<usize>() + 2;
        match self {
            Self::Object(members) => members.iter().map(|(name, node)| text(name) + node.room() + 2).sum::<usize>() + 2,
            Self::Leaf(Written::Secret(secret)) => text(secret.expose_secret()),
            Self::Leaf(Written::Value(value)) => value.to_string().len(),
        }
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Object(members) => serializer.collect_map(members.iter().map(|(name, node)| (name, node))),
            Self::Leaf(Written::Secret(secret)) => serializer.serialize_str(secret.expose_secret()),
            Self::Leaf(Written::Value(value)) => value.serialize(serializer),
        }
    }
}

/// A header with a secret after a prefix, marked sensitive; `None` if it holds what no header can.
pub(crate) fn secret_header(prefix: &str, secret: &SecretString) -> Option<HeaderValue> {
    let secret = secret.expose_secret();
    let mut text = Vec::with_capacity(prefix.len() + secret.len());
    text.extend_from_slice(prefix.as_bytes());
    text.extend_from_slice(secret.as_bytes());
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The secrets that were sent, of which an answer may hold an echo. Not `Debug`.
#[derive(Default)]
pub(crate) struct Sent<'a>(Vec<&'a str>);

impl<'a> Sent<'a> {
    pub(crate) fn new(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        Self(secrets.into_iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty()).collect())
    }

    /// And texts that may be secrets, unless they are too short for one: those would hide the codes that happen to hold
    /// them.
    pub(crate) fn and_perhaps(mut self, texts: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let words = texts.into_iter().flat_map(|text| text.expose_secret().split_whitespace());
        self.0.extend(words.filter(|word| word.len() >= SHORTEST_SECRET));
        self
    }

    pub(crate) fn is_echoed_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(authentication: Authentication) -> ClientIdentity {
        ClientIdentity { id: "my app".to_owned(), authentication }
    }

    #[test]
    fn exactly_one_client_authentication_is_written() {
        let parameters = [("x".to_owned(), "é".into()), ("empty".to_owned(), "".into())];
        let start = "grant_type=refresh_token&refresh_token=r%2F%25%2B+t";
        // how; the members after the refresh token; user name and password
        let cases = [
            (Authentication::Public, "&client_id=my+app&scope=a+b&x=%C3%A9", None),
            (Authentication::Post("s&=".into()), "&client_id=my+app&client_secret=s%26%3D&scope=a+b&x=%C3%A9", None),
            (Authentication::Post("".into()), "&client_id=my+app&scope=a+b&x=%C3%A9", None),
            (Authentication::Basic("p:%+ é".into()), "&scope=a+b&x=%C3%A9", Some(("my+app", "p%3A%25%2B+%C3%A9"))),
            (Authentication::BasicRaw("p:%+ é".into()), "&scope=a+b&x=%C3%A9", Some(("my app", "p:%+ é"))),
            (Authentication::Basic("".into()), "&scope=a+b&x=%C3%A9", Some(("my+app", ""))),
        ];
        for (authentication, rest, basic) in cases {
            let client = client(authentication);
            assert_eq!(refresh_form(&"r/%+ t".into(), &client, Some("a b"), &parameters), format!("{start}{rest}"));
            let found = client.basic();
            assert_eq!(found.as_ref().map(|(user, password)| (user.as_str(), password.as_str())), basic);
        }
    }

    #[test]
    fn a_revocation_names_the_token_and_the_client() {
        let written = |authentication| revocation_form(&"t&".into(), "refresh_token", &client(authentication));
        let start = "token=t%26&token_type_hint=refresh_token";
        assert_eq!(written(Authentication::Public), format!("{start}&client_id=my+app"));
        assert_eq!(written(Authentication::Post("s".into())), format!("{start}&client_id=my+app&client_secret=s"));
        assert_eq!(written(Authentication::Basic("s".into())), start);
    }

    #[test]
    fn a_json_body_never_outgrows_its_buffer() {
        let all: String = (0..=0x7F_u8).map(char::from).chain("éß漢\u{1F600}\u{2028}".chars()).collect();
        let (secret, value) = (SecretString::from(all.as_str()), serde_json::json!({"x": [1.5, null, all.as_str()]}));
        let paths = [["a", "b"], ["a", all.as_str()], ["c", "d"]].map(|path| path.map(str::to_owned));
        let leaves = || [Written::Secret(&secret), Written::Value(&value), Written::Secret(&secret)];
        let mut root = Vec::new();
        for (path, leaf) in paths.iter().zip(leaves()) {
            put(&mut root, path, leaf);
        }
        let body = json_body(paths.iter().map(<[String; 2]>::as_slice).zip(leaves()));
        let enough = Node::Object(root).room();
        assert!(body.len() <= enough && body.capacity() == enough, "{} of {enough} bytes", body.len());
        let read: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read, serde_json::json!({"a": {"b": all.as_str(), all.as_str(): value}, "c": {"d": all.as_str()}}));
    }
}
