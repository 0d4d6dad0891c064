//! Carries one plan out against the server and compares what comes of it with the world.
//!
//! A step is over before the next one begins. A request whose connection was lost is made again, after a look whether
//! it has been carried out where making it twice would be seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::compare::{self, Source};
use super::device::{ANSWER_LIMIT, Device, list};
use super::plan::{Act, DEVICES, Holds, Plan, Say, Step, Way};
use super::request;
use super::row::Row;
use super::world::{Chat, Role, Who, World};

/// How long inboxes may take to hold what was written, on a machine that restarts the server meanwhile.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// A plan that is being carried out.
pub(crate) struct Run {
    world: World,
    /// Of each user, by number: the devices.
    devices: Vec<Vec<Option<Device>>>,
}

impl Run {
    pub(crate) fn new(plan: &Plan, address: SocketAddr) -> Self {
        let world = World::new(plan.seed, plan.user_count);
        let device = |who: Who, number: usize| {
            let seed = plan.seed.wrapping_mul(31).wrapping_add((who * 2 + number) as u64);
            Some(Device::new(address, world.user(who), DEVICES[number], plan.losses, seed))
        };
        let devices = (0..plan.user_count).map(|who| vec![device(who, 0), device(who, 1)]).collect();
        Self { world, devices }
    }

    /// All steps, and the comparison at the end.
    ///
    /// # Panics
    /// Where anything is not as it must be.
    pub(crate) async fn carry_out(mut self, plan: &Plan, reached: &AtomicUsize) {
        for (number, step) in plan.steps.iter().enumerate() {
            reached.store(number, Ordering::Relaxed);
            self.world.step = number;
            self.step(step).await;
        }
        reached.store(plan.steps.len(), Ordering::Relaxed);
        self.world.step = plan.steps.len();
        self.end().await;
    }

