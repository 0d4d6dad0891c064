//! What a request would do to a group: decided on how the group stands, without doing anything.

use backends::store::{Group, GroupSettings, Member, MemberChange, MemberChangeKind, Role, SuperChange};
use contracts::{Error, Result};
use protocol::message::kind;
use protocol::{Code, UserId};

use crate::group_chat::{dismissed, no_member, unknown_group};

/// A request that changes a group.
pub(super) trait Deed {
    /// What the asker is answered.
    type Reply;

    /// Whose part in the group it depends on, beside the asker's.
    fn users(&self) -> &[UserId];

    /// Decides what is to be done.
    fn decide(&self, stands: &Stands) -> Result<Step<Self::Reply>>;
}

/// What is to be done.
pub(super) enum Step<R> {
    /// Nothing: this is the answer.
    Nothing(R),
    /// This change, and then this is the answer.
    Change(Draft, R),
    /// This change; then it is decided again.
    ChangeFirst(Draft),
}

/// How a group stands.
pub(super) struct Stands {
    pub(super) group: Group,
    /// Who asks.
    pub(super) by: UserId,
    /// The asker's part in it; `None` who never was in it.
    pub(super) asker: Option<Member>,
    /// The part of each of the users that the deed names, in that order.
    pub(super) users: Vec<(UserId, Option<Member>)>,
    /// Members beyond whom it is a super group.
    pub(super) members_max: u64,
    pub(super) now_ms: u64,
}

impl Stands {
    /// The asker's role in a group that has not ended.
    pub(super) fn role(&self) -> Result<Role> {
        match &self.asker {
            None => Err(unknown_group(&self.group.group)),
            Some(_) if self.group.dismissed => Err(dismissed(&self.group.group)),
            Some(member) if member.left > 0 => Err(no_member(&self.group.group)),
            Some(member) => Ok(member.role),
        }
    }

    /// The asker's role, where it is at least this one.
    pub(super) fn role_at_least(&self, least: Role) -> Result<Role> {
        let role = self.role()?;
        if role >= least {
            return Ok(role);
        }
        let who = if least == Role::Owner { "its owner" } else { "its owner and admins" };
        Err(self.not_allowed(&format!("this is for {who} to do")))
    }

    /// Checks that the asker, of this role, may act on a member: the owner on everybody else, an admin on members
    /// without a role.
    pub(super) fn check_acts_on(&self, role: Role, member: &Member) -> Result<()> {
        if member.user == self.by {
            return Err(self.not_allowed("this is not to be done to oneself"));
        }
        if role > member.role {
            return Ok(());
        }
        Err(self.not_allowed(&format!("{} is owner or admin: this is for its owner to do", member.user)))
    }

    /// Those of the named users who are members.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.users.iter().filter_map(|(_, member)| member.as_ref()).filter(|member| member.left == 0)
    }

    /// Those of the named users who are not, as they come in: whom a mute was laid on before is still muted.
    pub(super) fn comers(&self) -> Vec<MemberChange> {
        let comers = self.users.iter().filter(|(_, member)| {
            let is_member = member.as_ref().is_some_and(|member| member.left == 0);
            !is_member
        });
        let change = |(user, former): &(UserId, Option<Member>)| MemberChange {
            user: user.clone(),
            role: Role::Member,
            muted_until_ms: former.as_ref().map_or(0, |member| member.muted_until_ms),
            kind: MemberChangeKind::Join,
        };
        comers.map(change).collect()
    }

    /// The change that lets users in, behind the one that makes it a super group where it has too many members then.
    pub(super) fn let_in<R>(&self, kind: &'static str, comers: Vec<MemberChange>, reply: R) -> Step<R> {
        if !self.group.is_super() && self.is_super_with(comers.len()) {
            return Step::ChangeFirst(self.conversion());
        }
        Step::Change(Draft { members: comers, ..Draft::of(&self.group, kind) }.naming_members(), reply)
    }

    /// Tells whether it is a super group with so many more members.
    pub(super) fn is_super_with(&self, comer_count: usize) -> bool {
        self.group.is_super() || self.group.member_count + comer_count as u64 > self.members_max
    }

    /// The change that makes it a super group.
    pub(super) fn conversion(&self) -> Draft {
        Draft { super_change: SuperChange::AfterThisRow, ..Draft::of(&self.group, kind::CONVERTED) }
    }

    /// A refusal of something that is not the asker's to do.
    pub(super) fn not_allowed(&self, why: &str) -> Error {
        Error::refused(Code::NotAllowed, format!("group {}: {why}", self.group.group))
    }
}

/// A change that is to be committed, and the row that tells it.
pub(super) struct Draft {
    pub(super) settings: GroupSettings,
    pub(super) owner: UserId,
    pub(super) dismissed: bool,
    pub(super) super_change: SuperChange,
    pub(super) members: Vec<MemberChange>,
    /// What the row tells: its kind, to whom it was done, and the role they have from now on.
    pub(super) kind: &'static str,
    pub(super) users: Vec<UserId>,
    pub(super) role: Option<Role>,
}

impl Draft {
    /// A change of this kind that leaves everything as it is.
    pub(super) fn of(group: &Group, kind: &'static str) -> Self {
        Self {
            settings: group.settings.clone(),
            owner: group.owner.clone(),
            dismissed: group.dismissed,
            super_change: SuperChange::Stay,
            members: Vec::new(),
            kind,
            users: Vec::new(),
            role: None,
        }
    }

    /// The row names those whom the change concerns.
    pub(super) fn naming_members(self) -> Self {
        Self { users: self.members.iter().map(|member| member.user.clone()).collect(), ..self }
    }
}

/// A member as it stays, to be given another role or mute.
pub(super) fn stays(member: &Member) -> MemberChange {
    MemberChange {
        user: member.user.clone(),
        role: member.role,
        muted_until_ms: member.muted_until_ms,
        kind: MemberChangeKind::Stay,
    }
}

/// A member as it goes.
pub(super) fn goes(member: &Member) -> MemberChange {
    MemberChange { kind: MemberChangeKind::Leave, role: Role::Member, ..stays(member) }
}
