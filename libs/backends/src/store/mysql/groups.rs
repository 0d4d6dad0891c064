//! Groups, their members, and those who ask to be.
//!
//! A change of a group is one commit: its record, its members, what the conversation is for those whom it concerns,
//! and the row that tells it. It holds the head of the conversation, and then of the inboxes of all whom it concerns,
//! however many they are: it cannot be parted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use protocol::{ConversationId, GroupId, Identifier as _, UserId};

use super::connect::Session;
use super::facts::ROLES;
use super::fan_out::{only_number, unanswered};
use super::heads::{self, Heads, OutboxHead};
use super::lane::Change;
use super::log;
use super::outbox::{self, NewRow};
use super::readers::Readers;
use super::sql::{Answer, Columns, Sql, limit};
use super::trouble::Trouble;
use crate::Result;
use crate::store::rows::{MemberRow, Stored};
use crate::store::rules::{self, NextGroup};
use crate::store::{
    Group, GroupChange, GroupChanged, GroupSettings, HistoryRule, JoinRule, Member, Role, SuperChange,
};

const GROUP_COLUMNS: &str = "id, name, avatar, announcement, join_rule, history_rule, all_muted, owner, \
     created_ms, dismissed, member_count, super_from, version";
const MEMBER_COLUMNS: &str = "user, role, joined, joined_ms, left_at, muted_until_ms, earlier";
const JOIN_RULES: [JoinRule; 3] = [JoinRule::Closed, JoinRule::Approval, JoinRule::Open];
const HISTORY_RULES: [HistoryRule; 2] = [HistoryRule::Joined, HistoryRule::All];

pub(super) struct ChangeGroup(pub(super) GroupChange);

/// What a change reads before it is decided.
struct Known {
    group: Option<Group>,
    head: OutboxHead,
    has_head: bool,
    fanned_out_to: u64,
    members: HashMap<UserId, MemberRow>,
    /// The members before the change, where it converts the group.
    all: BTreeSet<UserId>,
}

#[async_trait]
impl Change for ChangeGroup {
    type Answer = Option<GroupChanged>;

    async fn carry_out(
        &self,
        session: &mut Session,
        again: bool,
    ) -> std::result::Result<Self::Answer, Trouble> {
        let change = &self.0;
        let conversation = ConversationId::group(&change.group);
        let mut known = self.read(session, &conversation).await?;
        let (top, time_ms) = (known.head.top, known.head.running.time_ms);
        let next = rules::next_group(change, known.group.as_ref(), top, time_ms, known.fanned_out_to);
        let Some(mut next) = next else {
            let own = if again { self.written(session, &conversation, &known).await? } else { None };
            session.roll_back().await?;
            return Ok(own);
        };
        let mut members: BTreeMap<&UserId, (MemberRow, bool)> = BTreeMap::new();
        for one in &change.members {
            if let Some(member) = rules::next_member(&mut next, one, known.members.remove(&one.user)) {
                members.insert(&one.user, member);
            }
        }
        let mut concerned: BTreeSet<UserId> =
            members.iter().filter(|(_, (_, moves))| *moves).map(|(user, _)| (*user).clone()).collect();
        let moved = !concerned.is_empty();
        let mut stay = known.all;
        stay.retain(|user| members.get(user).is_none_or(|(member, _)| member.is_in()));
        concerned.extend(stay.iter().cloned());
        let mut sql = Sql::default();
        if !concerned.is_empty() {
            heads::lock_inboxes(&mut sql, &concerned);
            let inboxes = heads::inboxes(&session.run_one(std::mem::take(&mut sql)).await?)?;
            log::put(&mut sql, inboxes, &concerned, &conversation);
        }
        let mut running = known.head.running;
        running.time_ms = next.time_ms;
        if moved {
            running.membership = next.seq;
        }
        let stored_head = known.has_head.then_some((conversation.clone(), known.head));
        let mut heads = Heads::new(stored_head.into_iter().collect());
        heads.raise(&conversation, OutboxHead { top: next.seq, running });
        heads::put_conversations(&mut sql, &heads);
        put_group(&mut sql, &next.group);
        put_members(&mut sql, &next.group, &conversation, &members);
        put_super_groups(&mut sql, &next.group, &conversation, &members, &stay);
        outbox::put(&mut sql, &[self.row(&conversation, &next, running)]);
        session.run(std::mem::take(sql.push("COMMIT"))).await?;
        let NextGroup { group, seq, time_ms, fan_out, .. } = next;
        Ok(Some(GroupChanged { group, seq, time_ms, fan_out }))
    }
}

