//! What users are told beside the rows of their conversations: receipts, and that a conversation has changed.
//!
//! No answer waits for it. What is to be told stands in a bounded queue; one task reads from the store how it
//! stands by then, and hands it to push, at most once. What comes while the queue is full is dropped and counted:
//! a client learns the same from `conversations`, and from the next receipt, which says all that the lost one said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backends::store::{HistoryFrom, HistoryRange, Store};
use contracts::push::{EventPush, Push};
use metrics::Counter;
use protocol::client::Receipt;
use protocol::codec::Event;
use protocol::{ConnectionId, ConversationId, DeviceId, Identifier, UserId};
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;

use crate::conversation;

/// What may wait to be told: some seconds of a busy process.
const WAITING_MAX: usize = 16_384;
/// Users who may wait to be told of a conversation: one notice may be for a thousand.
const USERS_MAX: usize = 65_536;
/// What is taken from the queue at once; what says the same is told once.
const BATCH_MAX: usize = 256;
/// Pushes in one call.
const PUSHES_MAX: usize = 256;
/// Rows of a group whose senders are told that they were read; who wrote only older ones sees it in the readers.
const ROWS_MAX: usize = 100;
/// Rows of an inbox that are looked at for what was delivered: as many as are replayed to a device.
const RECEIVED_MAX: usize = 300;

/// Something to be told.
pub(crate) enum Notice {
    /// A conversation has changed for each of these users.
    Conversation {
        /// Whom it is told.
        users: Vec<UserId>,
        /// Which.
        conversation: ConversationId,
        /// A connection that knows it already.
        except: Option<ConnectionId>,
    },
    /// A user has read a conversation.
    Read {
        /// Who.
        user: UserId,
        /// On which device; `None`: not known.
        device: Option<DeviceId>,
        /// What.
        conversation: ConversationId,
        /// Up to where it was read before.
        from: u64,
        /// Up to where it is.
        to: u64,
    },
    /// A device has received a part of its user's inbox.
    Delivered {
        /// Whose.
        user: UserId,
        /// Which device.
        device: DeviceId,
        /// Up to where it had received before.
        from: u64,
        /// Up to where it has.
        to: u64,
    },
}

impl Notice {
    /// How many users it is for.
    fn user_count(&self) -> usize {
        match self {
            Self::Conversation { users, .. } => users.len(),
            Self::Read { .. } | Self::Delivered { .. } => 1,
        }
    }
}

/// Takes what is to be told.
#[derive(Clone)]
pub(crate) struct Notices {
    waiting: mpsc::Sender<Notice>,
    user_count: Arc<AtomicUsize>,
    dropped: Counter,
}

/// Tells it.
pub(crate) struct Notifier {
    store: Arc<dyn Store>,
    push: Arc<dyn Push>,
    waiting: mpsc::Receiver<Notice>,
    user_count: Arc<AtomicUsize>,
    stop: Stop,
    dropped: Counter,
}

impl Notices {
    /// The two ends; the notifier is to be run.
    pub(crate) fn new(store: Arc<dyn Store>, push: Arc<dyn Push>, stop: Stop) -> (Self, Notifier) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let counter = |reason| metrics::counter!("anser_im_notices_dropped_total", "reason" => reason);
        let user_count = Arc::<AtomicUsize>::default();
        let waiting_users = user_count.clone();
        let notifier = Notifier { store, push, waiting, user_count, stop, dropped: counter("failed") };
        (Self { waiting: sender, user_count: waiting_users, dropped: counter("full") }, notifier)
    }

    /// Tells it soon; never waits.
    pub(crate) fn offer(&self, notice: Notice) {
        let count = notice.user_count();
        let is_full = self.user_count.fetch_add(count, Ordering::Relaxed) + count > USERS_MAX;
        if is_full || self.waiting.try_send(notice).is_err() {
            self.user_count.fetch_sub(count, Ordering::Relaxed);
            self.dropped.increment(count as u64);
        }
    }
}

/// What was taken from the queue, each thing once.
#[derive(Default)]
struct Batch {
    conversations: BTreeMap<UserId, BTreeSet<(ConversationId, Option<ConnectionId>)>>,
    read: BTreeMap<(UserId, ConversationId), (Option<DeviceId>, u64, u64)>,
    delivered: BTreeMap<(UserId, DeviceId), (u64, u64)>,
}

impl Batch {
    fn add(&mut self, notice: Notice) {
        match notice {
            Notice::Conversation { users, conversation, except } => {
                for user in users {
                    self.conversations.entry(user).or_default().insert((conversation.clone(), except));
                }
            }
            Notice::Read { user, device, conversation, from, to } => {
                let known = self.read.entry((user, conversation)).or_insert((None, from, to));
                *known = (device, known.1.min(from), known.2.max(to));
            }
            Notice::Delivered { user, device, from, to } => {
                let known = self.delivered.entry((user, device)).or_insert((from, to));
                *known = (known.0.min(from), known.1.max(to));
            }
        }
    }
}

