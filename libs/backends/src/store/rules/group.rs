//! What a change makes of a group and of its members.

use super::fan_out_of;
use crate::store::rows::MemberRow;
use crate::store::{FanOut, Group, GroupChange, MemberChange, MemberChangeKind, SuperChange};

/// What a change makes of a group.
pub(crate) struct NextGroup {
    /// As the change leaves it; its members are counted by [`next_member`].
    pub(crate) group: Group,
    pub(crate) seq: u64,
    pub(crate) time_ms: u64,
    pub(crate) fan_out: FanOut,
    /// The first seq whose receivers are still to be asked for.
    undelivered_from: u64,
}

/// The group as the change leaves it; `None` where its version is not the expected one. `top` and `top_time_ms` are
/// those of its conversation, and its fan-out is done up to `fanned_out_to`.
pub(crate) fn next_group(
    change: &GroupChange,
    known: Option<&Group>,
    top: u64,
    top_time_ms: u64,
    fanned_out_to: u64,
) -> Option<NextGroup> {
    if known.map_or(0, |known| known.version) != change.expected_version {
        return None;
    }
    let seq = top + 1;
    let time_ms = change.time_ms.max(top_time_ms);
    let known_from = known.map_or(0, |known| known.super_from);
    let super_from = match change.super_change {
        _ if known_from > 0 => known_from,
        SuperChange::Stay => 0,
        SuperChange::FromThisRow => seq,
        SuperChange::AfterThisRow => seq + 1,
    };
    let group = Group {
        group: change.group.clone(),
        settings: change.settings.clone(),
        owner: change.owner.clone(),
        created_ms: known.map_or(time_ms, |known| known.created_ms),
        dismissed: change.dismissed,
        member_count: known.map_or(0, |known| known.member_count),
        super_from,
        version: seq,
    };
    let fan_out = fan_out_of(true, super_from, seq);
    Some(NextGroup { group, seq, time_ms, fan_out, undelivered_from: fanned_out_to + 1 })
}

/// A member as the change leaves it, and whether the member comes or goes; `None` where there is nothing to change.
pub(crate) fn next_member(
    next: &mut NextGroup,
    change: &MemberChange,
    known: Option<MemberRow>,
) -> Option<(MemberRow, bool)> {
    let is_in = known.as_ref().is_some_and(MemberRow::is_in);
    let mut row = known.unwrap_or_default();
    let moves = match change.kind {
        MemberChangeKind::Join if !is_in => {
            if row.left > 0 {
                row.before.push((row.joined, row.left));
            }
            row.before.retain(|before| still_receives(next, *before));
            (row.joined, row.joined_ms, row.left) = (next.seq, next.time_ms, 0);
            next.group.member_count += 1;
            true
        }
        MemberChangeKind::Leave if is_in => {
            row.left = next.seq;
            next.group.member_count = next.group.member_count.saturating_sub(1);
            true
        }
        // Who is in stays so, and of who is not there is nothing to change.
        MemberChangeKind::Join | MemberChangeKind::Stay if is_in => false,
        _ => return None,
    };
    row.role = change.role;
    row.muted_until_ms = change.muted_until_ms;
    Some((row, moves))
}

/// Tells whether somebody who was in a group from one seq to another may yet get a row of that time.
fn still_receives(next: &NextGroup, (joined, left): (u64, u64)) -> bool {
    let super_from = next.group.super_from;
    left > next.undelivered_from && (super_from == 0 || joined + 1 < super_from)
}
