//! Groups and their members. The store keeps them and knows no rule of who may do what: im decides and commits
//! what it decided only if nobody changed the group meanwhile.

use bytes::Bytes;
use protocol::{GroupId, UserId};

use super::message::FanOut;

/// Who may join without being invited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum JoinRule {
    /// Nobody.
    #[default]
    Closed,
    /// Who asks and is let in.
    Approval,
    /// Everybody.
    Open,
}

/// What a member sees from before the join.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum HistoryRule {
    /// Nothing.
    #[default]
    Joined,
    /// Everything.
    All,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Read and write.
    #[default]
    Member,
    /// Let in, put out, mute.
    Admin,
    /// Everything.
    Owner,
}

/// What owner and admins set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupSettings {
    /// For people.
    pub name: String,
    /// A url, or empty.
    pub avatar: String,
    /// For people, or empty.
    pub announcement: String,
    /// Who may join.
    pub join: JoinRule,
    /// What new members see.
    pub history: HistoryRule,
    /// Only owner and admins may write.
    pub all_muted: bool,
}

/// A group as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Which.
    pub group: GroupId,
    /// What was set.
    pub settings: GroupSettings,
    /// To whom it belongs.
    pub owner: UserId,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// It has ended.
    pub dismissed: bool,
    /// How many members there are.
    pub member_count: u64,
    /// The first seq that stands in the outbox alone; 0: a group whose rows are fanned out on write.
    pub super_from: u64,
    /// The seq of the row that changed it last; rises with every change.
    pub version: u64,
}

impl Group {
    /// Tells whether it is a super group.
    #[must_use]
    pub fn is_super(&self) -> bool {
        self.super_from > 0
    }
}

/// A user in a group, as of the last time the user came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// What the member may do.
    pub role: Role,
    /// The seq of the row with which the user came in.
    pub joined: u64,
    /// When that was, in milliseconds since 1970.
    pub joined_ms: u64,
    /// The seq of the row with which the user went; 0: is a member.
    pub left: u64,
    /// May not write until then; 0: may.
    pub muted_until_ms: u64,
}

/// What happens to a member in a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChangeKind {
    /// Comes in with the change's row.
    Join,
    /// Stays, with another role or mute.
    Stay,
    /// Goes with the change's row.
    Leave,
}

/// One member's part of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberChange {
    /// Who.
    pub user: UserId,
    /// The role from now on.
    pub role: Role,
    /// May not write until then; 0: may.
    pub muted_until_ms: u64,
    /// What happens.
    pub kind: MemberChangeKind,
}

/// Whether a change makes the group a super group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuperChange {
    /// It stays what it is.
    Stay,
    /// It is made as a super group: the change's row is the first that stands in the outbox alone.
    FromThisRow,
    /// It is converted: the change's row is the last that is fanned out on write.
    AfterThisRow,
}

/// A change of a group: its record, its members and the row that tells it, in one commit.
#[derive(Debug, Clone)]
pub struct GroupChange {
    /// Which.
    pub group: GroupId,
    /// The version that the change was decided on; 0: there is no such group.
    pub expected_version: u64,
    /// What is set from now on.
    pub settings: GroupSettings,
    /// To whom it belongs from now on.
    pub owner: UserId,
    /// It has ended.
    pub dismissed: bool,
    /// Whether it becomes a super group. On one that is: `Stay`.
    pub super_change: SuperChange,
    /// Members who come, go or get another role. Distinct; one who comes is no member, the others are.
    pub members: Vec<MemberChange>,
    /// Global id of the row.
    pub message_id: u64,
    /// Who did it.
    pub by: UserId,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The row's content; the store does not look into it.
    pub content: Bytes,
}

/// A change that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupChanged {
    /// The group from now on.
    pub group: Group,
    /// The seq of the row.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// How the row gets to its receivers.
    pub fan_out: FanOut,
}

/// Somebody who asks to be let into a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// Who.
    pub user: UserId,
    /// What they say.
    pub text: String,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
}
