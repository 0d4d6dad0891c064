//! `groupRequests` and `groupAnswer`: who asks to be let in, and what they are answered.

use backends::store::Role;
use contracts::im::Asker;
use contracts::{Error, Result};
use protocol::client::{self, GroupAnswer, GroupAnswerReply, GroupRequests, GroupRequestsReply};
use protocol::{Code, GroupId, UserId};

use super::invite::LetIn;
use super::{Groups, field};
use crate::failure;

impl Groups {
    /// Answers who asks to be let in.
    pub(crate) async fn requests(&self, asker: &Asker, request: GroupRequests) -> Result<GroupRequestsReply> {
        let group = field::group(&request.group)?;
        self.stands(&group, &asker.user, &[]).await?.role_at_least(Role::Admin)?;
        let requests = self.store.join_requests(&group).await.map_err(failure::of_backend)?;
        let in_words = |request: backends::store::JoinRequest| client::GroupRequest {
            group: group.to_string(),
            user: request.user.to_string(),
            text: request.text,
            time_ms: request.time_ms,
        };
        Ok(GroupRequestsReply { requests: requests.into_iter().map(in_words).collect() })
    }

    /// Lets somebody in who asked for it, or not.
    pub(crate) async fn answer(&self, asker: &Asker, request: GroupAnswer) -> Result<GroupAnswerReply> {
        let group = field::group(&request.group)?;
        let user = field::user(&request.user)?;
        self.stands(&group, &asker.user, &[]).await?.role_at_least(Role::Admin)?;
        let requests = self.store.join_requests(&group).await.map_err(failure::of_backend)?;
        if !requests.iter().any(|request| request.user == user) {
            let message = format!("{user} does not ask to be let into {group}, or was answered already");
            return Err(Error::refused(Code::NotFound, message));
        }
        if request.accept {
            let deed = LetIn { users: vec![user.clone()], asked: true };
            self.carry_out(asker, &group, &deed).await?;
        }
        // After the commit: where this process ends in between, the request can be answered again.
        self.store.remove_join_request(&group, &user).await.map_err(failure::of_backend)?;
        Ok(GroupAnswerReply {})
    }

    /// Forgets that users asked who are members. What stays behind by a failure can still be answered, and lets in
    /// who is in already.
    pub(super) async fn forget_requests(&self, group: &GroupId, users: &[UserId]) {
        if users.is_empty() {
            return;
        }
        let forgotten = async {
            for request in self.store.join_requests(group).await? {
                if users.contains(&request.user) {
                    self.store.remove_join_request(group, &request.user).await?;
                }
            }
            backends::Result::Ok(())
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(target: "im", ?error, %group, "requests of those who came in are not forgotten");
        }
    }
}
