//! Groups and super groups: making them, their members, and who may do what.

use protocol::client;
use protocol::code::Code;
use protocol::codec::RequestKind;
use protocol::{ConversationId, GroupId, Identifier};

use super::requests;
use crate::{Client, Error};

requests! {
    /// Lets users in.
    group_invite(group: impl Into<String>, users: Vec<String>) => GroupInvite -> GroupInviteReply;
    /// Goes in, or asks to be let in with these words.
    group_join(group: impl Into<String>, text: impl Into<String>) => GroupJoin -> GroupJoinReply;
    /// Goes out.
    group_leave(group: impl Into<String>) => GroupLeave -> GroupLeaveReply;
    /// Puts users out.
    group_remove(group: impl Into<String>, users: Vec<String>) => GroupRemove -> GroupRemoveReply;
    /// Ends a group; what was said can still be read.
    group_dismiss(group: impl Into<String>) => GroupDismiss -> GroupDismissReply;
    /// Changes name, picture, announcement or rules; what is absent stays.
    group_update(message) => GroupUpdate -> GroupUpdateReply;
    /// Gives users the role `admin`, `member`, or, one user, `owner`.
    group_role(group: impl Into<String>, users: Vec<String>, role: impl Into<String>) => GroupRole -> GroupRoleReply;
    /// Keeps users from writing, or everybody without a role, or takes it back.
    group_mute(message) => GroupMute -> GroupMuteReply;
    /// Asks what a group is.
    group_info(group: impl Into<String>) => GroupInfo -> GroupInfoReply;
    /// Asks for a page of the members; the first one where the cursor is empty.
    group_members(group: impl Into<String>, cursor: impl Into<String>, limit: u32) => GroupMembers -> GroupMembersReply;
    /// Asks who wants to be let in.
    group_requests(group: impl Into<String>) => GroupRequests -> GroupRequestsReply;
    /// Lets somebody in who asked, or not.
    group_answer(group: impl Into<String>, user: impl Into<String>, accept: bool) => GroupAnswer -> GroupAnswerReply;
}

impl Client {
    /// Makes a group. Where it is given no id, the client makes one, so that a request which is sent again after a
    /// lost connection makes no second group.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn group_create(
        &self,
        mut create: client::GroupCreate,
    ) -> Result<client::GroupCreateReply, Error> {
        let id_is_own = create.group.is_empty();
        if id_is_own {
            create.group = format!("{:032x}", rand::random::<u128>());
        }
        let group = create.group.clone();
        match self.request(RequestKind::GroupCreate(create)).await {
            Err(Error::Refused(refusal)) if id_is_own && refusal.number == Code::AlreadyExists.number() => {
                let id = GroupId::new(&group).map_err(|error| Error::Protocol(error.to_string()))?;
                let conversation = ConversationId::group(&id).as_str().to_owned();
                Ok(client::GroupCreateReply { group, conversation })
            }
            result => result,
        }
    }
}
