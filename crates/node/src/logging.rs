//! Logs on standard error, for people or one JSON object a line; and traces, where a collector is
//! configured.

use std::{
    fmt::{Debug, Result as Written},
    io::IsTerminal,
};

use admin::failure::Failure;
use tracing::{field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    field::MakeExt,
    fmt::{
        self,
        format::{Writer, debug_fn},
    },
    layer::SubscriberExt,
    util::SubscriberInitExt,
};
use types::text::shown;

use crate::config::{Config, Log, LogFormat};

#[cfg(feature = "otel")]
pub use crate::traces::Traces;

/// What a build without the feature `otel` has instead.
#[cfg(not(feature = "otel"))]
pub struct Traces;

#[cfg(not(feature = "otel"))]
impl Drop for Traces {
    // So that dropping it at shutdown means the same in every build.
    fn drop(&mut self) {}
}

/// Characters of a field of a line.
const FIELD_MAX: usize = 16_384;

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging, and the export of traces if the configuration names a collector. Dropping what
/// comes back sends the traces that are still waiting; that takes a few seconds at most.
///
/// Errors: the level or the collector's address is malformed, or this build exports no traces.
pub fn start(config: &Config) -> Result<Option<Traces>, Failure> {
    let (layers, traces) = layers(config)?;
    tracing_subscriber::registry()
        .with(layers)
        .try_init()
        .map_err(|e| Failure::new(format!("cannot start logging: {e}")))?;
    Ok(traces)
}

/// Each layer has its own filter: spans of requests are made only where an exporter wants them, at
/// whatever level the log is.
fn layers(config: &Config) -> Result<(Vec<BoxedLayer>, Option<Traces>), Failure> {
    let mut layers = vec![lines(&config.log)?];
    let Some(endpoint) = &config.otel.endpoint else {
        return Ok((layers, None));
    };
    let (layer, traces) = export(endpoint, &config.region)?;
    layers.push(layer);
    Ok((layers, Some(traces)))
}

/// Refuses what is neither a level nor a filter. A word alone that is no level would be read as the
/// name of a module, and nothing else would be logged.
///
/// # Errors
/// Names the part that is wrong.
pub fn check_level(level: &str) -> Result<(), Failure> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, Failure> {
    let refused = |part: &str, why: &str| {
        let part = part.escape_default();
        Failure::new(format!("`{part}` is not a log level{why}"))
            .hint("use error, warn, info, debug or trace, or a filter such as info,gateway=debug")
    };
    let is_level = |part: &str| part.parse::<LevelFilter>().is_ok();
    let named = |part: &&str| !part.contains(['=', '[']) && !is_level(part);
    if let Some(word) = level.split(',').map(str::trim).find(named) {
        return Err(refused(word, ""));
    }
    EnvFilter::try_new(level).map_err(|e| refused(level, &format!(": {e}")))
}

fn lines(log: &Log) -> Result<BoxedLayer, Failure> {
    let filter = filter(&log.level)?;
    let layer = fmt::layer().with_writer(std::io::stderr);
    Ok(match log.format {
        LogFormat::Human => layer
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .compact()
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    })
}

/// Writes a field of an event. Other regions and tenants say some of them: none begins a line of
/// its own, and a terminal obeys none.
fn write_field(to: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> Written {
    let value = format!("{value:?}");
    let value = shown(&value, FIELD_MAX);
    match field.name() {
        "message" => to.write_str(&value),
        name => write!(to, "{}={value}", name.trim_start_matches("r#")),
    }
}

#[cfg(feature = "otel")]
fn export(endpoint: &str, region: &str) -> Result<(BoxedLayer, Traces), Failure> {
    Traces::start(endpoint, region)
}

#[cfg(not(feature = "otel"))]
fn export(_endpoint: &str, _region: &str) -> Result<(BoxedLayer, Traces), Failure> {
    Err(Failure::new("this build exports no traces")
        .hint("leave the collector's address out, or build with the feature `otel`"))
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use parking_lot::Mutex;
    use tracing::Subscriber;

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_forges_a_line_of_the_log() {
        let lines = Lines::default();
        let to = lines.clone();
        let layer = fmt::layer()
            .with_writer(move || to.clone())
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .with_ansi(false);
        let evil = "x\n2026-11-30T00:00:00Z  INFO all is well\r\u{1b}[2J\u{9b}2J\u{202e}";
        let error = io::Error::other(evil);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(from = %evil, said = evil, ?evil, error, "refused {evil}");
            let span = tracing::info_span!("asked", name = %evil);
            span.in_scope(|| tracing::info!(r#type = 1, "done"));
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        let is_plain = |c| c == '\n' || types::text::is_plain(c);
        assert!(text.chars().all(is_plain), "{text:?}");
        assert!(
            text.contains(" from=x\\u{a}2026") && text.contains("done type=1"),
            "{text}"
        );
    }

    fn level_of(config: &Config) -> Option<LevelFilter> {
        let (layers, _traces) = layers(config).unwrap();
        tracing_subscriber::registry().with(layers).max_level_hint()
    }

    #[test]
    fn spans_of_requests_cost_nothing_unless_they_are_exported() {
        let mut config = Config::default();
        assert_eq!(level_of(&config), Some(LevelFilter::INFO));
        // Port 9 discards; nothing is sent, since no span is made.
        config.otel.endpoint = Some("http://127.0.0.1:9".to_owned());
        let exported = cfg!(feature = "otel");
        assert_eq!(layers(&config).is_ok(), exported);
        if exported {
            assert_eq!(level_of(&config), Some(LevelFilter::DEBUG));
        }
    }

    #[test]
    fn a_malformed_level_is_named() {
        let mut config = Config::default();
        config.log.level = "info,gateway=loud".to_owned();
        let error = layers(&config)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default();
        assert!(error.contains("gateway=loud"), "{error}");
    }
}
