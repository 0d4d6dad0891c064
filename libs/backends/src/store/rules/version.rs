//! Versions of a user's conversations, and places in the list of all of them, in one number below 2⁵³.

/// Rows of the inbox and of the log of changes that are walked for one page: where there are more, all conversations
/// are listed, which costs less.
pub(crate) const EVENTS_COUNT_MAX: u64 = 10_000;
/// Set in a version that stands for a place in the list of all conversations.
const LISTING: u64 = 1 << 52;
/// Bits of such a version that hold the version at the beginning; the place is above them.
const BEGUN_BITS: u32 = 32;
/// Places in the list of all: beyond it nothing is listed.
const PLACES_COUNT_MAX: u64 = LISTING >> BEGUN_BITS;

/// What a version asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A page of the list of all, from a place on; the list was begun at a version.
    Listed { place: u64, begun: u64 },
    /// What has changed since then.
    Walked,
}

/// What a version asks for where the user's conversations stand at `current`.
pub(crate) fn asked(version: u64, current: u64) -> Asked {
    if version & LISTING != 0 {
        let place = (version & (LISTING - 1)) >> BEGUN_BITS;
        return Asked::Listed { place, begun: version & ((1 << BEGUN_BITS) - 1) };
    }
    // A version above the current one is of another store.
    if version > 0 && version <= current && current - version <= EVENTS_COUNT_MAX {
        return Asked::Walked;
    }
    // One that has no room is only too low: what has changed since is told again.
    Asked::Listed { place: 0, begun: current.min((1 << BEGUN_BITS) - 1) }
}

/// The version after a page of the list that ends before the place `next`, and whether the list goes on.
pub(crate) fn listed_version(begun: u64, next: u64, more: bool) -> (u64, bool) {
    let more = more && next < PLACES_COUNT_MAX;
    (if more { LISTING | next << BEGUN_BITS | begun } else { begun }, more)
}
