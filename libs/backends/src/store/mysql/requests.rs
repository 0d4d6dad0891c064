//! Those who ask to be let into a group.

use std::collections::BTreeSet;

use async_trait::async_trait;
use protocol::{ConversationId, GroupId, Identifier as _, UserId};

use super::connect::Session;
use super::fan_out;
use super::lane::Change;
use super::readers::Readers;
use super::sql::{Columns, Sql};
use super::trouble::Trouble;
use crate::store::JoinRequest;
use crate::{Error, Kind, Result};

pub(super) struct PutRequest {
    pub(super) group: GroupId,
    pub(super) request: JoinRequest,
    pub(super) limit: usize,
}

#[async_trait]
impl Change for PutRequest {
    type Answer = bool;

    async fn carry_out(&self, session: &mut Session, _again: bool) -> std::result::Result<bool, Trouble> {
        // The fan-out's mark of the group's conversation is held instead of rows that may not be there.
        let mut sql = fan_out::begin(&ConversationId::group(&self.group));
        sql.push("SELECT user FROM join_requests WHERE group_id = ").id(self.group.as_str());
        let known = session.run(sql).await?.pop().unwrap_or_default();
        let known = known.rows.iter().map(|row| Columns::of(row, "join_requests").user());
        let mut others = known.collect::<Result<BTreeSet<UserId>>>()?;
        others.remove(&self.request.user);
        if others.len() >= self.limit {
            session.roll_back().await?;
            return Ok(false);
        }
        let mut sql = Sql::new("REPLACE INTO join_requests (group_id, user, text, time_ms) VALUES (");
        sql.id(self.group.as_str()).push(", ").user(&self.request.user).push(", ").words(&self.request.text);
        sql.push(", ").number(self.request.time_ms).push("); COMMIT");
        session.run(sql).await?;
        Ok(true)
    }
}

pub(super) struct RemoveRequest {
    pub(super) group: GroupId,
    pub(super) user: UserId,
}

#[async_trait]
impl Change for RemoveRequest {
    type Answer = bool;

    async fn carry_out(&self, session: &mut Session, again: bool) -> std::result::Result<bool, Trouble> {
        let mut sql = Sql::new("DELETE FROM join_requests WHERE group_id = ");
        sql.id(self.group.as_str()).push(" AND user = ").user(&self.user);
        let was_there = session.run_one(sql).await?.affected > 0;
        if again && !was_there {
            let message =
                format!("whether {} had asked to be let into {} is not known", self.user, self.group);
            return Err(Error::new(Kind::Transient, message).into());
        }
        Ok(was_there)
    }
}

pub(super) async fn join_requests(readers: &Readers, group: &GroupId) -> Result<Vec<JoinRequest>> {
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT user, text, time_ms FROM join_requests WHERE group_id = ");
            sql.id(group.as_str()).push(" ORDER BY user");
            sql
        })
        .await?;
    let request = |row| {
        let mut columns = Columns::of(row, "join_requests");
        Ok(JoinRequest {
            user: columns.user()?,
            text: columns.text()?.to_owned(),
            time_ms: columns.number()?,
        })
    };
    answer.rows.iter().map(request).collect()
}
