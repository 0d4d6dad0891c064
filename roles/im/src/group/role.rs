//! `groupRole`: members become admins, or members without a role, or one of them the owner.

use backends::store::{MemberChange, Role};
use contracts::Result;
use contracts::im::Asker;
use protocol::UserId;
use protocol::client::{GroupRole, GroupRoleReply};
use protocol::message::kind;

use super::deed::{Deed, Draft, Stands, Step, stays};
use super::{Groups, field};

struct Give {
    users: Vec<UserId>,
    role: Role,
}

impl Deed for Give {
    type Reply = ();

    fn users(&self) -> &[UserId] {
        &self.users
    }

    fn decide(&self, stands: &Stands) -> Result<Step<()>> {
        stands.role_at_least(Role::Owner)?;
        if let Some(comer) = stands.comers().first() {
            let message = format!("{} is not a member of {}: invite first", comer.user, stands.group.group);
            return Err(field::invalid(message));
        }
        let others = stands.members().filter(|member| member.role != self.role);
        let given: Vec<MemberChange> =
            others.map(|member| MemberChange { role: self.role, ..stays(member) }).collect();
        if given.is_empty() {
            return Ok(Step::Nothing(()));
        }
        if self.role == Role::Owner {
            return Ok(Step::Change(hand_over(stands, given), ()));
        }
        if given.iter().any(|member| member.user == stands.group.owner) {
            let why = "its owner has a role: hand it over first, with role owner";
            return Err(stands.not_allowed(why));
        }
        let draft = Draft { members: given, role: Some(self.role), ..Draft::of(&stands.group, kind::ROLE) };
        Ok(Step::Change(draft.naming_members(), ()))
    }
}

/// The change that gives the group to another member.
fn hand_over(stands: &Stands, given: Vec<MemberChange>) -> Draft {
    let mut draft = Draft { members: given, ..Draft::of(&stands.group, kind::TRANSFERRED) }.naming_members();
    if let Some(owner) = draft.users.first() {
        draft.owner = owner.clone();
    }
    let before = stands.asker.iter().map(|asker| MemberChange { role: Role::Member, ..stays(asker) });
    draft.members.extend(before);
    draft
}

impl Groups {
    /// Gives members a role; who has it already is skipped.
    pub(crate) async fn role(&self, asker: &Asker, request: GroupRole) -> Result<GroupRoleReply> {
        let group = field::group(&request.group)?;
        let users = field::some_users(&request.users)?;
        let role = field::role(&request.role)?;
        if role == Role::Owner && users.len() != 1 {
            let count = users.len();
            return Err(field::invalid(format!("users names {count} to be the owner: name one")));
        }
        self.carry_out(asker, &group, &Give { users, role }).await?;
        Ok(GroupRoleReply {})
    }
}
