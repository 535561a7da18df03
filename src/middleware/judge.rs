//! The program's own judgement: which responses say that the tokens are no longer good.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Response, Url};

use crate::peek::peek;
use crate::platform::{Panicked, caught};
use crate::policy::origins::same;
use crate::policy::response_head::ResponseHead;
use crate::policy::unauthorized::is_unauthorized;

/// So much of a body is shown to the program, and so long is waited for it.
const FRONT: (usize, Duration) = (64 * 1024, Duration::from_secs(5));

type OfHead = dyn Fn(&ResponseHead<'_>) -> bool + Send + Sync;
type OfBody = dyn Fn(&ResponseHead<'_>, &[u8]) -> bool + Send + Sync;

/// The program's own judgement, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Judge {
    pub(crate) of_head: Option<Arc<OfHead>>,
    pub(crate) of_body: Option<OfBodies>,
}

/// Which responses have to be judged by their body, and how.
#[derive(Clone)]
pub(crate) struct OfBodies {
    pub(crate) which: Arc<OfHead>,
    pub(crate) how: Arc<OfBody>,
}

impl Judge {
    /// The verdict on the response to a request that was signed for `signed`, and the response, to be read from the
    /// beginning of its body. What came from another origin is never about our tokens, whoever judges.
    pub(crate) async fn judge(&self, signed: &Url, response: Response) -> (Result<bool, Panicked>, Response) {
        if !same(signed, response.url()) {
            return (Ok(false), response);
        }
        let by_head = match &self.of_head {
            Some(judge) => caught(|| judge(&ResponseHead::of(signed, &response))),
            None => Ok(is_unauthorized(signed, response.status(), response.url(), response.headers())),
        };
        let Some(bodies) = self.of_body.as_ref().filter(|_| matches!(by_head, Ok(false))) else {
            return (by_head, response);
        };
        match caught(|| (bodies.which)(&ResponseHead::of(signed, &response))) {
            Ok(true) => {}
            other => return (other, response),
        }
        let (front, response) = peek(response, FRONT.0, FRONT.1).await;
        let verdict = caught(|| (bodies.how)(&ResponseHead::of(signed, &response), &front));
        (verdict, response)
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge")
            .field("of_head", &self.of_head.is_some())
            .field("of_body", &self.of_body.is_some())
            .finish()
    }
}
