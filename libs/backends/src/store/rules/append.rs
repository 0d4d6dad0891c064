//! What a row that is appended says of those up to it, how it gets to its receivers, and why it is not written.

use crate::store::rows::{GroupFacts, MemberRow, Running};
use crate::store::{Append, Denied, FanOut, Role};

/// What the row says of those up to it, given what the row before it says.
pub(crate) fn running_after(append: &Append, before: Running, seq: u64) -> Running {
    let mut running = before;
    running.time_ms = running.time_ms.max(append.time_ms);
    if append.mention_all {
        running.mention_all = seq;
    }
    if append.counted {
        running.count += 1;
        running.last_message = seq;
        let sent = match &append.inboxes[..] {
            // Told without taking the conversation apart.
            [one, other] if append.sender == *one => [one <= other, one >= other],
            [one, other] if append.sender == *other => [other <= one, other >= one],
            _ => append
                .conversation
                .users()
                .map_or([false; 2], |(smaller, larger)| [append.sender == smaller, append.sender == larger]),
        };
        for (last, sent) in running.sent.iter_mut().zip(sent) {
            if sent {
                *last = seq;
            }
        }
    }
    running
}

/// How a row gets to its receivers; `super_from` is that of its group, 0 where nothing is known of the group.
pub(crate) fn fan_out_of(is_group: bool, super_from: u64, seq: u64) -> FanOut {
    if !is_group {
        FanOut::InCommit
    } else if super_from > 0 && seq >= super_from {
        FanOut::OnRead
    } else {
        FanOut::OnWrite
    }
}

/// Why a sender cannot append to a group; `write` tells whether it is to be a message of the sender's own.
pub(crate) fn denied_by_group(
    facts: Option<&GroupFacts>,
    member: Option<&MemberRow>,
    write: bool,
    time_ms: u64,
) -> Option<Denied> {
    let Some(facts) = facts else { return Some(Denied::NoGroup) };
    let Some(member) = member.filter(|member| member.is_in()) else { return Some(Denied::NotMember) };
    if facts.dismissed {
        Some(Denied::Dismissed)
    } else if write && member.muted_until_ms > time_ms {
        Some(Denied::Muted)
    } else if write && facts.all_muted && member.role == Role::Member {
        Some(Denied::AllMuted)
    } else {
        None
    }
}
