//! `groupCreate`: makes a group, or a super group, with its first members.

use backends::store::{GroupSettings, MemberChange, MemberChangeKind, Role, SuperChange};
use contracts::im::Asker;
use contracts::{Error, Result};
use protocol::client::{GroupCreate, GroupCreateReply};
use protocol::limits::SUPER_GROUPS_PER_USER_MAX;
use protocol::message::kind;
use protocol::{Code, ConversationId, GroupId, UserId};
use runtime::clock::now_ms;

use super::deed::Draft;
use super::{Groups, field};
use crate::failure::refused_id;
use crate::super_group::of_user;

/// How often another id is made where the one that was made is somebody's already.
const IDS_MAX: u32 = 4;

impl Groups {
    /// Makes a group; who asks is its owner.
    pub(crate) async fn create(&self, asker: &Asker, request: GroupCreate) -> Result<GroupCreateReply> {
        let settings = GroupSettings {
            name: field::name(&request.name)?,
            avatar: field::avatar(&request.avatar)?,
            announcement: field::announcement(&request.announcement)?,
            join: field::join(&request.join)?,
            history: field::history(&request.history)?,
            all_muted: false,
        };
        let mut users = field::users("members", &request.members)?;
        users.retain(|user| *user != asker.user);
        users.insert(0, asker.user.clone());
        let is_super = field::is_super(&request.kind)? || users.len() as u64 > self.members_max;
        let given = match request.group.as_str() {
            "" => None,
            group => Some(field::group(group)?),
        };
        if is_super {
            self.check_super_groups(&asker.user).await?;
        }
        for _ in 0..IDS_MAX {
            let group = match &given {
                Some(group) => group.clone(),
                None => self.make_group_id()?,
            };
            let _turn = self.turn(&group).await;
            let draft = first_row(&asker.user, &users, settings.clone(), is_super);
            if self.commit(&group, 0, &asker.user, draft).await?.is_some() {
                let conversation = ConversationId::group(&group).as_str().to_owned();
                return Ok(GroupCreateReply { group: group.to_string(), conversation });
            }
            if given.is_some() {
                break;
            }
        }
        let group = request.group;
        Err(Error::refused(
            Code::AlreadyExists,
            format!("there is a group {group:?} already: choose another id"),
        ))
    }

    /// Checks that a user may be in one more super group. It holds who makes or joins one; who is let in by others,
    /// or is in a group that is converted, may be in more.
    pub(super) async fn check_super_groups(&self, user: &UserId) -> Result<()> {
        let count = of_user(&self.store, user).await?.len();
        if count < SUPER_GROUPS_PER_USER_MAX {
            return Ok(());
        }
        let message =
            format!("you are in {count} super groups, and may be in {SUPER_GROUPS_PER_USER_MAX}: leave one");
        Err(Error::refused(Code::NotAllowed, message))
    }

    fn make_group_id(&self) -> Result<GroupId> {
        protocol::Identifier::new(&format!("g{}", base_36(self.ids.next(now_ms()))))
            .map_err(refused_id("group"))
    }
}

fn first_row(owner: &UserId, users: &[UserId], settings: GroupSettings, is_super: bool) -> Draft {
    let member = |user: &UserId| MemberChange {
        user: user.clone(),
        role: if user == owner { Role::Owner } else { Role::Member },
        muted_until_ms: 0,
        kind: MemberChangeKind::Join,
    };
    let draft = Draft {
        settings,
        owner: owner.clone(),
        dismissed: false,
        super_change: if is_super { SuperChange::FromThisRow } else { SuperChange::Stay },
        members: users.iter().map(member).collect(),
        kind: kind::CREATED,
        users: Vec::new(),
        role: None,
    };
    draft.naming_members()
}

fn base_36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_group_is_short_and_distinct() {
        let ids: Vec<String> = [0, 35, 36, u64::MAX].into_iter().map(base_36).collect();
        assert_eq!(ids, ["0", "z", "10", "3w5e11264sgsf"]);
    }
}
