//! What waits for one connection: bounded in bytes, with a rule for when it is full.
//!
//! An idle connection has none: the queue is made when the first byte cannot leave at once.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// How important bytes are when there is little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A room's or a pushed message: dropped and counted when there is no room.
    Push,
    /// A stored message: its connection turns behind when there is no room.
    Stored,
    /// A reply or what the protocol must say: always taken. Requests are not read while half of the bound waits,
    /// so there are no more than those that were being worked on, and one page.
    Reply,
}

/// Bytes on their way to one connection.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    pieces: VecDeque<Bytes>,
    length_bytes: usize,
}

/// Pieces up to this size are joined by copy: a vector of small pieces costs more than copying them.
const JOIN_BYTES_MAX: usize = 16 * 1024;

impl SendQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(crate) fn length_bytes(&self) -> usize {
        self.length_bytes
    }

    /// Takes the bytes, or tells that there is no room. An empty queue takes a frame of any legal size.
    pub(crate) fn push(&mut self, bytes: Bytes, class: Class, bytes_max: usize) -> bool {
        let bounded = class != Class::Reply && !self.pieces.is_empty();
        if bounded && self.length_bytes + bytes.len() > bytes_max {
            return false;
        }
        self.push_rest(bytes);
        true
    }

    /// Takes what must leave whatever the bound is: the rest of a frame whose first part has left.
    pub(crate) fn push_rest(&mut self, bytes: Bytes) {
        self.length_bytes += bytes.len();
        self.pieces.push_back(bytes);
    }

    /// The next bytes to be written: one large piece as it is, or small ones joined in `scratch`.
    pub(crate) fn next<'a>(&'a self, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        match (self.pieces.front(), self.pieces.get(1)) {
            (None, _) => &[],
            (Some(first), second)
                if second.is_none_or(|second| first.len() + second.len() > JOIN_BYTES_MAX) =>
            {
                first
            }
            _ => {
                scratch.clear();
                for piece in &self.pieces {
                    if scratch.len() + piece.len() > 4 * JOIN_BYTES_MAX {
                        break;
                    }
                    scratch.extend_from_slice(piece);
                }
                scratch
            }
        }
    }

    /// That many bytes have left.
    pub(crate) fn advance(&mut self, mut written_bytes: usize) {
        self.length_bytes -= written_bytes;
        while let Some(first) = self.pieces.front_mut() {
            if written_bytes < first.len() {
                first.advance(written_bytes);
                return;
            }
            written_bytes -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_queue_takes_a_frame_of_any_size_and_a_full_one_none() {
        let mut queue = SendQueue::default();
        assert!(queue.push(Bytes::from(vec![1; 100]), Class::Push, 64));
        assert!(!queue.push(Bytes::from_static(b"x"), Class::Stored, 64));
        assert!(queue.push(Bytes::from_static(b"reply"), Class::Reply, 64));
        assert!(!queue.push(Bytes::from_static(b"x"), Class::Push, 64));
        assert_eq!(queue.length_bytes(), 105);
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_socket_takes() {
        let mut queue = SendQueue::default();
        let mut expected = Vec::new();
        for number in 0..200_u8 {
            let piece = vec![number; usize::from(number) * 37 % 5000];
            expected.extend_from_slice(&piece);
            if !piece.is_empty() {
                queue.push_rest(Bytes::from(piece));
            }
        }
        let (mut scratch, mut sent) = (Vec::new(), Vec::new());
        while !queue.is_empty() {
            let next = queue.next(&mut scratch);
            let taken = next.len().min(1 + sent.len() % 3001);
            sent.extend_from_slice(&next[..taken]);
            queue.advance(taken);
        }
        assert_eq!(queue.length_bytes(), 0);
        assert!(sent == expected);
    }
}
