//! Origins: where tokens may be sent.

use std::fmt;
use std::net::Ipv4Addr;

use reqwest::Url;

/// Where tokens may be sent: one or more origins, each a scheme, a host and a port.
///
/// A request to any other place goes out unsigned, so that a token cannot leak through a URL that came from elsewhere.
///
/// ```
/// use reqwest_auth_refresh::Origins;
/// use reqwest::Url;
///
/// let origins = Origins::new("https://api.example.com")?.and("https://*.example.org")?;
/// assert!(origins.allows(&Url::parse("https://api.example.com/me?page=2")?));
/// assert!(origins.allows(&Url::parse("https://a.b.example.org/")?));
/// assert!(!origins.allows(&Url::parse("https://api.example.com.evil.example/")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What may be named
///
/// An exact origin, as `https://api.example.com` or `https://api.example.com:8443`: it means this host and this port, and
/// the port of the scheme where none is named. Upper case, `:443` and names outside ASCII are brought into the form that a
/// URL has once it is parsed.
///
/// The subdomains of a host, as `https://*.example.org`: any depth of them, but not `https://example.org` itself, which is
/// to be named as well if it is meant. Two labels at least must follow the star. No list of public suffixes is asked, so
/// `https://*.co.uk` is taken at its word: name only what you own.
///
/// `http://` only on loopback (`localhost`, `127.0.0.0/8`, `[::1]`); elsewhere by [`dangerous_http`](Self::dangerous_http).
///
/// # Trailing dots
///
/// `https://api.example.com./` is not the origin `https://api.example.com`. Both names lead to the same host, but cookies,
/// certificates and redirects tell them apart, so a request with the dot goes out unsigned, and an origin with it is
/// refused.
#[derive(Clone, PartialEq, Eq)]
pub struct Origins {
    first: Origin,
    others: Vec<Origin>,
}

#[derive(Clone, PartialEq, Eq)]
struct Origin {
    /// Scheme, host and port with the path `/`; of a wildcard, the host behind the star.
    url: Url,
    wildcard: bool,
}

impl Origins {
    /// One origin.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`] says what to write instead.
    pub fn new(origin: impl AsRef<str>) -> Result<Self, InvalidOrigin> {
        Ok(Self { first: Origin::guarded(origin.as_ref())?, others: Vec::new() })
    }

    /// One origin over `http://` that is not loopback. Everyone on the way can read the tokens and use them: only for a
    /// network that is trusted as a whole. An exact origin, no wildcard.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`] says what to write instead. An `https://` origin is refused too, so that this name stands only
    /// where there is a danger.
    pub fn dangerous_http(origin: impl AsRef<str>) -> Result<Self, InvalidOrigin> {
        Ok(Self { first: Origin::dangerous(origin.as_ref())?, others: Vec::new() })
    }

    /// These origins and one more.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`] says what to write instead.
    pub fn and(mut self, origin: impl AsRef<str>) -> Result<Self, InvalidOrigin> {
        self.others.push(Origin::guarded(origin.as_ref())?);
        Ok(self)
    }

    /// These origins and one over `http://` that is not loopback; see [`dangerous_http`](Self::dangerous_http).
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`] says what to write instead.
    pub fn and_dangerous_http(mut self, origin: impl AsRef<str>) -> Result<Self, InvalidOrigin> {
        self.others.push(Origin::dangerous(origin.as_ref())?);
        Ok(self)
    }

    /// Of these origins only the one of `address`, whose path and query do not matter: for an address that comes from
    /// outside, such as the `instance_url` that an issuer sends with a user's tokens.
    ///
    /// ```
    /// use reqwest_auth_refresh::Origins;
    ///
    /// let allowed = Origins::new("https://*.my.salesforce.com")?;
    /// let of_alice = allowed.narrowed_to("https://alice.my.salesforce.com/services")?;
    /// assert!(!of_alice.allows(&"https://mallory.my.salesforce.com/".parse()?));
    /// assert!(allowed.narrowed_to("https://evil.example").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the address is at none of these origins, or is no address of one host: a star in it is no wildcard.
    pub fn narrowed_to(&self, address: &str) -> Result<Self, InvalidOrigin> {
        let url = Url::parse(address).map_err(|_echoing| InvalidOrigin::Host)?;
        if !self.allows(&url) {
            return Err(InvalidOrigin::NotAllowed);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidOrigin::UserInfo);
        }
        check_host(url.host_str().unwrap_or_default(), false)?;
        let url = Url::parse(&url.origin().ascii_serialization()).map_err(|_echoing| InvalidOrigin::Host)?;
        Ok(Self { first: Origin { url, wildcard: false }, others: Vec::new() })
    }

    /// Whether a request to `url` may carry tokens. Path, query, fragment and user info of the URL do not matter.
    #[must_use]
    #[inline]
    pub fn allows(&self, url: &Url) -> bool {
        self.first.covers(url) || self.others.iter().any(|origin| origin.covers(url))
    }
}

impl Origin {
    fn guarded(text: &str) -> Result<Self, InvalidOrigin> {
        let origin = Self::read(text)?;
        let safe = origin.url.scheme() == "https" || is_loopback(&origin.url);
        if safe { Ok(origin) } else { Err(InvalidOrigin::PlainHttp) }
    }

    fn dangerous(text: &str) -> Result<Self, InvalidOrigin> {
        let origin = Self::read(text)?;
        match (origin.url.scheme(), origin.wildcard) {
            ("http", false) => Ok(origin),
            ("http", true) => Err(InvalidOrigin::WildcardHttp),
            _ => Err(InvalidOrigin::NotHttp),
        }
    }

