//! What a failure means to those who asked im, in the words of the contracts.

use contracts::{Error, Kind};
use protocol::Code;
use protocol::ids::IdError;

/// A failure of a backend.
pub(crate) fn of_backend(error: backends::Error) -> Error {
    let kind = match error.kind() {
        backends::Kind::Full => Kind::Overloaded,
        backends::Kind::Transient | backends::Kind::Conflict => Kind::Unavailable,
        backends::Kind::Missing | backends::Kind::Corrupt => Kind::Internal,
    };
    Error::new(kind, error.to_string()).caused_by(error)
}

/// A refusal of an id that stands in this field.
pub(crate) fn refused_id(field: &'static str) -> impl Fn(IdError) -> Error {
    move |error| Error::refused(Code::InvalidArgument, format!("{field}: {error}"))
}
