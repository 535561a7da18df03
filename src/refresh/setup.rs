//! Why a refresher or a client cannot be set up as asked.

/// Why a refresher or a client cannot be set up as asked.
///
/// It never quotes an address, an id or a secret, since these come from configuration and may have been mixed up there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The endpoint is no absolute URL.
    #[error("the endpoint is not an absolute URL")]
    NotUrl,
    /// The endpoint is not `https`. `http` will do on a loopback host, and elsewhere by a `dangerous_` name only.
    #[error("the endpoint is not an https URL")]
    NotHttps,
    /// The endpoint has a fragment, which must not be there (RFC 6749 section 3.2).
    #[error("the endpoint's URL has a fragment")]
    Fragment,
    /// The endpoint holds a user name or a password. They would be sent as a second client authentication.
    #[error("the endpoint's URL holds a user name or a password")]
    Userinfo,
    /// The parameter has no name, or one that the refresher sends by itself.
    #[error("the parameter `{0}` is not one that can be added")]
    Reserved(String),
    /// The parameter was added before, and must not come twice (RFC 6749 section 3.2).
    #[error("the parameter `{0}` was added before")]
    Repeated(String),
    /// A `resource` is no absolute URI, or has a fragment (RFC 8707 section 2).
    #[error("the resource is not an absolute URI without a fragment")]
    Resource,
    /// What is to be sent has no name, or the name of something else that is sent: two things cannot stand in one place, nor
    /// one where another has its members.
    #[error("`{0}` is taken by something else that is sent, or no name")]
    Taken(String),
    /// A header's name or value cannot be sent, or is for the HTTP client to say.
    #[error("a header's name or value cannot be sent")]
    Header,
    /// A GET request has no body to write members into.
    #[error("a GET request has no body to write members into")]
    NoBody,
    /// The method is none of GET, POST and PUT.
    #[error("the method is none of GET, POST and PUT")]
    Method,
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Http(#[source] reqwest::Error),
}