impl ChangeGroup {
    async fn read(
        &self,
        session: &mut Session,
        conversation: &ConversationId,
    ) -> std::result::Result<Known, Trouble> {
        let change = &self.0;
        let mut sql = Sql::new("START TRANSACTION; ");
        heads::lock_conversations(&mut sql, [conversation]);
        ask(&mut sql, [change.group.as_str()]);
        sql.push("SELECT fanned_out_to FROM progress WHERE conversation = ").conversation(conversation);
        sql.push("; SELECT ").push(MEMBER_COLUMNS).push(" FROM members WHERE group_id = ");
        sql.id(change.group.as_str()).push(" AND user IN (X''");
        for one in &change.members {
            sql.push(", ").user(&one.user);
        }
        sql.push(")");
        let converts = change.super_change == SuperChange::AfterThisRow;
        if converts {
            sql.push("; SELECT user FROM members WHERE left_at = 0 AND group_id = ")
                .id(change.group.as_str());
        }
        let answers = session.run(sql).await?;
        let [_, heads, groups, progress, members, rest @ ..] = &answers[..] else { return Err(unanswered()) };
        let head = heads::conversations(heads)?.remove(conversation);
        let mut all = BTreeSet::new();
        for row in rest.iter().flat_map(|answer| &answer.rows) {
            all.insert(Columns::of(row, "members").user()?);
        }
        Ok(Known {
            group: read(groups)?.remove(&change.group),
            has_head: head.is_some(),
            head: head.unwrap_or_default(),
            fanned_out_to: only_number(progress, "progress")?.unwrap_or(0),
            members: members_of(members)?.into_iter().collect(),
            all,
        })
    }

    /// What an earlier try of this change wrote, if it did.
    async fn written(
        &self,
        session: &mut Session,
        conversation: &ConversationId,
        known: &Known,
    ) -> std::result::Result<Option<GroupChanged>, Trouble> {
        let Some(group) = &known.group else { return Ok(None) };
        let mut sql = Sql::new("SELECT seq, time_ms, fan_out FROM outbox WHERE conversation = ");
        sql.conversation(conversation).push(" AND seq > ").number(self.0.expected_version);
        sql.push(" AND message_id = ").number(self.0.message_id);
        let answer = session.run_one(sql).await?;
        let Some(row) = answer.rows.first() else { return Ok(None) };
        let mut columns = Columns::of(row, "outbox");
        let (seq, time_ms) = (columns.number()?, columns.number()?);
        let fan_out = columns.choice(outbox::FAN_OUTS)?;
        Ok(Some(GroupChanged { group: group.clone(), seq, time_ms, fan_out }))
    }

    fn row(
        &self,
        conversation: &ConversationId,
        next: &NextGroup,
        running: crate::store::rows::Running,
    ) -> NewRow {
        let change = &self.0;
        let stored = Stored {
            running,
            counted: false,
            fan_out: next.fan_out,
            message_id: change.message_id,
            sender: change.by.clone(),
            client_message_id: String::new(),
            inboxes: Vec::new(),
            content: change.content.clone(),
        };
        NewRow { conversation: conversation.clone(), seq: next.seq, stored }
    }
}

fn put_group(sql: &mut Sql, group: &Group) {
    let settings = &group.settings;
    sql.push("REPLACE INTO chat_groups (").push(GROUP_COLUMNS).push(") VALUES (").id(group.group.as_str());
    for text in [&settings.name, &settings.avatar, &settings.announcement] {
        sql.push(", ").words(text);
    }
    sql.push(", ").number(match settings.join {
        JoinRule::Closed => 0,
        JoinRule::Approval => 1,
        JoinRule::Open => 2,
    });
    sql.push(", ").flag(settings.history == HistoryRule::All).push(", ").flag(settings.all_muted);
    sql.push(", ").user(&group.owner).push(", ").number(group.created_ms).push(", ").flag(group.dismissed);
    for number in [group.member_count, group.super_from, group.version] {
        sql.push(", ").number(number);
    }
    sql.push("); ");
}

fn put_members(
    sql: &mut Sql,
    group: &Group,
    conversation: &ConversationId,
    members: &BTreeMap<&UserId, (MemberRow, bool)>,
) {
    if members.is_empty() {
        return;
    }
    sql.push("REPLACE INTO members (group_id, ").push(MEMBER_COLUMNS).push(") VALUES ");
    sql.rows(members, |sql, (user, (member, _))| {
        sql.id(group.group.as_str()).push(", ").user(user).push(", ").number(match member.role {
            Role::Member => 0,
            Role::Admin => 1,
            Role::Owner => 2,
        });
        for number in [member.joined, member.joined_ms, member.left, member.muted_until_ms] {
            sql.push(", ").number(number);
        }
        sql.push(", ").bytes(&member.encode_before());
    });
    sql.push("; ");
    let moved: Vec<_> = members.iter().filter(|(_, (_, moves))| *moves).collect();
    if !moved.is_empty() {
        sql.push("INSERT INTO states (user, conversation, joined, left_at) VALUES ");
        sql.rows(moved, |sql, (user, (member, _))| {
            sql.user(user).push(", ").conversation(conversation);
            sql.push(", ").number(member.joined).push(", ").number(member.left);
        });
        sql.push(" ON DUPLICATE KEY UPDATE joined = VALUES(joined), left_at = VALUES(left_at); ");
    }
}

