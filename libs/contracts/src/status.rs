//! Errors between processes: kind, code and message cross, the cause stays where it is known.

use prost::Message as _;
use protocol::Code;
use tonic::Status;

use crate::wire;
use crate::{Error, Kind};

/// Bytes of a message that crosses: it stands in a header.
const MESSAGE_BYTES_MAX: usize = 2048;

/// Every code that can cross.
pub(crate) const CODES: [Code; 21] = [
    Code::InvalidArgument,
    Code::UnknownRequest,
    Code::Malformed,
    Code::AuthOrder,
    Code::Unauthenticated,
    Code::TokenExpired,
    Code::TokenInvalid,
    Code::NotAllowed,
    Code::NotFound,
    Code::Blocked,
    Code::Muted,
    Code::TooLate,
    Code::Dismissed,
    Code::AlreadyExists,
    Code::TooLarge,
    Code::RateLimited,
    Code::Internal,
    Code::Unsupported,
    Code::Overloaded,
    Code::Draining,
    Code::Timeout,
];

/// The error as it crosses.
pub(crate) fn to_wire(error: &Error) -> wire::Error {
    let (kind, code) = match error.kind() {
        Kind::Refused(code) => (wire::error::Kind::Refused, code.number()),
        Kind::Overloaded => (wire::error::Kind::Overloaded, 0),
        Kind::Unavailable => (wire::error::Kind::Unavailable, 0),
        Kind::Internal => (wire::error::Kind::Internal, 0),
    };
    let mut message = error.to_string();
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    wire::Error { kind: kind.into(), code, message }
}

/// The error that has crossed. A refusal under a code of a later version is the callee's failure.
pub(crate) fn of_wire(error: wire::Error) -> Error {
    let kind = match error.kind() {
        wire::error::Kind::Refused => {
            CODES.into_iter().find(|code| code.number() == error.code).map_or(Kind::Internal, Kind::Refused)
        }
        wire::error::Kind::Overloaded => Kind::Overloaded,
        wire::error::Kind::Unavailable => Kind::Unavailable,
        wire::error::Kind::Internal | wire::error::Kind::Unknown => Kind::Internal,
    };
    Error::new(kind, error.message)
}

/// The status that carries an error. Its own message names only the kind: what it says stands in the details.
pub(crate) fn of_error(error: &Error) -> Status {
    let (code, words) = match error.kind() {
        Kind::Refused(_) => (tonic::Code::FailedPrecondition, "refused"),
        Kind::Overloaded => (tonic::Code::ResourceExhausted, "overloaded"),
        Kind::Unavailable => (tonic::Code::Unavailable, "unavailable"),
        Kind::Internal => (tonic::Code::Internal, "internal"),
    };
    Status::with_details(code, words, to_wire(error).encode_to_vec().into())
}

/// The error that a status carries. One that the callee's role did not make says that the call did not get there or
/// back.
pub(crate) fn to_error(status: &Status) -> Error {
    if !status.details().is_empty()
        && let Ok(error) = wire::Error::decode(status.details())
    {
        return of_wire(error);
    }
    let kind = match status.code() {
        tonic::Code::ResourceExhausted => Kind::Overloaded,
        tonic::Code::Unimplemented | tonic::Code::OutOfRange => Kind::Internal,
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("the call failed: {}", status.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code that is missing in the table does not compile here.
    fn place(code: Code) -> usize {
        match code {
            Code::InvalidArgument => 0,
            Code::UnknownRequest => 1,
            Code::Malformed => 2,
            Code::AuthOrder => 3,
            Code::Unauthenticated => 4,
            Code::TokenExpired => 5,
            Code::TokenInvalid => 6,
            Code::NotAllowed => 7,
            Code::NotFound => 8,
            Code::Blocked => 9,
            Code::Muted => 10,
            Code::TooLate => 11,
            Code::Dismissed => 12,
            Code::AlreadyExists => 13,
            Code::TooLarge => 14,
            Code::RateLimited => 15,
            Code::Internal => 16,
            Code::Unsupported => 17,
            Code::Overloaded => 18,
            Code::Draining => 19,
            Code::Timeout => 20,
        }
    }

    #[test]
    fn every_kind_and_code_crosses_as_it_is() {
        let refused = CODES.into_iter().map(Kind::Refused);
        for kind in refused.chain([Kind::Overloaded, Kind::Unavailable, Kind::Internal]) {
            let crossed = to_error(&of_error(&Error::new(kind, "room \u{1}\u{e9} is full")));
            assert_eq!((crossed.kind(), crossed.to_string().as_str()), (kind, "room \u{1}\u{e9} is full"));
            assert_eq!(to_error(&of_error(&Error::new(kind, ""))).kind(), kind);
        }
        assert!(CODES.into_iter().enumerate().all(|(index, code)| place(code) == index));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let crossed = to_error(&of_error(&Error::new(Kind::Internal, "\u{e9}".repeat(5000))));
        assert_eq!(crossed.to_string().len(), MESSAGE_BYTES_MAX);
    }

    #[test]
    fn what_no_role_has_said_is_told_apart() {
        assert_eq!(to_error(&Status::resource_exhausted("full")).kind(), Kind::Overloaded);
        assert_eq!(to_error(&Status::unknown("broken")).kind(), Kind::Unavailable);
        assert_eq!(to_error(&Status::deadline_exceeded("late")).kind(), Kind::Unavailable);
        assert_eq!(to_error(&Status::unimplemented("no such call")).kind(), Kind::Internal);
    }
}
