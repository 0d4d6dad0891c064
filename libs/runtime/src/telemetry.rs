//! Logs and metrics of the process.
//!
//! Logs go to stderr: text on a terminal, one JSON object a line otherwise. The target of a line is the role
//! that wrote it. Metrics are counted in this process and read at `/metrics`; nothing is sent anywhere.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text where stderr is a terminal, else JSON.
    Automatic,
    /// For people.
    Text,
    /// One object a line, for machines.
    Json,
}

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no level, and no list of targets with their levels.
    #[error(
        "log level {0:?} is not off, error, warn, info, debug, trace, or a list such as info,proxy=debug"
    )]
    Level(String),
    /// Something in this process has taken the log already.
    #[error("the log was set up twice: {0}")]
    Log(#[source] TryInitError),
    /// Something in this process has taken the metrics already.
    #[error("metrics were set up twice: {0}")]
    Metrics(#[source] BuildError),
}

/// Reads which lines are logged: a level for all, and levels for single targets, such as `info,proxy=debug`.
///
/// # Errors
/// [`Error::Level`].
pub fn parse_level(text: &str) -> Result<Targets, Error> {
    let refused = || Error::Level(text.chars().take(80).collect());
    let mut targets = Targets::new();
    for part in text.split(',') {
        let (target, level) = match part.split_once('=') {
            Some((target, level)) => (Some(target.trim()), level.trim()),
            None => (None, part.trim()),
        };
        // To the library numbers and the empty text are levels too.
        let level: LevelFilter = match level.parse() {
            Ok(filter) if level.contains(char::is_alphabetic) => filter,
            _ => return Err(refused()),
        };
        targets = match target {
            None => targets.with_default(level),
            Some("") => return Err(refused()),
            Some(target) => targets.with_target(target, level),
        };
    }
    Ok(targets)
}

/// Sends the log to stderr: the lines that [`parse_level`] reads from `level`.
///
/// # Errors
/// [`Error::Level`], and [`Error::Log`] where it was called before.
pub fn start_log(level: &str, format: LogFormat) -> Result<(), Error> {
    let targets = parse_level(level)?;
    let terminal = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let text = match format {
        LogFormat::Automatic => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let layer = if text {
        layer.with_ansi(terminal).with_filter(targets).boxed()
    } else {
        layer.json().flatten_event(true).with_current_span(false).with_filter(targets).boxed()
    };
    tracing_subscriber::registry().with(layer).try_init().map_err(Error::Log)
}

/// The metrics of this process.
#[derive(Debug, Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Counts metrics from here on.
    ///
    /// # Errors
    /// [`Error::Metrics`] where it was called before.
    pub fn start() -> Result<Self, Error> {
        let handle = PrometheusBuilder::new().install_recorder().map_err(Error::Metrics)?;
        Ok(Self { handle })
    }

    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds the samples of distributions together. Called every few seconds, it bounds the memory that
    /// samples take while nobody reads them.
    pub fn fold(&self) {
        self.handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_for_all_or_for_single_targets() {
        for text in ["info", "warn,proxy=debug", " error , im=trace", "off"] {
            assert!(parse_level(text).is_ok(), "{text}");
        }
        let targets = parse_level("warn,proxy=debug").unwrap();
        assert!(targets.would_enable("proxy", &tracing::Level::DEBUG));
        assert!(!targets.would_enable("im", &tracing::Level::INFO));
    }

    #[test]
    fn what_is_no_level_is_refused_and_not_taken_for_a_target() {
        for text in ["", "warning", "proxy", "proxy=", "=info", "proxy=loud", "info,", "3"] {
            assert!(parse_level(text).is_err(), "{text}");
        }
    }
}
