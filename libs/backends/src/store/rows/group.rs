//! Groups, their members, and those who ask to be.

use protocol::{GroupId, Identifier, UserId};

use super::codec::{Rest, put_number, put_text};
use crate::store::{Group, GroupSettings, HistoryRule, JoinRequest, JoinRule, Member, Role};

/// What of a group bounds who may write to it and how it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupFacts {
    pub(crate) dismissed: bool,
    pub(crate) all_muted: bool,
    pub(crate) join: JoinRule,
    pub(crate) history: HistoryRule,
    pub(crate) super_from: u64,
    pub(crate) version: u64,
}

impl GroupFacts {
    fn take(rest: &mut Rest<'_>) -> Option<Self> {
        let flags = rest.byte()?;
        let join = match rest.byte()? {
            0 => JoinRule::Closed,
            1 => JoinRule::Approval,
            2 => JoinRule::Open,
            _ => return None,
        };
        Some(Self {
            dismissed: flags & 1 != 0,
            all_muted: flags & 2 != 0,
            history: if flags & 4 != 0 { HistoryRule::All } else { HistoryRule::Joined },
            join,
            super_from: rest.number()?,
            version: rest.number()?,
        })
    }

    /// What a group's record says of them.
    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        Self::take(&mut Rest(row))
    }
}

pub(crate) fn encode_group(group: &Group) -> Vec<u8> {
    let settings = &group.settings;
    let texts = settings.name.len() + settings.avatar.len() + settings.announcement.len();
    let mut row = Vec::with_capacity(128 + texts);
    let history = settings.history == HistoryRule::All;
    row.push(u8::from(group.dismissed) | u8::from(settings.all_muted) << 1 | u8::from(history) << 2);
    row.push(match settings.join {
        JoinRule::Closed => 0,
        JoinRule::Approval => 1,
        JoinRule::Open => 2,
    });
    for number in [group.super_from, group.version, group.member_count, group.created_ms] {
        put_number(&mut row, number);
    }
    for text in [group.owner.as_str(), &settings.name, &settings.avatar, &settings.announcement] {
        put_text(&mut row, text);
    }
    row
}

pub(crate) fn decode_group(group: &GroupId, row: &[u8]) -> Option<Group> {
    let mut rest = Rest(row);
    let facts = GroupFacts::take(&mut rest)?;
    let (member_count, created_ms) = (rest.number()?, rest.number()?);
    let owner = rest.user()?;
    let settings = GroupSettings {
        name: rest.text()?.to_owned(),
        avatar: rest.text()?.to_owned(),
        announcement: rest.text()?.to_owned(),
        join: facts.join,
        history: facts.history,
        all_muted: facts.all_muted,
    };
    Some(Group {
        group: group.clone(),
        settings,
        owner,
        created_ms,
        dismissed: facts.dismissed,
        member_count,
        super_from: facts.super_from,
        version: facts.version,
    })
}

/// A user's place in a group, and from when to when the user was in it before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MemberRow {
    pub(crate) role: Role,
    pub(crate) joined: u64,
    pub(crate) joined_ms: u64,
    pub(crate) left: u64,
    pub(crate) muted_until_ms: u64,
    /// (joined, left) of times before; those that the fan-out has passed may be gone.
    pub(crate) before: Vec<(u64, u64)>,
}

impl MemberRow {
    /// Tells whether the user is a member.
    pub(crate) fn is_in(&self) -> bool {
        self.left == 0
    }

    /// Tells whether the user gets a row.
    pub(crate) fn receives(&self, seq: u64) -> bool {
        let now = self.joined < seq && (self.left == 0 || seq < self.left);
        now || self.before.iter().any(|(joined, left)| *joined < seq && seq < *left)
    }

