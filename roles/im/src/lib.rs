//! im: single chat, groups and super groups, conversations and offline messages.
//!
//! In the seed's picture this is imService. It stores what people send to each other and answers when it is
//! durable, hands it on to push or to consumer, keeps groups and who may do what in them, tells a device where it
//! stands and what it missed, and keeps how far each device received and each user read. It promises that what it
//! answered is stored once, in order, and is handed on even where this process ends in between. It leaves to the
//! store how rows are written together, to consumer how a group's rows come into its members' inboxes, to push who
//! is connected, and to the proxy which connection gets what when.

mod api;
mod ask;
mod block;
mod conversation;
mod failure;
mod flight;
mod group;
mod group_chat;
mod group_sync;
mod hand_on;
mod hint;
mod history;
mod lane;
mod membership;
mod message_id;
mod notice;
mod offline;
mod position;
mod presence;
mod recall;
mod receipt;
mod recent;
mod room;
mod room_lane;
mod row;
mod rule;
mod service;
mod single_chat;
mod super_group;
mod sweep;
mod typing;

use std::sync::Arc;
use std::time::Duration;

use backends::broker::Broker;
use backends::cache::Cache;
use backends::store::Store;
use contracts::im::Im;
use contracts::push::Push;
use protocol::limits::GROUP_MEMBERS_MAX;
use runtime::lifecycle::Stop;
use tokio::task::JoinHandle;

use crate::block::Blocks;
use crate::conversation::Conversations;
use crate::group::Groups;
use crate::group_chat::GroupChat;
use crate::group_sync::GroupSync;
use crate::hand_on::{HandOn, Onward};
use crate::history::Histories;
use crate::message_id::MessageIds;
use crate::notice::Notices;
use crate::offline::Offline;
use crate::position::Positions;
use crate::presence::Presence;
use crate::recall::Recalls;
use crate::receipt::Receipts;
use crate::room::Rooms;
use crate::row::Rows;
use crate::service::Local;
use crate::single_chat::SingleChat;
use crate::super_group::SuperGroups;
use crate::sweep::Sweep;
use crate::typing::Typing;

pub use crate::rule::SingleChatRule;

/// What can be set about im.
#[derive(Debug, Clone)]
pub struct Config {
    /// Tells this process's message ids from another's: 0 to 1023.
    pub node: u16,
    /// How old a shortcut to the top of an inbox or a conversation may be: one heartbeat period.
    pub inbox_top_age_max: Duration,
    /// Who may write to whom in single chats.
    pub single_chat: SingleChatRule,
    /// Members of a group that becomes a super group beyond it.
    pub group_members_max: u64,
    /// How long its sender may recall a message.
    pub recall_time_limit: Duration,
    /// How many stored messages may be on their way to push at once is this times `lane_jobs_max`. Messages
    /// of one user, and those of one super group, stay in one lane, in order.
    pub lane_count: usize,
    /// What waits in a lane; beyond it the sweep hands on.
    pub lane_jobs_max: usize,
    /// What a lane gives to push in one call.
    pub lane_batch_max: usize,
    /// Hints to consumer that wait; beyond it consumer's own sweep finds the work.
    pub hints_max: usize,
    /// How long intents of messages that were handed on are gathered before they are removed together.
    pub clear_window: Duration,
    /// How many intents are removed together.
    pub clear_batch_max: usize,
    /// How often the sweep looks for messages that were not handed on.
    pub sweep_period: Duration,
    /// How old a message is before the sweep takes it for not handed on.
    pub sweep_age: Duration,
    /// How many messages one look of the sweep takes.
    pub sweep_intents_max: usize,
    /// How long positions of devices are gathered before they are written together.
    pub position_window: Duration,
    /// How many calls may wait to have their positions written; beyond it they are refused.
    pub position_calls_max: usize,
    /// How long the first answer to a client message id is kept.
    pub answer_kept: Duration,
    /// How often first answers that are older are forgotten.
    pub answer_sweep_period: Duration,
    /// How many of them are forgotten in one call of the store.
    pub answer_sweep_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: 0,
            inbox_top_age_max: Duration::from_secs(30),
            single_chat: SingleChatRule::Anyone,
            group_members_max: GROUP_MEMBERS_MAX,
            recall_time_limit: Duration::from_secs(120),
            lane_count: 8,
            lane_jobs_max: 4_096,
            lane_batch_max: 256,
            hints_max: 4_096,
            clear_window: Duration::from_millis(100),
            clear_batch_max: 512,
            sweep_period: Duration::from_secs(1),
            sweep_age: Duration::from_secs(1),
            sweep_intents_max: 4_096,
            position_window: Duration::from_millis(20),
            position_calls_max: 16_384,
            answer_kept: Duration::from_secs(24 * 60 * 60),
            answer_sweep_period: Duration::from_secs(60),
            answer_sweep_max: 10_000,
        }
    }
}

