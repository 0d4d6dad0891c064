//! What must be so, as plain data: conversations are vectors of rows, a member is the seqs of coming and going.
//!
//! It knows no store, no fan-out and no connection. A row is for those with joined < seq < left; unread is a count
//! over a vector. Who may do what stands in `rights.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::row::Row;

/// Members of a group that grows beyond it becomes a super group: small, so that many do.
pub(crate) const GROUP_MEMBERS_MAX: usize = 5;

/// A user, by number.
pub(crate) type Who = usize;

/// A conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Chat {
    /// The smaller one first.
    Single(Who, Who),
    Group(usize),
}

impl Chat {
    pub(crate) fn single(one: Who, other: Who) -> Self {
        Self::Single(one.min(other), one.max(other))
    }
}

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Says {
    Message { id: String, mentions: Vec<Who>, all: bool, reply_to: u64, recalled: bool },
    Recall { target: u64 },
    Event { kind: &'static str, users: Vec<Who>, role: &'static str },
}

/// A row of a conversation; its seq is its place, from 1 on.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) by: Who,
    pub(crate) says: Says,
    /// Empty where no answer has told it.
    pub(crate) message_id: String,
    /// The step that wrote it.
    pub(crate) born: usize,
}

impl Entry {
    fn counts(&self) -> bool {
        matches!(self.says, Says::Message { .. })
    }
}

/// The time of a user in a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stint {
    pub(crate) who: Who,
    pub(crate) joined: u64,
    /// `u64::MAX`: is a member.
    pub(crate) left: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Member,
    Admin,
    Owner,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) muted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) join: &'static str,
    pub(crate) all_history: bool,
    pub(crate) members: BTreeMap<Who, Member>,
    pub(crate) stints: Vec<Stint>,
    /// The first seq that is in no inbox; `u64::MAX`: all are.
    pub(crate) super_from: u64,
    /// Who was muted and has left.
    pub(crate) muted_since_before: BTreeSet<Who>,
    pub(crate) all_muted: bool,
    pub(crate) dismissed: bool,
    pub(crate) requests: BTreeSet<Who>,
}

impl Group {
    pub(crate) fn is_super(&self) -> bool {
        self.super_from < u64::MAX
    }

    pub(crate) fn role(&self, who: Who) -> Option<Role> {
        self.members.get(&who).map(|member| member.role)
    }

    /// Was a member, and is none.
    pub(crate) fn has_left(&self, who: Who) -> bool {
        self.role(who).is_none() && self.last_stint(who).is_some()
    }

    fn last_stint(&self, who: Who) -> Option<Stint> {
        self.stints.iter().rev().find(|stint| stint.who == who).copied()
    }

    /// A row that a user was ever to get.
    fn is_for(&self, who: Who, seq: u64) -> bool {
        self.stints.iter().any(|stint| stint.who == who && stint.joined < seq && seq < stint.left)
    }
}

/// What a user has for a conversation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Own {
    pub(crate) read: u64,
    pub(crate) sent: u64,
    pub(crate) pinned: bool,
    pub(crate) muted: bool,
}

/// A conversation as one user must find it in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) top: u64,
    pub(crate) read: u64,
    pub(crate) unread: u64,
    pub(crate) mentioned: bool,
    pub(crate) last: Option<Row>,
    pub(crate) pinned: bool,
    pub(crate) muted: bool,
    pub(crate) joined: u64,
    pub(crate) left: Option<u64>,
    pub(crate) peer_read: Option<u64>,
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) user_count: usize,
    pub(crate) rows: BTreeMap<Chat, Vec<Entry>>,
    pub(crate) groups: Vec<Group>,
    pub(crate) own: BTreeMap<(Who, Chat), Own>,
    /// (who, whom).
    pub(crate) blocked: BTreeSet<(Who, Who)>,
    /// Where each message of the plan was written, by its number among the sends that were allowed.
    pub(crate) said: Vec<(Chat, u64)>,
    /// The steps at whose end a user's inbox was seen to hold everything.
    pub(crate) settled: BTreeMap<Who, Vec<usize>>,
    /// The step that is being made.
    pub(crate) step: usize,
}

impl World {
    pub(crate) fn new(seed: u64, user_count: usize) -> Self {
        Self { seed, user_count, ..Self::default() }
    }

    pub(crate) fn user(&self, who: Who) -> String {
        format!("m{}u{who}", self.seed)
    }

    pub(crate) fn group_name(&self, group: usize) -> String {
        format!("m{}g{group}", self.seed)
    }