    /// Stricter than a URL parser, which would mend or overlook what is more likely a mistake here.
    fn read(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidOrigin::Scheme)?;
        if !["https", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(InvalidOrigin::Scheme);
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
        check_tail(tail)?;
        if authority.contains('@') {
            return Err(InvalidOrigin::UserInfo);
        }
        if authority.contains(|c: char| c.is_whitespace() || c.is_control() || c == '%') {
            return Err(InvalidOrigin::Character);
        }
        let port = authority.rsplit_once(':').map(|(_host, port)| port).filter(|port| !port.contains(']'));
        if port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..))) {
            return Err(InvalidOrigin::Port);
        }
        let (wildcard, authority) = authority.strip_prefix("*.").map_or((false, authority), |parent| (true, parent));
        let url = Url::parse(&format!("{scheme}://{authority}")).map_err(|_echoing| InvalidOrigin::Host)?;
        check_host(url.host_str().unwrap_or_default(), wildcard)?;
        Ok(Self { url, wildcard })
    }

    #[inline]
    fn covers(&self, url: &Url) -> bool {
        if self.wildcard {
            return self.is_above(url);
        }
        // Our own text is `scheme://host[:port]/`, and a parsed URL writes its authority in one way only, so a URL that
        // begins with that text is of this origin: one comparison, where its parts would take three. The parts are for
        // a URL with user info in between.
        url.as_str().starts_with(self.url.as_str()) || same(&self.url, url)
    }

    fn is_above(&self, url: &Url) -> bool {
        let labels = || url.host_str()?.strip_suffix(self.url.host_str()?)?.strip_suffix('.');
        self.url.port() == url.port()
            && self.url.scheme() == url.scheme()
            && labels().is_some_and(|labels| labels.split('.').all(|label| !label.is_empty()))
    }
}

fn check_tail(tail: &str) -> Result<(), InvalidOrigin> {
    match tail {
        "" | "/" => Ok(()),
        _ if tail.contains('#') => Err(InvalidOrigin::Fragment),
        _ if tail.contains('?') => Err(InvalidOrigin::Query),
        _ => Err(InvalidOrigin::Path),
    }
}

/// `host` as a parsed URL has it; of a wildcard, the part behind the star.
fn check_host(host: &str, wildcard: bool) -> Result<(), InvalidOrigin> {
    let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    if host.ends_with('.') {
        return Err(InvalidOrigin::TrailingDot);
    }
    if host.contains('*') {
        return Err(InvalidOrigin::Wildcard);
    }
    if host.split('.').any(str::is_empty) {
        return Err(InvalidOrigin::Host);
    }
    match wildcard {
        true if is_address => Err(InvalidOrigin::WildcardAddress),
        true if !host.contains('.') => Err(InvalidOrigin::WideWildcard),
        _ => Ok(()),
    }
}

/// Whether what is sent there stays on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host == "[::1]" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Whether two URLs with hosts have the same scheme, host and port.
///
/// A parsed URL never holds its scheme's own port, so where the schemes are equal the written ports decide.
/// `Url::origin` would allocate.
#[inline]
pub(crate) fn same(a: &Url, b: &Url) -> bool {
    a.port() == b.port() && a.scheme() == b.scheme() && a.host_str().is_some_and(|host| b.host_str() == Some(host))
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.wildcard { "*." } else { "" };
        write!(f, "{}://{star}{}", self.url.scheme(), self.url.host_str().unwrap_or_default())?;
        self.url.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entry(&self.first).entries(&self.others).finish()
    }
}

/// Why a text names no origin that tokens may be sent to, and what to write instead.
///
/// The text itself is not repeated: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOrigin {
    /// It begins with neither `https://` nor `http://`.
    #[error("an origin begins with https:// (or with http:// on loopback): write it as in https://api.example.com")]
    Scheme,
    /// It begins with `http://` and is not loopback.
    #[error(
        "tokens are sent over http:// to loopback only: write https://, or name this one origin with dangerous_http"
    )]
    PlainHttp,
    /// It needs no dangerous name.
    #[error("only an http:// origin is dangerous: name this one with new or and")]
    NotHttp,
    /// It holds a user name or a password.
    #[error("an origin has no user name and no password: leave out everything up to the @")]
    UserInfo,
    /// It holds a character that a URL parser would mend or drop.
    #[error("the origin holds a space, a control character or a percent sign: write the host as plain text")]
    Character,
    /// The host is missing or is none.
    #[error("the origin's host is missing or cannot be read: write it as in https://api.example.com")]
    Host,
    /// The host ends in a dot.
    #[error("the origin's host ends in a dot, which makes it another origin: leave out the dot")]
    TrailingDot,
    /// The port is none.
    #[error("the origin's port is no number from 1 to 65535: correct it, or leave it out with its colon")]
    Port,
    /// A path follows the host.
    #[error("an origin has no path: leave out what follows the host and the port")]
    Path,
    /// It has a query.
    #[error("an origin has no query: leave out the question mark and what follows")]
    Query,
    /// It has a fragment.
    #[error("an origin has no fragment: leave out the # and what follows")]
    Fragment,
    /// A star stands elsewhere than alone in front.
    #[error("a wildcard stands alone and in front of the host: write it as in https://*.example.org")]
    Wildcard,
    /// Fewer than two labels follow the star.
    #[error("a wildcard needs at least two labels behind it: write it as in https://*.example.org")]
    WideWildcard,
    /// The star stands in front of an IP address.
    #[error("an IP address has no subdomains: name each address by itself")]
    WildcardAddress,
    /// It is none of the origins that were to be [narrowed](Origins::narrowed_to).
    #[error("the address is at none of the origins that are allowed")]
    NotAllowed,
    /// A wildcard over `http://`.
    #[error("a wildcard is for https:// only: name each http:// origin by itself")]
    WildcardHttp,
}
