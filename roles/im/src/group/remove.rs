//! `groupRemove`: members are put out.

use backends::store::Role;
use contracts::Result;
use contracts::im::Asker;
use protocol::UserId;
use protocol::client::{GroupRemove, GroupRemoveReply};
use protocol::message::kind;

use super::deed::{Deed, Draft, Stands, Step, goes};
use super::{Groups, field};

struct Remove {
    users: Vec<UserId>,
}

impl Deed for Remove {
    type Reply = Vec<UserId>;

    fn users(&self) -> &[UserId] {
        &self.users
    }

    fn decide(&self, stands: &Stands) -> Result<Step<Vec<UserId>>> {
        let role = stands.role_at_least(Role::Admin)?;
        let mut members = Vec::new();
        for member in stands.members() {
            stands.check_acts_on(role, member)?;
            members.push(goes(member));
        }
        if members.is_empty() {
            return Ok(Step::Nothing(Vec::new()));
        }
        let draft = Draft { members, ..Draft::of(&stands.group, kind::REMOVED) }.naming_members();
        let removed = draft.users.clone();
        Ok(Step::Change(draft, removed))
    }
}

impl Groups {
    /// Puts members out; who is no member is skipped.
    pub(crate) async fn remove(&self, asker: &Asker, request: GroupRemove) -> Result<GroupRemoveReply> {
        let group = field::group(&request.group)?;
        let users = field::some_users(&request.users)?;
        let removed = self.carry_out(asker, &group, &Remove { users }).await?;
        Ok(GroupRemoveReply { removed: removed.iter().map(ToString::to_string).collect() })
    }
}