    fn device(&mut self, who: Who, number: usize) -> &mut Device {
        self.devices[who][number].as_mut().unwrap()
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Act { by, device, way, act: Act::Say(say) } => self.say(*by, *device, *way, say).await,
            Step::Act { by, device, act, .. } => self.act(*by, *device, act).await,
            Step::Together(says) => self.together(says).await,
            Step::Away { who, device } => self.device(*who, *device).go(),
            Step::Back { who, device, holds } => {
                self.device(*who, *device).come_back(*holds).await;
                let told = self.device(*who, *device).told_groups.clone();
                compare::told_groups(&self.world, *who, &told);
            }
            Step::Settle => {
                for who in 0..self.world.user_count {
                    if self.devices[who].iter().flatten().any(Device::is_there) {
                        self.settle(who).await;
                    }
                }
            }
            Step::Heal { who, device } => {
                self.settle(*who).await;
                self.heal(*who, *device).await;
            }
        }
    }

    /// Waits until a user's inbox holds everything, and no more.
    async fn settle(&mut self, who: Who) {
        let length = self.world.inbox_length(who);
        let number =
            self.devices[who].iter().position(|device| device.as_ref().is_some_and(Device::is_there));
        let device = self.device(who, number.unwrap_or(0));
        let started = Instant::now();
        loop {
            let page = device.must("sync", json!({"begin": length.max(1), "limit": 1})).await;
            let top = page["top"].as_u64().unwrap();
            if top == length {
                break;
            }
            assert!(top < length, "{}: the inbox has {top} rows and must have {length}", device.user);
            assert!(
                started.elapsed() < SETTLE_LIMIT,
                "{}: the inbox has {top} of {length} rows after {SETTLE_LIMIT:?}",
                device.user
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let step = self.world.step;
        self.world.settled.entry(who).or_default().push(step);
    }

    /// A device asks for what it misses until it misses nothing; the tops that a heartbeat tells may be one heartbeat
    /// old. Then it must hold what there is.
    async fn heal(&mut self, who: Who, number: usize) {
        let device = self.devices[who][number].as_mut().unwrap();
        let started = Instant::now();
        loop {
            device.heal().await;
            let Some(lack) = compare::lack(&self.world, who, device) else { break };
            assert!(started.elapsed() < SETTLE_LIMIT, "{}/{}: lacks {lack}", device.user, device.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        compare::device(&self.world, who, device);
    }

    async fn say(&mut self, by: Who, number: usize, way: Way, say: &Say) {
        let body = request::send(&self.world, by, say);
        let allowed = self.world.apply(by, &Act::Say(say.clone())).is_ok();
        let device = self.device(by, number);
        if way == Way::Cut {
            device.cut("send", &body).await;
        }
        let answer = device.ask("send", body.clone()).await;
        if way == Way::Doubled
            && let Ok(answer) = &answer
        {
            let second = device.must("send", body).await;
            assert_eq!(second, *answer, "the second answer to {say:?}");
        }
        if let Some(answer) = expected(answer, allowed, say) {
            let top = self.world.top(say.chat);
            assert_eq!(answer["seq"], top, "{say:?} was answered with {answer}");
            self.take_answer(by, number, say, &answer);
        }
    }

    /// Which of them comes first is the server's to say; each must follow the rows that were there.
    async fn together(&mut self, says: &[(Who, Say)]) {
        let mut asking = JoinSet::new();
        for (place, (by, say)) in says.iter().enumerate() {
            let allowed = self.world.clone().apply(*by, &Act::Say(say.clone())).is_ok();
            let body = request::send(&self.world, *by, say);
            let mut device = self.devices[*by][0].take().unwrap();
            asking.spawn(async move {
                let answer = device.ask("send", body).await;
                (place, device, answer, allowed)
            });
        }
        let mut answers: Vec<(u64, usize, Value)> = Vec::new();
        while let Some(done) = asking.join_next().await {
            let (place, device, answer, allowed) =
                done.unwrap_or_else(|error| match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => panic!("{error}"),
                });
            let (by, say) = &says[place];
            self.devices[*by][0] = Some(device);
            if let Some(answer) = expected(answer, allowed, say) {
                answers.push((answer["seq"].as_u64().unwrap(), place, answer));
            }
        }
        answers.sort_unstable_by_key(|(seq, place, _)| (*seq, *place));
        for (seq, place, answer) in answers {
            let (by, say) = &says[place];
            self.world.apply(*by, &Act::Say(say.clone())).unwrap();
            assert_eq!(seq, self.world.top(say.chat), "{says:?}: {answer}");
            self.take_answer(*by, 0, say, &answer);
        }
    }

    fn take_answer(&mut self, by: Who, number: usize, say: &Say, answer: &Value) {
        let seq = answer["seq"].as_u64().unwrap();
        assert_eq!(answer["conversation"], self.world.conversation(say.chat));
        let is_single = matches!(say.chat, Chat::Single(..));
        assert_eq!(answer["inboxSeq"].is_u64(), is_single, "{say:?} was answered with {answer}");
        let message_id = answer["messageId"].as_str().unwrap();
        assert!(message_id.parse::<u64>().is_ok_and(|id| id > 0), "{answer}");
        let rows = self.world.rows.get_mut(&say.chat).unwrap();
        rows[seq as usize - 1].message_id = message_id.to_owned();
        if let Some(inbox_seq) = answer["inboxSeq"].as_u64() {
            // The sending device knows its own message by this answer and is pushed nothing.
            let row = self.world.row(say.chat, seq);
            self.device(by, number).keep(inbox_seq, row);
        }
    }

    async fn act(&mut self, by: Who, number: usize, act: &Act) {
        let before = self.world.clone();
        let allowed = self.world.apply(by, act).is_ok();
        let (name, body) = request::of(&before, act);
        let device = self.devices[by][number].as_mut().unwrap();
        let mut is_repeated = false;
        let started = Instant::now();
        let answer = loop {
            if let Some(answer) = device.try_ask(name, &body).await {
                break answer;
            }
            is_repeated = true;
            if allowed && request::is_done(&before, device, act).await {
                return;
            }
            assert!(started.elapsed() < ANSWER_LIMIT, "{act:?} is not answered");
        };
        // Somebody who was answered asks no more.
        let was_answered = allowed && is_repeated && matches!(act, Act::Answer { .. });
        if was_answered && answer.as_ref().is_err_and(|error| error["number"] == 40_400) {
            return;
        }
        if let Some(answer) = expected(answer, allowed, act)
            && !is_repeated
        {
            self.check_answer(&before, by, act, &answer);
        }
    }

    /// What an answer says beside that it was done.
    fn check_answer(&self, before: &World, by: Who, act: &Act, answer: &Value) {
        let names = |users: &[Who], are_members: bool, group: usize| {
            let of_them =
                users.iter().filter(|&&who| before.groups[group].role(who).is_some() == are_members);
            let mut names: Vec<String> = of_them.map(|&who| before.user(who)).collect();
            names.sort_unstable();
            names
        };
        match act {
            Act::Read { chat, .. } => {
                assert_eq!(answer["readUpTo"], self.world.own(by, *chat).read, "{act:?}: {answer}");
            }
            Act::Recall { chat, seq } => {
                assert_eq!(answer["seq"], self.world.recalled_by(*chat, *seq), "{act:?}: {answer}");
            }
            Act::Create { group, .. } => {
                assert_eq!(answer["group"], before.group_name(*group));
                assert_eq!(answer["conversation"], before.conversation(Chat::Group(*group)));
            }
            Act::Invite { group, users } => {
                assert_eq!(sorted(&answer["invited"]), names(users, false, *group), "{act:?}: {answer}");
            }
            Act::Remove { group, users } => {
                assert_eq!(sorted(&answer["removed"]), names(users, true, *group), "{act:?}: {answer}");
            }
            Act::Join { group } => {
                let is_member = self.world.groups[*group].role(by).is_some();
                assert_eq!(answer["joined"], is_member, "{act:?}: {answer}");
            }
            _ => {}
        }
    }

    /// Everybody comes back and heals; then what everybody holds and what the server says must be what there is.
    async fn end(&mut self) {
        for who in 0..self.world.user_count {
            if !self.device(who, 0).is_there() {
                self.device(who, 0).come_back(Holds::Position).await;
            }
            self.settle(who).await;
            for number in 0..DEVICES.len() {
                let device = self.device(who, number);
                // A device that was never there has nothing to heal.
                if device.is_there() || device.position > 0 {
                    self.heal(who, number).await;
                }
            }
        }
        for who in 0..self.world.user_count {
            self.ask_the_server(who).await;
        }
        for group in 0..self.world.groups.len() {
            let members = &self.world.groups[group].members;
            let Some((&owner, _)) = members.iter().find(|(_, member)| member.role == Role::Owner) else {
                continue;
            };
            let device = self.devices[owner][0].as_mut().unwrap();
            let found = request::members(&self.world, device, group).await;
            compare::members(&self.world, group, &found);
        }
    }

    /// What a device without anything would be told.
    async fn ask_the_server(&mut self, who: Who) {
        let device = self.devices[who][0].as_mut().unwrap();
        let (mut inbox, mut begin) = (BTreeMap::new(), 1);
        while begin > 0 {
            let mut page = device.must("sync", json!({"begin": begin, "limit": 500})).await;
            for message in list(page["messages"].take()) {
                inbox.insert(message["inboxSeq"].as_u64().unwrap(), Row::of_page(&message));
            }
            begin = page["next"].as_u64().unwrap();
        }
        compare::inbox(&self.world, who, &inbox, Source::Server);
        let mut conversations = BTreeMap::new();
        let mut version = 0;
        loop {
            let mut page = device.must("conversations", json!({"version": version, "limit": 4})).await;
            for conversation in list(page["conversations"].take()) {
                let name = conversation["conversation"].as_str().unwrap().to_owned();
                conversations.insert(name, conversation);
            }
            version = page["version"].as_u64().unwrap();
            if page["more"] != true {
                break;
            }
        }
        compare::list(&self.world, who, &conversations);
        let mut tops = device.must("groupTops", json!({})).await;
        compare::told_groups(&self.world, who, &list(tops["groups"].take()));
        let chats = self.world.chats(who);
        if let Some(&chat) = chats.get(self.world.seed as usize % chats.len().max(1)) {
            let backwards = self.world.seed.is_multiple_of(2);
            let conversation = self.world.conversation(chat);
            let rows = history(device, &conversation, backwards).await;
            compare::history(&self.world, who, chat, &rows);
            if let Some((seq, readers)) = self.world.readers(who, chat) {
                let request = json!({"conversation": conversation, "seq": seq});
                if self.world.has_left(who, chat) {
                    let refused = device.ask("readers", request).await.unwrap_err();
                    assert_eq!(
                        refused["code"], "not_allowed",
                        "who has left {conversation} asked for readers"
                    );
                } else {
                    let told = device.must("readers", request).await;
                    assert_eq!(sorted(&told["users"]), readers, "who has read {seq} of {conversation}");
                }
            }
        }
    }
}

/// Reads a conversation from one end to the other.
async fn history(device: &mut Device, conversation: &str, backwards: bool) -> Vec<Row> {
    let (mut rows, mut at) = (Vec::<Row>::new(), None);
    loop {
        let mut request = json!({"conversation": conversation, "limit": 7});
        match (backwards, at) {
            (true, Some(seq)) => request["before"] = Value::from(seq),
            (true, None) => {}
            (false, at) => request["after"] = Value::from(at.unwrap_or(0)),
        }
        let mut page = device.must("history", request).await;
        let found: Vec<Row> = list(page["messages"].take()).iter().map(Row::of_page).collect();
        at = if backwards { found.first() } else { found.last() }.map(|row| row.seq);
        let place = if backwards { 0 } else { rows.len() };
        rows.splice(place..place, found);
        if page["more"] != true {
            return rows;
        }
    }
}

/// The answer to what was allowed; `None` where it was refused and had to be.
fn expected<T: std::fmt::Debug>(answer: Result<Value, Value>, allowed: bool, what: &T) -> Option<Value> {
    match (answer, allowed) {
        (Ok(answer), true) => Some(answer),
        (Err(error), false) => {
            let number = error["number"].as_u64().unwrap();
            assert!((40_000..50_000).contains(&number), "{what:?} was refused with {error}");
            None
        }
        (Ok(answer), false) => panic!("{what:?} must be refused and was answered with {answer}"),
        (Err(error), true) => panic!("{what:?} was refused: {error}"),
    }
}

fn sorted(names: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        names.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    names.sort_unstable();
    names
}
