//! Rows of outboxes, as they are written and read, and the intents that go with them.

use bytes::Bytes;
use protocol::ConversationId;

use super::heads::{self, RUNNING};
use super::sql::{Columns, Sql};
use crate::Result;
use crate::store::rows::Stored;
use crate::store::rules::lane_of;
use crate::store::{FanOut, IntentLane, OutboxRow};

/// The columns that [`row`] reads, of a table that is called `o`.
pub(super) const COLUMNS: &str = "o.conversation, o.seq, o.message_id, o.sender, o.client_message_id, o.time_ms, \
     o.content, o.counted, o.fan_out, o.membership";

/// What the numbers of the column `fan_out` stand for.
pub(super) const FAN_OUTS: [FanOut; 3] = [FanOut::InCommit, FanOut::OnWrite, FanOut::OnRead];

fn number_of(fan_out: FanOut) -> u64 {
    match fan_out {
        FanOut::InCommit => 0,
        FanOut::OnWrite => 1,
        FanOut::OnRead => 2,
    }
}

/// The number of a lane in the table of intents.
pub(super) fn lane_number(lane: IntentLane) -> u8 {
    match lane {
        IntentLane::Push => 0,
        IntentLane::FanOut => 1,
    }
}

/// A row that is to be written.
pub(super) struct NewRow {
    pub(super) conversation: ConversationId,
    pub(super) seq: u64,
    pub(super) stored: Stored,
}

pub(super) fn row(columns: &mut Columns<'_>) -> Result<OutboxRow> {
    Ok(OutboxRow {
        conversation: columns.conversation()?,
        seq: columns.number()?,
        message_id: columns.number()?,
        sender: columns.user()?,
        client_message_id: columns.text()?.to_owned(),
        time_ms: columns.number()?,
        content: Bytes::copy_from_slice(columns.bytes()?),
        counted: columns.flag()?,
        fan_out: columns.choice(FAN_OUTS)?,
        membership_seq: columns.number()?,
    })
}

/// Writes rows and their intents.
pub(super) fn put(sql: &mut Sql, rows: &[NewRow]) {
    if rows.is_empty() {
        return;
    }
    sql.push(
        "INSERT INTO outbox (conversation, seq, message_id, sender, client_message_id, counted, fan_out, ",
    );
    sql.push(RUNNING).push(", inboxes, content) VALUES ");
    sql.rows(rows, |sql, row| {
        let NewRow { conversation, seq, stored } = row;
        sql.conversation(conversation).push(", ").number(*seq).push(", ").number(stored.message_id);
        sql.push(", ").user(&stored.sender).push(", ").id(&stored.client_message_id);
        sql.push(", ").flag(stored.counted).push(", ").number(number_of(stored.fan_out)).push(", ");
        heads::write_running(sql, &stored.running);
        sql.push(", ").bytes(&stored.encode_inboxes()).push(", ").bytes(&stored.content);
    });
    sql.push("; INSERT INTO intents (lane, message_id, time_ms, conversation, seq) VALUES ");
    sql.rows(rows, |sql, row| {
        let NewRow { conversation, seq, stored } = row;
        sql.number(u64::from(lane_number(lane_of(stored.fan_out)))).push(", ").number(stored.message_id);
        sql.push(", ").number(stored.running.time_ms).push(", ");
        sql.conversation(conversation).push(", ").number(*seq);
    });
    sql.push("; ");
}

/// Puts another content into a row that is there.
pub(super) fn replace(sql: &mut Sql, conversation: &ConversationId, seq: u64, content: &[u8]) {
    sql.push("UPDATE outbox SET content = ").bytes(content).push(" WHERE conversation = ");
    sql.conversation(conversation).push(" AND seq = ").number(seq).push("; ");
}

/// Writes points of outboxes as the list of an `IN`.
pub(super) fn points<'a>(sql: &mut Sql, points: impl IntoIterator<Item = (&'a ConversationId, u64)>) {
    sql.push("(").rows(points, |sql, (conversation, seq)| {
        sql.conversation(conversation).push(", ").number(seq);
    });
    sql.push(")");
}