    pub(crate) fn conversation(&self, chat: Chat) -> String {
        match chat {
            Chat::Single(one, other) => {
                let (one, other) = (self.user(one), self.user(other));
                format!("single:{}:{one}:{other}", one.len())
            }
            Chat::Group(group) => format!("group:{}", self.group_name(group)),
        }
    }

    pub(crate) fn top(&self, chat: Chat) -> u64 {
        self.rows.get(&chat).map_or(0, Vec::len) as u64
    }

    fn entry(&self, chat: Chat, seq: u64) -> &Entry {
        &self.rows[&chat][seq as usize - 1]
    }

    /// A row as a client must see it.
    pub(crate) fn row(&self, chat: Chat, seq: u64) -> Row {
        let entry = self.entry(chat, seq);
        let names = |users: &[Who]| {
            let mut names: Vec<String> = users.iter().map(|&who| self.user(who)).collect();
            names.sort_unstable();
            names
        };
        let row = Row {
            conversation: self.conversation(chat),
            seq,
            message_id: entry.message_id.clone(),
            by: self.user(entry.by),
            group: match chat {
                Chat::Single(..) => String::new(),
                Chat::Group(group) => self.group_name(group),
            },
            ..Row::default()
        };
        match &entry.says {
            Says::Message { id, mentions, all, reply_to, recalled } => {
                let to_user = match chat {
                    Chat::Single(one, other) if one == entry.by => self.user(other),
                    Chat::Single(one, _) => self.user(one),
                    Chat::Group(_) => String::new(),
                };
                let row = Row {
                    client_message_id: id.clone(),
                    text: id.clone(),
                    mentions: names(mentions),
                    mention_all: *all,
                    reply_to: *reply_to,
                    to_user,
                    ..row
                };
                if *recalled { row.emptied() } else { row }
            }
            Says::Recall { target } => Row { kind: "recalled".to_owned(), target: *target, ..row },
            Says::Event { kind, users, role } => {
                Row { kind: (*kind).to_owned(), users: names(users), role: (*role).to_owned(), ..row }
            }
        }
    }

    /// Every row of a user's inbox with the step that wrote it, by conversation and in order inside each.
    pub(crate) fn inbox(&self, who: Who) -> BTreeMap<Chat, Vec<(u64, usize)>> {
        let mut inbox = BTreeMap::new();
        for (&chat, rows) in &self.rows {
            let seqs = (1..=rows.len() as u64).filter(|&seq| match chat {
                Chat::Single(one, other) => who == one || who == other,
                Chat::Group(group) => {
                    seq < self.groups[group].super_from && self.groups[group].is_for(who, seq)
                }
            });
            let seqs: Vec<(u64, usize)> = seqs.map(|seq| (seq, rows[seq as usize - 1].born)).collect();
            if !seqs.is_empty() {
                inbox.insert(chat, seqs);
            }
        }
        inbox
    }

    /// The step by whose end a row that was written in step `born` was seen in a user's inbox.
    pub(crate) fn settled(&self, who: Who, chat: Chat, born: usize) -> usize {
        if matches!(chat, Chat::Single(..)) {
            return born;
        }
        let steps = self.settled.get(&who).map_or(&[][..], Vec::as_slice);
        steps.get(steps.partition_point(|&step| step < born)).copied().unwrap_or(usize::MAX)
    }

    pub(crate) fn inbox_length(&self, who: Who) -> u64 {
        self.inbox(who).values().map(Vec::len).sum::<usize>() as u64
    }

    /// The super groups that a user is in: the seq of the join.
    pub(crate) fn super_groups(&self, who: Who) -> BTreeMap<usize, u64> {
        let joined = |group: &Group| {
            let stint = group.last_stint(who).filter(|stint| stint.left == u64::MAX)?;
            group.is_super().then_some(stint.joined)
        };
        let groups = self.groups.iter().enumerate();
        groups.filter_map(|(number, group)| Some((number, joined(group)?))).collect()
    }

    /// Tells whether a row of a group is one that a user could ever see.
    pub(crate) fn is_for(&self, who: Who, group: usize, seq: u64) -> bool {
        let record = &self.groups[group];
        let sees_all = record.all_history && record.last_stint(who).is_some_and(|stint| seq < stint.left);
        sees_all || record.is_for(who, seq)
    }

