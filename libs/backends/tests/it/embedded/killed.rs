//! kill -9: what was answered is there, and seqs have no hole.
//!
//! The test binary starts itself again as a child that writes and says what it was answered, kills it at a
//! random moment, and opens the folder.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use backends::store::{Append, Appended, Guard, OutboxRange, Outcome};
use bytes::Bytes;
use protocol::{ConversationId, UserId};

use super::*;
use crate::user;

/// Set in the child: the store's URL.
const CHILD_URL: &str = "ANSER_TEST_KILLED_URL";
/// Set in the child: message ids begin here.
const CHILD_FIRST: &str = "ANSER_TEST_KILLED_FIRST";
/// How often the child is killed, and the bytes of a message: to be raised for a long run.
const ROUNDS: &str = "ANSER_TEST_KILLED_ROUNDS";
const CONTENT_BYTES: &str = "ANSER_TEST_KILLED_BYTES";

const WRITERS_COUNT: u64 = 16;
const USERS_COUNT: u64 = 5;

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().unwrap())
}

fn person(number: u64) -> UserId {
    user(&format!("user-{}", number % USERS_COUNT))
}

pub(super) fn message(number: u64) -> Append {
    let (sender, receiver) = (person(number), person(number / USERS_COUNT));
    let mut inboxes = vec![sender.clone(), receiver.clone()];
    inboxes.dedup();
    let length = usize::try_from(number_from(CONTENT_BYTES, 2_000)).unwrap();
    Append {
        conversation: ConversationId::single(&sender, &receiver),
        message_id: number,
        sender,
        client_message_id: number.to_string(),
        time_ms: number,
        content: content(number, length),
        counted: true,
        mentions: Vec::new(),
        mention_all: false,
        replaces: None,
        guard: Guard::None,
        inboxes,
    }
}

/// Writes a message and answers what was answered.
pub(super) async fn append(store: &Arc<dyn Store>, number: u64) -> Appended {
    match store.append(vec![message(number)]).await.remove(0).unwrap() {
        Outcome::Written(appended) => appended,
        Outcome::Denied(denied) => panic!("message {number} was denied: {denied:?}"),
    }
}

/// Bytes that nothing makes smaller, so that files grow as they do with real messages.
fn content(number: u64, length: usize) -> Bytes {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// Not a test of its own: what the child runs.
#[tokio::test]
async fn the_child_writes_until_it_is_killed() {
    let Ok(url) = std::env::var(CHILD_URL) else { return };
    let first = number_from(CHILD_FIRST, 1);
    let store = store::open(&url).await.unwrap();
    println!("open");
    let writers: Vec<_> = (0..WRITERS_COUNT)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for turn in 0.. {
                    let number = first + turn * WRITERS_COUNT + writer;
                    let answer = append(&store, number).await;
                    let mut output = std::io::stdout().lock();
                    writeln!(output, "answered {number} {} .", answer.seq).unwrap();
                    output.flush().unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Lets a child write until about so many messages were answered, and answers all that it said.
fn write_and_kill(url: &str, first: u64, answers_count: usize) -> Vec<(u64, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::killed::the_child_writes_until_it_is_killed", "--nocapture"])
        .env(CHILD_URL, url)
        .env(CHILD_FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answered = Vec::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        answered.extend(answer_of(&line.unwrap()));
        if !killed && answered.len() >= answers_count {
            // SIGKILL.
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child must live until it is killed");
    answered
}

/// What a child was answered; `None` for any other line, and for one that the kill cut short.
pub(super) fn answer_of(line: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["answered", number, seq, "."] = words[..] else { return None };
    Some((number.parse().ok()?, seq.parse().ok()?))
}

/// Every answered message is in its outbox and its inboxes, and no box has a hole or a message twice.
pub(super) async fn check(store: &Arc<dyn Store>, answered: &BTreeMap<u64, u64>) {
    let mut messages = HashMap::new();
    for one in 0..USERS_COUNT {
        for other in one..USERS_COUNT {
            let conversation = ConversationId::single(&person(one), &person(other));
            let range = OutboxRange { conversation: conversation.clone(), begin: 1, end: 0 };
            let rows = store.outbox_pages(&[range], usize::MAX).await.unwrap().remove(0);
            assert!(rows.iter().map(|row| row.seq).eq(1..=rows.len() as u64), "a hole in {conversation}");
            for row in rows {
                let written = message(row.message_id);
                assert_eq!((&row.content, &row.sender), (&written.content, &written.sender));
                let twice = messages.insert(row.message_id, (row.seq, conversation.clone()));
                assert_eq!(twice, None, "a message is twice in the outboxes");
            }
        }
    }
    for (number, seq) in answered {
        assert_eq!(messages.get(number).map(|(seq, _)| seq), Some(seq), "answered message {number}");
    }
    let mut received: HashMap<UserId, HashSet<u64>> = HashMap::new();
    for number in 0..USERS_COUNT {
        let owner = person(number);
        let page = store.inbox_page(&owner, 1, 0, usize::MAX).await.unwrap();
        assert!(page.rows.iter().map(|row| row.inbox_seq).eq(1..=page.top), "a hole in {owner}'s inbox");
        let ids: HashSet<u64> = page.rows.iter().map(|row| row.message.message_id).collect();
        assert_eq!(ids.len(), page.rows.len(), "a message is twice in {owner}'s inbox");
        received.insert(owner, ids);
    }
    for number in messages.keys() {
        for owner in message(*number).inboxes {
            assert!(received[&owner].contains(number), "message {number} is not in {owner}'s inbox");
        }
    }
}

#[tokio::test]
async fn what_was_answered_survives_kill_9_without_a_hole() {
    let folder = tempfile::tempdir().unwrap();
    let seed = u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    println!("seed {seed}");
    let mut answered = BTreeMap::new();
    let mut random = seed;
    for round in 0..number_from(ROUNDS, 3) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let answers_count = usize::try_from(random >> 33).unwrap() % 1_500 + 1;
        let first = round * 10_000_000 + 1;
        answered.extend(write_and_kill(&url(&folder), first, answers_count));
        let store = store::open(&url(&folder)).await.unwrap();
        check(&store, &answered).await;

        // Whoever was not answered asks again and is told whether it was written.
        let (last, seq) = answered.last_key_value().map(|(number, seq)| (*number, *seq)).unwrap();
        let again = append(&store, last).await;
        assert!(again.duplicate);
        assert_eq!(again.seq, seq);
    }
}
