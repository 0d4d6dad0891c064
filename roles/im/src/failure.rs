//! What a failure of a backend means to those who asked im.

use contracts::{Error, Kind};

/// The same failure in the words of the contracts.
pub(crate) fn of_backend(error: backends::Error) -> Error {
    let kind = match error.kind() {
        backends::Kind::Full => Kind::Overloaded,
        backends::Kind::Transient | backends::Kind::Conflict => Kind::Unavailable,
        backends::Kind::Missing | backends::Kind::Corrupt => Kind::Internal,
    };
    Error::new(kind, error.to_string()).caused_by(error)
}
