//! Fan-out: one row of a conversation into many inboxes, each once, whoever asks how often.
//!
//! Who fans a conversation out holds its row of `progress`, so that two of them go one after another and appends are
//! not kept waiting. What a call wrote stands in one row under the conversation and the seq, until the fan-out is done
//! with that seq: a call looks at the rows of those before it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use protocol::{ConversationId, Identifier as _, UserId};

use super::connect::Session;
use super::lane::Change;
use super::readers::Readers;
use super::sql::{Answer, Columns, Sql};
use super::trouble::Trouble;
use crate::store::rows::{MemberRow, Stored, Written};
use crate::{Error, Kind, Result};

/// Inboxes that one transaction writes.
pub(super) const CHUNK_USERS: usize = 100;

/// One row into some inboxes.
pub(super) struct FanOutChunk {
    pub(super) conversation: ConversationId,
    pub(super) seq: u64,
    /// At most [`CHUNK_USERS`].
    pub(super) users: BTreeSet<UserId>,
}

#[async_trait]
impl Change for FanOutChunk {
    type Answer = BTreeMap<UserId, u64>;

    async fn carry_out(
        &self,
        session: &mut Session,
        _again: bool,
    ) -> std::result::Result<Self::Answer, Trouble> {
        let (conversation, seq) = (&self.conversation, self.seq);
        // All heads are raised before it is known who has the row already: mostly nobody does.
        let mut sql = begin(conversation);
        sql.push("SELECT inboxes FROM outbox WHERE conversation = ").conversation(conversation);
        sql.push(" AND seq = ").number(seq).push("; ");
        sql.push("SELECT written FROM fan_outs WHERE conversation = ").conversation(conversation);
        sql.push(" AND seq = ").number(seq).push("; ");
        raise_heads(&mut sql, &self.users);
        let answers = session.run(sql).await?;
        let [.., progress, outbox, written, _, heads] = &answers[..] else { return Err(unanswered()) };
        self.check(progress, outbox)?;
        let mut known = known(outbox, written)?;
        known.retain(|user, _| self.users.contains(user));
        let mut inbox_seqs = tops(heads)?;
        let had: Vec<&UserId> = known.keys().collect();
        for (user, inbox_seq) in &known {
            inbox_seqs.insert(user.clone(), *inbox_seq);
        }
        if had.len() == self.users.len() {
            session.roll_back().await?;
            return Ok(inbox_seqs);
        }
        let mut sql = Sql::default();
        if !had.is_empty() {
            sql.push("UPDATE inboxes SET top = top - 1 WHERE user IN ").users(had).push("; ");
        }
        let new: Vec<(UserId, u64)> = inbox_seqs
            .iter()
            .filter(|(user, _)| !known.contains_key(*user))
            .map(|(user, inbox_seq)| (user.clone(), *inbox_seq))
            .collect();
        sql.push("INSERT INTO inbox (user, inbox_seq, conversation, seq) VALUES ");
        sql.rows(&new, |sql, (user, inbox_seq)| {
            sql.user(user).push(", ").number(*inbox_seq).push(", ").conversation(conversation);
            sql.push(", ").number(seq);
        });
        sql.push("; INSERT INTO fan_outs (conversation, seq, first_user, written) VALUES (");
        sql.conversation(conversation).push(", ").number(seq).push(", ");
        sql.user(&new[0].0).push(", ").bytes(&Written(new).encode()).push("); COMMIT");
        session.run(sql).await?;
        Ok(inbox_seqs)
    }
}

impl FanOutChunk {
    /// Whether the row is there and not fanned out yet.
    fn check(&self, progress: &Answer, outbox: &Answer) -> Result<()> {
        let (conversation, seq) = (&self.conversation, self.seq);
        if outbox.rows.is_empty() {
            let message = format!("conversation {conversation} has no row {seq}");
            return Err(Error::new(Kind::Missing, message));
        }
        let done = only_number(progress, "progress")?.unwrap_or(0);
        if seq <= done {
            let message =
                format!("row {seq} of conversation {conversation} is fanned out: all up to {done} are");
            return Err(Error::new(Kind::Conflict, message));
        }
        Ok(())
    }
}

/// Moves the fan-out's mark from one seq to another.
pub(super) struct Advance {
    pub(super) conversation: ConversationId,
    pub(super) from: u64,
    pub(super) to: u64,
}

#[async_trait]
impl Change for Advance {
    type Answer = bool;

