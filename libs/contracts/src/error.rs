//! Why a role could not do what another role asked.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use protocol::Code;

/// The answer of a contract.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is; it decides what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The caller asked for something that can never succeed.
    Refused(Code),
    /// The callee has as much work as it may hold; nothing was done.
    Overloaded,
    /// The callee or something it needs cannot be reached; nothing is known of the outcome.
    Unavailable,
    /// The callee failed in a way that a person must look at.
    Internal,
}

/// A failure of a contract.
#[derive(Clone)]
pub struct Error {
    kind: Kind,
    message: String,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of this kind; the message names the thing and the value.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }

    /// A refusal that the client is told under this code.
    #[must_use]
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::new(Kind::Refused(code), message)
    }

    /// Keeps what led to this failure, for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Tells whether the same call may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.code().retryable()
    }

    /// What a client is told.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.kind {
            Kind::Refused(code) => code,
            Kind::Overloaded | Kind::Unavailable => Code::Overloaded,
            Kind::Internal => Code::Internal,
        }
    }

    /// The error as a client sees it: details of a failure of ours stay inside.
    #[must_use]
    pub fn to_client(&self) -> protocol::client::Error {
        let code = self.code();
        code.with(match self.kind {
            Kind::Refused(_) => self.message.clone(),
            Kind::Overloaded => "the server has as much work as it may hold: try again".to_owned(),
            Kind::Unavailable => "a part of the server cannot be reached: try again".to_owned(),
            Kind::Internal => "the server failed: try again".to_owned(),
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.kind, self.message)?;
        match &self.cause {
            Some(cause) => write!(formatter, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as &(dyn StdError + 'static))
    }
}
