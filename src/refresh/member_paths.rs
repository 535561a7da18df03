//! The places where a member of an answer may stand.

use crate::member_path::MemberPath;

/// Where something is found in an issuer's answer: one path or several, which are tried in this order.
///
/// A path names the members on the way, with dots between them, and an element of a list by its number: `access_token`,
/// `data.accessToken`, `errors.0.errorType`. One that begins with `/` is a JSON pointer (RFC 6901), for names with dots in
/// them: `/https:~1~1example.com~1claims/access.token`. A form has no depth: its names are paths of one name.
///
/// Made from a text, or from an array, a slice or a vector of them; from an empty array for what is to be found nowhere.
///
/// ```
/// use reqwest_auth_refresh::Dialect;
///
/// let dialect = Dialect::new()
///     .access_token("data.accessToken")
///     .expires_in(["data.expiresIn", "expires"])
///     .scope([]);
/// # drop(dialect);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPaths(Vec<MemberPath>);

impl MemberPaths {
    pub(crate) fn into_list(self) -> Vec<MemberPath> {
        self.0
    }
}

impl From<&str> for MemberPaths {
    fn from(path: &str) -> Self {
        Self(vec![MemberPath::new(path)])
    }
}

impl From<String> for MemberPaths {
    fn from(path: String) -> Self {
        Self::from(path.as_str())
    }
}

impl From<&[&str]> for MemberPaths {
    fn from(paths: &[&str]) -> Self {
        Self(paths.iter().map(|path| MemberPath::new(path)).collect())
    }
}

impl<const N: usize> From<[&str; N]> for MemberPaths {
    fn from(paths: [&str; N]) -> Self {
        Self::from(paths.as_slice())
    }
}

impl From<Vec<String>> for MemberPaths {
    fn from(paths: Vec<String>) -> Self {
        Self(paths.iter().map(|path| MemberPath::new(path)).collect())
    }
}
