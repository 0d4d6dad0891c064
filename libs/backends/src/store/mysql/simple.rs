//! Changes that may be made twice and need no answer but that they are made: cleared intents, positions, and when
//! users were last seen. All that wait are written in one transaction, each table with one statement.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{Identifier as _, UserId};

use super::connect::Session;
use super::lane::{Simple, Work};
use super::line::Job;
use super::sql::Sql;
use super::trouble::Trouble;

/// Writes jobs that are all of this kind, and answers them.
pub(super) async fn write(session: &mut Session, jobs: &mut Vec<Job>) -> Result<(), Trouble> {
    let mut cleared: BTreeMap<u8, BTreeSet<u64>> = BTreeMap::new();
    let mut positions: BTreeMap<(UserId, String), u64> = BTreeMap::new();
    let mut seen: BTreeMap<UserId, u64> = BTreeMap::new();
    for job in jobs.iter() {
        let Work::Simple(job) = &job.work else { continue };
        match &job.what {
            Simple::Clear(_, ids) if ids.is_empty() => {}
            Simple::Clear(lane, ids) => cleared.entry(*lane).or_default().extend(ids),
            Simple::Positions(all) => {
                for position in all {
                    let key = (position.user.clone(), position.device.as_str().to_owned());
                    let highest = positions.entry(key).or_default();
                    *highest = position.inbox_seq.max(*highest);
                }
            }
            Simple::Seen(all) => {
                for (user, time_ms) in all {
                    let latest = seen.entry(user.clone()).or_default();
                    *latest = (*time_ms).max(*latest);
                }
            }
        }
    }
    let mut sql = Sql::new("START TRANSACTION; ");
    for (lane, ids) in &cleared {
        sql.push("DELETE i FROM intents i FORCE INDEX (PRIMARY) WHERE i.lane = ");
        sql.number(u64::from(*lane)).push(" AND i.message_id IN (");
        sql.list(ids, |sql, id| {
            sql.number(*id);
        });
        sql.push("); ");
    }
    if !positions.is_empty() {
        sql.push("INSERT INTO positions (user, device, inbox_seq) VALUES ");
        sql.rows(&positions, |sql, ((user, device), inbox_seq)| {
            sql.user(user).push(", ").id(device).push(", ").number(*inbox_seq);
        });
        sql.push(" ON DUPLICATE KEY UPDATE inbox_seq = GREATEST(inbox_seq, VALUES(inbox_seq)); ");
    }
    if !seen.is_empty() {
        sql.push("INSERT INTO last_seen (user, time_ms) VALUES ");
        sql.rows(&seen, |sql, (user, time_ms)| {
            sql.user(user).push(", ").number(*time_ms);
        });
        sql.push(" ON DUPLICATE KEY UPDATE time_ms = GREATEST(time_ms, VALUES(time_ms)); ");
    }
    session.run(std::mem::take(sql.push("COMMIT"))).await?;
    for job in jobs.drain(..) {
        if let Work::Simple(job) = job.work {
            drop(job.answer.send(Ok(())));
        }
    }
    Ok(())
}
