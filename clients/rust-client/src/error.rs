//! What can go wrong between an application and Anser, and whether trying again may help.

use std::time::Duration;

use protocol::client;
use protocol::code::CloseCode;

/// Why a request, a connection or a call did not succeed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The address is not one that this client can use.
    #[error("address {url:?} cannot be used: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answered at the address.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the network said.
        reason: String,
    },
    /// The connection ended without a word.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The server closed the connection and said why.
    #[error("the server closed the connection: {} ({})", .0.message, .0.number)]
    Closed(client::Kicked),
    /// The server answered with a refusal.
    #[error("{} ({} {})", .0.message, .0.code, .0.number)]
    Refused(client::Error),
    /// What came is not the protocol.
    #[error("the server said something that is not the protocol: {0}")]
    Protocol(String),
    /// No answer came in time; what was asked may have been carried out.
    #[error("no answer to {what} within {after:?}")]
    Timeout {
        /// What was asked.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// The application's token provider failed.
    #[error("no token: {message}")]
    Token {
        /// What the provider said.
        message: String,
        /// Tells whether the provider may be asked again.
        retryable: bool,
    },
    /// The client was closed by the application.
    #[error("the client was closed")]
    Stopped,
}

impl Error {
    /// Tells whether the same may succeed later without being changed. A send that is tried again should
    /// keep its client message id, since it may have been carried out.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Lost(_) | Self::Protocol(_) | Self::Timeout { .. } => true,
            Self::Closed(kicked) => kicked.number < 4500,
            Self::Refused(refusal) => refusal.retryable,
            Self::Token { retryable, .. } => *retryable,
            Self::Address { .. } | Self::Stopped => false,
        }
    }

    /// Tells whether another token might have been accepted.
    #[must_use]
    pub fn is_token_refusal(&self) -> bool {
        match self {
            Self::Refused(refusal) => (40100..40200).contains(&refusal.number),
            Self::Closed(kicked) => kicked.number == u32::from(CloseCode::TokenRejected.number()),
            _ => false,
        }
    }

    /// The end of a connection by a close code, with the name that the protocol has for it.
    pub(crate) fn closed(number: u16, message: String) -> Self {
        let known = CloseCode::ALL.into_iter().find(|code| code.number() == number);
        let message = match known {
            Some(code) if message.is_empty() => code.words().to_owned(),
            None if message.is_empty() => "no reason given".to_owned(),
            _ => message,
        };
        let code = known.map_or("", CloseCode::name).to_owned();
        Self::Closed(client::Kicked { code, number: u32::from(number), message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_code_tells_whether_to_try_again() {
        assert!(Error::closed(4001, String::new()).is_retryable());
        assert!(!Error::closed(4503, String::new()).is_retryable());
        assert_eq!(
            Error::closed(4503, String::new()).to_string(),
            "the server closed the connection: this device connected again elsewhere (4503)"
        );
        assert!(Error::closed(4501, String::new()).is_token_refusal());
    }
}
