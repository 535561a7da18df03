//! What is kept of a request for a second sending.

use std::sync::Arc;

use reqwest::{Body, Request, Url};

use crate::middleware::marks::NotRetryable;
use crate::middleware::options::RequestOptions;
use crate::platform::{self, Panicked, caught};

/// A clone, a way to make one, or the reason there is none.
pub(crate) enum Kept {
    Clone(Request),
    Remake { head: Request, body: Arc<dyn Fn() -> Body + Send + Sync> },
    Nothing { url: Url, why: NotRetryable },
}

impl Kept {
    /// Keeps what is needed, before the request is signed.
    pub(crate) fn of(request: &Request, options: Option<&RequestOptions>) -> Self {
        if options.is_some_and(|options| options.send_once) {
            return Self::Nothing { url: request.url().clone(), why: NotRetryable::SendOnce };
        }
        if let Some(clone) = request.try_clone() {
            return Self::Clone(clone);
        }
        match options.and_then(|options| options.resend_with.clone()) {
            Some(body) => Self::Remake { head: platform::without_body(request), body },
            None => Self::Nothing { url: request.url().clone(), why: NotRetryable::Body },
        }
    }

    /// The address that the request was sent to.
    pub(crate) fn url(&self) -> &Url {
        match self {
            Self::Clone(request) | Self::Remake { head: request, .. } => request.url(),
            Self::Nothing { url, .. } => url,
        }
    }

    pub(crate) fn is_sent_once(&self) -> bool {
        matches!(self, Self::Nothing { .. })
    }

    /// The request for the second sending. The program makes its body outside every lock.
    pub(crate) fn again(self) -> Result<Result<Request, NotRetryable>, Panicked> {
        match self {
            Self::Clone(request) => Ok(Ok(request)),
            Self::Remake { mut head, body } => {
                *head.body_mut() = Some(caught(|| body())?);
                Ok(Ok(head))
            }
            Self::Nothing { why, .. } => Ok(Err(why)),
        }
    }
}
