//! What librdkafka says, as events of this process.
//!
//! It tries again by itself whatever it can, so what it calls an error is a warning here: whoever asked for
//! something is answered, and logs that.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::{Error, Kind};

/// The context of a client that is asked and answers.
pub(super) struct Asking;

impl ClientContext for Asking {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        warn(&error, reason);
    }
}

impl ConsumerContext for Asking {}

/// Logs a line of librdkafka.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "broker", facility, line, "librdkafka");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "broker", facility, line, "librdkafka");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "broker", facility, line, "librdkafka");
        }
    }
}

/// Logs a failure that is nobody's answer.
pub(super) fn warn(error: &KafkaError, reason: &str) {
    tracing::warn!(target: "broker", %error, reason, "kafka");
}

/// What a failure of Kafka means to whoever asked.
pub(super) fn failure(message: String, error: KafkaError) -> Error {
    let kind = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => Kind::Full,
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => Kind::Conflict,
        _ => Kind::Transient,
    };
    Error::new(kind, message).caused_by(error)
}
