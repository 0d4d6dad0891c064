//! How far devices have received, and when a user's last one went away.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::{ConversationId, DeviceId, Identifier as _, UserId};

use super::fan_out::only_number;
use super::outbox;
use super::pages::Search;
use super::readers::Readers;
use super::sql::{Columns, Sql, corrupt, limit};
use crate::Result;
use crate::store::rows::Stored;

/// Devices of a user that are looked at for what was delivered; a user with more is one who makes them up.
const DEVICES_MAX: u64 = 256;

/// The position of a device; `None` where none was ever recorded.
pub(super) async fn position(readers: &Readers, user: &UserId, device: &DeviceId) -> Result<Option<u64>> {
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT inbox_seq FROM positions WHERE user = ");
            sql.user(user).push(" AND device = ").id(device.as_str());
            sql
        })
        .await?;
    only_number(&answer, "positions")
}

/// When each user's last device went away; 0: not known.
pub(super) async fn last_seen(readers: &Readers, users: &[UserId]) -> Result<Vec<u64>> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT user, time_ms FROM last_seen WHERE user IN ");
            sql.users(users);
            sql
        })
        .await?;
    let mut found: HashMap<UserId, u64> = HashMap::new();
    for row in &answer.rows {
        let mut columns = Columns::of(row, "last_seen");
        found.insert(columns.user()?, columns.number()?);
    }
    Ok(users.iter().map(|user| found.get(user).copied().unwrap_or(0)).collect())
}

/// Up to where the device of each user that is furthest has received.
pub(super) async fn highest(readers: &Readers, users: &BTreeSet<UserId>) -> Result<BTreeMap<UserId, u64>> {
    if users.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answers = readers
        .read(|| {
            let mut sql = Sql::default();
            for user in users {
                sql.push("SELECT MAX(inbox_seq) FROM (SELECT inbox_seq FROM positions WHERE user = ")
                    .user(user);
                sql.push(" ORDER BY device LIMIT ").number(DEVICES_MAX).push(") devices; ");
            }
            sql
        })
        .await?;
    let mut highest = BTreeMap::new();
    for (user, answer) in users.iter().zip(&answers) {
        let row = answer.rows.first();
        let position = row.map(|row| Columns::of(row, "positions").number_if_any()).transpose()?.flatten();
        highest.insert(user.clone(), position.unwrap_or(0));
    }
    Ok(highest)
}

/// The highest seq of a single chat, from `low` to `top`, that a device of a user has received: its inbox holds up to
/// `position`.
pub(super) async fn delivered(
    readers: &Readers,
    conversation: &ConversationId,
    user: &UserId,
    low: u64,
    top: u64,
    position: u64,
) -> Result<u64> {
    if low >= top || position == 0 {
        return Ok(low);
    }
    if are_received(readers, conversation, user, &[top], position).await?.first() == Some(&true) {
        return Ok(top);
    }
    // The seqs in the inbox rise with those in the conversation.
    let mut search = Search::of(low + 1..top);
    while let Some(seqs) = search.places() {
        search.learn(&seqs, &are_received(readers, conversation, user, &seqs, position).await?);
    }
    Ok(search.found() - 1)
}

/// Whether rows of a single chat are in a part of a user's inbox that ends at `position`.
async fn are_received(
    readers: &Readers,
    conversation: &ConversationId,
    user: &UserId,
    seqs: &[u64],
    position: u64,
) -> Result<Vec<bool>> {
    let known = inbox_seqs(readers, conversation, seqs, user).await?;
    let is_received = |seq: &u64| match known.get(seq) {
        Some(inbox_seq) => Ok(inbox_seq.is_some_and(|inbox_seq| inbox_seq <= position)),
        None => Err(corrupt("outbox", &format!("row {seq} of {conversation} is not there"))),
    };
    seqs.iter().map(is_received).collect()
}

/// The seqs in a user's inbox of rows of a single chat, as they were written with them.
async fn inbox_seqs(
    readers: &Readers,
    conversation: &ConversationId,
    seqs: &[u64],
    user: &UserId,
) -> Result<HashMap<u64, Option<u64>>> {
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT seq, inboxes FROM outbox WHERE (conversation, seq) IN ");
            outbox::points(&mut sql, seqs.iter().map(|seq| (conversation, *seq)));
            sql
        })
        .await?;
    let found = |row| {
        let mut columns = Columns::of(row, "outbox");
        let seq = columns.number()?;
        let inboxes = columns.decoded(Stored::decode_inboxes)?;
        Ok((seq, inboxes.into_iter().find(|(owner, _)| owner == user).map(|(_, inbox_seq)| inbox_seq)))
    };
    answer.rows.iter().map(found).collect()
}

/// The highest seq that others sent to each single chat in a part of a user's inbox.
pub(super) async fn received(
    readers: &Readers,
    user: &UserId,
    from: u64,
    to: u64,
    count: usize,
) -> Result<Vec<(ConversationId, u64)>> {
    if from >= to {
        return Ok(Vec::new());
    }
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new(
                "SELECT i.conversation, i.seq, o.sender FROM inbox i FORCE INDEX (PRIMARY) \
                 STRAIGHT_JOIN outbox o ON o.conversation = i.conversation AND o.seq = i.seq WHERE i.user = ",
            );
            sql.user(user).push(" AND i.inbox_seq > ").number(from).push(" AND i.inbox_seq <= ").number(to);
            // Backwards: the first row of a chat that another sent is the highest.
            sql.push(" ORDER BY i.inbox_seq DESC LIMIT ").number(limit(count));
            sql
        })
        .await?;
    let mut found: Vec<(ConversationId, u64)> = Vec::new();
    let mut known: HashMap<ConversationId, bool> = HashMap::new();
    for row in &answer.rows {
        let mut columns = Columns::of(row, "inbox");
        let (conversation, seq, sender) = (columns.conversation()?, columns.number()?, columns.user()?);
        let done = known
            .entry(conversation.clone())
            .or_insert_with(|| conversation.peer_of(user).is_none_or(|peer| peer == *user));
        if !*done && sender != *user {
            *done = true;
            found.push((conversation, seq));
        }
    }
    Ok(found)
}
