//! A store with many messages in it, among which a few users have missed a thousand each.
//!
//! It is written through the store's own trait before a server runs on it. Messages to those users lie evenly among
//! all others, so that reading theirs is reading all over the store.

use std::path::Path;
use std::sync::Arc;

use backends::mailbox;
use backends::store::{
    self, Append, GroupChange, GroupSettings, Guard, IntentLane, MemberChange, MemberChangeKind, Outcome,
    Role, Store, SuperChange,
};
use bytes::Bytes;
use protocol::client;
use protocol::message::{Content, kind};
use protocol::{ConversationId, GroupId, Identifier as _, UserId};
use tokio::task::JoinSet;

use super::super::failure::Failure;
use super::super::output::note;
use super::bare::{failed, invalid};

/// Messages that each of the users has missed in the inbox.
pub(super) const UNREAD: u64 = 1_000;
/// Messages that each of them has missed in super groups.
pub(super) const UNREAD_IN_GROUPS: u64 = 500;
/// Super groups of those who are in many.
pub(super) const GROUPS: u64 = 500;
/// Users of each kind who come back.
pub(super) const READERS: u64 = 8;
/// Fewer rows than this hold no more than what was missed.
pub(super) const ROWS_MIN: u64 = 4 * READERS * UNREAD;

/// Users who write to each other and never come back.
const OTHERS: u64 = 10_000;
/// Messages of one call to the store, and calls at the same time.
const BATCH: u64 = 256;
const TOGETHER: usize = 8;
/// The file that says that a folder is filled.
const MARKER: &str = "bench-filled";

/// Who comes back: in one super group, or in many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    One,
    Many,
}

impl Reader {
    pub(super) const ALL: [Self; 2] = [Self::One, Self::Many];

    /// The name of one of them.
    pub(super) fn user(self, number: u64) -> String {
        match self {
            Self::One => format!("bench-one-{number}"),
            Self::Many => format!("bench-many-{number}"),
        }
    }

    pub(super) fn group_count(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Many => GROUPS,
        }
    }
}

