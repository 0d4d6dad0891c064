//! `groupJoin`: somebody comes in without being invited, or asks to be let in.

use backends::store::{JoinRequest, JoinRule, MemberChange, Role};
use contracts::im::Asker;
use contracts::push::EventPush;
use contracts::{Error, Result};
use protocol::client::{self, GroupJoin, GroupJoinReply};
use protocol::codec::Event;
use protocol::limits::GROUP_REQUESTS_MAX;
use protocol::message::kind;
use protocol::{Code, GroupId, UserId};
use runtime::clock::now_ms;
use std::sync::Arc;

use super::deed::{Deed, Stands, Step};
use super::{Groups, field};
use crate::failure;
use crate::group_chat::{no_member, unknown_group};

/// Members that are read at once.
const MEMBERS_PAGE: usize = 1_000;
/// Pages that are looked through for admins.
const MEMBERS_PAGES_MAX: usize = 10;

/// Somebody comes in.
struct ComeIn {
    /// Who; one.
    users: Vec<UserId>,
    /// May be in one more super group.
    counted: bool,
}

/// What comes of it.
enum Coming {
    /// Is a member.
    Joined,
    /// Must be let in.
    Ask { owner: UserId },
    /// It is a super group, and those that the user is in must be counted first.
    Count,
}

impl Deed for ComeIn {
    type Reply = Coming;

    fn users(&self) -> &[UserId] {
        &self.users
    }

    fn decide(&self, stands: &Stands) -> Result<Step<Coming>> {
        let group = &stands.group;
        let comers: Vec<MemberChange> = stands.comers();
        if comers.is_empty() {
            return stands.role().map(|_| Step::Nothing(Coming::Joined));
        }
        let lets_in = group.settings.join != JoinRule::Closed && !group.dismissed;
        match group.settings.join {
            _ if !lets_in && stands.asker.is_none() => Err(unknown_group(&group.group)),
            // Whoever was in it knows it, and is told why.
            _ if group.dismissed => stands.role().map(|_| Step::Nothing(Coming::Joined)),
            JoinRule::Closed => Err(no_member(&group.group)),
            JoinRule::Approval => Ok(Step::Nothing(Coming::Ask { owner: group.owner.clone() })),
            // Before anything is changed: who may not come in must not make it a super group.
            JoinRule::Open if !self.counted && stands.is_super_with(comers.len()) => {
                Ok(Step::Nothing(Coming::Count))
            }
            JoinRule::Open => Ok(stands.let_in(kind::JOINED, comers, Coming::Joined)),
        }
    }
}

impl Groups {
    /// Lets who asks in, or asks owner and admins.
    pub(crate) async fn join(&self, asker: &Asker, request: GroupJoin) -> Result<GroupJoinReply> {
        let group = field::group(&request.group)?;
        let text = field::request_text(&request.text)?;
        let mut deed = ComeIn { users: vec![asker.user.clone()], counted: false };
        let mut coming = self.carry_out(asker, &group, &deed).await?;
        if matches!(coming, Coming::Count) {
            self.check_super_groups(&asker.user).await?;
            deed.counted = true;
            coming = self.carry_out(asker, &group, &deed).await?;
        }
        match coming {
            Coming::Ask { owner } => {
                self.ask(&group, asker.user.clone(), text, owner).await?;
                Ok(GroupJoinReply { joined: false })
            }
            Coming::Joined | Coming::Count => {
                self.forget_requests(&group, std::slice::from_ref(&asker.user)).await;
                Ok(GroupJoinReply { joined: true })
            }
        }
    }

    /// Keeps that somebody asks to be let in, and tells owner and admins who are there.
    async fn ask(&self, group: &GroupId, user: UserId, text: String, owner: UserId) -> Result<()> {
        let time_ms = now_ms();
        let event = client::GroupRequest {
            group: group.to_string(),
            user: user.to_string(),
            text: text.clone(),
            time_ms,
        };
        let request = JoinRequest { user, text, time_ms };
        let kept = self.store.put_join_request(group, request, GROUP_REQUESTS_MAX).await;
        if !kept.map_err(failure::of_backend)? {
            let message = format!("{GROUP_REQUESTS_MAX} others ask to be let into {group}: try again later");
            return Err(Error::refused(Code::RateLimited, message));
        }
        let users = self.owner_and_admins(group, owner).await?;
        let push = EventPush { users, event: Arc::new(Event::GroupRequest(event)), except: None };
        if let Err(error) = self.push.push_events(vec![push]).await {
            tracing::warn!(target: "im", ?error, %group, "owner and admins are not told who asks");
        }
        Ok(())
    }

    /// The owner, and those admins who are found among the first [`MEMBERS_PAGES_MAX`] pages of members: in a larger
    /// group the others find the request with `groupRequests`.
    async fn owner_and_admins(&self, group: &GroupId, owner: UserId) -> Result<Vec<UserId>> {
        let mut found = vec![owner];
        let mut after: Option<UserId> = None;
        for _ in 0..MEMBERS_PAGES_MAX {
            let page = self.store.members_page(group, after.as_ref(), MEMBERS_PAGE).await;
            let page = page.map_err(failure::of_backend)?;
            after = page.last().map(|member| member.user.clone());
            let full = page.len() >= MEMBERS_PAGE;
            let admins = page.into_iter().filter(|member| member.left == 0 && member.role == Role::Admin);
            found.extend(admins.map(|member| member.user));
            if !full {
                break;
            }
        }
        Ok(found)
    }
}
