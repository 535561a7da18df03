//! `reqwest-tracing` inside has a span for each sending, outside one for each request; no token is in what it records.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use reqwest_auth_refresh::{AuthError, AuthRefresh};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_tracing::{DefaultSpanBackend, SpanBackendWithUrl, TracingMiddleware};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::child::alone;
use crate::redaction::canaries::{ACCESS, REFRESH, search};
use crate::support::{Holder, Issuer};
use crate::wire_world::{Wire, answered, unauthorized_at};

/// What is recorded of one span or event, by field.
#[derive(Clone, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// Everything that this thread records under the targets of `reqwest-tracing` and of ours.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    /// The spans of `reqwest-tracing`, in the order of their beginning.
    spans: Vec<Fields>,
    open: HashMap<u64, usize>,
    texts: Vec<String>,
}

fn is_theirs(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("reqwest_tracing")
}

impl<S: Subscriber> Layer<S> for Recorded {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let mut book = self.0.lock().unwrap();
        book.texts.extend(fields.0.values().cloned());
        if is_theirs(attributes.metadata()) {
            let at = book.spans.len();
            book.spans.push(fields);
            book.open.insert(id.into_u64(), at);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        let mut book = self.0.lock().unwrap();
        book.texts.extend(fields.0.values().cloned());
        if let Some(at) = book.open.get(&id.into_u64()).copied() {
            book.spans[at].0.extend(fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().texts.extend(fields.0.into_values());
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.0.lock().unwrap().open.remove(&id.into_u64());
    }
}

impl Recorded {
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let recorded = Self::default();
        let of_interest =
            |metadata: &Metadata<'_>| is_theirs(metadata) || metadata.target().starts_with("reqwest_auth_refresh");
        let filter = tracing_subscriber::filter::filter_fn(of_interest);
        let guard = tracing_subscriber::registry().with(recorded.clone().with_filter(filter)).set_default();
        (recorded, guard)
    }

    /// This field of each span since the last look; empty where it was never filled.
    fn take(&self, field: &str) -> Vec<String> {
        let spans = std::mem::take(&mut self.0.lock().unwrap().spans);
        spans.into_iter().map(|mut span| span.0.remove(field).unwrap_or_default()).collect()
    }

    fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().texts.clone()
    }
}

const STATUS: &str = "http.response.status_code";

/// Tokens that can be told from any other text.
fn name(kind: &str, holder: &Holder) -> String {
    let canary = if kind == "access" { ACCESS } else { REFRESH };
    canary.secret((holder.grant * 100 + holder.generation) as u64)
}

async fn wire() -> Wire {
    let issuer = Issuer::start().await.unwrap();
    issuer.grants().set_names(name);
    let api = crate::support::Api::start(&issuer).await.unwrap();
    let session = unauthorized_at(&issuer).await;
    Wire { issuer, api, session }
}

fn inside(auth: AuthRefresh) -> ClientWithMiddleware {
    let spans = TracingMiddleware::<SpanBackendWithUrl>::new();
    ClientBuilder::new(reqwest::Client::new()).with(auth).with(spans).build()
}

fn outside(auth: AuthRefresh) -> ClientWithMiddleware {
    let spans = TracingMiddleware::<DefaultSpanBackend>::new();
    ClientBuilder::new(reqwest::Client::new()).with(spans).with(auth).build()
}

#[tokio::test]
async fn a_span_for_each_sending_inside_and_one_for_all_outside() {
    // What is recorded depends on who else listens in this process.
    if !alone("company::spans::a_span_for_each_sending_inside_and_one_for_all_outside") {
        return;
    }
    let (recorded, _guard) = Recorded::begin();
    let wire = wire().await;
    assert!(inside(wire.auth()).get(wire.api.at("/me")).send().await.unwrap().status().is_success());
    assert_eq!(recorded.take(STATUS), ["401", "200"]);

    wire.issuer.revoke_access("alice");
    assert!(outside(wire.auth()).get(wire.api.at("/me")).send().await.unwrap().status().is_success());
    assert_eq!(recorded.take(STATUS), ["200"]);
    assert_eq!(wire.counts(), (2, answered(2, 2)));

    // A dead session: the error is told with its sources, and what was sent is told by its status.
    wire.issuer.revoke_grants("alice");
    let spans = TracingMiddleware::<DefaultSpanBackend>::new;
    let both = ClientBuilder::new(reqwest::Client::new()).with(spans()).with(wire.auth()).with(spans()).build();
    for (told, statuses) in [("once refused", vec!["", "401"]), ("not sent", vec![""])] {
        let error = both.get(wire.api.at("/me")).send().await.unwrap_err();
        assert!(AuthError::find(&error).is_some_and(AuthError::needs_login), "{error:?}");
        let causes: Vec<_> =
            recorded.0.lock().unwrap().spans.iter().map(|span| span.0.get("error.cause_chain").cloned()).collect();
        assert!(causes[0].as_ref().is_some_and(|cause| cause.contains("somebody has to log in")), "{told}: {causes:?}");
        assert_eq!(recorded.take(STATUS), statuses, "{told}");
    }
    assert_eq!(wire.counts(), (3, answered(2, 3)));

    let texts = recorded.texts();
    let hits = search(&[ACCESS, REFRESH], &texts);
    println!("figure: tokens_in_recorded_spans = {} hits", hits.len());
    assert!(hits.is_empty() && texts.len() > 30, "{} texts, {hits:#?}", texts.len());

    // The control: a token that somebody records is found.
    let token = name("access", &Holder { user: "alice".into(), grant: 1, generation: 1 });
    tracing::info!(target: "reqwest_tracing", token, "planted");
    assert_eq!(search(&[ACCESS], recorded.texts()).len(), 2, "at both ends of it");
}
