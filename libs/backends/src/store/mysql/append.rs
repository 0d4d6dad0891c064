//! Appends of many senders in one transaction: what they depend on is read and locked in one packet, what they write
//! goes out with the commit in a second one, each table with one statement.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::{ConversationId, UserId};

use super::connect::Session;
use super::facts::Facts;
use super::heads::{self, Heads, InboxHead, OutboxHead};
use super::lane::{AppendJob, Work};
use super::line::Job;
use super::outbox::{self, NewRow};
use super::sql::Sql;
use super::trouble::Trouble;
use crate::store::rows::Stored;
use crate::store::rules::{denied_by_group, fan_out_of, running_after};
use crate::store::{Append, Appended, Denied, Guard, Outcome};

/// Writes jobs that are all appends, and answers them.
pub(super) async fn append(session: &mut Session, jobs: &mut Vec<Job>) -> Result<(), Trouble> {
    let waiting: Vec<&AppendJob> = jobs.iter().filter_map(|job| append_of(&job.work)).collect();
    let appends: Vec<&Append> = waiting.iter().map(|job| &job.append).collect();
    let mut draft = Draft::of(Facts::read(session, &appends).await?);
    let outcomes: Vec<Outcome> = waiting.iter().map(|job| draft.append(&job.append, job.again)).collect();
    let written = session.run(draft.into_sql()).await;
    if matches!(written, Err(Trouble::Lost(_))) {
        // Perhaps it was written before the answer was lost.
        for job in jobs.iter_mut() {
            if let Work::Append(job) = &mut job.work {
                job.again = true;
            }
        }
    }
    written?;
    for (job, outcome) in jobs.drain(..).zip(outcomes) {
        if let Work::Append(job) = job.work {
            drop(job.answer.send(Ok(outcome)));
        }
    }
    Ok(())
}

fn append_of(work: &Work) -> Option<&AppendJob> {
    match work {
        Work::Append(job) => Some(job),
        _ => None,
    }
}

/// What a row changes in what its conversation is for a user.
#[derive(Default)]
struct Touched {
    last_sent: u64,
    mentioned: u64,
}

/// What a batch writes.
struct Draft {
    facts: Facts,
    conversations: Heads<ConversationId, OutboxHead>,
    inboxes: Heads<UserId, InboxHead>,
    rows: Vec<NewRow>,
    /// Where the rows of the batch are in `rows`.
    places: HashMap<(ConversationId, u64), usize>,
    replaced: Vec<(ConversationId, u64, bytes::Bytes)>,
    received: BTreeMap<(UserId, u64), (ConversationId, u64)>,
    /// Users of single chats that begin.
    begun: BTreeSet<(UserId, ConversationId)>,
    touched: BTreeMap<(UserId, ConversationId), Touched>,
}

impl Draft {
    fn of(mut facts: Facts) -> Self {
        let conversations = Heads::new(std::mem::take(&mut facts.conversations));
        let inboxes = Heads::new(std::mem::take(&mut facts.inboxes));
        Self {
            facts,
            conversations,
            inboxes,
            rows: Vec::new(),
            places: HashMap::new(),
            replaced: Vec::new(),
            received: BTreeMap::new(),
            begun: BTreeSet::new(),
            touched: BTreeMap::new(),
        }
    }

    fn append(&mut self, append: &Append, again: bool) -> Outcome {
        let answer = (append.sender.clone(), append.client_message_id.clone());
        if let Some(first) = self.facts.answers.get(&answer) {
            // Of a try whose end was not known, the row that is there may be its own.
            let duplicate = !(again && first.message_id == append.message_id);
            return Outcome::Written(Appended { duplicate, ..first.clone() });
        }
        let group = append.conversation.group_id();
        let super_from =
            group.as_ref().and_then(|group| self.facts.groups.get(group)).map_or(0, |facts| facts.super_from);
        let head = self.conversations.get(&append.conversation);
        if let Some(denied) = self.denied(append, head.top) {
            return Outcome::Denied(denied);
        }
        if !self.replace(append) {
            return Outcome::Denied(Denied::NoTarget);
        }
        let seq = head.top + 1;
        self.touch(append, group.is_some(), seq);
        let inboxes = self.receive(append, seq);
        let running = running_after(append, head.running, seq);
        self.conversations.raise(&append.conversation, OutboxHead { top: seq, running });
        let appended = Appended {
            conversation: append.conversation.clone(),
            seq,
            message_id: append.message_id,
            time_ms: running.time_ms,
            fan_out: fan_out_of(group.is_some(), super_from, seq),
            inbox_seqs: inboxes.iter().map(|(_, inbox_seq)| *inbox_seq).collect(),
            duplicate: false,
        };
        let stored = Stored {
            running,
            counted: append.counted,
            fan_out: appended.fan_out,
            message_id: append.message_id,
            sender: append.sender.clone(),
            client_message_id: append.client_message_id.clone(),
            inboxes,
            content: append.content.clone(),
        };
        self.places.insert((append.conversation.clone(), seq), self.rows.len());
        self.rows.push(NewRow { conversation: append.conversation.clone(), seq, stored });
        // The same message again, behind it in the batch.
        self.facts.answers.insert(answer, Appended { duplicate: true, ..appended.clone() });
        Outcome::Written(appended)
    }

