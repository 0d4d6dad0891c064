//! What a batch of appends depends on, read in one packet: its heads, locked, and then all that its guards, first
//! answers and recalls ask for. What is read after a head was locked cannot change under it until the commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use protocol::{ConversationId, GroupId, Identifier as _, UserId};

use super::connect::Session;
use super::heads::{self, InboxHead, OutboxHead};
use super::outbox::{self, FAN_OUTS};
use super::sql::{Answer, Columns, Sql, corrupt};
use super::trouble::Trouble;
use crate::Result;
use crate::store::rows::{GroupFacts, MemberRow, Stored};
use crate::store::{Append, Appended, Guard, HistoryRule, JoinRule, Role};

pub(super) const ROLES: [Role; 3] = [Role::Member, Role::Admin, Role::Owner];

/// What is known when a batch is written.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) conversations: BTreeMap<ConversationId, OutboxHead>,
    pub(super) inboxes: BTreeMap<UserId, InboxHead>,
    /// First answers, by sender and client message id.
    pub(super) answers: HashMap<(UserId, String), Appended>,
    pub(super) groups: HashMap<GroupId, GroupFacts>,
    pub(super) members: HashMap<(GroupId, UserId), MemberRow>,
    /// (who has blocked, whom).
    pub(super) blocks: HashSet<(UserId, UserId)>,
    /// What a conversation is for a user who has a part in it: whether the user is in the group.
    pub(super) states: HashMap<(UserId, ConversationId), bool>,
    /// Rows that are to be replaced and are there.
    pub(super) targets: HashSet<(ConversationId, u64)>,
}

/// What the answers of a packet are about.
#[derive(Clone, Copy)]
enum About {
    Nothing,
    Conversations,
    Inboxes,
    Answers,
    Groups,
    Members,
    Blocks,
    States,
    Targets,
}

impl Facts {
    /// Begins the transaction, locks the heads and reads.
    pub(super) async fn read(
        session: &mut Session,
        appends: &[&Append],
    ) -> std::result::Result<Self, Trouble> {
        let (sql, about) = ask(appends);
        let answers = session.run(sql).await?;
        let mut facts = Self::default();
        for (answer, about) in answers.iter().zip(about) {
            facts.take(answer, about)?;
        }
        Ok(facts)
    }

    fn take(&mut self, answer: &Answer, about: About) -> Result<()> {
        match about {
            About::Nothing => {}
            About::Conversations => self.conversations = heads::conversations(answer)?,
            About::Inboxes => self.inboxes = heads::inboxes(answer)?,
            About::Answers => self.answers = first_answers(answer)?,
            About::Groups => self.groups = groups(answer)?,
            About::Members => self.members = members(answer)?,
            About::Blocks => {
                for row in &answer.rows {
                    let mut columns = Columns::of(row, "blocks");
                    self.blocks.insert((columns.user()?, columns.user()?));
                }
            }
            About::States => {
                for row in &answer.rows {
                    let mut columns = Columns::of(row, "states");
                    let key = (columns.user()?, columns.conversation()?);
                    let is_in = columns.number()? > 0 && columns.number()? == 0;
                    self.states.insert(key, is_in);
                }
            }
            About::Targets => {
                for row in &answer.rows {
                    let mut columns = Columns::of(row, "outbox");
                    self.targets.insert((columns.conversation()?, columns.number()?));
                }
            }
        }
        Ok(())
    }
}

/// What is asked for a batch, and what each answer is about.
fn ask(appends: &[&Append]) -> (Sql, Vec<About>) {
    let mut sql = Sql::new("START TRANSACTION; ");
    let mut about = vec![About::Nothing];
    heads::lock_conversations(&mut sql, appends.iter().map(|one| &one.conversation).collect::<BTreeSet<_>>());
    about.push(About::Conversations);
    let users: BTreeSet<&UserId> = appends.iter().flat_map(|one| &one.inboxes).collect();
    if !users.is_empty() {
        heads::lock_inboxes(&mut sql, users);
        about.push(About::Inboxes);
    }
    ask_answers(&mut sql, appends);
    about.push(About::Answers);
    let groups: BTreeSet<GroupId> = appends.iter().filter_map(|one| one.conversation.group_id()).collect();
    if !groups.is_empty() {
        sql.push("SELECT id, dismissed, all_muted, super_from, version FROM chat_groups WHERE id IN (");
        sql.list(&groups, |sql, group| {
            sql.id(group.as_str());
        });
        sql.push("); ");
        about.push(About::Groups);
    }
    let members: BTreeSet<(GroupId, &UserId)> = appends
        .iter()
        .filter(|one| matches!(one.guard, Guard::Member | Guard::MayWrite))
        .filter_map(|one| Some((one.conversation.group_id()?, &one.sender)))
        .collect();
    if !members.is_empty() {
        sql.push("SELECT group_id, user, role, joined, left_at, muted_until_ms FROM members WHERE (group_id, user) IN (");
        sql.rows(&members, |sql, (group, user)| {
            sql.id(group.as_str()).push(", ").user(user);
        });
        sql.push("); ");
        about.push(About::Members);
    }
    let blocks: BTreeSet<(&UserId, &UserId)> = appends.iter().filter_map(|one| blocked(one)).collect();
    if !blocks.is_empty() {
        sql.push("SELECT user, other FROM blocks WHERE (user, other) IN (");
        sql.rows(&blocks, |sql, (user, other)| {
            sql.user(user).push(", ").user(other);
        });
        sql.push("); ");
        about.push(About::Blocks);
    }
    let states: BTreeSet<(&UserId, &ConversationId)> =
        appends.iter().flat_map(|one| concerned(one)).collect();
    if !states.is_empty() {
        sql.push("SELECT user, conversation, joined, left_at FROM states WHERE (user, conversation) IN (");
        sql.rows(&states, |sql, (user, conversation)| {
            sql.user(user).push(", ").conversation(conversation);
        });
        sql.push("); ");
        about.push(About::States);
    }
    let targets = appends.iter().filter_map(|one| Some((&one.conversation, one.replaces.as_ref()?.seq)));
    let targets: BTreeSet<(&ConversationId, u64)> = targets.collect();
    if !targets.is_empty() {
        sql.push("SELECT conversation, seq FROM outbox WHERE (conversation, seq) IN ");
        outbox::points(&mut sql, targets);
        sql.push("; ");
        about.push(About::Targets);
    }
    (sql, about)
}

