//! Intents: rows that were stored and are not known to have been handed on; and first answers, which are forgotten by
//! age.

use async_trait::async_trait;

use super::connect::Session;
use super::lane::Change;
use super::outbox;
use super::readers::Readers;
use super::sql::{Columns, Sql, limit};
use super::trouble::Trouble;
use crate::Result;
use crate::store::rows::Stored;
use crate::store::{Intent, IntentLane};

/// Answers that one transaction forgets, so that it never holds up those who write for long.
pub(super) const SWEEP_ROWS: usize = 500;

/// The intents in a lane of rows sent before `before_ms`, oldest first.
pub(super) async fn intents(
    readers: &Readers,
    lane: IntentLane,
    before_ms: u64,
    count: usize,
) -> Result<Vec<Intent>> {
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT o.inboxes, ");
            sql.push(outbox::COLUMNS).push(
                " FROM intents i FORCE INDEX (PRIMARY) \
                 STRAIGHT_JOIN outbox o ON o.conversation = i.conversation AND o.seq = i.seq WHERE i.lane = ",
            );
            sql.number(u64::from(outbox::lane_number(lane))).push(" AND i.time_ms < ").number(before_ms);
            sql.push(" ORDER BY i.message_id LIMIT ").number(limit(count));
            sql
        })
        .await?;
    let intent = |row| {
        let mut columns = Columns::of(row, "outbox");
        let inboxes = columns.decoded(Stored::decode_inboxes)?;
        Ok(Intent { message: outbox::row(&mut columns)?, inboxes })
    };
    answer.rows.iter().map(intent).collect()
}

/// Forgets some answers of messages sent before a time.
pub(super) struct Sweep {
    pub(super) before_ms: u64,
    /// At most [`SWEEP_ROWS`].
    pub(super) count: usize,
}

#[async_trait]
impl Change for Sweep {
    type Answer = usize;

    async fn carry_out(&self, session: &mut Session, _again: bool) -> std::result::Result<usize, Trouble> {
        let mut sql = Sql::new("DELETE FROM answers WHERE time_ms < ");
        sql.number(self.before_ms).push(" ORDER BY time_ms LIMIT ").number(limit(self.count));
        let forgotten = session.run_one(sql).await?.affected;
        Ok(usize::try_from(forgotten).unwrap_or(usize::MAX))
    }
}
