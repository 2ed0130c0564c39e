//! `tracing` events become lines. Spans are not used for prefixes (see [`crate::Log`]), so none is
//! recorded.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Metadata, Subscriber};

use crate::limit::{Budget, Kind, Source};
use crate::{Level, enabled, write_within_limits};

/// Installs the subscriber; at a later call, lets it decide anew for every call site.
pub(crate) fn install() {
    // Fails if there is one: ours, or another's that is meant to see the events instead.
    let _ = tracing::subscriber::set_global_default(Bridge);
    tracing::callsite::rebuild_interest_cache();
}

struct Bridge;

impl Subscriber for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = level(*metadata.level());
        let ours = metadata.target().starts_with("frp");
        metadata.is_event() && enabled(level) && (ours || level >= Level::Warn)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let meta = event.metadata();
        let kind = Kind {
            file: meta.file().unwrap_or_else(|| meta.target()),
            line: meta.line().unwrap_or_default(),
            level: level(*meta.level()),
            budget: Budget::Events,
        };
        write_within_limits(kind, Source::Any, "", &Fields(event));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
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
