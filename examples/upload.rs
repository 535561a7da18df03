//! Uploads that stream, and meet an expired session.
//!
//! A body that streams cannot be cloned, and nobody buffers it. With `resend_with` the program says how to make it anew, and
//! the upload is sent a second time by itself. Without it the upload is sent once: the tokens are refreshed all the same, and
//! the 401 comes back with a mark that says so, so that the program may send it again by hand.
//!
//! Run it with `cargo run --example upload`.

#[path = "quickstart/story.rs"]
#[allow(dead_code, reason = "the quickstart tells more")]
mod story;
#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::process::ExitCode;

use futures_util::stream;
use reqwest::{Body, Response};
use reqwest_auth_refresh::{
    AuthRefresh, NotRetryable, Origins, RefreshGrant, RequestBuilderExt, Retried, Session, Tokens,
};
use reqwest_middleware::ClientBuilder;

use crate::story::{Story, Table};
use crate::support::{Api, Issuer, body_hash};

const CHUNK: &[u8] = &[7; 64 * 1024];
/// The film has 8 MiB.
const CHUNKS: usize = 128;

/// The film, chunk by chunk. A program opens its file here.
fn film() -> Body {
    Body::wrap_stream(stream::iter((0..CHUNKS).map(|_| Ok::<_, std::io::Error>(CHUNK))))
}

fn outcome(response: &Response) -> String {
    let (retried, mark) = (response.extensions().get::<Retried>(), response.extensions().get::<NotRetryable>());
    let told = match (retried, mark) {
        (Some(_), _) => ", sent twice",
        (_, Some(_)) => ", marked: not retryable because of its body",
        _ => "",
    };
    format!("{}{told}", response.status())
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let story = Story::begin();
    let issuer = Issuer::start().await?;
    let api = Api::start(&issuer).await?;
    let session = Session::new(RefreshGrant::new(issuer.token_url(), "app")?);
    session.login(Tokens::from_json(issuer.login("alice").to_string())?).await?;
    let auth = AuthRefresh::new(&session, Origins::new(api.url())?);
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
    let url = api.at("/films/1");

    Story::scene("An upload that can be made anew meets an expired session");
    issuer.revoke_access("alice");
    let by_itself = client.put(&url).body(film()).resend_with(film).send().await?;
    story.tell("with resend_with", &outcome(&by_itself));

    Story::scene("An upload that cannot");
    issuer.revoke_access("alice");
    let refused = client.put(&url).body(film()).send().await?;
    story.tell("without", &outcome(&refused));
    let marked = refused.extensions().get() == Some(&NotRetryable::Body);
    let by_hand = if marked { client.put(&url).body(film()).send().await? } else { refused };
    story.tell("again, by hand", &outcome(&by_hand));

    let whole = body_hash(&CHUNK.repeat(CHUNKS));
    let arrived = api.take_arrived();
    let accepted = arrived.iter().filter(|film| film.ok && film.hash == whole).count();
    let refused = arrived.iter().filter(|film| !film.ok && film.hash == whole).count();
    let mut table = Table::begin();
    Table::heading("counted", "expected");
    table.same("uploads answered with 200", [by_itself, by_hand].iter().filter(|got| got.status() == 200).count(), 2);
    table.same("uploads that were marked", usize::from(marked), 1);
    table.same("films that arrived whole and were accepted", accepted, 2);
    table.same("films that arrived whole and were refused", refused, 2);
    table.same("films that arrived, all in all", arrived.len(), 4);
    table.same("refreshes", issuer.counts().token_calls, 2);
    let right = table.is_all_right();
    let closing = if right { "every film arrived, byte for byte" } else { "the counts do not agree" };
    Story::close(&format!("upload: {closing}"));
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
