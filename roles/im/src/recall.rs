//! `recall`: a message is taken back. Its words go in the commit that writes the row which tells it.
//!
//! | who | what | until when |
//! |---|---|---|
//! | its sender | it | the time limit |
//! | an admin of the group | it, and what members without a role sent, or who has left | |
//! | the owner of the group | everything | |
//!
//! The row has a seq and goes into inboxes like a message, so that a device that has the message long since hears of
//! it. Recalling again, whoever does, answers the row that told it the first time.

use std::sync::Arc;
use std::time::Duration;

use backends::mailbox;
use backends::store::{Guard, HistoryFrom, HistoryRange, OutboxRange, OutboxRow, Replacement, Role, Store};
use contracts::im::Asker;
use contracts::{Error, Result};
use protocol::client::{Message, Recall, RecallReply, Target, target};
use protocol::message::kind;
use protocol::{Code, ConversationId, GroupId, UserId};
use runtime::clock::now_ms;

use crate::group_chat::{self, no_member, unknown_group};
use crate::row::{NewRow, Rows};
use crate::{conversation, failure, single_chat};

/// Rows after a message among which the row that recalled it is looked for.
const LOOKED_AT_MAX: usize = 500;

/// Recalls messages.
pub(crate) struct Recalls {
    rows: Rows,
    store: Arc<dyn Store>,
    time_limit: Duration,
}

impl Recalls {
    /// Writes these rows; a sender may recall for so long.
    pub(crate) fn new(rows: Rows, store: Arc<dyn Store>, time_limit: Duration) -> Self {
        Self { rows, store, time_limit }
    }

    /// Recalls a message.
    pub(crate) async fn recall(&self, asker: &Asker, request: Recall) -> Result<RecallReply> {
        let conversation = conversation::parse(&request.conversation)?;
        let target = request.seq;
        let peer = conversation.peer_of(&asker.user);
        let group = conversation.group_id();
        let role = match (&peer, &group) {
            (Some(_), _) => None,
            (None, Some(group)) => Some(self.role(group, &asker.user, target).await?),
            (None, None) => return Err(conversation::unknown(conversation.as_str())),
        };
        let row = self.row(&conversation, target).await?;
        if !row.counted {
            let message = format!("seq {target} of {conversation} is no message");
            return Err(Error::refused(Code::InvalidArgument, message));
        }
        let message = mailbox::message_of(&row).map_err(failure::of_backend)?;
        if message.recalled == Some(true)
            && let Some(seq) = self.recalled_by(&conversation, target).await?
        {
            return Ok(RecallReply { seq });
        }
        self.check_may(asker, role, group.as_ref(), &row).await?;
        let to = peer.as_ref().map(|peer| Target { target: Some(target::Target::User(peer.to_string())) });
        let says = Message {
            to,
            kind: Some(kind::RECALLED.to_owned()),
            target: Some(target),
            by: Some(asker.user.to_string()),
            ..Message::default()
        };
        let new = NewRow {
            conversation: conversation.clone(),
            sender: asker.user.clone(),
            // No client can say it, and it is the same however often it is asked.
            client_message_id: format!("\u{1}recall:{conversation}:{target}"),
            says,
            mentions: Vec::new(),
            replaces: Some(Replacement { seq: target, content: mailbox::recalled_content(&message) }),
            guard: if group.is_some() { Guard::Member } else { Guard::None },
            inboxes: peer.map(|peer| single_chat::inboxes_of(&asker.user, &peer)).unwrap_or_default(),
            except: None,
        };
        match (self.rows.write(new).await?, &group) {
            (Ok(appended), _) => Ok(RecallReply { seq: appended.seq }),
            (Err(denied), Some(group)) => {
                Err(group_chat::refusal(&*self.store, denied, group, &asker.user).await)
            }
            (Err(_), None) => Err(no_message(&conversation, target)),
        }
    }

    /// The asker's role in a group, where the asker may see this seq.
    async fn role(&self, group: &GroupId, user: &UserId, seq: u64) -> Result<Role> {
        let members = self.store.members(group, std::slice::from_ref(user)).await;
        match members.map_err(failure::of_backend)?.into_iter().next().flatten() {
            None => Err(unknown_group(group)),
            Some(member) if member.left > 0 => Err(no_member(group)),
            Some(member) => {
                let conversation = ConversationId::group(group);
                let standings = self.store.standings(user, std::slice::from_ref(&conversation)).await;
                let standing = standings.map_err(failure::of_backend)?.into_iter().next().flatten();
                match standing.is_some_and(|standing| seq >= standing.low()) {
                    true => Ok(member.role),
                    false => Err(no_message(&conversation, seq)),
                }
            }
        }
    }

    async fn row(&self, conversation: &ConversationId, seq: u64) -> Result<OutboxRow> {
        if seq == 0 {
            return Err(no_message(conversation, seq));
        }
        let range = OutboxRange { conversation: conversation.clone(), begin: seq, end: seq };
        let pages = self.store.outbox_pages(&[range], 1).await.map_err(failure::of_backend)?;
        let row = pages.into_iter().flatten().next();
        row.filter(|row| row.seq == seq).ok_or_else(|| no_message(conversation, seq))
    }

    async fn check_may(
        &self,
        asker: &Asker,
        role: Option<Role>,
        group: Option<&GroupId>,
        row: &OutboxRow,
    ) -> Result<()> {
        let own = row.sender == asker.user;
        match (role, group) {
            (Some(Role::Owner), _) => return Ok(()),
            (Some(Role::Admin), _) if own => return Ok(()),
            (Some(Role::Admin), Some(group)) => {
                let members = self.store.members(group, std::slice::from_ref(&row.sender)).await;
                let mut members = members.map_err(failure::of_backend)?.into_iter().flatten();
                if members.any(|member| member.left == 0 && member.role > Role::Member) {
                    let message =
                        format!("{} is owner or admin: this is for the owner to recall", row.sender);
                    return Err(Error::refused(Code::NotAllowed, message));
                }
                return Ok(());
            }
            _ => {}
        }
        if !own {
            let message = format!("seq {} was sent by somebody else: its sender may recall it", row.seq);
            return Err(Error::refused(Code::NotAllowed, message));
        }
        let limit_ms = u64::try_from(self.time_limit.as_millis()).unwrap_or(u64::MAX);
        if now_ms() > row.time_ms.saturating_add(limit_ms) {
            let limit_s = self.time_limit.as_secs();
            let message = format!("seq {} can be recalled for {limit_s} s, which are over", row.seq);
            return Err(Error::refused(Code::TooLate, message));
        }
        Ok(())
    }

    /// The row that recalled a message, where it stands among the next rows.
    async fn recalled_by(&self, conversation: &ConversationId, target: u64) -> Result<Option<u64>> {
        let range = HistoryRange {
            conversation: conversation.clone(),
            low: 1,
            high: 0,
            from: HistoryFrom::After(target),
            limit: LOOKED_AT_MAX,
        };
        let page = self.store.history(range).await.map_err(failure::of_backend)?;
        let control_rows = page.rows.iter().filter(|row| !row.counted);
        let mut recalls = control_rows.filter_map(|row| mailbox::message_of(row).ok());
        let recall =
            recalls.find(|row| row.kind.as_deref() == Some(kind::RECALLED) && row.target == Some(target));
        Ok(recall.map(|row| row.seq))
    }
}

fn no_message(conversation: &ConversationId, seq: u64) -> Error {
    Error::refused(Code::NotFound, format!("there is no message {seq} in {conversation} that you can see"))
}
