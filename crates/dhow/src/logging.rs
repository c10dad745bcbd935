//! Logs on standard error: for people, or one JSON object a line.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{Config, LogFormat},
    failure::Failure,
};

/// Starts logging. `otel` adds a layer that exports traces.
pub fn start(config: &Config) -> Result<(), Failure> {
    let config = &config.log;
    let filter = EnvFilter::try_new(&config.level).map_err(|e| {
        Failure::new(format!("`{}` is not a log level: {e}", config.level))
            .hint("use error, warn, info, debug or trace, or a filter such as info,gateway=debug")
    })?;
    let human = (config.format == LogFormat::Human).then(|| {
        fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .compact()
    });
    let json = (config.format == LogFormat::Json)
        .then(|| fmt::layer().json().flatten_event(true).with_writer(std::io::stderr));
    tracing_subscriber::registry()
        .with(filter)
        .with(human)
        .with(json)
        .try_init()
        .map_err(|e| Failure::new(format!("cannot start logging: {e}")))
}