/// What im works with.
pub struct Deps {
    /// Keeps messages, inboxes, groups, conversations and positions.
    pub store: Arc<dyn Store>,
    /// Keeps shortcuts past the store.
    pub cache: Arc<dyn Cache>,
    /// Carries topics `push`, `fanout` and `presence`.
    pub broker: Arc<dyn Broker>,
    /// Takes what was stored.
    pub push: Arc<dyn Push>,
    /// Ends the tasks.
    pub stop: Stop,
}

/// im as it runs in this process.
pub struct Service {
    /// What the proxy asks.
    pub contract: Arc<dyn Im>,
    /// The server API's part of im; who may call it is checked by a layer around it.
    pub api: axum::Router,
    /// They end after `stop`, once what was taken is handed on and written.
    pub tasks: Vec<JoinHandle<()>>,
}

/// Starts im and its tasks in the current runtime.
#[must_use]
pub fn start(config: Config, deps: Deps) -> Service {
    let Deps { store, cache, broker, push, stop } = deps;
    let mut tasks = Vec::new();
    let to = Onward { push: &push, cache: &cache, store: &store, broker: &broker };
    let (hand_on, cleared) = HandOn::start(&config, &to, &stop, |task| tasks.push(tokio::spawn(task)));
    let hand_on = Arc::new(hand_on);
    let sweep = Sweep::new(&config, store.clone(), hand_on.clone(), cleared);
    tasks.push(tokio::spawn(sweep.run(stop.clone())));
    let (notices, notifier) = Notices::new(store.clone(), push.clone(), stop.clone());
    tasks.push(tokio::spawn(notifier.run()));
    let (positions, writer) = Positions::new(&config, store.clone(), notices.clone(), stop.clone());
    tasks.push(tokio::spawn(writer.run()));
    tasks.push(tokio::spawn(Presence::worker(broker.clone(), store.clone(), stop.clone())));

    let ids = Arc::new(MessageIds::new(config.node));
    let rows = Rows::new(store.clone(), ids.clone(), hand_on.clone());
    let conversations = Arc::new(Conversations::new(store.clone(), notices.clone()));
    let groups =
        Groups::new(&config, store.clone(), ids.clone(), hand_on, push.clone(), conversations.clone());
    let group_sync = GroupSync::new(store.clone());
    let local = Arc::new(Local {
        single_chat: SingleChat::new(rows.clone(), config.single_chat),
        group_chat: GroupChat::new(rows.clone(), store.clone()),
        rooms: Rooms::new(broker, ids.clone()),
        groups,
        super_groups: SuperGroups::new(store.clone(), cache.clone(), config.inbox_top_age_max),
        recalls: Recalls::new(rows, store.clone(), config.recall_time_limit),
        offline: Offline::new(store.clone(), cache, positions, group_sync.clone(), config.inbox_top_age_max),
        conversations,
        receipts: Receipts::new(store.clone(), notices),
        histories: Histories::new(store.clone()),
        group_sync,
        presence: Presence::new(store.clone(), push.clone()),
        typing: Typing::new(store.clone(), push, config.single_chat),
        blocks: Blocks::new(store.clone()),
        ids,
    });
    tasks.push(tokio::spawn(sweep::forget_answers(config, store, stop)));
    Service { api: api::routes(local.clone()), contract: local, tasks }
}

#[cfg(test)]
mod tests;
