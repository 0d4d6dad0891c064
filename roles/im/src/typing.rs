//! Somebody is writing: told to the other one of a single chat, or to the members of a group. Nothing is stored.
//!
//! A client says it again every few seconds while it lasts. It is told at most once a second for each user and
//! conversation; what comes more often is answered and dropped. Who is blocked, or may not begin a chat, is
//! answered as if it had been told. In a super group nobody is told, since everybody would be.

use std::sync::Arc;
use std::time::Duration;

use backends::store::{Group, Store};
use contracts::im::Asker;
use contracts::push::{EventPush, Push};
use contracts::{Error, Result};
use metrics::Counter;
use parking_lot::Mutex;
use protocol::client::{Typing as Request, TypingPush, TypingReply, target};
use protocol::codec::Event;
use protocol::{Code, ConversationId, GroupId, Identifier, UserId};
use tokio::time::Instant;

use crate::failure;
use crate::group_chat::{dismissed, unknown_group};
use crate::recent::Recent;
use crate::rule::SingleChatRule;

/// How long after it was told it is told again.
const PERIOD: Duration = Duration::from_secs(1);
/// Users and conversations of the last second that are remembered; one that is forgotten is told once more.
const TOLD_MAX: usize = 16_384;
/// Groups whose members are remembered. With the largest group it is some tens of megabytes.
const GROUPS_MAX: usize = 256;
/// Members of a group who are told; the largest group that is no super group has as many.
const MEMBERS_MAX: usize = 2_000;

/// The members of a group as of one of its versions, ascending.
#[derive(Clone)]
struct Members {
    version: u64,
    users: Arc<[UserId]>,
}

/// Tells who is writing.
pub(crate) struct Typing {
    store: Arc<dyn Store>,
    push: Arc<dyn Push>,
    rule: SingleChatRule,
    told: Mutex<Recent<(UserId, ConversationId), Instant>>,
    members: Mutex<Recent<GroupId, Members>>,
    dropped: Counter,
}

impl Typing {
    /// Reads this store for who may be told under this rule, and tells through this push.
    pub(crate) fn new(store: Arc<dyn Store>, push: Arc<dyn Push>, rule: SingleChatRule) -> Self {
        Self {
            store,
            push,
            rule,
            told: Mutex::new(Recent::new(TOLD_MAX)),
            members: Mutex::new(Recent::new(GROUPS_MAX)),
            dropped: metrics::counter!("anser_im_typing_dropped_total", "reason" => "too_often"),
        }
    }

    /// Tells those whom the user is writing to.
    pub(crate) async fn typing(&self, asker: &Asker, request: Request) -> Result<TypingReply> {
        match request.to.and_then(|to| to.target) {
            Some(target::Target::User(user)) => {
                let receiver = UserId::new(&user).map_err(failure::refused_id("to"))?;
                let conversation = ConversationId::single(&asker.user, &receiver);
                self.tell(asker, &conversation, self.receiver(&asker.user, receiver, &conversation)).await
            }
            Some(target::Target::Group(group)) => {
                let group = GroupId::new(&group).map_err(failure::refused_id("to"))?;
                let conversation = ConversationId::group(&group);
                self.tell(asker, &conversation, self.members_of(&asker.user, &group)).await
            }
            Some(target::Target::Room(_)) | None => {
                let message = "typing goes to a user or a group: give to.user or to.group";
                Err(Error::refused(Code::InvalidArgument, message))
            }
        }
    }

    /// Tells those whom `users` finds, unless it was told a moment ago.
    async fn tell(
        &self,
        asker: &Asker,
        conversation: &ConversationId,
        users: impl Future<Output = Result<Vec<UserId>>>,
    ) -> Result<TypingReply> {
        let key = (asker.user.clone(), conversation.clone());
        if !self.take_turn(&key) {
            self.dropped.increment(1);
            return Ok(TypingReply {});
        }
        let users = users.await.inspect_err(|_| self.told.lock().remove(&key))?;
        if users.is_empty() {
            return Ok(TypingReply {});
        }
        let typing =
            TypingPush { conversation: conversation.as_str().to_owned(), user: asker.user.to_string() };
        let push = EventPush { users, event: Arc::new(Event::Typing(typing)), except: None };
        if let Err(error) = self.push.push_events(vec![push]).await {
            tracing::debug!(target: "im", ?error, %conversation, "nobody is told who is writing");
        }
        Ok(TypingReply {})
    }

    fn take_turn(&self, key: &(UserId, ConversationId)) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock();
        if told.get(key).is_some_and(|told| now.duration_since(*told) < PERIOD) {
            return false;
        }
        told.insert(key.clone(), now);
        true
    }

    /// The other one of a single chat, where the user could write.
    async fn receiver(
        &self,
        user: &UserId,
        receiver: UserId,
        conversation: &ConversationId,
    ) -> Result<Vec<UserId>> {
        if receiver == *user {
            return Ok(Vec::new());
        }
        let blocked = self.store.have_blocked(std::slice::from_ref(&receiver), user).await;
        if blocked.map_err(failure::of_backend)?.first() != Some(&false) {
            return Ok(Vec::new());
        }
        if self.rule == SingleChatRule::Existing {
            let tops = self.store.outbox_tops(std::slice::from_ref(conversation)).await;
            if tops.map_err(failure::of_backend)?.first().is_none_or(|top| *top == 0) {
                return Ok(Vec::new());
            }
        }
        Ok(vec![receiver])
    }

    /// The other members of a group.
    async fn members_of(&self, user: &UserId, group: &GroupId) -> Result<Vec<UserId>> {
        let found = self.store.groups(std::slice::from_ref(group)).await.map_err(failure::of_backend)?;
        let found = found.into_iter().next().flatten().ok_or_else(|| unknown_group(group))?;
        if found.is_super() {
            return Err(self.refused_in_super_group(user, group).await);
        }
        let members = self.members_as_of(&found).await?;
        if members.users.binary_search(user).is_err() {
            return Err(unknown_group(group));
        }
        if found.dismissed {
            return Err(dismissed(group));
        }
        Ok(members.users.iter().filter(|member| *member != user).cloned().collect())
    }

    /// Why nobody is told in a super group; who never was in it is not told that there is one.
    async fn refused_in_super_group(&self, user: &UserId, group: &GroupId) -> Error {
        match self.store.members(group, std::slice::from_ref(user)).await {
            Ok(members) if members.first().is_some_and(Option::is_some) => {
                let message = format!("typing is not told in a super group: {group} is one");
                Error::refused(Code::Unsupported, message)
            }
            Ok(_) => unknown_group(group),
            Err(error) => failure::of_backend(error),
        }
    }

    /// The members of a group; they are read again only after the group has changed.
    async fn members_as_of(&self, group: &Group) -> Result<Members> {
        let known = self.members.lock().get(&group.group).cloned();
        if let Some(known) = known.filter(|known| known.version == group.version) {
            return Ok(known);
        }
        let page = self.store.members_page(&group.group, None, MEMBERS_MAX).await;
        let page = page.map_err(failure::of_backend)?;
        let mut users: Vec<UserId> =
            page.into_iter().filter(|member| member.left == 0).map(|member| member.user).collect();
        users.sort_unstable();
        let members = Members { version: group.version, users: users.into() };
        self.members.lock().insert(group.group.clone(), members.clone());
        Ok(members)
    }
}
