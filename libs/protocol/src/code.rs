//! The numbers that a client may see when something was refused or ended.
//!
//! An error's number is the nearest HTTP status times 100 plus a running number. A close code below 4500
//! means "connect again", from 4500 on it means "do not".

use crate::client;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A field has a value that it may not have.
    InvalidArgument,
    /// The server knows no request of that name.
    UnknownRequest,
    /// The bytes are no message of the protocol.
    Malformed,
    /// The first request was not auth, or auth was said twice.
    AuthOrder,
    /// No token was given.
    Unauthenticated,
    /// The token's time is over.
    TokenExpired,
    /// The token is not one of ours.
    TokenInvalid,
    /// What was asked is not allowed to this user.
    NotAllowed,
    /// The conversation, group or user is unknown, or not visible to this user.
    NotFound,
    /// The receiver has blocked the sender.
    Blocked,
    /// The sender may not write in this group for now.
    Muted,
    /// The time in which it was allowed is over.
    TooLate,
    /// The group has ended.
    Dismissed,
    /// There is one of that id already.
    AlreadyExists,
    /// What was sent is larger than allowed.
    TooLarge,
    /// Too many requests; try again later.
    RateLimited,
    /// The server failed; the request may or may not have been carried out.
    Internal,
    /// This server has not been built or configured for what was asked.
    Unsupported,
    /// The server is full; try again.
    Overloaded,
    /// The server is going away; try again elsewhere.
    Draining,
    /// No answer came in time; the request may have been carried out.
    Timeout,
}

impl Code {
    /// The number that clients compare.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::InvalidArgument => 40000,
            Self::UnknownRequest => 40001,
            Self::Malformed => 40002,
            Self::AuthOrder => 40003,
            Self::Unauthenticated => 40100,
            Self::TokenExpired => 40101,
            Self::TokenInvalid => 40102,
            Self::NotAllowed => 40300,
            Self::Blocked => 40301,
            Self::Muted => 40302,
            Self::TooLate => 40303,
            Self::Dismissed => 40304,
            Self::NotFound => 40400,
            Self::AlreadyExists => 40900,
            Self::TooLarge => 41301,
            Self::RateLimited => 42901,
            Self::Internal => 50001,
            Self::Unsupported => 50101,
            Self::Overloaded => 50301,
            Self::Draining => 50302,
            Self::Timeout => 50401,
        }
    }

    /// The name that people read.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::UnknownRequest => "unknown_request",
            Self::Malformed => "malformed",
            Self::AuthOrder => "auth_order",
            Self::Unauthenticated => "unauthenticated",
            Self::TokenExpired => "token_expired",
            Self::TokenInvalid => "token_invalid",
            Self::NotAllowed => "not_allowed",
            Self::Blocked => "blocked",
            Self::Muted => "muted",
            Self::TooLate => "too_late",
            Self::Dismissed => "dismissed",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::Unsupported => "unsupported",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::Timeout => "timeout",
        }
    }

    /// Tells whether the same request may succeed later without being changed.
    #[must_use]
    pub fn retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Internal | Self::Overloaded | Self::Draining | Self::Timeout)
    }

    /// The HTTP status of the same refusal in the server API.
    #[must_use]
    pub fn http_status(self) -> u16 {
        u16::try_from(self.number() / 100).unwrap_or(500)
    }

    /// The error as a client sees it; `message` names the thing and what to do.
    #[must_use]
    pub fn with(self, message: impl Into<String>) -> client::Error {
        client::Error {
            code: self.name().to_owned(),
            number: self.number(),
            message: message.into(),
            retryable: self.retryable(),
        }
    }
}

/// Why the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// This process is going away.
    Draining,
    /// The client did not read what was sent to it.
    SlowConsumer,
    /// Nothing was heard for longer than the idle limit.
    Idle,
    /// More requests came than one connection may send.
    RateLimited,
    /// The server failed.
    Internal,
    /// This process holds as many connections as it may.
    Full,
    /// The token was refused.
    TokenRejected,
    /// The connection was ended by the server API.
    Kicked,
    /// The same device of the same user connected again.
    ReplacedByDevice,
    /// The user signed in on another device, and the server allows one, or one of each platform.
    ReplacedByLogin,
    /// What came is not the protocol.
    ProtocolError,
    /// A frame was larger than allowed.
    FrameTooBig,
    /// No auth came within the time limit.
    AuthTimeout,
}

impl CloseCode {
    /// Every close code, for documentation and tests.
    pub const ALL: [Self; 13] = [
        Self::Draining,
        Self::SlowConsumer,
        Self::Idle,
        Self::RateLimited,
        Self::Internal,
        Self::Full,
        Self::TokenRejected,
        Self::Kicked,
        Self::ReplacedByDevice,
        Self::ReplacedByLogin,
        Self::ProtocolError,
        Self::FrameTooBig,
        Self::AuthTimeout,
    ];

    /// The number: WebSocket's close code, and the number in [`client::Kicked`].
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Draining => 4001,
            Self::SlowConsumer => 4004,
            Self::Idle => 4005,
            Self::RateLimited => 4006,
            Self::Internal => 4007,
            Self::Full => 4008,
            Self::TokenRejected => 4501,
            Self::Kicked => 4502,
            Self::ReplacedByDevice => 4503,
            Self::ReplacedByLogin => 4504,
            Self::ProtocolError => 4506,
            Self::FrameTooBig => 4508,
            Self::AuthTimeout => 4509,
        }
    }

    /// The name that people and metrics read.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::SlowConsumer => "slow_consumer",
            Self::Idle => "idle",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::Full => "full",
            Self::TokenRejected => "token_rejected",
            Self::Kicked => "kicked",
            Self::ReplacedByDevice => "replaced_by_device",
            Self::ReplacedByLogin => "replaced_by_login",
            Self::ProtocolError => "protocol_error",
            Self::FrameTooBig => "frame_too_big",
            Self::AuthTimeout => "auth_timeout",
        }
    }

    /// What happened, in words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Draining => "the server is going away, connect again",
            Self::SlowConsumer => "what was sent was not read in time, connect again",
            Self::Idle => "nothing was heard within the idle limit, connect again",
            Self::RateLimited => "too many requests, connect again later",
            Self::Internal => "the server failed, connect again",
            Self::Full => "the server is full, connect again later",
            Self::TokenRejected => "the token was refused",
            Self::Kicked => "the connection was ended by the server",
            Self::ReplacedByDevice => "this device connected again elsewhere",
            Self::ReplacedByLogin => "the user signed in on another device",
            Self::ProtocolError => "what was sent is not the protocol",
            Self::FrameTooBig => "a frame was larger than allowed",
            Self::AuthTimeout => "no auth came within the time limit",
        }
    }

    /// Tells whether a client may connect again.
    #[must_use]
    pub fn reconnect(self) -> bool {
        self.number() < 4500
    }

    /// The push that tells an Anser client before the connection closes.
    #[must_use]
    pub fn kicked(self) -> client::Kicked {
        client::Kicked {
            code: self.name().to_owned(),
            number: u32::from(self.number()),
            message: self.words().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_are_distinct_and_in_the_private_range() {
        let mut numbers: Vec<u16> = CloseCode::ALL.iter().map(|code| code.number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), CloseCode::ALL.len());
        assert!(numbers.iter().all(|number| (4000..5000).contains(number)));
    }

    #[test]
    fn an_errors_number_begins_with_its_http_status() {
        assert_eq!(Code::TooLarge.number(), 41301);
        assert_eq!(Code::TooLarge.http_status(), 413);
        assert!(!Code::TooLarge.retryable());
    }
}
