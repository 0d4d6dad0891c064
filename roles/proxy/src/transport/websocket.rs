//! WebSocket frames of our own (RFC 6455) after hyper's handshake.
//!
//! Reading unmasks in place. What an idle connection keeps is one empty option: fragments have memory only
//! between the first and the last of a message.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of the longest header that a server sends.
pub(crate) const HEADER_BYTES_MAX: usize = 10;

/// The kinds of frame that a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Pong = 0xA,
}

/// Appends a server's header: final, unmasked.
pub(crate) fn put_header(opcode: Opcode, payload_bytes: usize, out: &mut BytesMut) {
    out.put_u8(0x80 | opcode as u8);
    match payload_bytes {
        0..=125 => out.put_u8(payload_bytes as u8),
        126..=0xffff => {
            out.put_u8(126);
            out.put_u16(payload_bytes as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload_bytes as u64);
        }
    }
}

/// Appends a whole frame of the server.
pub(crate) fn put(opcode: Opcode, payload: &[u8], out: &mut BytesMut) {
    put_header(opcode, payload.len(), out);
    out.put_slice(payload);
}

/// A whole frame of the server.
pub(crate) fn wrap(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES_MAX + payload.len());
    put(opcode, payload, &mut out);
    out.freeze()
}

/// A close frame with a code and words for people.
pub(crate) fn close(code: u16, words: &str) -> Bytes {
    let mut payload = BytesMut::with_capacity(2 + words.len());
    payload.put_u16(code);
    payload.put_slice(words.as_bytes());
    wrap(Opcode::Close, &payload)
}

/// Why a WebSocket connection is failed, with the close code that RFC 6455 section 7.4.1 gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 1002: the bytes break the protocol.
    Protocol(&'static str),
    /// 1007: a text that is not UTF-8.
    NotUtf8,
    /// 1009: a message over the limit.
    TooBig,
}

impl Fault {
    pub(crate) fn close_frame(self) -> Bytes {
        match self {
            Self::Protocol(words) => close(1002, words),
            Self::NotUtf8 => close(1007, "text is not UTF-8"),
            Self::TooBig => close(1009, "message is over the limit"),
        }
    }
}

/// A message that comes in several frames.
#[derive(Debug)]
pub(crate) struct Fragments {
    text: bool,
    payload: Vec<u8>,
    frame_count: u32,
}

/// How many frames one message may come in: empty ones cost work and carry nothing.
const FRAGMENTS_MAX: u32 = 65_536;

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Not a whole frame yet.
    More,
    /// A frame that is part of a message that goes on.
    Part { length_bytes: usize },
    /// A whole message in one frame.
    Message { length_bytes: usize, text: bool, payload: &'a [u8] },
    /// The last frame of a message that came in several.
    Joined { length_bytes: usize, text: bool, payload: Vec<u8> },
    /// The client wants an answer with the same bytes.
    Ping { length_bytes: usize, payload: &'a [u8] },
    /// An answer nobody waits for.
    Pong { length_bytes: usize },
    /// The client closes; its code is echoed.
    Close { code: Option<u16> },
}

struct Head {
    last: bool,
    opcode: u8,
    header_bytes: usize,
    payload_bytes: usize,
    mask: [u8; 4],
}

/// Reads the frame at the beginning of `bytes` and unmasks it in place: call it once for each frame.
pub(crate) fn decode<'a>(
    fragments: &mut Option<Box<Fragments>>,
    bytes: &'a mut [u8],
    message_bytes_max: usize,
) -> Result<Step<'a>, Fault> {
    let Some(head) = read_head(bytes, message_bytes_max)? else { return Ok(Step::More) };
    let length_bytes = head.header_bytes + head.payload_bytes;
    let collected = fragments.as_ref().map_or(0, |fragments| fragments.payload.len());
    match (head.opcode, fragments.is_some()) {
        (0x0, false) => return Err(Fault::Protocol("continuation of nothing")),
        (0x1 | 0x2, true) => return Err(Fault::Protocol("a message began inside another")),
        (0x0, true) if collected + head.payload_bytes > message_bytes_max => return Err(Fault::TooBig),
        _ => {}
    }
    if bytes.len() < length_bytes {
        return Ok(Step::More);
    }
    let payload = &mut bytes[head.header_bytes..length_bytes];
    unmask(payload, head.mask);
    match head.opcode {
        0x8 => close_step(payload),
        0x9 => Ok(Step::Ping { length_bytes, payload }),
        0xA => Ok(Step::Pong { length_bytes }),
        0x1 | 0x2 if head.last => {
            let text = head.opcode == 0x1;
            check_utf8(text, payload)?;
            Ok(Step::Message { length_bytes, text, payload })
        }
        0x1 | 0x2 => {
            let text = head.opcode == 0x1;
            *fragments = Some(Box::new(Fragments { text, payload: payload.to_vec(), frame_count: 1 }));
            Ok(Step::Part { length_bytes })
        }
        _ => continue_message(fragments, head.last, payload, length_bytes),
    }
}

