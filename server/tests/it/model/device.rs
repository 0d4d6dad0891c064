//! A client that this project does not ship: it loses, doubles and reorders what is pushed to it, as its seed says,
//! and heals itself by what the protocol documents, and by nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::chat::JsonChat;

use super::plan::{Holds, Losses};
use super::row::Row;

/// How long a device tries to get an answer: a killed server is back long before.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// What a device holds of a super group.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) rows: BTreeMap<u64, Row>,
    /// Everything up to here is held, or is not for this user.
    covered: u64,
    /// The highest seq that the server has named.
    top: u64,
}

impl Held {
    fn keep(&mut self, who: &str, row: Row) {
        let seq = row.seq;
        keep(who, &mut self.rows, seq, row);
        while self.rows.contains_key(&(self.covered + 1)) {
            self.covered += 1;
        }
    }

    /// Nothing at or below is wanted.
    fn skip_to(&mut self, seq: u64) {
        self.covered = self.covered.max(seq);
    }

    fn misses(&self) -> bool {
        let highest = self.rows.last_key_value().map_or(0, |(seq, _)| *seq);
        self.covered < self.top.max(highest)
    }
}

/// One device of one user.
pub(crate) struct Device {
    pub(crate) user: String,
    pub(crate) name: &'static str,
    address: SocketAddr,
    chat: Option<JsonChat>,
    random: StdRng,
    losses: Losses,
    delayed: VecDeque<Value>,
    /// By inbox seq.
    pub(crate) inbox: BTreeMap<u64, Row>,
    pub(crate) position: u64,
    /// By conversation.
    pub(crate) groups: BTreeMap<String, Held>,
    /// The list as it was told since a version, by conversation.
    pub(crate) conversations: BTreeMap<String, Value>,
    version: u64,
    /// The super groups of the last answer to auth.
    pub(crate) told_groups: Vec<Value>,
}

impl Device {
    pub(crate) fn new(
        address: SocketAddr,
        user: String,
        name: &'static str,
        losses: Losses,
        seed: u64,
    ) -> Self {
        Self {
            user,
            name,
            address,
            chat: None,
            random: StdRng::seed_from_u64(seed),
            losses,
            delayed: VecDeque::new(),
            inbox: BTreeMap::new(),
            position: 0,
            groups: BTreeMap::new(),
            conversations: BTreeMap::new(),
            version: 0,
            told_groups: Vec::new(),
        }
    }

    /// Goes without a word.
    pub(crate) fn go(&mut self) {
        self.chat = None;
    }

    pub(crate) fn is_there(&self) -> bool {
        self.chat.is_some()
    }

    /// Comes back, saying what it holds.
    pub(crate) async fn come_back(&mut self, holds: Holds) {
        self.chat = None;
        if holds == Holds::Nothing {
            self.inbox.clear();
            self.groups.clear();
            self.conversations.clear();
            self.delayed.clear();
            (self.position, self.version) = (0, 0);
        }
        let started = Instant::now();
        while !self.try_connect(holds).await {
            self.pause(started, "auth").await;
        }
    }

    /// Asks until there is an answer that is not to be asked for again; `None` where the connection was lost on the
    /// way, so that the request may have been carried out.
    pub(crate) async fn try_ask(&mut self, name: &str, request: &Value) -> Option<Result<Value, Value>> {
        let started = Instant::now();
        while self.chat.is_none() && !self.try_connect(Holds::Position).await {
            self.pause(started, name).await;
        }
        let chat = self.chat.as_mut()?;
        let reply = chat.try_request(name, request.clone()).await;
        let pushes = chat.taken_pushes();
        pushes.into_iter().for_each(|push| self.receive(push));
        let Some(mut reply) = reply else {
            self.chat = None;
            return None;
        };
        if reply["error"]["retryable"] == true {
            tokio::time::sleep(PAUSE).await;
            return None;
        }
        let error = reply["error"].take();
        Some(if error.is_null() { Ok(reply[name].take()) } else { Err(error) })
    }

    /// Asks for what may be asked for any number of times.
    pub(crate) async fn ask(&mut self, name: &str, request: Value) -> Result<Value, Value> {
        let started = Instant::now();
        loop {
            if let Some(answer) = self.try_ask(name, &request).await {
                return answer;
            }
            self.pause(started, name).await;
        }
    }

    /// Asks for what must not be refused.
    pub(crate) async fn must(&mut self, name: &str, request: Value) -> Value {
        match self.ask(name, request.clone()).await {
            Ok(answer) => answer,
            Err(error) => panic!("{}/{}: {name} {request} was refused: {error}", self.user, self.name),
        }
    }

