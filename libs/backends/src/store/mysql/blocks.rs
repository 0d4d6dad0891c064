//! Whom users have blocked.

use std::collections::{BTreeSet, HashSet};

use async_trait::async_trait;
use protocol::UserId;

use super::connect::Session;
use super::lane::Change;
use super::readers::Readers;
use super::sql::{Columns, Sql};
use super::trouble::Trouble;
use crate::Result;

pub(super) struct SetBlocked {
    pub(super) user: UserId,
    pub(super) other: UserId,
    pub(super) blocked: bool,
    pub(super) limit: usize,
}

#[async_trait]
impl Change for SetBlocked {
    type Answer = bool;

    async fn carry_out(&self, session: &mut Session, _again: bool) -> std::result::Result<bool, Trouble> {
        let mut sql = Sql::new("START TRANSACTION; ");
        if !self.blocked {
            sql.push("DELETE FROM blocks WHERE user = ").user(&self.user);
            sql.push(" AND other = ").user(&self.other).push("; COMMIT");
            session.run(sql).await?;
            return Ok(true);
        }
        // The head of the inbox is held instead of rows that may not be there: so many and no more.
        sql.push("INSERT INTO inboxes (user, top, changes) VALUES (").user(&self.user);
        sql.push(", 0, 0) ON DUPLICATE KEY UPDATE top = top; ");
        sql.push("SELECT other FROM blocks WHERE user = ").user(&self.user);
        let known = session.run(sql).await?.pop().unwrap_or_default();
        let known = known.rows.iter().map(|row| Columns::of(row, "blocks").user());
        let known = known.collect::<Result<BTreeSet<UserId>>>()?;
        let is_known = known.contains(&self.other);
        if is_known || known.len() >= self.limit {
            session.roll_back().await?;
            return Ok(is_known);
        }
        let mut sql = Sql::new("INSERT INTO blocks (user, other) VALUES (");
        sql.user(&self.user).push(", ").user(&self.other).push("); COMMIT");
        session.run(sql).await?;
        Ok(true)
    }
}

pub(super) async fn blocked(readers: &Readers, user: &UserId) -> Result<Vec<UserId>> {
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT other FROM blocks WHERE user = ");
            sql.user(user).push(" ORDER BY other");
            sql
        })
        .await?;
    answer.rows.iter().map(|row| Columns::of(row, "blocks").user()).collect()
}

pub(super) async fn have_blocked(readers: &Readers, users: &[UserId], other: &UserId) -> Result<Vec<bool>> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT user FROM blocks WHERE (user, other) IN (");
            sql.rows(users, |sql, user| {
                sql.user(user).push(", ").user(other);
            });
            sql.push(")");
            sql
        })
        .await?;
    let found = answer.rows.iter().map(|row| Columns::of(row, "blocks").user());
    let found: HashSet<UserId> = found.collect::<Result<_>>()?;
    Ok(users.iter().map(|user| found.contains(user)).collect())
}