fn ask_answers(sql: &mut Sql, appends: &[&Append]) {
    let asked: BTreeSet<(&UserId, &str)> =
        appends.iter().map(|one| (&one.sender, &*one.client_message_id)).collect();
    sql.push(
        "SELECT a.sender, a.client_message_id, a.conversation, a.seq, a.message_id, \
         o.message_id, o.time_ms, o.fan_out, o.inboxes \
         FROM answers a FORCE INDEX (PRIMARY) \
         LEFT JOIN outbox o ON o.conversation = a.conversation AND o.seq = a.seq \
         WHERE (a.sender, a.client_message_id) IN (",
    );
    sql.rows(asked, |sql, (sender, client_message_id)| {
        sql.user(sender).push(", ").id(client_message_id);
    });
    sql.push("); ");
}

/// Who may have blocked whom.
fn blocked(append: &Append) -> Option<(&UserId, &UserId)> {
    match &append.guard {
        Guard::Single { receiver, .. } => Some((receiver, &append.sender)),
        _ => None,
    }
}

/// For whom the row changes what the conversation is, if they have a part in it.
fn concerned(append: &Append) -> impl Iterator<Item = (&UserId, &ConversationId)> {
    let sends = append.counted && append.conversation.group_id().is_some();
    let sender = sends.then_some(&append.sender);
    sender.into_iter().chain(&append.mentions).map(|user| (user, &append.conversation))
}

fn first_answers(answer: &Answer) -> Result<HashMap<(UserId, String), Appended>> {
    let first = |row| {
        let mut columns = Columns::of(row, "answers");
        let key = (columns.user()?, columns.text()?.to_owned());
        let (conversation, seq, message_id) = (columns.conversation()?, columns.number()?, columns.number()?);
        if columns.number_if_any()? != Some(message_id) {
            let what = format!(
                "row {seq} of {conversation}, which a first answer names, is not message {message_id}"
            );
            return Err(corrupt("outbox", &what));
        }
        let time_ms = columns.number()?;
        let fan_out = columns.choice(FAN_OUTS)?;
        let inboxes = columns.decoded(Stored::decode_inboxes)?;
        let inbox_seqs = inboxes.into_iter().map(|(_, seq)| seq).collect();
        let duplicate = true;
        Ok((key, Appended { conversation, seq, message_id, time_ms, fan_out, inbox_seqs, duplicate }))
    };
    answer.rows.iter().map(first).collect()
}

fn groups(answer: &Answer) -> Result<HashMap<GroupId, GroupFacts>> {
    let group = |row| {
        let mut columns = Columns::of(row, "chat_groups");
        let id = columns.group()?;
        let (dismissed, all_muted) = (columns.flag()?, columns.flag()?);
        let (super_from, version) = (columns.number()?, columns.number()?);
        // The rules of joining and of history are no part of an append.
        let (join, history) = (JoinRule::Closed, HistoryRule::Joined);
        Ok((id, GroupFacts { dismissed, all_muted, join, history, super_from, version }))
    };
    answer.rows.iter().map(group).collect()
}

fn members(answer: &Answer) -> Result<HashMap<(GroupId, UserId), MemberRow>> {
    let member = |row| {
        let mut columns = Columns::of(row, "members");
        let key = (columns.group()?, columns.user()?);
        let role = columns.choice(ROLES)?;
        let (joined, left, muted_until_ms) = (columns.number()?, columns.number()?, columns.number()?);
        Ok((key, MemberRow { role, joined, left, muted_until_ms, ..MemberRow::default() }))
    };
    answer.rows.iter().map(member).collect()
}