    /// Sends a request and cuts the connection, so that nobody hears the answer.
    pub(crate) async fn cut(&mut self, name: &str, request: &Value) {
        let started = Instant::now();
        while self.chat.is_none() && !self.try_connect(Holds::Position).await {
            self.pause(started, name).await;
        }
        if let Some(mut chat) = self.chat.take() {
            chat.begin(name, request.clone()).await;
        }
    }

    async fn pause(&self, started: Instant, what: &str) {
        assert!(started.elapsed() < ANSWER_LIMIT, "{}/{}: no answer to {what}", self.user, self.name);
        tokio::time::sleep(PAUSE).await;
    }

    /// Tells whether it is connected.
    async fn try_connect(&mut self, holds: Holds) -> bool {
        let Some(mut chat) = JsonChat::try_open(self.address).await else { return false };
        let mut auth = json!({"user": self.user, "device": self.name, "platform": self.name});
        if holds != Holds::Unsaid {
            auth["inboxSeq"] = Value::from(self.position);
        }
        let Some(mut reply) = chat.try_request("auth", auth).await else { return false };
        if reply["error"]["retryable"] == true {
            return false;
        }
        assert!(reply.get("auth").is_some(), "{}/{}: auth was answered with {reply}", self.user, self.name);
        let mut groups = list(reply["auth"]["groups"].take());
        let mut next = reply["auth"]["groupsNext"].as_str().unwrap_or_default().to_owned();
        while !next.is_empty() {
            let Some(mut page) = chat.try_request("groupTops", json!({"cursor": next, "limit": 1})).await
            else {
                return false;
            };
            groups.extend(list(page["groupTops"]["groups"].take()));
            next = page["groupTops"]["next"].as_str().unwrap_or_default().to_owned();
        }
        for group in &groups {
            self.follow(group);
        }
        self.told_groups = groups;
        self.chat = Some(chat);
        true
    }

    /// Takes where a super group stands.
    fn follow(&mut self, group: &Value) {
        let conversation = group["conversation"].as_str().unwrap().to_owned();
        let held = self.groups.entry(conversation).or_default();
        held.top = held.top.max(group["top"].as_u64().unwrap());
        held.skip_to(group["joined"].as_u64().unwrap_or(0));
    }

    /// What has come over the wire: it is taken, lost, taken twice, or kept back.
    fn receive(&mut self, push: Value) {
        let mut happens = |chance: u32| self.random.random_ratio(chance, 100);
        if happens(self.losses.lost) {
            return;
        }
        let (is_doubled, is_delayed) = (happens(self.losses.doubled), happens(self.losses.delayed));
        if is_doubled {
            self.delayed.push_front(push.clone());
        }
        if is_delayed {
            self.delayed.push_back(push);
        } else {
            self.take(&push);
        }
        if !self.delayed.is_empty() && self.random.random_bool(0.3) {
            let at = self.random.random_range(0..self.delayed.len());
            let late = self.delayed.remove(at).unwrap();
            self.take(&late);
        }
    }

    fn take(&mut self, push: &Value) {
        if let Some((inbox_seq, row)) = Row::of_push(push) {
            match inbox_seq {
                Some(inbox_seq) => self.keep(inbox_seq, row),
                None => self.groups.entry(row.conversation.clone()).or_default().keep(&self.user, row),
            }
        } else if let Some(kicked) = push.get("kicked") {
            panic!("{}/{} was ended: {kicked}", self.user, self.name);
        } else {
            // What is not stored only says that there is something to ask for, and a healing device asks anyway.
            let hints = ["syncDone", "gap", "receipt", "conversation", "groupRequest", "presence", "typing"];
            assert!(hints.iter().any(|hint| push.get(hint).is_some()), "{}: {push}", self.user);
        }
    }

    /// Keeps a row of the inbox.
    pub(crate) fn keep(&mut self, inbox_seq: u64, row: Row) {
        if row.kind == "converted" {
            let held = self.groups.entry(row.conversation.clone()).or_default();
            held.skip_to(row.seq);
        }
        keep(&self.user, &mut self.inbox, inbox_seq, row);
        while self.inbox.contains_key(&(self.position + 1)) {
            self.position += 1;
        }
    }

