//! Commits what was decided about a group, and tells it.
//!
//! The row goes the way of the conversation's rows. Who comes or goes does not get it, since the receivers of a row
//! are those who were there before it and are there after it: they are told that their conversation has changed.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use backends::mailbox;
use backends::store::{GroupChange, GroupChanged, Member, MemberChangeKind};
use contracts::im::Asker;
use contracts::{Error, Kind, Result};
use protocol::client::Message;
use protocol::{ConversationId, GroupId, Identifier, UserId};
use runtime::clock::now_ms;
use tokio::sync::MutexGuard;

use super::Groups;
use super::deed::{Deed, Draft, Stands, Step};
use super::field::role_word;
use crate::failure;
use crate::group_chat::unknown_group;

/// How often a change is decided again because another process changed the group meanwhile.
const ATTEMPTS_MAX: u32 = 16;
/// How long at most it waits before that, times the attempts so far.
const PAUSE_MAX_MS: u64 = 8;

impl Groups {
    /// Does what a deed decides, and answers its reply.
    pub(super) async fn carry_out<D: Deed>(
        &self,
        asker: &Asker,
        group: &GroupId,
        deed: &D,
    ) -> Result<D::Reply> {
        let _turn = self.turn(group).await;
        let mut attempts = 0;
        while attempts < ATTEMPTS_MAX {
            let stands = self.stands(group, &asker.user, deed.users()).await?;
            let version = stands.group.version;
            let committed = match deed.decide(&stands)? {
                Step::Nothing(reply) => return Ok(reply),
                Step::Change(draft, reply) => match self.commit(group, version, &asker.user, draft).await? {
                    Some(_) => return Ok(reply),
                    None => false,
                },
                Step::ChangeFirst(draft) => self.commit(group, version, &asker.user, draft).await?.is_some(),
            };
            attempts += 1;
            if !committed {
                metrics::counter!("anser_im_group_conflicts_total").increment(1);
                let bound_ms = PAUSE_MAX_MS * u64::from(attempts);
                let pause_ms = RandomState::new().build_hasher().finish() % bound_ms;
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
        }
        Err(Error::new(Kind::Overloaded, format!("group {group} is changed by others all the time")))
    }

    /// Waits until no other change of the group is under way in this process.
    pub(super) async fn turn(&self, group: &GroupId) -> MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(group) as usize;
        self.turns[hash % self.turns.len()].lock().await
    }

    /// How a group stands for who asks, and for these users. The group is read first: where its members change
    /// afterwards, so does its version, and nothing is committed on what was read.
    pub(super) async fn stands(&self, group: &GroupId, by: &UserId, users: &[UserId]) -> Result<Stands> {
        let found = self.store.groups(std::slice::from_ref(group)).await.map_err(failure::of_backend)?;
        let found = found.into_iter().next().flatten().ok_or_else(|| unknown_group(group))?;
        let asked: Vec<UserId> = std::iter::once(by).chain(users).cloned().collect();
        let parts = self.store.members(group, &asked).await.map_err(failure::of_backend)?;
        let mut parts = asked.into_iter().zip(parts);
        let asker: Option<Member> = parts.next().and_then(|(_, part)| part);
        Ok(Stands {
            group: found,
            by: by.clone(),
            asker,
            users: parts.collect(),
            members_max: self.members_max,
            now_ms: now_ms(),
        })
    }

    /// Commits a change if the group's version is this one, and then tells it.
    pub(super) async fn commit(
        &self,
        group: &GroupId,
        expected_version: u64,
        by: &UserId,
        draft: Draft,
    ) -> Result<Option<GroupChanged>> {
        let says = Message {
            kind: Some(draft.kind.to_owned()),
            by: Some(by.to_string()),
            users: draft.users.iter().map(ToString::to_string).collect(),
            role: draft.role.map(|role| role_word(role).to_owned()),
            ..Message::default()
        };
        let came_or_went = draft.members.iter().filter(|member| member.kind != MemberChangeKind::Stay);
        let came_or_went: Vec<UserId> = came_or_went.map(|member| member.user.clone()).collect();
        let time_ms = now_ms();
        let message_id = self.ids.next(time_ms);
        let change = GroupChange {
            group: group.clone(),
            expected_version,
            settings: draft.settings,
            owner: draft.owner,
            dismissed: draft.dismissed,
            super_change: draft.super_change,
            members: draft.members,
            message_id,
            by: by.clone(),
            time_ms,
            content: mailbox::encode_content(&says),
        };
        let changed = self.store.change_group(change).await.map_err(failure::of_backend)?;
        let Some(changed) = changed else { return Ok(None) };
        let conversation = ConversationId::group(group);
        let message = Message {
            conversation: conversation.as_str().to_owned(),
            seq: changed.seq,
            message_id,
            sender: by.to_string(),
            time_ms: changed.time_ms,
            group: Some(group.as_str().to_owned()),
            ..says
        };
        self.hand_on.offer(&Arc::new(message), changed.fan_out, Vec::new(), None);
        if !came_or_went.is_empty() {
            self.conversations.tell(came_or_went, &conversation, None);
        }
        metrics::counter!("anser_im_group_changes_total", "kind" => draft.kind).increment(1);
        Ok(Some(changed))
    }
}