    pub(crate) fn into_member(self, user: UserId) -> Member {
        Member {
            user,
            role: self.role,
            joined: self.joined,
            joined_ms: self.joined_ms,
            left: self.left,
            muted_until_ms: self.muted_until_ms,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(40 + 20 * self.before.len());
        row.push(match self.role {
            Role::Member => 0,
            Role::Admin => 1,
            Role::Owner => 2,
        });
        for number in [self.joined, self.joined_ms, self.left, self.muted_until_ms] {
            put_number(&mut row, number);
        }
        row.extend_from_slice(&self.encode_before());
        row
    }

    /// The times before alone.
    pub(crate) fn encode_before(&self) -> Vec<u8> {
        let mut row = Vec::new();
        for (joined, left) in &self.before {
            put_number(&mut row, *joined);
            put_number(&mut row, *left);
        }
        row
    }

    pub(crate) fn decode_before(row: &[u8]) -> Option<Vec<(u64, u64)>> {
        let mut rest = Rest(row);
        let mut before = Vec::new();
        while !rest.0.is_empty() {
            before.push((rest.number()?, rest.number()?));
        }
        Some(before)
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut rest = Rest(row);
        let role = match rest.byte()? {
            0 => Role::Member,
            1 => Role::Admin,
            2 => Role::Owner,
            _ => return None,
        };
        let (joined, joined_ms) = (rest.number()?, rest.number()?);
        let (left, muted_until_ms) = (rest.number()?, rest.number()?);
        let before = Self::decode_before(rest.0)?;
        Some(Self { role, joined, joined_ms, left, muted_until_ms, before })
    }
}

pub(crate) fn encode_request(request: &JoinRequest) -> Vec<u8> {
    let mut row = Vec::with_capacity(10 + request.text.len());
    put_number(&mut row, request.time_ms);
    row.extend_from_slice(request.text.as_bytes());
    row
}

pub(crate) fn decode_request(user: UserId, row: &[u8]) -> Option<JoinRequest> {
    let mut rest = Rest(row);
    let time_ms = rest.number()?;
    Some(JoinRequest { user, text: rest.last_text()?.to_owned(), time_ms })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn group()(
            texts in any::<[String; 3]>(),
            owner in "[a-z]{1,9}",
            flags in any::<[bool; 3]>(),
            join in 0..3_usize,
            numbers in any::<[u64; 4]>(),
        ) -> Group {
            let [name, avatar, announcement] = texts;
            let join = [JoinRule::Closed, JoinRule::Approval, JoinRule::Open][join];
            let history = if flags[0] { HistoryRule::All } else { HistoryRule::Joined };
            Group {
                group: GroupId::new("g").unwrap(),
                settings: GroupSettings { name, avatar, announcement, join, history, all_muted: flags[1] },
                owner: UserId::new(&owner).unwrap(),
                created_ms: numbers[0],
                dismissed: flags[2],
                member_count: numbers[1],
                super_from: numbers[2],
                version: numbers[3],
            }
        }
    }

    proptest! {
        #[test]
        fn a_group_is_read_as_it_was_written(group in group()) {
            let row = encode_group(&group);
            let facts = GroupFacts::decode(&row).unwrap();
            prop_assert_eq!((facts.super_from, facts.dismissed), (group.super_from, group.dismissed));
            prop_assert_eq!((facts.all_muted, facts.version), (group.settings.all_muted, group.version));
            prop_assert_eq!(decode_group(&group.group, &row), Some(group));
        }

        #[test]
        fn a_member_is_read_as_it_was_written(
            role in 0..3_usize,
            numbers in any::<[u64; 4]>(),
            before in proptest::collection::vec(any::<(u64, u64)>(), 0..4),
        ) {
            let role = [Role::Member, Role::Admin, Role::Owner][role];
            let [joined, joined_ms, left, muted_until_ms] = numbers;
            let member = MemberRow { role, joined, joined_ms, left, muted_until_ms, before };
            prop_assert_eq!(MemberRow::decode(&member.encode()), Some(member));
        }

        #[test]
        fn a_request_is_read_as_it_was_written(text in any::<String>(), time_ms in any::<u64>()) {
            let user = UserId::new("u").unwrap();
            let request = JoinRequest { user: user.clone(), text, time_ms };
            prop_assert_eq!(decode_request(user, &encode_request(&request)), Some(request));
        }

        #[test]
        fn reading_never_panics(row in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (group, user) = (GroupId::new("g").unwrap(), UserId::new("u").unwrap());
            let _ = (decode_group(&group, &row), MemberRow::decode(&row), decode_request(user, &row));
        }
    }
}
