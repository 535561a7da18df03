//! Multipart forms. `reqwest` makes a stream of every form, with a boundary of chance that stands in a header too, so that a
//! form cannot be cloned, and cannot be made anew either. Two ways around that, and what becomes of a form without them.

use futures_util::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::body::Bytes;
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use reqwest_auth_refresh::{NotRetryable, RequestBuilderExt};

use crate::support::{Arrived, body_hash};
use crate::wire_world::{Wire, answered};

const FILE: &[u8] = &[7; 300 * 1024];

fn form() -> Form {
    Form::new().text("title", "a picture").part("file", Part::bytes(FILE).file_name("picture.png"))
}

/// The boundary that a request names, and how often it stands in a body of these bytes.
fn boundary(arrived: &Arrived) -> &str {
    let [content_type] = arrived.header("content-type")[..] else { panic!("one content type: {arrived:?}") };
    content_type.strip_prefix("multipart/form-data; boundary=").unwrap()
}

#[tokio::test]
async fn a_form_that_fits_into_memory_is_written_out_before() -> Result<(), Box<dyn std::error::Error>> {
    let wire = Wire::unauthorized().await;
    let client = wire.client();

    let form = form();
    let content_type = format!("multipart/form-data; boundary={}", form.boundary());
    let body = form.into_stream().try_collect::<Vec<_>>().await?.concat();
    let hash = body_hash(&body);
    // Bytes are cloned at no cost: nothing else has to be said.
    let request = client.post(wire.api.at("/pictures")).header(CONTENT_TYPE, &content_type).body(body);
    assert_eq!(request.send().await?.status(), StatusCode::OK);

    let [first, second] = &wire.api.take_arrived()[..] else { panic!("sent twice") };
    assert_eq!((first.hash, second.hash), (hash, hash));
    assert_eq!(boundary(first), boundary(second));
    assert_eq!(wire.counts(), (1, answered(1, 1)));
    Ok(())
}

#[tokio::test]
async fn a_form_that_streams_is_framed_by_hand_and_made_anew() -> Result<(), Box<dyn std::error::Error>> {
    const HEAD: &str =
        "--the-boundary\r\ncontent-disposition: form-data; name=\"file\"; filename=\"picture.png\"\r\n\r\n";
    const TAIL: &str = "\r\n--the-boundary--\r\n";
    /// A program reads from its file here.
    fn body() -> Body {
        let file = stream::iter(FILE.chunks(16 * 1024)).map(Bytes::from_static);
        let parts = stream::once(async { HEAD.into() }).chain(file).chain(stream::once(async { TAIL.into() }));
        Body::wrap_stream(parts.map(Ok::<_, std::io::Error>))
    }

    let wire = Wire::unauthorized().await;
    let request = wire
        .client()
        .post(wire.api.at("/pictures"))
        .header(CONTENT_TYPE, "multipart/form-data; boundary=the-boundary")
        .header(CONTENT_LENGTH, HEAD.len() + FILE.len() + TAIL.len())
        .body(body())
        .resend_with(body);
    assert_eq!(request.send().await?.status(), StatusCode::OK);

    let whole = [HEAD.as_bytes(), FILE, TAIL.as_bytes()].concat();
    let [first, second] = &wire.api.take_arrived()[..] else { panic!("sent twice") };
    for arrived in [first, second] {
        assert_eq!((boundary(arrived), arrived.hash, arrived.length), ("the-boundary", body_hash(&whole), whole.len()));
        assert_eq!(arrived.header("content-length"), [whole.len().to_string()]);
    }
    assert_eq!(wire.counts(), (1, answered(1, 1)));
    Ok(())
}

#[tokio::test]
async fn a_form_as_it_is_is_sent_once_and_marked() {
    let wire = Wire::unauthorized().await;
    let response = wire.client().post(wire.api.at("/pictures")).multipart(form()).send().await.unwrap();
    assert_eq!((response.status(), response.extensions().get()), (StatusCode::UNAUTHORIZED, Some(&NotRetryable::Body)));
    assert_eq!(wire.counts(), (1, answered(0, 1)), "the refresh happened");
    let response = wire.client().post(wire.api.at("/pictures")).multipart(form()).send().await.unwrap();
    assert_eq!((response.status(), wire.counts()), (StatusCode::OK, (1, answered(1, 1))));
}

/// The control: another form of the same parts has another boundary, and the header keeps the first one.
#[tokio::test]
async fn control_another_form_is_no_way_to_make_the_body_anew() {
    let wire = Wire::unauthorized().await;
    let request = wire.client().post(wire.api.at("/pictures")).multipart(form());
    let request = request.resend_with(|| Body::wrap_stream(form().into_stream()));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK, "a server that reads forms would not say so");
    let [first, second] = &wire.api.take_arrived()[..] else { panic!("sent twice") };
    assert_eq!(boundary(first), boundary(second));
    assert_eq!(first.length, second.length);
    assert_ne!(first.hash, second.hash, "the second body has a boundary that its header does not name");
}