    async fn carry_out(&self, session: &mut Session, again: bool) -> std::result::Result<bool, Trouble> {
        let answers = session.run(begin(&self.conversation)).await?;
        let stands = match answers.last() {
            Some(progress) => only_number(progress, "progress")?.unwrap_or(0),
            None => return Err(unanswered()),
        };
        if stands != self.from {
            session.roll_back().await?;
            if again && stands == self.to {
                let message = format!(
                    "the fan-out of conversation {} stands at {stands}: whether this call moved it is not known",
                    self.conversation
                );
                return Err(Error::new(Kind::Transient, message).into());
            }
            return Ok(false);
        }
        let mut sql = Sql::new("UPDATE progress SET fanned_out_to = ");
        sql.number(self.to).push(" WHERE conversation = ").conversation(&self.conversation).push("; ");
        if self.to > self.from {
            sql.push("DELETE FROM fan_outs WHERE conversation = ").conversation(&self.conversation);
            sql.push(" AND seq BETWEEN ").number(self.from + 1).push(" AND ").number(self.to).push("; ");
        }
        session.run(std::mem::take(sql.push("COMMIT"))).await?;
        Ok(true)
    }
}

/// Begins a transaction that holds a conversation's row of `progress`, and reads it last.
pub(super) fn begin(conversation: &ConversationId) -> Sql {
    let mut sql = Sql::new("START TRANSACTION; INSERT INTO progress (conversation, fanned_out_to) VALUES (");
    sql.conversation(conversation);
    // It is locked whether it is there or not.
    sql.push(", 0) ON DUPLICATE KEY UPDATE fanned_out_to = fanned_out_to; ");
    sql.push("SELECT fanned_out_to FROM progress WHERE conversation = ")
        .conversation(conversation)
        .push("; ");
    sql
}

/// Gives each of some users, ascending, one more row of the inbox, and reads its seq.
fn raise_heads(sql: &mut Sql, users: &BTreeSet<UserId>) {
    if users.is_empty() {
        sql.push("DO 0; SELECT user, top FROM inboxes LIMIT 0; ");
        return;
    }
    sql.push("INSERT INTO inboxes (user, top, changes) VALUES ");
    sql.rows(users, |sql, user| {
        sql.user(user).push(", 1, 0");
    });
    sql.push(" ON DUPLICATE KEY UPDATE top = top + 1; ");
    sql.push("SELECT user, top FROM inboxes FORCE INDEX (PRIMARY) WHERE user IN ").users(users).push("; ");
}

fn tops(heads: &Answer) -> Result<BTreeMap<UserId, u64>> {
    let top = |row| {
        let mut columns = Columns::of(row, "inboxes");
        Ok((columns.user()?, columns.number()?))
    };
    heads.rows.iter().map(top).collect()
}

/// Who has a row already, and its seq in each inbox.
fn known(outbox: &Answer, written: &Answer) -> Result<HashMap<UserId, u64>> {
    let mut known = HashMap::new();
    for row in &outbox.rows {
        known.extend(Columns::of(row, "outbox").decoded(Stored::decode_inboxes)?);
    }
    for row in &written.rows {
        known.extend(Columns::of(row, "fan_outs").decoded(Written::decode)?.0);
    }
    Ok(known)
}

/// The number of a statement that asks for one, where there is a row.
pub(super) fn only_number(answer: &Answer, table: &'static str) -> Result<Option<u64>> {
    answer.rows.first().map(|row| Columns::of(row, table).number()).transpose()
}

/// The server answered fewer statements than it was asked.
pub(super) fn unanswered() -> Trouble {
    Trouble::Lost(Error::new(Kind::Transient, "the server answered fewer statements than it was asked"))
}

pub(super) async fn fanned_out_to(readers: &Readers, conversation: &ConversationId) -> Result<u64> {
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT fanned_out_to FROM progress WHERE conversation = ");
            sql.conversation(conversation);
            sql
        })
        .await?;
    Ok(only_number(&answer, "progress")?.unwrap_or(0))
}

pub(super) async fn receivers(
    readers: &Readers,
    conversation: &ConversationId,
    seq: u64,
) -> Result<Vec<UserId>> {
    if let Some((smaller, larger)) = conversation.users() {
        return Ok(if smaller == larger { vec![smaller] } else { vec![smaller, larger] });
    }
    let missing = || Error::new(Kind::Missing, format!("there is no group of conversation {conversation}"));
    let group = conversation.group_id().ok_or_else(missing)?;
    let answers = readers
        .read(|| {
            let mut sql = Sql::new("SELECT 1 FROM chat_groups WHERE id = ");
            sql.id(group.as_str());
            sql.push("; SELECT user, joined, left_at, earlier FROM members WHERE group_id = ");
            sql.id(group.as_str());
            sql.push(" AND (earlier <> '' OR (joined < ").number(seq).push(" AND (left_at = 0 OR left_at > ");
            sql.number(seq).push("))) ORDER BY user");
            sql
        })
        .await?;
    let [known, members] = &answers[..] else { return Err(unanswered().into_error()) };
    if known.rows.is_empty() {
        return Err(missing());
    }
    let mut receivers = Vec::with_capacity(members.rows.len());
    for row in &members.rows {
        let mut columns = Columns::of(row, "members");
        let user = columns.user()?;
        let (joined, left) = (columns.number()?, columns.number()?);
        let before = columns.decoded(MemberRow::decode_before)?;
        if (MemberRow { joined, left, before, ..MemberRow::default() }).receives(seq) {
            receivers.push(user);
        }
    }
    Ok(receivers)
}
