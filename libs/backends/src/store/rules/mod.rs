//! What every store does alike, whatever it keeps its rows in: pure functions over what was read.

mod append;
mod group;
mod history;
mod version;

pub(crate) use append::{denied_by_group, fan_out_of, running_after};
pub(crate) use group::{NextGroup, next_group, next_member};
pub(crate) use history::{bounds, span};
pub(crate) use version::{Asked, asked, listed_version};

use super::FanOut;
use super::IntentLane;
use crate::{Error, Kind, Result};

/// Bytes of a conversation or client message id that a store takes: far above what the protocol allows, far below
/// what an engine takes as a key.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;

pub(crate) fn check_length(what: &str, text: &str) -> Result<()> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    let message = format!("{what} of {} bytes is longer than {TEXT_BYTES_MAX}", text.len());
    Err(Error::new(Kind::Conflict, message))
}

/// In which lane a row's intent stands.
pub(crate) fn lane_of(fan_out: FanOut) -> IntentLane {
    match fan_out {
        FanOut::OnWrite => IntentLane::FanOut,
        FanOut::InCommit | FanOut::OnRead => IntentLane::Push,
    }
}
