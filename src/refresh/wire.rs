//! What is sent to an endpoint, as bytes. No I/O.

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

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

    pub(crate) fn secret(&self) -> Option<&SecretString> {
        match &self.authentication {
            Authentication::Basic(secret) | Authentication::BasicRaw(secret) | Authentication::Post(secret) => {
                Some(secret)
            }
            Authentication::Public => None,
        }
    }
}

/// The body of a refresh request. What is empty counts as left out (RFC 6749 section 3.2), and is.
pub(crate) fn refresh_form(
    refresh_token: &SecretString,
    client: &ClientIdentity,
    scope: Option<&str>,
    parameters: &[(String, SecretString)],
) -> String {
    let mut pairs = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
    match &client.authentication {
        Authentication::Public => pairs.push(("client_id", &client.id)),
        Authentication::Post(secret) => {
            pairs.extend([("client_id", client.id.as_str()), ("client_secret", secret.expose_secret())]);
        }
        Authentication::Basic(_) | Authentication::BasicRaw(_) => {}
    }
    pairs.extend(scope.map(|scope| ("scope", scope)));
    pairs.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.expose_secret())));
    pairs.retain(|(_, value)| !value.is_empty());
    // Room for the worst case: growing would leave copies of the secrets behind.
    let room = pairs.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    form_urlencoded::Serializer::new(String::with_capacity(room)).extend_pairs(pairs).finish()
}

/// The secrets that were sent, of which an answer may hold an echo. Not `Debug`.
#[derive(Default)]
pub(crate) struct Sent<'a>(Vec<&'a SecretString>);

impl<'a> Sent<'a> {
    pub(crate) fn new(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        Self(secrets.into_iter().collect())
    }

    pub(crate) fn is_echoed_in(&self, text: &str) -> bool {
        let secrets = self.0.iter().map(|secret| secret.expose_secret());
        secrets.filter(|secret| !secret.is_empty()).any(|secret| text.contains(secret))
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
}