fn continue_message<'a>(
    fragments: &mut Option<Box<Fragments>>,
    last: bool,
    payload: &[u8],
    length_bytes: usize,
) -> Result<Step<'a>, Fault> {
    let Some(mut message) = fragments.take() else { return Err(Fault::Protocol("continuation of nothing")) };
    message.payload.extend_from_slice(payload);
    message.frame_count += 1;
    if message.frame_count > FRAGMENTS_MAX {
        return Err(Fault::TooBig);
    }
    if last {
        check_utf8(message.text, &message.payload)?;
        return Ok(Step::Joined { length_bytes, text: message.text, payload: message.payload });
    }
    *fragments = Some(message);
    Ok(Step::Part { length_bytes })
}

fn check_utf8(text: bool, payload: &[u8]) -> Result<(), Fault> {
    if text && std::str::from_utf8(payload).is_err() { Err(Fault::NotUtf8) } else { Ok(()) }
}

/// The header, checked as soon as its first bytes are there; `None` while it is not whole.
fn read_head(bytes: &[u8], message_bytes_max: usize) -> Result<Option<Head>, Fault> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
    if first & 0x70 != 0 {
        return Err(Fault::Protocol("reserved bits are set"));
    }
    if !matches!(opcode, 0x0..=0x2 | 0x8..=0xA) {
        return Err(Fault::Protocol("unknown opcode"));
    }
    if second & 0x80 == 0 {
        return Err(Fault::Protocol("a client's frame is not masked"));
    }
    let short_length = usize::from(second & 0x7f);
    if opcode >= 0x8 && (!last || short_length > 125) {
        return Err(Fault::Protocol("a control frame is fragmented or over 125 bytes"));
    }
    let (length_bytes, payload_bytes) = match (short_length, rest) {
        (126, [a, b, ..]) => (2, u64::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => (8, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
        (126 | 127, _) => return Ok(None),
        (short, _) => (0, short as u64),
    };
    if payload_bytes >> 63 != 0 {
        return Err(Fault::Protocol("a length has its highest bit set"));
    }
    if payload_bytes > message_bytes_max as u64 {
        return Err(Fault::TooBig);
    }
    let Some(mask) = rest.get(length_bytes..length_bytes + 4) else { return Ok(None) };
    let mask = [mask[0], mask[1], mask[2], mask[3]];
    // The bound above fits a usize.
    let payload_bytes = payload_bytes as usize;
    Ok(Some(Head { last, opcode, header_bytes: 2 + length_bytes + 4, payload_bytes, mask }))
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

fn close_step<'a>(payload: &[u8]) -> Result<Step<'a>, Fault> {
    match payload {
        [] => Ok(Step::Close { code: None }),
        [_] => Err(Fault::Protocol("a close frame has half a code")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Fault::Protocol("a close code that may not be sent"));
            }
            check_utf8(true, reason)?;
            Ok(Step::Close { code: Some(code) })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let mut out = vec![first];
        match payload.len() {
            0..=125 => out.push(0x80 | payload.len() as u8),
            126..=0xffff => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            }
            _ => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    fn one(first: u8, payload: &[u8]) -> Result<(), Fault> {
        decode(&mut None, &mut client_frame(first, payload), 4096).map(|_| ())
    }

    #[test]
    fn a_message_is_unmasked_in_place() {
        let mut bytes = client_frame(0x81, b"hello there, WebSocket");
        let length_bytes = bytes.len();
        let step = decode(&mut None, &mut bytes, 4096);
        assert_eq!(step, Ok(Step::Message { length_bytes, text: true, payload: b"hello there, WebSocket" }));
    }

    #[test]
    fn fragments_are_joined_with_control_frames_between_them() {
        let mut fragments = None;
        // The first half ends inside a character: only the whole is checked.
        let mut first = client_frame(0x01, &[b'a', 0xe9]);
        assert!(matches!(decode(&mut fragments, &mut first, 4096), Ok(Step::Part { .. })));
        let mut ping = client_frame(0x89, b"are you there");
        assert!(matches!(
            decode(&mut fragments, &mut ping, 4096),
            Ok(Step::Ping { payload: b"are you there", .. })
        ));
        let mut last = client_frame(0x80, &[0x9b, 0xaa]);
        let Ok(Step::Joined { text: true, payload, .. }) = decode(&mut fragments, &mut last, 4096) else {
            panic!("not joined")
        };
        assert_eq!(
            payload,
            "a雪".as_bytes().iter().copied().take(1).chain([0xe9, 0x9b, 0xaa]).collect::<Vec<_>>()
        );
        assert!(fragments.is_none());
    }

    #[test]
    fn what_the_rfc_forbids_is_refused_with_its_code() {
        assert!(matches!(one(0xC1, b""), Err(Fault::Protocol(_))));
        assert!(matches!(one(0x83, b""), Err(Fault::Protocol(_))));
        assert!(matches!(one(0x80, b""), Err(Fault::Protocol(_))));
        assert!(matches!(one(0x09, b""), Err(Fault::Protocol(_))));
        assert!(matches!(one(0x88, &[3]), Err(Fault::Protocol(_))));
        assert!(matches!(one(0x88, &1005_u16.to_be_bytes()), Err(Fault::Protocol(_))));
        assert_eq!(one(0x88, &[3, 232, 0xff]), Err(Fault::NotUtf8));
        assert_eq!(one(0x81, &[0xff]), Err(Fault::NotUtf8));
        assert_eq!(one(0x82, &[0; 4097]), Err(Fault::TooBig));
        assert!(matches!(decode(&mut None, &mut [0x81, 0x05, 0, 0], 4096), Err(Fault::Protocol(_))));
        assert!(matches!(decode(&mut None, &mut [0x89, 0xfe], 4096), Err(Fault::Protocol(_))));
        let mut huge = vec![0x82, 0xff];
        huge.extend_from_slice(&u64::MAX.to_be_bytes());
        assert!(matches!(decode(&mut None, &mut huge, 4096), Err(Fault::Protocol(_))));
        let mut huge = vec![0x82, 0xff];
        huge.extend_from_slice(&(1_u64 << 31).to_be_bytes());
        assert_eq!(decode(&mut None, &mut huge, 4096), Err(Fault::TooBig));
    }

    #[test]
    fn fragments_are_bounded_together() {
        let mut fragments = None;
        let mut first = client_frame(0x02, &[0; 3000]);
        assert!(decode(&mut fragments, &mut first, 4096).is_ok());
        let mut second = client_frame(0x80, &[0; 3000]);
        assert_eq!(decode(&mut fragments, &mut second, 4096), Err(Fault::TooBig));
    }

    proptest! {
        #[test]
        fn a_frame_is_read_only_when_it_is_whole(payload in prop::collection::vec(any::<u8>(), 0..400)) {
            let bytes = client_frame(0x82, &payload);
            for cut in 0..bytes.len() {
                let mut part = bytes[..cut].to_vec();
                prop_assert_eq!(decode(&mut None, &mut part, 4096), Ok(Step::More));
            }
            let mut whole = bytes.clone();
            prop_assert_eq!(
                decode(&mut None, &mut whole, 4096),
                Ok(Step::Message { length_bytes: bytes.len(), text: false, payload: &payload })
            );
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let length = bytes.len();
            let step = decode(&mut None, &mut bytes, 4096);
            if let Ok(
                Step::Message { length_bytes, .. } | Step::Part { length_bytes } | Step::Pong { length_bytes },
            ) = step
            {
                prop_assert!(length_bytes <= length);
            }
        }

        #[test]
        fn what_the_server_writes_has_the_shortest_header(length in 0_usize..70_000) {
            let bytes = wrap(Opcode::Binary, &vec![7; length]);
            let header = match length { 0..=125 => 2, 126..=0xffff => 4, _ => 10 };
            prop_assert_eq!(bytes.len(), header + length);
        }
    }
}