    /// The rows of a super group that are in no inbox: those a member must have, and those that a device may have.
    pub(crate) fn outside_inboxes(&self, who: Who, group: usize) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let top = self.top(Chat::Group(group));
        let from = self.groups[group].super_from;
        let may: BTreeSet<u64> =
            (1..=top).filter(|&seq| seq >= from && self.is_for(who, group, seq)).collect();
        let joined = self.super_groups(who).get(&group).copied();
        let must = joined.map(|joined| may.iter().copied().filter(|&seq| seq > joined).collect());
        (must.unwrap_or_default(), may)
    }

    /// What a user may read of a conversation: its lowest and highest seq; `None` where the user has no part in it.
    pub(crate) fn sight(&self, who: Who, chat: Chat) -> Option<(u64, u64)> {
        match chat {
            Chat::Single(one, other) => {
                (who == one || who == other).then(|| (1, self.top(chat))).filter(|(_, top)| *top > 0)
            }
            Chat::Group(group) => {
                let group = &self.groups[group];
                let stint = group.last_stint(who)?;
                let low = if group.all_history { 1 } else { stint.joined + 1 };
                Some((low, self.top(chat).min(stint.left - 1)))
            }
        }
    }

    pub(crate) fn own(&self, who: Who, chat: Chat) -> Own {
        self.own.get(&(who, chat)).copied().unwrap_or_default()
    }

    /// The conversations in which a user has a part.
    pub(crate) fn chats(&self, who: Who) -> Vec<Chat> {
        let chats = self.rows.keys().copied();
        chats.filter(|&chat| self.sight(who, chat).is_some()).collect()
    }

    /// A conversation as a user must find it in the list.
    pub(crate) fn listed(&self, who: Who, chat: Chat) -> Option<Listed> {
        let (low, high) = self.sight(who, chat)?;
        let own = self.own(who, chat);
        let stint = match chat {
            Chat::Single(..) => None,
            Chat::Group(group) => self.groups[group].last_stint(who),
        };
        let joined = stint.map_or(0, |stint| stint.joined);
        let above = own.read.max(own.sent).max(joined);
        let unread = (above + 1..=high).filter(|&seq| self.entry(chat, seq).counts());
        let means_me = |seq: &u64| match &self.entry(chat, *seq).says {
            Says::Message { mentions, all, .. } => *all || mentions.contains(&who),
            _ => false,
        };
        let last = (low..=high).rev().find(|&seq| self.entry(chat, seq).counts());
        Some(Listed {
            kind: match chat {
                Chat::Single(..) => "single",
                Chat::Group(group) if self.groups[group].is_super() => "super",
                Chat::Group(_) => "group",
            },
            name: match chat {
                Chat::Single(..) => String::new(),
                Chat::Group(group) => self.groups[group].name.clone(),
            },
            top: high,
            read: own.read,
            unread: unread.clone().count() as u64,
            mentioned: unread.clone().any(|seq| means_me(&seq)),
            last: last.map(|seq| self.row(chat, seq)),
            pinned: own.pinned,
            muted: own.muted,
            joined,
            left: stint.and_then(|stint| (stint.left < u64::MAX).then_some(stint.left)),
            peer_read: match chat {
                Chat::Single(one, other) => {
                    let peer = self.own(if who == one { other } else { one }, chat);
                    Some(peer.read.max(peer.sent))
                }
                Chat::Group(_) => None,
            },
        })
    }

    /// Was a member of the group that it is, and is none.
    pub(crate) fn has_left(&self, who: Who, chat: Chat) -> bool {
        matches!(chat, Chat::Group(group) if self.groups[group].has_left(who))
    }

    /// The last message that a user may see of a conversation, and who has read it; `None` where it is not told.
    pub(crate) fn readers(&self, who: Who, chat: Chat) -> Option<(u64, Vec<String>)> {
        let (low, high) = self.sight(who, chat)?;
        let seq = (low..=high).rev().find(|&seq| self.entry(chat, seq).counts())?;
        let may_see: Vec<Who> = match chat {
            Chat::Single(one, other) => vec![one, other],
            Chat::Group(group) if self.groups[group].is_super() => return None,
            Chat::Group(group) => {
                let group = &self.groups[group];
                let joined = |who: Who| group.last_stint(who).map_or(u64::MAX, |stint| stint.joined);
                group.members.keys().copied().filter(|&who| group.all_history || joined(who) < seq).collect()
            }
        };
        let sender = self.entry(chat, seq).by;
        let has_read = |who: &Who| {
            let own = self.own(*who, chat);
            *who != sender && own.read.max(own.sent) >= seq
        };
        let mut readers: Vec<String> =
            may_see.into_iter().filter(has_read).map(|who| self.user(who)).collect();
        readers.sort_unstable();
        readers.dedup();
        Some((seq, readers))
    }

    /// The seqs of a conversation that history must show.
    pub(crate) fn readable(&self, who: Who, chat: Chat) -> Vec<u64> {
        self.sight(who, chat).map_or_else(Vec::new, |(low, high)| (low..=high).collect())
    }
}
