//! `groupLeave`: a member goes.

use backends::store::Role;
use contracts::Result;
use contracts::im::Asker;
use protocol::UserId;
use protocol::client::{GroupLeave, GroupLeaveReply};
use protocol::message::kind;

use super::deed::{Deed, Draft, Stands, Step, goes};
use super::{Groups, field};
use crate::group_chat::unknown_group;

struct Leave;

impl Deed for Leave {
    type Reply = ();

    fn users(&self) -> &[UserId] {
        &[]
    }

    fn decide(&self, stands: &Stands) -> Result<Step<()>> {
        let group = &stands.group;
        match &stands.asker {
            None => Err(unknown_group(&group.group)),
            Some(member) if member.left > 0 => Ok(Step::Nothing(())),
            // Whoever is in a group that has ended can put it behind them, its owner too.
            Some(member) if member.role == Role::Owner && !group.dismissed => Err(stands.not_allowed(
                "its owner cannot leave: hand it over with groupRole, or end it with groupDismiss",
            )),
            Some(member) => {
                let draft = Draft { members: vec![goes(member)], ..Draft::of(group, kind::LEFT) };
                Ok(Step::Change(draft.naming_members(), ()))
            }
        }
    }
}

impl Groups {
    /// Lets who asks go; who has gone already stays so.
    pub(crate) async fn leave(&self, asker: &Asker, request: GroupLeave) -> Result<GroupLeaveReply> {
        let group = field::group(&request.group)?;
        self.carry_out(asker, &group, &Leave).await?;
        Ok(GroupLeaveReply {})
    }
}