    /// Why the guard does not hold.
    fn denied(&self, append: &Append, top: u64) -> Option<Denied> {
        let write = match &append.guard {
            Guard::None => return None,
            Guard::Single { receiver, existing } => {
                if self.facts.blocks.contains(&(receiver.clone(), append.sender.clone())) {
                    return Some(Denied::Blocked);
                }
                return (*existing && top == 0).then_some(Denied::NoConversation);
            }
            Guard::Member => false,
            Guard::MayWrite => true,
        };
        let group = append.conversation.group_id();
        let facts = group.as_ref().and_then(|group| self.facts.groups.get(group));
        let member = group.and_then(|group| self.facts.members.get(&(group, append.sender.clone())));
        denied_by_group(facts, member, write, append.time_ms)
    }

    /// Puts another content into the row that is to be replaced; answers whether it is there, or none is named.
    fn replace(&mut self, append: &Append) -> bool {
        let Some(replacement) = &append.replaces else { return true };
        let point = (append.conversation.clone(), replacement.seq);
        if let Some(row) = self.places.get(&point).and_then(|place| self.rows.get_mut(*place)) {
            row.stored.content = replacement.content.clone();
            return true;
        }
        let is_there = self.facts.targets.contains(&point);
        if is_there {
            self.replaced.push((point.0, point.1, replacement.content.clone()));
        }
        is_there
    }

    /// What the row changes in what the conversation is for its users.
    fn touch(&mut self, append: &Append, is_group: bool, seq: u64) {
        let users = if seq == 1 { append.conversation.users() } else { None };
        if let Some((smaller, larger)) = users {
            for user in [smaller, larger] {
                let key = (user, append.conversation.clone());
                self.facts.states.entry(key.clone()).or_default();
                self.begun.insert(key);
            }
        }
        let has_part = |facts: &Facts, user: &UserId| {
            let state = facts.states.get(&(user.clone(), append.conversation.clone()));
            // Who is not in the group has no part in the row.
            state.is_some_and(|is_in| !is_group || *is_in)
        };
        if is_group && append.counted && has_part(&self.facts, &append.sender) {
            let key = (append.sender.clone(), append.conversation.clone());
            self.touched.entry(key).or_default().last_sent = seq;
        }
        for user in &append.mentions {
            if has_part(&self.facts, user) {
                self.touched.entry((user.clone(), append.conversation.clone())).or_default().mentioned = seq;
            }
        }
    }

    /// Gives each inbox that is named its row; answers the seq in each.
    fn receive(&mut self, append: &Append, seq: u64) -> Vec<(UserId, u64)> {
        let mut inboxes: Vec<(UserId, u64)> = Vec::with_capacity(append.inboxes.len());
        for user in &append.inboxes {
            if let Some(known) = inboxes.iter().find(|(known, _)| known == user).cloned() {
                inboxes.push(known);
                continue;
            }
            let head = self.inboxes.get(user);
            let inbox_seq = head.top + 1;
            self.inboxes.raise(user, InboxHead { top: inbox_seq, ..head });
            self.received.insert((user.clone(), inbox_seq), (append.conversation.clone(), seq));
            inboxes.push((user.clone(), inbox_seq));
        }
        inboxes
    }

    fn into_sql(self) -> Sql {
        let mut sql = Sql::default();
        heads::put_conversations(&mut sql, &self.conversations);
        heads::put_inboxes(&mut sql, &self.inboxes);
        for (conversation, seq, content) in &self.replaced {
            outbox::replace(&mut sql, conversation, *seq, content);
        }
        outbox::put(&mut sql, &self.rows);
        if !self.rows.is_empty() {
            put_answers(&mut sql, &self.rows);
        }
        if !self.received.is_empty() {
            sql.push("INSERT INTO inbox (user, inbox_seq, conversation, seq) VALUES ");
            sql.rows(&self.received, |sql, ((user, inbox_seq), (conversation, seq))| {
                sql.user(user).push(", ").number(*inbox_seq).push(", ");
                sql.conversation(conversation).push(", ").number(*seq);
            });
            sql.push("; ");
        }
        self.put_states(&mut sql);
        sql.push("COMMIT");
        sql
    }

    fn put_states(&self, sql: &mut Sql) {
        if !self.begun.is_empty() {
            sql.push("INSERT INTO states (user, conversation) VALUES ");
            sql.rows(&self.begun, |sql, (user, conversation)| {
                sql.user(user).push(", ").conversation(conversation);
            });
            sql.push(" ON DUPLICATE KEY UPDATE joined = joined; ");
        }
        if !self.touched.is_empty() {
            sql.push("INSERT INTO states (user, conversation, last_sent, mentioned) VALUES ");
            sql.rows(&self.touched, |sql, ((user, conversation), touched)| {
                sql.user(user).push(", ").conversation(conversation).push(", ");
                sql.number(touched.last_sent).push(", ").number(touched.mentioned);
            });
            sql.push(
                " ON DUPLICATE KEY UPDATE last_sent = GREATEST(last_sent, VALUES(last_sent)), \
                 mentioned = GREATEST(mentioned, VALUES(mentioned)); ",
            );
        }
    }
}

/// Writes the first answers of rows.
fn put_answers(sql: &mut Sql, rows: &[NewRow]) {
    sql.push(
        "INSERT INTO answers (sender, client_message_id, conversation, seq, message_id, time_ms) VALUES ",
    );
    sql.rows(rows, |sql, row| {
        let NewRow { conversation, seq, stored } = row;
        sql.user(&stored.sender).push(", ").id(&stored.client_message_id).push(", ");
        sql.conversation(conversation).push(", ").number(*seq).push(", ");
        sql.number(stored.message_id).push(", ").number(stored.running.time_ms);
    });
    sql.push("; ");
}
