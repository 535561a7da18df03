//! A request as a server met it.

use std::hash::{DefaultHasher, Hash, Hasher};

use hyper::body::Bytes;
use hyper::{Request, Version};

use super::server::Connection;

/// A request as it arrived at an API; see [`Api::take_arrived`](super::Api::take_arrived).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Whether it was answered with 200.
    pub ok: bool,
    /// The number of the connection that it came on, from 1.
    pub connection: usize,
    /// The version of HTTP that it came by.
    pub version: Version,
    /// Its method.
    pub method: String,
    /// Its target as it stood in the request: path and query, or the whole address through a proxy and over HTTP/2.
    pub target: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The length of its body.
    pub length: usize,
    /// The [`body_hash`] of its body.
    pub hash: u64,
}

impl Arrived {
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = request.headers().iter();
        Self {
            ok: false,
            connection: request.extensions().get().map_or(0, |Connection(number)| *number),
            version: request.version(),
            method: request.method().to_string(),
            target: request.uri().to_string(),
            headers: headers.map(|(name, value)| (text(name.as_ref()), text(value.as_bytes()))).collect(),
            length: request.body().len(),
            hash: body_hash(request.body()),
        }
    }

    /// Every value of this header, in order.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// The hash that stands for this body. Good for telling bodies apart, and for nothing else.
pub fn body_hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}
