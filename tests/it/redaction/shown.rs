//! What the crate shows, by the four ways in which a secret could get out: log lines, `Debug`, `Display`, sources of errors.

use std::any::type_name;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex};

use tracing::span::{Attributes, Id};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::canaries::{self, Canary, Hit};

/// Everything that was shown.
#[derive(Default)]
pub(crate) struct Shown {
    debug: Vec<String>,
    display: Vec<String>,
    sources: Vec<String>,
    /// Of which types.
    pub(crate) types: BTreeSet<String>,
}

impl Shown {
    pub(crate) fn debug<T: Debug>(&mut self, value: &T) {
        let name = type_name::<T>().split('<').next().unwrap_or_default();
        self.types.insert(name.rsplit("::").next().unwrap_or_default().to_owned());
        self.debug.extend([format!("{value:?}"), format!("{value:#?}")]);
    }

    /// What somebody else's `Debug` shows of ours.
    pub(crate) fn text(&mut self, debug: String) {
        self.debug.push(debug);
    }

    pub(crate) fn display(&mut self, value: &impl ToString) {
        self.display.push(value.to_string());
    }

    /// An error, and all that led to it.
    pub(crate) fn error<E: Error>(&mut self, error: &E) {
        self.debug(error);
        self.display.push(format!("{error} {error:#}"));
        let mut source = error.source();
        while let Some(error) = source {
            self.sources.push(format!("{error} {error:?} {error:#?}"));
            source = error.source();
        }
    }

    /// How much was shown by each way.
    pub(crate) fn counts(&self) -> [usize; 3] {
        [self.debug.len(), self.display.len(), self.sources.len()]
    }

    /// What is found by each way, log lines first.
    pub(crate) fn hits(&self, log: &str, canaries: &[Canary]) -> [Vec<Hit>; 4] {
        let search = |texts: &[String]| canaries::search(canaries, texts.iter().map(String::as_str));
        let [debug, display, sources] = [&self.debug, &self.display, &self.sources].map(|texts| search(texts));
        [canaries::search(canaries, [log]), debug, display, sources]
    }
}

/// Everything that this thread logs at `TRACE`: lines of this crate's targets, and all others.
pub(crate) struct Log {
    ours: Lines,
    others: Lines,
    targets: Targets,
    _guard: DefaultGuard,
}

impl Log {
    pub(crate) fn begin() -> Self {
        let (ours, others) = (Lines::default(), Lines::default());
        let targets = Targets::default();
        let subscriber = tracing_subscriber::registry()
            .with(layer(&ours).with_filter(filter_fn(is_ours)))
            .with(layer(&others).with_filter(filter_fn(|metadata| !is_ours(metadata))))
            .with(targets.clone());
        Self { ours, others, targets, _guard: subscriber.set_default() }
    }

    pub(crate) fn ours(&self) -> String {
        self.ours.text()
    }

    pub(crate) fn others(&self) -> String {
        self.others.text()
    }

    /// The targets of ours that logged something.
    pub(crate) fn targets(&self) -> BTreeSet<&'static str> {
        self.targets.0.lock().unwrap().clone()
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("reqwest_auth_refresh")
}

#[derive(Clone, Default)]
struct Targets(Arc<Mutex<BTreeSet<&'static str>>>);

impl Targets {
    fn see(&self, metadata: &'static Metadata<'static>) {
        if is_ours(metadata) {
            self.0.lock().unwrap().insert(metadata.target());
        }
    }
}

impl<S: Subscriber> Layer<S> for Targets {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.see(attributes.metadata());
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.see(event.metadata());
    }
}

fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(lines: &Lines) -> impl Layer<S> + use<S> {
    let lines = lines.clone();
    tracing_subscriber::fmt::layer().with_ansi(false).with_span_events(FmtSpan::FULL).with_writer(move || lines.clone())
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
