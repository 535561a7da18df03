//! The HTTP client of a refresher: the user's, finished so that what is sent goes to one place, once.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};
use reqwest::{ClientBuilder, Method, Request, RequestBuilder};
use zeroize::Zeroizing;

use crate::refresh::answer::Answer;
use crate::refresh::endpoint::Endpoint;
use crate::refresh::failure::Failure;
use crate::refresh::setup::SetupError;

/// The longest answer read. Tokens are a few kilobytes; more is a mistake or an attack.
const ANSWER_CAP: usize = 1 << 20;

/// Sends token requests and reads the answers. Not `Debug`: a `reqwest::Client` shows its default headers.
#[derive(Clone)]
pub(crate) struct TokenClient(reqwest::Client);

/// Why an answer's body was not read to its end.
enum Unread {
    TooLong,
    Cut(reqwest::Error),
}

impl TokenClient {
    /// Finishes what the user began: no redirects, no second sending, no decompression, no idle connections.
    pub(crate) fn finish(builder: ClientBuilder) -> Result<Self, SetupError> {
        let client = target::finished(builder).build();
        client.map(Self).map_err(|error| SetupError::Http(error.without_url()))
    }

    pub(crate) fn request(&self, method: Method, endpoint: &Endpoint) -> RequestBuilder {
        self.0.request(method, endpoint.url().clone())
    }

    /// A POST that carries cookies; a browser has to be told.
    pub(crate) fn post_with_credentials(&self, endpoint: &Endpoint) -> RequestBuilder {
        target::with_credentials(self.request(Method::POST, endpoint))
    }

    /// Sends `request` and reads the answer, whatever it says.
    pub(crate) async fn send(&self, request: RequestBuilder, endpoint: &Endpoint) -> Result<Answer, Failure> {
        self.send_hearing(request, endpoint, |_head| {}).await
    }

    /// The same, and hands on the head of the answer as soon as it is there: its body may never come.
    pub(crate) async fn send_hearing(
        &self,
        request: RequestBuilder,
        endpoint: &Endpoint,
        hear: impl FnOnce(&HeaderMap),
    ) -> Result<Answer, Failure> {
        let endpoint = endpoint.name();
        let sent = match request.build() {
            Ok(request) => self.0.execute(with_length(request)).await,
            Err(error) => Err(error),
        };
        let response = match sent {
            Ok(response) => response,
            Err(error) if target::was_not_sent(&error) => {
                return Err(Failure::Unreached { endpoint, source: error.without_url() });
            }
            Err(error) => return Err(Failure::Lost { endpoint, source: error.without_url() }),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        hear(&headers);
        let body = match target::body(response).await {
            Ok(body) => body,
            // No tokens come with such a status. What there is to know, the head of the answer said.
            Err(_unread) if !status.is_success() => Zeroizing::default(),
            Err(Unread::TooLong) => return Err(Failure::TooLong { endpoint, status }),
            Err(Unread::Cut(error)) => return Err(Failure::Lost { endpoint, source: error.without_url() }),
        };
        Ok(Answer { endpoint, status, headers, body })
    }
}

/// Nothing to send is a length too (RFC 9110 section 8.6). Not told, some servers answer 411.
fn with_length(mut request: Request) -> Request {
    if request.body().is_none() && request.method() != Method::GET {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    request
}

#[cfg(not(target_arch = "wasm32"))]
mod target {
    use std::time::Duration;

    use reqwest::{ClientBuilder, RequestBuilder, Response, redirect, retry};
    use zeroize::Zeroizing;

    use super::{ANSWER_CAP, Unread};

    /// A connection that takes longer than this to come about is given up. Half of an attempt, so that it can be told
    /// from a request that was sent.
    const CONNECT: Duration = Duration::from_secs(5);

    pub(super) fn finished(builder: ClientBuilder) -> ClientBuilder {
        // What a store of the program's kept of one session would go with the next one.
        #[cfg(feature = "cookie-refresh")]
        let builder = builder.cookie_store(false);
        builder
            // A 307 or 308 would carry the refresh token and the client's secret to wherever it points.
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            // On a fresh connection most requests that get lost were never sent.
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT)
            // The cap counts what comes over the wire.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
    }

    pub(super) fn with_credentials(request: RequestBuilder) -> RequestBuilder {
        request
    }

    pub(super) fn was_not_sent(error: &reqwest::Error) -> bool {
        error.is_connect() || error.is_builder()
    }

    pub(super) async fn body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Unread> {
        let announced = response.content_length().unwrap_or_default();
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        if announced > ANSWER_CAP {
            return Err(Unread::TooLong);
        }
        // Growing would leave copies of the tokens behind.
        let mut body = Zeroizing::new(Vec::with_capacity(announced.max(16 * 1024)));
        while let Some(chunk) = response.chunk().await.map_err(Unread::Cut)? {
            if body.len() + chunk.len() > ANSWER_CAP {
                return Err(Unread::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// A browser decides by itself about redirects, connections and decompression, reads an answer whole, and does not say
/// why a request failed.
#[cfg(target_arch = "wasm32")]
mod target {
    use reqwest::{ClientBuilder, RequestBuilder, Response};
    use zeroize::Zeroizing;

    use super::{ANSWER_CAP, Unread};

    pub(super) fn finished(builder: ClientBuilder) -> ClientBuilder {
        builder
    }

    pub(super) fn with_credentials(request: RequestBuilder) -> RequestBuilder {
        request.fetch_credentials_include()
    }

    pub(super) fn was_not_sent(error: &reqwest::Error) -> bool {
        error.is_builder()
    }

    pub(super) async fn body(response: Response) -> Result<Zeroizing<Vec<u8>>, Unread> {
        let body = response.bytes().await.map_err(Unread::Cut)?;
        if body.len() > ANSWER_CAP { Err(Unread::TooLong) } else { Ok(Zeroizing::new(body.to_vec())) }
    }
}
