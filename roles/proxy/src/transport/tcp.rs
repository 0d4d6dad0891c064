//! The goim frame on TCP: frames back to back, in both directions.

use protocol::code::CloseCode;
use protocol::frame::{self, Frame, FrameError};

/// Reads the frame at the beginning of the bytes; `None` while it is not whole.
pub(crate) fn decode(bytes: &[u8], body_bytes_max: usize) -> Result<Option<Frame<'_>>, CloseCode> {
    frame::decode(bytes, body_bytes_max).map_err(close_code)
}

/// What a connection is closed with when its bytes are not a frame.
pub(crate) fn close_code(error: FrameError) -> CloseCode {
    match error {
        FrameError::TooBig { .. } => CloseCode::FrameTooBig,
        FrameError::HeaderLength(_) | FrameError::TooShort(_) | FrameError::LengthMismatch { .. } => {
            CloseCode::ProtocolError
        }
    }
}
