//! Excluded paths: what is never signed on origins where the rest is.

use std::fmt;

use reqwest::Url;

use crate::policy::origins::{Origins, same};

/// Requests that go out unsigned although their origin is allowed: the paths that the program names, such as its login,
/// and the addresses that the refresher calls. A 401 from there says *wrong password*, not *expired*.
///
/// # How a path is matched
///
/// By whole segments, from the front: `/login` is `/login`, `/login/` and `/login/x`, not `/login2`. `/` is the root alone,
/// since a door that signs nothing would be of no use.
///
/// What is matched is the URL that the request was made with, wherever redirects lead. Dot segments are resolved on both
/// sides (`/a/../login`, `/a/%2e%2e/login` are `/login`), and a percent-encoded byte equals the plain one (`/%6Cogin` is
/// `/login`), because most servers read both as one. An encoded slash does not divide segments. Case, doubled slashes and
/// what follows a semicolon tell segments apart. A query or a fragment does not matter, on either side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ExcludedPaths(Vec<Excluded>);

#[derive(Clone, PartialEq, Eq)]
enum Excluded {
    /// Decoded segments; none means the root.
    Below(Vec<Vec<u8>>),
    Endpoint(Url),
}

impl ExcludedPaths {
    /// These and one more path on every allowed origin. A slash in front or at the end may be left out.
    #[must_use]
    pub(crate) fn exclude(mut self, path: &str) -> Self {
        self.0.push(Excluded::Below(segments_of(path)));
        self
    }

    /// These and the addresses that a refresher calls, each as it is, with any query. Those on origins where nothing is
    /// signed anyway are left out, so that they cost nothing later: usually all.
    #[must_use]
    pub(crate) fn and_endpoints(mut self, endpoints: &[Url], origins: &Origins) -> Self {
        let reachable = endpoints.iter().filter(|endpoint| origins.allows(endpoint));
        self.0.extend(reachable.cloned().map(Excluded::Endpoint));
        self
    }

    /// Whether a request that was made with `url`, on an allowed origin, goes out unsigned.
    #[inline]
    pub(crate) fn contains(&self, url: &Url) -> bool {
        self.0.iter().any(|excluded| excluded.covers(url))
    }
}

impl Excluded {
    fn covers(&self, url: &Url) -> bool {
        match self {
            Self::Below(front) if front.is_empty() => url.path() == "/",
            Self::Below(front) => {
                let mut segments = url.path().split('/').skip(1);
                front.iter().all(|own| segments.next().is_some_and(|segment| decoded(segment).eq(own.iter().copied())))
            }
            Self::Endpoint(endpoint) => same(endpoint, url) && decoded(endpoint.path()).eq(decoded(url.path())),
        }
    }
}

/// As a person writes it. An endpoint without its query, which may hold a secret.
impl fmt::Debug for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(front) if front.is_empty() => f.write_str("/"),
            Self::Below(front) => front.iter().try_for_each(|segment| write!(f, "/{}", segment.escape_ascii())),
            Self::Endpoint(url) => write!(f, "{}{}", url.origin().ascii_serialization(), url.path()),
        }
    }
}

/// The segments of a path as a person writes it, read as a URL parser would.
fn segments_of(path: &str) -> Vec<Vec<u8>> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut segments = Vec::new();
    for segment in path.split('/').filter(|_| !path.is_empty()).map(|segment| decoded(segment).collect::<Vec<_>>()) {
        match segment.as_slice() {
            b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments
}

/// The bytes that `text` stands for: `%6C` is `l`. A percent sign that begins no such triple is itself.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        let triple = if first == b'%' { tail.split_first_chunk::<2>() } else { None };
        let byte = triple.and_then(|(digits, tail)| Some((byte_of(*digits)?, tail)));
        let (byte, tail) = byte.unwrap_or((first, tail));
        rest = tail;
        Some(byte)
    })
}