/// Fills the store of a server with this data folder up to about so many inbox rows; one that is filled stays.
pub(super) async fn fill(folder: &Path, rows: u64) -> Result<(), Failure> {
    let marker = folder.join(MARKER);
    if std::fs::read_to_string(&marker).is_ok_and(|text| text.trim() == rows.to_string()) {
        note(&format!("{} has its {rows} rows from before", folder.display()));
        return Ok(());
    }
    if folder.join("store").exists() {
        return Err(Failure::usage(format!(
            "{} holds a store that is not filled with {rows} rows: name another folder with --data, or remove it",
            folder.display()
        )));
    }
    let cannot =
        |error: std::io::Error| Failure::failed(format!("cannot write {}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(cannot)?;
    let store = store::open(&format!("embedded:{}", folder.join("store").display())).await.map_err(failed)?;
    let mut next_id = make_groups(&store).await?;
    let message_count = rows / 2;
    let stride = message_count / (2 * READERS * UNREAD);
    let mut writing = JoinSet::new();
    let mut shown = 0;
    let first = next_id;
    while next_id < first + message_count {
        let count = BATCH.min(first + message_count - next_id);
        let appends: Result<Vec<Append>, Failure> =
            (next_id..next_id + count).map(|id| message(id, id - first, stride)).collect();
        if writing.len() == TOGETHER
            && let Some(written) = writing.join_next().await
        {
            written.map_err(|error| Failure::failed(error.to_string()))??;
        }
        writing.spawn(write(Arc::clone(&store), appends?));
        next_id += count;
        let tenth = (next_id - first) * 10 / message_count;
        if tenth > shown {
            shown = tenth;
            note(&format!("  filling: {} of {rows} rows", (next_id - first) * 2));
        }
    }
    while let Some(written) = writing.join_next().await {
        written.map_err(|error| Failure::failed(error.to_string()))??;
    }
    drop(store);
    std::fs::write(&marker, rows.to_string()).map_err(cannot)
}

/// One message: to a reader where its turn has come, else between two others.
fn message(message_id: u64, number: u64, stride: u64) -> Result<Append, Failure> {
    let user = |text: &str| UserId::new(text).map_err(invalid);
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let sender = mixed % OTHERS;
    let turn = number / stride;
    let receiver = if number.is_multiple_of(stride) && turn < 2 * READERS * UNREAD {
        let reader = Reader::ALL[(turn % 2) as usize];
        reader.user(turn / 2 % READERS)
    } else {
        format!("bench-other-{}", (sender + 1 + (mixed >> 16) % 20) % OTHERS)
    };
    let (sender, receiver) = (user(&format!("bench-other-{sender}"))?, user(&receiver)?);
    let to = client::Target { target: Some(client::target::Target::User(receiver.to_string())) };
    let conversation = ConversationId::single(&sender, &receiver);
    let inboxes = vec![sender.clone(), receiver];
    Ok(Append { inboxes, ..append(message_id, conversation, sender, Some(to)) })
}

fn append(
    message_id: u64,
    conversation: ConversationId,
    sender: UserId,
    to: Option<client::Target>,
) -> Append {
    let content = Content::Text("x".repeat(100));
    let content = mailbox::encode_content(&client::Message {
        to,
        content: Some(content.into()),
        ..client::Message::default()
    });
    Append {
        conversation,
        message_id,
        sender,
        client_message_id: message_id.to_string(),
        time_ms: runtime::clock::now_ms(),
        content,
        counted: true,
        mentions: Vec::new(),
        mention_all: false,
        replaces: None,
        guard: Guard::None,
        inboxes: Vec::new(),
    }
}

/// Writes messages, and takes away what would have a server hand them on.
async fn write(store: Arc<dyn Store>, appends: Vec<Append>) -> Result<(), Failure> {
    let ids = appends.iter().map(|append| append.message_id).collect();
    for outcome in store.append(appends).await {
        if let Outcome::Denied(denied) = outcome.map_err(failed)? {
            return Err(Failure::failed(format!("the store refuses a message: {denied:?}")));
        }
    }
    store.clear_intents(IntentLane::Push, ids).await.map_err(failed)
}

/// Makes the super groups with what was missed in them; gives the first message id that is free.
async fn make_groups(store: &Arc<dyn Store>) -> Result<u64, Failure> {
    let mut next_id = 1;
    for reader in Reader::ALL {
        for number in 0..reader.group_count() {
            let group = GroupId::new(&format!("{}-{number}", reader.user(0))).map_err(invalid)?;
            let owner = UserId::new("bench-other-0").map_err(invalid)?;
            let conversation = ConversationId::group(&group);
            let change = creation(reader, group, owner.clone(), next_id)?;
            if store.change_group(change).await.map_err(failed)?.is_none() {
                return Err(Failure::failed(format!("{conversation} is there already")));
            }
            store.clear_intents(IntentLane::Push, vec![next_id]).await.map_err(failed)?;
            next_id += 1;
            let count = UNREAD_IN_GROUPS / reader.group_count();
            let appends =
                (next_id..next_id + count).map(|id| append(id, conversation.clone(), owner.clone(), None));
            write(Arc::clone(store), appends.collect()).await?;
            next_id += count;
        }
    }
    Ok(next_id)
}

fn creation(reader: Reader, group: GroupId, owner: UserId, message_id: u64) -> Result<GroupChange, Failure> {
    let join =
        |user: UserId, role| MemberChange { user, role, muted_until_ms: 0, kind: MemberChangeKind::Join };
    let mut members = vec![join(owner.clone(), Role::Owner)];
    for number in 0..READERS {
        members.push(join(UserId::new(&reader.user(number)).map_err(invalid)?, Role::Member));
    }
    let content: Bytes = mailbox::encode_content(&client::Message {
        kind: Some(kind::CREATED.to_owned()),
        by: Some(owner.to_string()),
        ..client::Message::default()
    });
    Ok(GroupChange {
        settings: GroupSettings { name: group.to_string(), ..GroupSettings::default() },
        group,
        expected_version: 0,
        owner: owner.clone(),
        dismissed: false,
        super_change: SuperChange::FromThisRow,
        members,
        message_id,
        by: owner,
        time_ms: runtime::clock::now_ms(),
        content,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_reader_misses_as_much_and_it_lies_among_the_rest() {
        for rows in [ROWS_MIN, 200_000] {
            let message_count = rows / 2;
            let stride = message_count / (2 * READERS * UNREAD);
            let mut missed: HashMap<String, Vec<u64>> = HashMap::new();
            for number in 0..message_count {
                let append = message(number + 1, number, stride).unwrap();
                assert_eq!(append.inboxes.len(), 2);
                missed.entry(append.inboxes[1].to_string()).or_default().push(number);
            }
            for reader in Reader::ALL {
                for number in 0..READERS {
                    let numbers = &missed[&reader.user(number)];
                    assert_eq!(numbers.len() as u64, UNREAD);
                    assert!(*numbers.last().unwrap() > message_count / 2);
                }
            }
        }
    }
}
