//! `tracing` events become lines. The only spans are those of [`Log::span`](crate::Log::span), each a
//! prefix for the events that name it as their parent.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Metadata, Subscriber};

use crate::limit::{Budget, Kind, Source};
use crate::{Level, enabled, write_within_limits};

/// The target of the spans that are prefixes.
pub(crate) const SPANS: &str = "frp_log";

/// Installs the subscriber; at a later call, lets it decide anew for every call site.
pub(crate) fn install() {
    // Fails if there is one: ours, or another's that is meant to see the events instead.
    let _ = tracing::subscriber::set_global_default(Bridge);
    tracing::callsite::rebuild_interest_cache();
}

struct Bridge;

/// The spans that are open.
#[derive(Default)]
struct Spans {
    last: u64,
    open: HashMap<u64, OpenSpan>,
}

struct OpenSpan {
    prefix: Arc<str>,
    handles: usize,
}

static OPEN: LazyLock<Mutex<Spans>> = LazyLock::new(Mutex::default);

fn spans() -> MutexGuard<'static, Spans> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscriber for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            return metadata.target() == SPANS;
        }
        let level = level(*metadata.level());
        let ours = metadata.target().starts_with("frp");
        enabled(level) && (ours || level >= Level::Warn)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let meta = event.metadata();
        let kind = Kind {
            file: meta.file().unwrap_or_else(|| meta.target()),
            line: meta.line().unwrap_or_default(),
            level: level(*meta.level()),
            budget: Budget::Events,
        };
        let span = event.parent().map(span::Id::into_u64);
        let prefix = span.and_then(|id| Some(spans().open.get(&id)?.prefix.clone()));
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        match prefix {
            Some(prefix) => {
                write_within_limits(
                    kind,
                    Source::Prefix(prefix.clone()),
                    &prefix,
                    &Fields(event),
                );
            }
            None => write_within_limits(kind, Source::Any, "", &Fields(event)),
        }
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut prefix = Prefix::default();
        attributes.record(&mut prefix);
        let spans = &mut *spans();
        spans.last += 1;
        let open = OpenSpan {
            prefix: prefix.0.into(),
            handles: 1,
        };
        spans.open.insert(spans.last, open);
        span::Id::from_u64(spans.last)
    }

    fn clone_span(&self, id: &span::Id) -> span::Id {
        if let Some(span) = spans().open.get_mut(&id.into_u64()) {
            span.handles += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: span::Id) -> bool {
        let mut spans = spans();
        let Some(span) = spans.open.get_mut(&id.into_u64()) else {
            return false;
        };
        span.handles -= 1;
        let last = span.handles == 0;
        if last {
            spans.open.remove(&id.into_u64());
        }
        last
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::TRACE => Level::Trace,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::INFO => Level::Info,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::ERROR => Level::Error,
    }
}

/// The prefix of a new span.
#[derive(Default)]
struct Prefix(String);

impl Visit for Prefix {
    fn record_str(&mut self, _: &Field, value: &str) {
        value.clone_into(&mut self.0);
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The message, then ` name=value` for each other field.
struct Fields<'a>(&'a tracing::Event<'a>);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut visitor = Visitor {
            message: String::new(),
            fields: String::new(),
        };
        self.0.record(&mut visitor);
        f.write_str(&visitor.message)?;
        f.write_str(&visitor.fields)
    }
}

struct Visitor {
    message: String,
    fields: String,
}

impl Visit for Visitor {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String fails only if the value's Debug does.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