/// Keeps whose super group it is: of those who come and go, and of all who stay where it is converted.
fn put_super_groups(
    sql: &mut Sql,
    group: &Group,
    conversation: &ConversationId,
    members: &BTreeMap<&UserId, (MemberRow, bool)>,
    stay: &BTreeSet<UserId>,
) {
    if !group.is_super() {
        return;
    }
    let moved = members.iter().filter(|(_, (_, moves))| *moves);
    let (come, go): (Vec<_>, Vec<_>) = moved.partition(|(_, (member, _))| member.is_in());
    let come: BTreeSet<&UserId> = come.into_iter().map(|(user, _)| *user).chain(stay).collect();
    if !come.is_empty() {
        sql.push("INSERT INTO super_groups (user, conversation) VALUES ");
        sql.rows(come, |sql, user| {
            sql.user(user).push(", ").conversation(conversation);
        });
        sql.push(" ON DUPLICATE KEY UPDATE user = VALUES(user); ");
    }
    if !go.is_empty() {
        sql.push("DELETE FROM super_groups WHERE (user, conversation) IN (");
        sql.rows(go, |sql, (user, _)| {
            sql.user(user).push(", ").conversation(conversation);
        });
        sql.push("); ");
    }
}

/// Asks for groups, to be read by [`read`].
pub(super) fn ask<'a>(sql: &mut Sql, ids: impl IntoIterator<Item = &'a str>) {
    // No group has the empty id: it makes a list of none one that the server takes.
    sql.push("SELECT ").push(GROUP_COLUMNS).push(" FROM chat_groups WHERE id IN (X''");
    for id in ids {
        sql.push(", ").id(id);
    }
    sql.push("); ");
}

pub(super) fn read(answer: &Answer) -> Result<HashMap<GroupId, Group>> {
    let group = |row| {
        let mut columns = Columns::of(row, "chat_groups");
        let group = columns.group()?;
        let (name, avatar, announcement) = (columns.text()?, columns.text()?, columns.text()?);
        let settings = GroupSettings {
            name: name.to_owned(),
            avatar: avatar.to_owned(),
            announcement: announcement.to_owned(),
            join: columns.choice(JOIN_RULES)?,
            history: columns.choice(HISTORY_RULES)?,
            all_muted: columns.flag()?,
        };
        let group = Group {
            group,
            settings,
            owner: columns.user()?,
            created_ms: columns.number()?,
            dismissed: columns.flag()?,
            member_count: columns.number()?,
            super_from: columns.number()?,
            version: columns.number()?,
        };
        Ok((group.group.clone(), group))
    };
    answer.rows.iter().map(group).collect()
}

fn members_of(answer: &Answer) -> Result<Vec<(UserId, MemberRow)>> {
    let member = |row| {
        let mut columns = Columns::of(row, "members");
        let user = columns.user()?;
        let member = MemberRow {
            role: columns.choice(ROLES)?,
            joined: columns.number()?,
            joined_ms: columns.number()?,
            left: columns.number()?,
            muted_until_ms: columns.number()?,
            before: columns.decoded(MemberRow::decode_before)?,
        };
        Ok((user, member))
    };
    answer.rows.iter().map(member).collect()
}

pub(super) async fn groups(readers: &Readers, ids: &[GroupId]) -> Result<Vec<Option<Group>>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ask_all = || {
        let mut sql = Sql::default();
        ask(&mut sql, ids.iter().map(GroupId::as_str));
        sql
    };
    let found = read(&readers.read_one(ask_all).await?)?;
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

pub(super) async fn members(
    readers: &Readers,
    group: &GroupId,
    users: &[UserId],
) -> Result<Vec<Option<Member>>> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT ");
            sql.push(MEMBER_COLUMNS).push(" FROM members WHERE group_id = ").id(group.as_str());
            sql.push(" AND user IN ").users(users);
            sql
        })
        .await?;
    let found: HashMap<UserId, MemberRow> = members_of(&answer)?.into_iter().collect();
    let member = |user: &UserId| Some(found.get(user)?.clone().into_member(user.clone()));
    Ok(users.iter().map(member).collect())
}

pub(super) async fn members_page(
    readers: &Readers,
    group: &GroupId,
    after: Option<&UserId>,
    count: usize,
) -> Result<Vec<Member>> {
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT ");
            sql.push(MEMBER_COLUMNS)
                .push(" FROM members WHERE left_at = 0 AND group_id = ")
                .id(group.as_str());
            if let Some(after) = after {
                sql.push(" AND user > ").user(after);
            }
            sql.push(" ORDER BY user LIMIT ").number(limit(count));
            sql
        })
        .await?;
    Ok(members_of(&answer)?.into_iter().map(|(user, member)| member.into_member(user)).collect())
}
