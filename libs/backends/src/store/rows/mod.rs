//! What stores write down, one noun a file: rows, and how they become bytes.
//!
//! Rows are read with checks: what is not a row of its table is `None`, which the caller reports with table and
//! key. Damage on disk is found before that, by the engine's checksums. The embedded store keeps whole rows so; a
//! store with columns uses what it keeps as one value.

mod answer;
mod codec;
mod fan_out;
mod group;
mod intent;
mod message;
mod state;

pub(crate) use answer::Aged;
pub(crate) use fan_out::Written;
pub(crate) use group::{GroupFacts, MemberRow, decode_group, decode_request, encode_group, encode_request};
pub(crate) use intent::Entry;
pub(crate) use message::{Pointer, Running, Stored};
pub(crate) use state::{ChangeRow, StateRow};

/// The row that holds one number.
pub(crate) fn encode_number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub(crate) fn decode_number(row: &[u8]) -> Option<u64> {
    row.try_into().ok().map(u64::from_be_bytes)
}
