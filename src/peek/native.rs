//! On a native target: what was read of a body is kept, and comes first again.

use std::collections::VecDeque;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body as HttpBody, Frame, SizeHint};
use reqwest::{Body, Response, ResponseBuilderExt};

use crate::platform::within;

type Bytes = <Body as HttpBody>::Data;
type Broken = Box<dyn Error + Send + Sync>;

/// A body of which the front was read already: that comes first, and then the rest.
struct Peeked {
    front: VecDeque<Frame<Bytes>>,
    rest: Body,
    /// The rest broke while the front was read; whoever reads on meets it in its place.
    broken: Option<Broken>,
    ended: bool,
}

/// The first bytes of a body, at most so many and what came within the bound, and the response as it was, to be read from
/// its beginning.
pub(crate) async fn peek(response: Response, most: usize, bound: Duration) -> (Vec<u8>, Response) {
    let url = response.url().clone();
    let (mut head, rest) = http::Response::from(response).into_parts();
    let mut body = Peeked { front: VecDeque::new(), rest, broken: None, ended: false };
    let _read = within(bound, body.read(most)).await;
    let mut seen = Vec::new();
    for data in body.front.iter().filter_map(Frame::data_ref) {
        seen.extend_from_slice(&data[..data.len().min(most - seen.len())]);
    }
    // A response that is made anew has a made-up address unless it is told its own, which travels as an extension.
    let Ok(with_url) = http::Response::builder().url(url).body(()) else {
        return (seen, http::Response::from_parts(head, Body::wrap(body)).into());
    };
    head.extensions.extend(with_url.into_parts().0.extensions);
    (seen, http::Response::from_parts(head, Body::wrap(body)).into())
}

impl Peeked {
    /// Reads until `most` bytes are there, or the end.
    async fn read(&mut self, most: usize) {
        let mut read = 0;
        while read < most {
            match poll_fn(|context| Pin::new(&mut self.rest).poll_frame(context)).await {
                Some(Ok(frame)) => {
                    read += frame.data_ref().map_or(0, Bytes::len);
                    self.front.push_back(frame);
                }
                Some(Err(error)) => {
                    self.broken = Some(error.into());
                    return;
                }
                None => {
                    self.ended = true;
                    return;
                }
            }
        }
    }
}

impl HttpBody for Peeked {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(frame) = self.front.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(broken) = self.broken.take() {
            self.ended = true;
            return Poll::Ready(Some(Err(broken)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.rest).poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.front.is_empty() && self.broken.is_none() && (self.ended || self.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let front = self.front.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum::<u64>();
        let rest = if self.ended { SizeHint::with_exact(0) } else { self.rest.size_hint() };
        let mut whole = SizeHint::new();
        whole.set_lower(front.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            whole.set_upper(front.saturating_add(upper));
        }
        whole
    }
}
