//! The goim frame: a header of 16 bytes, big-endian, and a body.
//!
//! | offset | field |
//! |---|---|
//! | 0 | `int32` package length: header and body |
//! | 4 | `int16` header length, always 16 |
//! | 6 | `int16` version, 1; echoed in a reply |
//! | 8 | `int32` operation |
//! | 12 | `int32` sequence; echoed in a reply, 0 in a push |

use bytes::{BufMut, Bytes, BytesMut};

use crate::operation::Operation;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 16;
/// The version that the server speaks where it does not echo one.
pub const VERSION: i16 = 1;

/// A frame's header, without its lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The version; a reply echoes it.
    pub version: i16,
    /// What the body is.
    pub operation: Operation,
    /// Chosen by the client; a reply echoes it.
    pub sequence: i32,
}

impl Header {
    /// The header of what the server says first.
    #[must_use]
    pub fn push(operation: Operation) -> Self {
        Self { version: VERSION, operation, sequence: 0 }
    }

    /// The header of the answer to this frame.
    #[must_use]
    pub fn reply(self, operation: Operation) -> Self {
        Self { operation, ..self }
    }

    /// Writes the header before a body of `body_bytes` bytes. A body of 2 GiB does not occur: every body is
    /// bounded far below.
    pub fn put(self, body_bytes: usize, out: &mut impl BufMut) {
        out.put_u32((HEADER_BYTES + body_bytes) as u32);
        out.put_i16(HEADER_BYTES as i16);
        out.put_i16(self.version);
        out.put_i32(self.operation);
        out.put_i32(self.sequence);
    }

    /// The whole frame.
    #[must_use]
    pub fn frame(self, body: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + body.len());
        self.put(body.len(), &mut out);
        out.put_slice(body);
        out.freeze()
    }
}

/// Why bytes are not a frame. The connection cannot go on: where the next frame begins is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header length is not 16.
    #[error("header length {0} is not 16")]
    HeaderLength(i16),
    /// The package length is smaller than the header.
    #[error("package length {0} is smaller than the header's 16 bytes")]
    TooShort(i32),
    /// The body is larger than the bound.
    #[error("body of {body_bytes} bytes is over the limit of {body_bytes_max}")]
    TooBig {
        /// How large the body claims to be.
        body_bytes: usize,
        /// How large it may be.
        body_bytes_max: usize,
    },
    /// In a WebSocket message: the package length is not the message's length.
    #[error("package length {package_bytes} is not the message's {message_bytes} bytes")]
    LengthMismatch {
        /// What the header says.
        package_bytes: usize,
        /// How long the message is.
        message_bytes: usize,
    },
}

/// A frame at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its body.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame.
    #[must_use]
    pub fn length_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// Reads the frame at the beginning of `bytes`; `None` while it is not whole. Nothing is allocated.
///
/// # Errors
/// As soon as the header's first six bytes are there and wrong, however much is missing.
pub fn decode(bytes: &[u8], body_bytes_max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    if bytes.len() < 6 {
        return Ok(None);
    }
    let package_length = i32::from_be_bytes(field(bytes, 0));
    let header_length = i16::from_be_bytes(field(bytes, 4));
    if usize::try_from(header_length) != Ok(HEADER_BYTES) {
        return Err(FrameError::HeaderLength(header_length));
    }
    let Some(body_bytes) =
        usize::try_from(package_length).ok().and_then(|bytes| bytes.checked_sub(HEADER_BYTES))
    else {
        return Err(FrameError::TooShort(package_length));
    };
    if body_bytes > body_bytes_max {
        return Err(FrameError::TooBig { body_bytes, body_bytes_max });
    }
    if bytes.len() < HEADER_BYTES + body_bytes {
        return Ok(None);
    }
    let header = Header {
        version: i16::from_be_bytes(field(bytes, 6)),
        operation: i32::from_be_bytes(field(bytes, 8)),
        sequence: i32::from_be_bytes(field(bytes, 12)),
    };
    Ok(Some(Frame { header, body: &bytes[HEADER_BYTES..HEADER_BYTES + body_bytes] }))
}

/// Reads the one frame that a WebSocket message is.
///
/// # Errors
/// As [`decode`], and when the message is longer or shorter than the frame says.
pub fn decode_message(message: &[u8], body_bytes_max: usize) -> Result<Frame<'_>, FrameError> {
    match decode(message, body_bytes_max)? {
        Some(frame) if frame.length_bytes() == message.len() => Ok(frame),
        _ => {
            let package_bytes =
                if message.len() < 4 { 0 } else { u32::from_be_bytes(field(message, 0)) as usize };
            Err(FrameError::LengthMismatch { package_bytes, message_bytes: message.len() })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_heartbeat_is_these_sixteen_bytes() {
        let header = Header { version: 1, operation: 2, sequence: 7 };
        assert_eq!(header.frame(&[]).as_ref(), [0, 0, 0, 16, 0, 16, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7]);
    }

    #[test]
    fn a_length_below_the_header_is_refused_before_the_rest_arrives() {
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0, 16], 4096), Err(FrameError::TooShort(-1)));
        assert_eq!(decode(&[0, 0, 0, 15, 0, 16], 4096), Err(FrameError::TooShort(15)));
        assert_eq!(decode(&[0, 0, 0, 16, 0, 17], 4096), Err(FrameError::HeaderLength(17)));
        let too_big = FrameError::TooBig { body_bytes: 0x7fff_ffff - 16, body_bytes_max: 4096 };
        assert_eq!(decode(&[0x7f, 0xff, 0xff, 0xff, 0, 16], 4096), Err(too_big));
    }

    #[test]
    fn a_message_that_claims_more_than_it_has_is_refused() {
        let mut message = Header::push(12).frame(b"live://1").to_vec();
        message[3] = 200;
        assert!(matches!(decode_message(&message, 4096), Err(FrameError::LengthMismatch { .. })));
        message[3] = 20;
        assert!(matches!(decode_message(&message, 4096), Err(FrameError::LengthMismatch { .. })));
        assert!(decode_message(&message[..3], 4096).is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(version: i16, operation: i32, sequence: i32, body in prop::collection::vec(any::<u8>(), 0..300)) {
            let header = Header { version, operation, sequence };
            let bytes = header.frame(&body);
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut], 4096), Ok(None));
            }
            prop_assert_eq!(decode(&bytes, 4096), Ok(Some(Frame { header, body: &body })));
            prop_assert_eq!(decode_message(&bytes, 4096), Ok(Frame { header, body: &body }));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some(frame)) = decode(&bytes, 4096) {
                prop_assert!(frame.length_bytes() <= bytes.len());
            }
            let _ = decode_message(&bytes, 4096);
        }
    }
}