    /// Asks for everything that it has not got.
    pub(crate) async fn heal(&mut self) {
        while let Some(late) = self.delayed.pop_front() {
            // What is kept back for so long is as good as lost, or comes at last.
            if self.random.random_bool(0.5) {
                self.take(&late);
            }
        }
        let mut heartbeat = self.must("heartbeat", json!({})).await;
        for group in list(heartbeat["groups"].take()) {
            self.follow(&group);
        }
        let top = heartbeat["inboxTop"].as_u64().unwrap();
        let highest = self.inbox.last_key_value().map_or(0, |(seq, _)| *seq);
        self.sync(top.max(highest)).await;
        self.list_conversations().await;
        self.sync_groups().await;
        if self.random.random_bool(0.5) {
            let acked = self.must("ack", json!({"inboxSeq": self.position})).await;
            let acked = acked["ackedUpTo"].as_u64().unwrap();
            assert!(acked <= top.max(self.position), "{}: {acked} is acked of {top}", self.user);
        }
    }

    /// Fills the inbox up to a seq.
    async fn sync(&mut self, top: u64) {
        while self.position < top {
            let begin = self.position + 1;
            let limit = self.random.random_range(1..=40);
            let mut page = self.must("sync", json!({"begin": begin, "limit": limit})).await;
            for message in list(page["messages"].take()) {
                self.keep(message["inboxSeq"].as_u64().unwrap(), Row::of_page(&message));
            }
            let (top, next) = (page["top"].as_u64().unwrap(), page["next"].as_u64().unwrap());
            let covered = if next == 0 { top } else { next - 1 };
            assert!(covered >= begin, "{}: sync from {begin} covered up to {covered}", self.user);
            assert!(
                (begin..=covered).all(|seq| self.inbox.contains_key(&seq)),
                "{}: seqs {begin} to {covered} of an inbox are covered and not there",
                self.user
            );
        }
    }

    /// Asks which conversations have changed.
    async fn list_conversations(&mut self) {
        loop {
            let limit = self.random.random_range(1..=10);
            let request = json!({"version": self.version, "limit": limit});
            let mut page = self.must("conversations", request).await;
            for conversation in list(page["conversations"].take()) {
                let name = conversation["conversation"].as_str().unwrap().to_owned();
                if conversation["kind"] == "super" && conversation.get("left").is_none() {
                    self.follow(&conversation);
                } else if conversation["kind"] == "super" {
                    // Who has left does not follow it any more.
                    if let Some(held) = self.groups.get_mut(&name) {
                        held.top = 0;
                        held.skip_to(conversation["left"].as_u64().unwrap());
                    }
                }
                self.conversations.insert(name, conversation);
            }
            self.version = page["version"].as_u64().unwrap();
            if page["more"] != true {
                return;
            }
        }
    }

    /// Fills the holes of all super groups.
    async fn sync_groups(&mut self) {
        let started = Instant::now();
        loop {
            let missing = self.groups.iter().filter(|(_, held)| held.misses());
            let positions: Vec<Value> = missing
                .map(|(name, held)| json!({"conversation": name, "begin": held.covered + 1}))
                .collect();
            if positions.is_empty() {
                return;
            }
            let limit = self.random.random_range(1..=30);
            let request = json!({"positions": positions, "limit": limit});
            let mut reply = self.must("syncGroups", request.clone()).await;
            let pages = list(reply["groups"].take());
            assert_eq!(pages.len(), positions.len(), "{}: {request}", self.user);
            for (mut page, asked) in pages.into_iter().zip(positions) {
                assert_eq!(
                    page["conversation"], asked["conversation"],
                    "{}: not in the order asked",
                    self.user
                );
                let held = self.groups.get_mut(asked["conversation"].as_str().unwrap()).unwrap();
                for message in list(page["messages"].take()) {
                    held.keep(&self.user, Row::of_page(&message));
                }
                let (top, next) = (page["top"].as_u64().unwrap(), page["next"].as_u64().unwrap());
                held.top = held.top.max(top);
                held.skip_to(if next == 0 { top } else { next - 1 });
            }
            let waited = started.elapsed();
            assert!(waited < ANSWER_LIMIT, "{}: syncGroups comes to no end with {request}", self.user);
        }
    }
}

/// Keeps a row once; a second one under the same seq must be the same, or what a recall has left of it.
fn keep(who: &str, rows: &mut BTreeMap<u64, Row>, seq: u64, row: Row) {
    match rows.get(&seq) {
        None => {
            rows.insert(seq, row);
        }
        Some(held) if *held == row || held.emptied() == row => {
            rows.insert(seq, row);
        }
        // What was kept back may come after the recall.
        Some(held) => assert_eq!(row.emptied(), *held, "{who}: seq {seq} has changed"),
    }
}

/// The values of a list that is not there are none.
pub(crate) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        Value::Null => Vec::new(),
        other => panic!("no list: {other}"),
    }
}
