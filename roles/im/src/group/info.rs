//! `groupInfo` and `groupMembers`: what a group is, and who is in it.
//!
//! Members see all of it, also after the group has ended. Who is not a member sees what helps to decide whether to
//! join, where the group lets people in who ask.

use backends::store::{JoinRule, Member, Role};
use contracts::Result;
use contracts::im::Asker;
use protocol::client::{GroupInfo, GroupInfoReply, GroupMember, GroupMembers, GroupMembersReply};
use protocol::limits::{MEMBERS_PAGE_DEFAULT, MEMBERS_PAGE_MAX};
use protocol::{ConversationId, UserId};

use super::deed::Stands;
use super::{Groups, field};
use crate::failure;
use crate::group_chat::{no_member, unknown_group};

impl Groups {
    /// Answers what a group is.
    pub(crate) async fn info(&self, asker: &Asker, request: GroupInfo) -> Result<GroupInfoReply> {
        let stands = self.stands(&field::group(&request.group)?, &asker.user, &[]).await?;
        let role = member_role(&stands);
        let group = stands.group;
        let lets_in = group.settings.join != JoinRule::Closed && !group.dismissed;
        if role.is_none() && !lets_in {
            let was_in_it = stands.asker.is_some();
            return Err(if was_in_it { no_member(&group.group) } else { unknown_group(&group.group) });
        }
        let kind = if group.is_super() { "super" } else { "group" };
        let announcement = if role.is_some() { group.settings.announcement } else { String::new() };
        Ok(GroupInfoReply {
            conversation: ConversationId::group(&group.group).as_str().to_owned(),
            group: group.group.to_string(),
            name: group.settings.name,
            kind: kind.to_owned(),
            owner: group.owner.to_string(),
            member_count: group.member_count,
            join: field::join_word(group.settings.join).to_owned(),
            history: field::history_word(group.settings.history).to_owned(),
            all_muted: group.settings.all_muted,
            dismissed: group.dismissed,
            avatar: group.settings.avatar,
            announcement,
            created_ms: group.created_ms,
            role: role.map(field::role_word).unwrap_or_default().to_owned(),
        })
    }

    /// Answers a page of a group's members.
    pub(crate) async fn members(&self, asker: &Asker, request: GroupMembers) -> Result<GroupMembersReply> {
        let group = field::group(&request.group)?;
        let after: Option<UserId> = match request.cursor.as_str() {
            "" => None,
            cursor => Some(field::user(cursor).map_err(|_| field::invalid("cursor is not one of ours"))?),
        };
        let stands = self.stands(&group, &asker.user, &[]).await?;
        if member_role(&stands).is_none() {
            let was_in_it = stands.asker.is_some();
            return Err(if was_in_it { no_member(&group) } else { unknown_group(&group) });
        }
        let limit = match request.limit {
            0 => MEMBERS_PAGE_DEFAULT,
            limit => limit.min(MEMBERS_PAGE_MAX),
        } as usize;
        let page = self.store.members_page(&group, after.as_ref(), limit).await;
        let page = page.map_err(failure::of_backend)?;
        let last = page.last().filter(|_| page.len() >= limit);
        let next = last.map(|member| member.user.to_string()).unwrap_or_default();
        let muted_until_ms = |member: &Member| match member.muted_until_ms {
            over if over <= stands.now_ms => 0,
            until => until,
        };
        let in_words = |member: Member| GroupMember {
            user: member.user.to_string(),
            role: field::role_word(member.role).to_owned(),
            joined_ms: member.joined_ms,
            muted_until_ms: muted_until_ms(&member),
        };
        Ok(GroupMembersReply { members: page.into_iter().map(in_words).collect(), next })
    }
}

fn member_role(stands: &Stands) -> Option<Role> {
    stands.asker.as_ref().filter(|member| member.left == 0).map(|member| member.role)
}
