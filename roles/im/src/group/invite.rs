//! `groupInvite`: lets users in.

use backends::store::{JoinRule, Role};
use contracts::Result;
use contracts::im::Asker;
use protocol::client::{GroupInvite, GroupInviteReply};
use protocol::message::kind;
use protocol::{GroupId, UserId};

use super::deed::{Deed, Stands, Step};
use super::{Groups, field};

/// Users are let in by a member.
pub(super) struct LetIn {
    pub(super) users: Vec<UserId>,
    /// They have asked, so that an admin answers, whoever may invite.
    pub(super) asked: bool,
}

impl Deed for LetIn {
    /// Those who were not members before.
    type Reply = Vec<UserId>;

    fn users(&self) -> &[UserId] {
        &self.users
    }

    fn decide(&self, stands: &Stands) -> Result<Step<Vec<UserId>>> {
        let everybody = stands.group.settings.join == JoinRule::Open && !self.asked;
        stands.role_at_least(if everybody { Role::Member } else { Role::Admin })?;
        let comers = stands.comers();
        if comers.is_empty() {
            return Ok(Step::Nothing(Vec::new()));
        }
        let users = comers.iter().map(|member| member.user.clone()).collect();
        Ok(stands.let_in(kind::INVITED, comers, users))
    }
}

impl Groups {
    /// Lets users in; who is a member already is skipped.
    pub(crate) async fn invite(&self, asker: &Asker, request: GroupInvite) -> Result<GroupInviteReply> {
        let group = field::group(&request.group)?;
        let users = field::some_users(&request.users)?;
        let invited = self.let_in(asker, &group, LetIn { users, asked: false }).await?;
        Ok(GroupInviteReply { invited: invited.iter().map(ToString::to_string).collect() })
    }

    /// Lets users in, and forgets that they asked for it.
    pub(super) async fn let_in(&self, asker: &Asker, group: &GroupId, deed: LetIn) -> Result<Vec<UserId>> {
        let let_in = self.carry_out(asker, group, &deed).await?;
        self.forget_requests(group, &let_in).await;
        Ok(let_in)
    }
}
