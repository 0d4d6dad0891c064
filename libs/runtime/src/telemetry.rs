//! Logs and metrics of the process.
//!
//! Logs go to stderr: text on a terminal, one JSON object a line otherwise. The target of a line is the role
//! that wrote it. Metrics are counted in this process and read at `/metrics`; nothing is sent anywhere.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

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
    /// The level is no filter.
    #[error("log level {level:?} is not a level or a list of target=level: {source}")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something in this process has taken the log already.
    #[error("the log was set up twice: {0}")]
    Log(#[source] tracing_subscriber::util::TryInitError),
    /// Something in this process has taken the metrics already.
    #[error("metrics were set up twice: {0}")]
    Metrics(#[source] BuildError),
}

/// Sends the log to stderr: what is at least of this level, or passes a filter such as `info,proxy=debug`.
///
/// # Errors
/// [`Error::Level`], and [`Error::Log`] where it was called before.
pub fn start_log(level: &str, format: LogFormat) -> Result<(), Error> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let filter =
        EnvFilter::try_new(level).map_err(|source| Error::Level { level: level.to_owned(), source })?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let text = match format {
        LogFormat::Automatic => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    if text {
        builder.with_ansi(terminal).finish().try_init().map_err(Error::Log)
    } else {
        builder.json().flatten_event(true).with_current_span(false).finish().try_init().map_err(Error::Log)
    }
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
