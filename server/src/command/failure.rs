//! Why a command did not succeed, with the exit code that programs read.

use std::fmt;
use std::io;

/// What the user is told, and the exit code: 1 failed, 2 wrong use, 3 configuration, 4 unreachable, 5 denied.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    exit_code: u8,
}

impl Failure {
    /// It was tried and failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 1 }
    }

    /// What was asked for makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 2 }
    }

    /// The settings are wrong.
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 3 }
    }

    /// What was shown does not allow it.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 5 }
    }

    /// Says what to do next.
    pub(crate) fn next(mut self, advice: &str) -> Self {
        self.message = format!("{}\n{advice}", self.message);
        self
    }

    /// The exit code of the process; 0 where the reader of the output left, which is no failure.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let exit_code = if error.kind() == io::ErrorKind::BrokenPipe { 0 } else { 1 };
        Self { message: error.to_string(), exit_code }
    }
}

impl From<anser_client::Error> for Failure {
    fn from(error: anser_client::Error) -> Self {
        use anser_client::Error;
        let exit_code = match &error {
            Error::Address { .. } => 2,
            Error::Connect { .. } | Error::Lost(_) | Error::Timeout { .. } => 4,
            Error::Refused(refusal) if matches!(refusal.number / 100, 401 | 403) => 5,
            Error::Closed(_) if error.is_token_refusal() => 5,
            _ => 1,
        };
        Self { message: error.to_string(), exit_code }
    }
}
