//! Why a backend could not do what it was asked.

use std::error::Error as StdError;

/// The answer of a backend.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is; it decides what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It may succeed when tried again; nothing is known of the outcome of this try.
    Transient,
    /// Someone else changed it first.
    Conflict,
    /// It is not there.
    Missing,
    /// What is there cannot be read: a person must look.
    Corrupt,
    /// The queue before it is full: nothing was done.
    Full,
}

/// A failure of a backend.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of this kind; the message names the thing and the value.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps what led to this failure, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}
