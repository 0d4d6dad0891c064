//! Groups: who makes, enters, leaves and rules them.
//!
//! | request | who may | what it means beside its words |
//! |---|---|---|
//! | create | anybody | over the bound, or as `super`, a super group from its first row on |
//! | invite | admins and the owner; where join is open every member | members are skipped; over the bound the group is converted first |
//! | join | anybody where join is open; where it is approval the owner and admins are asked | |
//! | leave | every member but the owner, who hands over first | |
//! | remove | the owner everybody, an admin members without a role | who is no member is skipped |
//! | dismiss | the owner | the members stay, and read what was said |
//! | update | admins and the owner; `kind` the owner | |
//! | role | the owner | who hands the group over is a member without a role afterwards |
//! | mute | the owner everybody, an admin members without a role | a mute outlasts leaving and coming back |
//! | requests, answer | admins and the owner | who is accepted was let in by who accepted |
//!
//! What is asked is decided on the group as it stands, and committed only if nobody changed it meanwhile; else it is
//! decided again. So what two people ask at once happens one after the other, by one commit each, with one row each.
//! What would change nothing writes no row. A request of which a part is not allowed is refused whole.
//!
//! Who never was in a group cannot tell whether it exists, unless it lets people in who ask.

mod change;
mod create;
mod deed;
mod dismiss;
mod field;
mod info;
mod invite;
mod join;
mod leave;
mod mute;
mod remove;
mod request;
mod role;
mod update;

use std::sync::Arc;

use backends::store::Store;
use contracts::push::Push;
use tokio::sync::Mutex;

use crate::Config;
use crate::conversation::Conversations;
use crate::hand_on::HandOn;
use crate::message_id::MessageIds;

/// Groups whose changes wait for each other here are spread over so many locks.
const TURNS: usize = 256;

/// Answers what is asked about groups.
pub(crate) struct Groups {
    store: Arc<dyn Store>,
    ids: Arc<MessageIds>,
    hand_on: Arc<HandOn>,
    push: Arc<dyn Push>,
    conversations: Arc<Conversations>,
    members_max: u64,
    /// Changes of one group take turns in this process, so that they seldom have to be decided twice.
    turns: Box<[Mutex<()>]>,
}

impl Groups {
    /// Keeps groups in this store; hands on the rows that tell of changes, and tells those who came or went.
    pub(crate) fn new(
        config: &Config,
        store: Arc<dyn Store>,
        ids: Arc<MessageIds>,
        hand_on: Arc<HandOn>,
        push: Arc<dyn Push>,
        conversations: Arc<Conversations>,
    ) -> Self {
        let turns = (0..TURNS).map(|_| Mutex::new(())).collect();
        let members_max = config.group_members_max;
        Self { store, ids, hand_on, push, conversations, members_max, turns }
    }
}