impl Notifier {
    /// Tells until it is told to stop and what waits is told.
    pub(crate) async fn run(mut self) {
        let mut taken = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                count = self.waiting.recv_many(&mut taken, BATCH_MAX) => {
                    if count == 0 {
                        return;
                    }
                }
                () = self.stop.triggered(), if !self.waiting.is_closed() => {
                    self.waiting.close();
                    continue;
                }
            }
            let mut batch = Batch::default();
            let mut user_count = 0;
            for notice in taken.drain(..) {
                user_count += notice.user_count();
                batch.add(notice);
            }
            self.tell(batch).await;
            self.user_count.fetch_sub(user_count, Ordering::Relaxed);
        }
    }

    async fn tell(&self, batch: Batch) {
        let mut pushes = Vec::new();
        for ((user, device), (from, to)) in batch.delivered {
            let made = self.delivered(&user, &device, from, to).await;
            self.gather(&mut pushes, "delivered", made).await;
        }
        for ((user, conversation), (device, from, to)) in batch.read {
            let made = self.read(&user, device.as_ref(), &conversation, from, to).await;
            self.gather(&mut pushes, "read", made).await;
        }
        for (user, changed) in batch.conversations {
            let made = self.changed(&user, changed).await;
            self.gather(&mut pushes, "conversation", made).await;
        }
        self.hand_over(pushes).await;
    }

    /// Adds what was made to what is to be pushed, and hands it over where it is enough for one call.
    async fn gather(
        &self,
        pushes: &mut Vec<EventPush>,
        what: &'static str,
        made: backends::Result<Vec<EventPush>>,
    ) {
        match made {
            Ok(made) => pushes.extend(made),
            Err(error) => {
                self.dropped.increment(1);
                tracing::warn!(target: "im", ?error, what, "users are not told");
            }
        }
        if pushes.len() >= PUSHES_MAX {
            self.hand_over(std::mem::take(pushes)).await;
        }
    }

    async fn hand_over(&self, pushes: Vec<EventPush>) {
        let count = pushes.len();
        if count == 0 {
            return;
        }
        if let Err(error) = self.push.push_events(pushes).await {
            self.dropped.increment(count as u64);
            tracing::warn!(target: "im", ?error, count, "push did not take what users are to be told");
        }
    }

    /// Conversations as they stand for a user.
    async fn changed(
        &self,
        user: &UserId,
        changed: BTreeSet<(ConversationId, Option<ConnectionId>)>,
    ) -> backends::Result<Vec<EventPush>> {
        let conversations: Vec<ConversationId> =
            changed.iter().map(|(conversation, _)| conversation.clone()).collect();
        let standing = self.store.conversations(user, &conversations).await?;
        let push = |((_, except), found): (&(ConversationId, Option<ConnectionId>), Option<_>)| {
            let event = Event::Conversation(conversation::of_store(user, &found?));
            Some(EventPush { users: vec![user.clone()], event: Arc::new(event), except: *except })
        };
        Ok(changed.iter().zip(standing).filter_map(push).collect())
    }

    /// The receipts for what a device has received: to the other user of each single chat.
    async fn delivered(
        &self,
        user: &UserId,
        device: &DeviceId,
        from: u64,
        to: u64,
    ) -> backends::Result<Vec<EventPush>> {
        let received = self.store.received(user, from, to, RECEIVED_MAX).await?;
        let push = |(conversation, seq): (ConversationId, u64)| {
            let peer = conversation.peer_of(user).filter(|peer| peer != user)?;
            let receipt = Receipt { delivered: Some(seq), ..receipt(&conversation, user, Some(device)) };
            Some(EventPush { users: vec![peer], event: Arc::new(Event::Receipt(receipt)), except: None })
        };
        Ok(received.into_iter().filter_map(push).collect())
    }

    /// The receipt for what a user has read: to the other user of a single chat, or to those in a group who wrote
    /// what was read. In a super group nobody is told.
    async fn read(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        conversation: &ConversationId,
        from: u64,
        to: u64,
    ) -> backends::Result<Vec<EventPush>> {
        let users = match conversation.peer_of(user) {
            Some(peer) if peer == *user => Vec::new(),
            Some(peer) => vec![peer],
            None => self.senders(user, conversation, from, to).await?,
        };
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let receipt = Receipt { read: Some(to), ..receipt(conversation, user, device) };
        Ok(vec![EventPush { users, event: Arc::new(Event::Receipt(receipt)), except: None }])
    }

    /// Who wrote what a member of a group has read, and is a member still.
    async fn senders(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        from: u64,
        to: u64,
    ) -> backends::Result<Vec<UserId>> {
        let Some(group) = conversation.group_id() else { return Ok(Vec::new()) };
        let standings = self.store.standings(user, std::slice::from_ref(conversation)).await?;
        let Some(Some(standing)) = standings.into_iter().next() else { return Ok(Vec::new()) };
        let low = standing.low().max(from + 1);
        if standing.super_from > 0 || low > to {
            return Ok(Vec::new());
        }
        let range = HistoryRange {
            conversation: conversation.clone(),
            low,
            high: to,
            from: HistoryFrom::Before(u64::MAX),
            limit: ROWS_MAX,
        };
        let rows = self.store.history(range).await?.rows;
        let others = rows.into_iter().filter(|row| row.counted && row.sender != *user);
        let senders: Vec<UserId> =
            others.map(|row| row.sender).collect::<BTreeSet<UserId>>().into_iter().collect();
        if senders.is_empty() {
            return Ok(Vec::new());
        }
        let members = self.store.members(&group, &senders).await?;
        let is_member = |member: &Option<_>| {
            member.as_ref().is_some_and(|member: &backends::store::Member| member.left == 0)
        };
        Ok(senders
            .into_iter()
            .zip(members)
            .filter(|(_, member)| is_member(member))
            .map(|(user, _)| user)
            .collect())
    }
}

/// A receipt that says nothing yet.
fn receipt(conversation: &ConversationId, user: &UserId, device: Option<&DeviceId>) -> Receipt {
    Receipt {
        conversation: conversation.as_str().to_owned(),
        user: user.to_string(),
        device: device.map(|device| device.as_str().to_owned()).unwrap_or_default(),
        delivered: None,
        read: None,
    }
}