fn byte_of([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://api.example.com";

    fn url(path: &str) -> Url {
        Url::parse(ORIGIN).unwrap().join(path).unwrap()
    }

    /// What is excluded, request paths that it covers, request paths that it does not.
    const TABLE: &[(&str, &[&str], &[&str])] = &[
        (
            "/login",
            &[
                "/login",
                "/login/",
                "/login/x",
                "/login/x/y",
                "/login?next=/me",
                "/login#top",
                "/login//",
                "/login/../login",
            ],
            &[
                "/login2",
                "/logi",
                "/",
                "/x/login",
                "/Login",
                "//login/",
                "/login;v=1",
                "/login.json",
                "/login%2Fx",
                "/me?p=/login",
            ],
        ),
        ("/login/", &["/login", "/login/", "/login/x"], &["/login2"]),
        ("login", &["/login", "/login/x"], &["/login2", "/x/login"]),
        (
            "/auth/web/login",
            &["/auth/web/login", "/auth/web/login/", "/auth/web/login/x"],
            &["/auth/web", "/auth", "/auth/web/logout", "/auth/web/login2", "/web/login", "/auth/web%2Flogin"],
        ),
        // Dot segments.
        (
            "/login",
            &["/a/../login", "/./login", "/a/%2e%2e/login", "/%2E/login", "/../login"],
            &["/login/..", "/login/../me"],
        ),
        ("/a/../login", &["/login", "/login/x"], &["/a", "/a/../a"]),
        ("/a/./b", &["/a/b"], &["/a"]),
        ("/../login", &["/login"], &["/me"]),
        ("/%2e%2e/login", &["/login"], &["/me"]),
        // Percent-encoding.
        (
            "/login",
            &["/%6Cogin", "/%6cogin", "/%6C%6F%67%69%6E/x"],
            &["/%4Cogin", "/%256Cogin", "/logi%", "/login%00", "/login%20"],
        ),
        ("/%6Cogin", &["/login", "/%6cogin"], &["/logout"]),
        ("/sign in", &["/sign%20in", "/sign in"], &["/sign+in", "/sign"]),
        ("/zugänge", &["/zug%C3%A4nge", "/zugänge"], &["/zug%E4nge", "/zugange"]),
        ("/a%2Fb", &["/a%2Fb", "/a%2fb/c"], &["/a/b"]),
        ("/100%", &["/100%", "/100%25"], &["/100"]),
        ("/a%zz", &["/a%zz", "/a%25zz"], &["/a"]),
        // Doubled slashes.
        ("/a//b", &["/a//b", "/a//b/c"], &["/a/b"]),
        // A backslash is a slash in the URL of a request.
        ("/login", &["\\login", "/login\\x"], &["/x\\login"]),
        // What follows the path does not matter.
        ("/login?next=/me", &["/login", "/login?next=/you"], &["/me"]),
        ("/login#top", &["/login"], &["/top"]),
        // The root is the root alone.
        ("/", &["/", "/?page=2", "", "/."], &["/me", "//", "/me/"]),
        ("", &["/"], &["/me"]),
        ("/..", &["/"], &["/me"]),
    ];

    #[test]
    fn whole_segments_from_the_front() {
        for (path, inside, outside) in TABLE {
            let excluded = ExcludedPaths::default().exclude(path);
            for inside in *inside {
                assert!(excluded.contains(&url(inside)), "{path:?} covers {inside:?}");
            }
            for outside in *outside {
                let url = if outside.starts_with("//") {
                    Url::parse(&format!("{ORIGIN}{outside}")).unwrap()
                } else {
                    url(outside)
                };
                assert!(!excluded.contains(&url), "{path:?} does not cover {outside:?}");
            }
        }
    }

    #[test]
    fn nothing_is_excluded_at_first() {
        assert!(["/", "/login", "/token"].iter().all(|path| !ExcludedPaths::default().contains(&url(path))));
    }

    #[test]
    fn each_of_several_counts() {
        let excluded = ExcludedPaths::default().exclude("/login").exclude("/register").exclude("/logout");
        assert!(["/login", "/register/x", "/logout"].iter().all(|path| excluded.contains(&url(path))));
        assert!(!excluded.contains(&url("/me")));
    }

    #[test]
    fn endpoints_are_whole_urls_with_any_query() {
        let origins = Origins::new(ORIGIN).unwrap().and("https://*.example.org").unwrap();
        let endpoints = [
            Url::parse("https://api.example.com/oauth/token?tenant=1").unwrap(),
            Url::parse("https://issuer.example.org/revoke").unwrap(),
        ];
        let excluded = ExcludedPaths::default().and_endpoints(&endpoints, &origins);
        let contains = |url| excluded.contains(&Url::parse(url).unwrap());
        assert!(contains("https://api.example.com/oauth/token"));
        assert!(contains("https://api.example.com:443/oauth/token?tenant=2#x"));
        assert!(contains("https://api.example.com/oauth/%74oken"));
        assert!(contains("https://user@api.example.com/oauth/x/../token"));
        assert!(contains("https://issuer.example.org/revoke"));
        assert!(!contains("https://api.example.com/oauth/token/"));
        assert!(!contains("https://api.example.com/oauth/token/x"));
        assert!(!contains("https://api.example.com/oauth"));
        assert!(!contains("https://other.example.org/revoke"));
        assert!(!contains("https://api.example.com:8443/oauth/token"));
        assert!(!contains("http://api.example.com/oauth/token"));
        assert!(!contains("https://issuer.example.org/oauth/token"));
    }

    #[test]
    fn endpoints_where_nothing_is_signed_are_not_kept() {
        let endpoints = [Url::parse("https://issuer.example/token").unwrap(), Url::parse("data:,x").unwrap()];
        let excluded = ExcludedPaths::default().and_endpoints(&endpoints, &Origins::new(ORIGIN).unwrap());
        assert_eq!(excluded, ExcludedPaths::default());
    }

    #[test]
    fn debug_shows_paths_as_written_and_no_query() {
        let endpoints = [Url::parse("https://canary:canary@api.example.com:8443/oauth/token?key=canary").unwrap()];
        let origins = Origins::new("https://api.example.com:8443").unwrap();
        let excluded = ExcludedPaths::default().exclude("/login/x").exclude("/").and_endpoints(&endpoints, &origins);
        assert_eq!(format!("{excluded:?}"), "ExcludedPaths([/login/x, /, https://api.example.com:8443/oauth/token])");
    }
}
