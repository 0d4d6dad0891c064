//! Which rows of a conversation a page of its history has: seqs are consecutive, so that it is known before they are
//! read.

use crate::store::{HistoryFrom, HistoryRange};

/// What is left of the range that was asked for.
pub(crate) struct Bounds {
    low: u64,
    high: u64,
    backwards: bool,
}

/// The bounds of what is asked for in a conversation of that top. `first_at` is the first seq sent at or after the
/// time that is asked for, one above the top where there is none; it is not looked at where no time is asked for.
pub(crate) fn bounds(range: &HistoryRange, top: u64, first_at: u64) -> Bounds {
    let low = range.low.max(1);
    let high = if range.high == 0 { top } else { range.high.min(top) };
    let (low, high, backwards) = match range.from {
        HistoryFrom::Before(seq) => (low, high.min(seq.saturating_sub(1)), true),
        HistoryFrom::After(seq) => (low.max(seq.saturating_add(1)), high, false),
        HistoryFrom::BeforeTime(_) => (low, high.min(first_at.saturating_sub(1)), true),
        HistoryFrom::AfterTime(_) => (low.max(first_at), high, false),
    };
    Bounds { low, high, backwards }
}

/// The first and the last seq of a page of at most `limit` rows, and whether there are more in its direction; `None`
/// where there is nothing. The last is below the first where no row is wanted.
pub(crate) fn span(bounds: &Bounds, limit: usize) -> Option<(u64, u64, bool)> {
    let Bounds { low, high, backwards } = *bounds;
    if low > high {
        return None;
    }
    let count = u64::try_from(limit).unwrap_or(u64::MAX);
    let more = count <= high - low;
    let (first, last) = match (more, backwards) {
        (false, _) => (low, high),
        (true, true) => (high + 1 - count, high),
        (true, false) => (low, low - 1 + count),
    };
    Some((first, last, more))
}
