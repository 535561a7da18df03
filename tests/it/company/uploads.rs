//! Bodies that stream: sent once and marked, or made anew and sent twice; never buffered, and never half.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream;
use http::StatusCode;
use hyper::body::Bytes;
use reqwest::Body;
use reqwest_auth_refresh::{NotRetryable, RequestBuilderExt, Retried};

use crate::support::body_hash;
use crate::wire_world::{self, Wire, answered};

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 80;

/// 5 MiB, made chunk by chunk as they are asked for.
fn streaming(whole: &Bytes, made: &Arc<AtomicUsize>) -> Body {
    let (whole, made) = (whole.clone(), Arc::clone(made));
    let chunks = (0..CHUNKS).map(move |nth| {
        made.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(whole.slice(nth * CHUNK..(nth + 1) * CHUNK))
    });
    Body::wrap_stream(stream::iter(chunks))
}

#[tokio::test]
async fn an_upload_that_cannot_be_made_anew_is_sent_once_and_the_next_one_succeeds() {
    let wire = Wire::unauthorized().await;
    let (whole, made) = (wire_world::body(CHUNK * CHUNKS), Arc::default());
    let upload = || wire.client().put(wire.api.at("/films/1")).body(streaming(&whole, &made));
    let response = upload().send().await.unwrap();
    assert_eq!((response.status(), response.extensions().get()), (StatusCode::UNAUTHORIZED, Some(&NotRetryable::Body)));
    assert!(response.text().await.unwrap().contains("unauthorized"), "untouched");
    assert_eq!((wire.counts(), made.load(Ordering::Relaxed)), ((1, answered(0, 1)), CHUNKS), "the refresh happened");

    let response = upload().send().await.unwrap();
    assert_eq!((response.status(), response.extensions().get::<NotRetryable>()), (StatusCode::OK, None));
    assert_eq!(wire.counts(), (1, answered(1, 1)));
}

#[tokio::test]
async fn an_upload_that_can_be_made_anew_is_sent_twice_and_is_the_same() {
    let wire = Wire::unauthorized().await;
    let whole = wire_world::body(CHUNK * CHUNKS);
    let (made, makings) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    let request = wire.client().put(wire.api.at("/films/1")).body(streaming(&whole, &made));
    let (source, again, counted) = (whole.clone(), Arc::clone(&made), Arc::clone(&makings));
    let request = request.resend_with(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        streaming(&source, &again)
    });
    let response = request.send().await.unwrap();
    assert!(response.status().is_success() && response.extensions().get::<Retried>().is_some());

    let [first, second] = &wire.api.take_arrived()[..] else { panic!("sent twice") };
    for arrived in [first, second] {
        assert_eq!((arrived.length, arrived.hash), (whole.len(), body_hash(&whole)));
        assert_eq!(arrived.header("transfer-encoding"), ["chunked"]);
    }
    assert_eq!((made.load(Ordering::Relaxed), makings.load(Ordering::Relaxed)), (2 * CHUNKS, 1));
    assert_eq!(wire.counts(), (1, answered(1, 1)));
}
