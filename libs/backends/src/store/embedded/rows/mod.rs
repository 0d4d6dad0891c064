//! What stands under the keys, one noun a file.
//!
//! Rows are read with checks: what is not a row of its table is `None`, which the caller reports with table and
//! key. Damage on disk is found before that, by the engine's checksums.

mod answer;
mod codec;
mod fan_out;
mod group;
mod intent;
mod message;
mod state;

pub(super) use answer::Aged;
pub(super) use fan_out::Written;
pub(super) use group::{GroupFacts, MemberRow, decode_group, decode_request, encode_group, encode_request};
pub(super) use intent::Entry;
pub(super) use message::{Pointer, Running, Stored};
pub(super) use state::{ChangeRow, StateRow};

/// The row that holds one number.
pub(super) fn encode_number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub(super) fn decode_number(row: &[u8]) -> Option<u64> {
    row.try_into().ok().map(u64::from_be_bytes)
}
