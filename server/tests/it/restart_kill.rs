//! The kill loop: people chat while the process is killed and started again and again.
//!
//! What is promised: a send that was answered is stored; it is in both inboxes exactly once; seqs are 1, 2,
//! 3, … without a hole in every conversation and every inbox; every receiver ends with all of it, without
//! having asked for anything but what a client asks for when it connects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anser_client::{Connection, Encoding, Endpoint, Error, FromServer, Push, ReplyKind, RequestKind};
use protocol::client;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::chat::{Carrier, hello, inbox, live, sync, text_of, to_user, words};
use crate::support::server::{Server, Setup};
use crate::support::{PATIENCE, seed};

const SENDERS: usize = 50;
const DEVICE: &str = "phone";
/// How long the last of them may take to hold everything, once nobody kills any more.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// How long a client waits for a hole to be filled before it asks.
const HOLE_WAIT: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_or_doubled_by_kill_9() {
    let rounds: u32 = std::env::var("ANSER_KILL_ROUNDS").map_or(30, |text| text.parse().unwrap());
    let seed = seed("kill loop");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Setup::dev().same_ports().start();
    let world = Arc::new(World {
        endpoints: endpoints(&server),
        is_over: AtomicBool::new(false),
        answered_count: AtomicU64::new(0),
        writing_count: AtomicUsize::new(SENDERS),
    });
    let people: Vec<_> = (0..SENDERS)
        .map(|index| {
            let person = Person::new(index, random.random());
            tokio::spawn(person.live(Arc::clone(&world)))
        })
        .collect();
    for round in 1..=rounds {
        let answered = world.answered_count.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(random.random_range(50..900))).await;
        tokio::task::block_in_place(|| {
            server.kill();
            server.start_again();
        });
        let now = world.answered_count.load(Ordering::Relaxed);
        println!("round {round}: {} sends were answered", now - answered);
    }
    world.is_over.store(true, Ordering::Relaxed);
    let mut ended = Vec::new();
    for person in people {
        ended.push(person.await.unwrap());
    }
    let answered: usize = ended.iter().map(|person| person.answered.len()).sum();
    println!("{answered} answered sends, {rounds} kills");
    assert!(answered as u64 >= u64::from(rounds), "hardly anything was sent: {answered}");
    check(&server, &ended).await;
}

fn endpoints(server: &Server) -> Vec<Endpoint> {
    let ws = format!("ws://{}/sub", server.ws);
    let tcp = format!("tcp://{}", server.tcp);
    vec![
        Endpoint::new(&ws, Encoding::Json).unwrap(),
        Endpoint::new(&ws, Encoding::Protobuf).unwrap(),
        Endpoint::new(&tcp, Encoding::Protobuf).unwrap(),
    ]
}

/// What all people share.
struct World {
    endpoints: Vec<Endpoint>,
    is_over: AtomicBool,
    answered_count: AtomicU64,
    /// People who may still send something.
    writing_count: AtomicUsize,
}

/// One person with one device, who writes to others and keeps what comes.
struct Person {
    index: usize,
    name: String,
    random: StdRng,
    /// Client message id → the text and the answer.
    answered: HashMap<String, (String, client::SendReply)>,
    /// Inbox seq → message id, as answers, replays, pushes and pages told it.
    held: BTreeMap<u64, u64>,
    /// Every inbox seq up to here is held.
    position: u64,
    /// The send that has no answer yet: to whom, its id, its text. It is repeated until it has one.
    pending: Option<(usize, String, String)>,
    sent_count: usize,
    is_writing: bool,
}

fn name(index: usize) -> String {
    format!("person-{index:02}")
}

/// Where one connection of a person stands.
#[derive(Default)]
struct Talk {
    /// The replay is done.
    is_live: bool,
    /// The seq of the send that is being waited for, and since when.
    asked: Option<(u64, Instant)>,
    /// Since when there is a hole.
    hole_since: Option<Instant>,
}

impl Person {
    fn new(index: usize, seed: u64) -> Self {
        Self {
            index,
            name: name(index),
            random: StdRng::seed_from_u64(seed),
            answered: HashMap::new(),
            held: BTreeMap::new(),
            position: 0,
            pending: None,
            sent_count: 0,
            is_writing: true,
        }
    }

    /// Connects, chats until the connection is lost, and connects again, until it is over and everything is
    /// there.
    async fn live(mut self, world: Arc<World>) -> Self {
        let mut settling = None;
        loop {
            if world.is_over.load(Ordering::Relaxed) {
                let since = *settling.get_or_insert_with(Instant::now);
                assert!(since.elapsed() < SETTLE_LIMIT, "{} does not settle", self.name);
            }
            let endpoint = &world.endpoints[self.random.random_range(0..world.endpoints.len())];
            let opening = tokio::time::timeout(PATIENCE, Connection::open(endpoint));
            if let Ok(Ok(connection)) = opening.await
                && let Ok(true) = self.chat(connection, &world).await
            {
                return self;
            }
            tokio::time::sleep(Duration::from_millis(self.random.random_range(10..120))).await;
        }
    }

    /// Tells whether it has settled; an error is a lost connection.
    async fn chat(&mut self, mut connection: Connection, world: &World) -> Result<bool, Error> {
        let auth = connection.auth(hello(&self.name, DEVICE, Some(self.position)));
        let Ok(reply) = tokio::time::timeout(PATIENCE, auth).await else {
            panic!("{}: auth was not answered", self.name);
        };
        reply?;
        let mut talk = Talk::default();
        loop {
            if talk.asked.is_none() && self.has_something_to_say(world) {
                let seq = connection.send(self.next_send()).await?;
                talk.asked = Some((seq, Instant::now()));
            }
            if talk.asked.is_none() && talk.is_live && self.has_settled(&mut connection, world).await? {
                return Ok(true);
            }
            match tokio::time::timeout(Duration::from_millis(100), connection.next()).await {
                Err(_) => {}
                Ok(next) => self.take(next?, &mut talk, &mut connection, world).await?,
            }
            if let Some((_, since)) = talk.asked {
                assert!(since.elapsed() < PATIENCE, "{}: a send was not answered", self.name);
            }
            self.heal(&mut talk, &mut connection).await?;
        }
    }

    /// Once it is over, only what has no answer yet is said again.
    fn has_something_to_say(&mut self, world: &World) -> bool {
        if self.pending.is_some() || !world.is_over.load(Ordering::Relaxed) {
            return true;
        }
        if self.is_writing {
            self.is_writing = false;
            world.writing_count.fetch_sub(1, Ordering::SeqCst);
        }
        false
    }

    /// When nobody writes any more, a heartbeat's answer tells whether something is missing.
    async fn has_settled(&mut self, connection: &mut Connection, world: &World) -> Result<bool, Error> {
        if world.writing_count.load(Ordering::SeqCst) > 0 {
            return Ok(false);
        }
        let request = RequestKind::Heartbeat(client::Heartbeat {});
        let reply: client::HeartbeatReply = connection.request(request).await?;
        Ok(self.position >= reply.inbox_top)
    }

    fn next_send(&mut self) -> RequestKind {
        if self.pending.is_none() {
            // To a few neighbours, so that conversations are busy from both sides; sometimes to oneself.
            let other = (self.index + SENDERS + self.random.random_range(0..7) - 3) % SENDERS;
            let id = format!("{}-{}", self.name, self.sent_count);
            self.sent_count += 1;
            self.pending = Some((other, id.clone(), format!("{id} to {other}")));
        }
        let (to, id, text) = self.pending.as_ref().unwrap();
        words(to_user(&name(*to)), id, text)
    }

    async fn take(
        &mut self,
        item: FromServer,
        talk: &mut Talk,
        connection: &mut Connection,
        world: &World,
    ) -> Result<(), Error> {
        match item {
            FromServer::Reply(seq, reply) if talk.asked.is_some_and(|(asked, _)| asked == seq) => {
                talk.asked = None;
                self.take_answer(reply, world);
            }
            FromServer::Push(Push::Message(message)) => {
                self.keep(message.inbox_seq.unwrap(), message.message_id);
            }
            FromServer::Push(Push::SyncDone(_)) => talk.is_live = true,
            // How far others have received is not stored; it may come or not.
            FromServer::Push(Push::Receipt(_)) => {}
            FromServer::Push(Push::Gap(gap)) => {
                talk.is_live = true;
                self.page(connection, gap.begin, gap.end).await?;
            }
            other => panic!("{}: {other:?}", self.name),
        }
        Ok(())
    }

    fn take_answer(&mut self, reply: ReplyKind, world: &World) {
        match reply {
            ReplyKind::Send(reply) => {
                let (_, id, text) = self.pending.take().unwrap();
                assert!(reply.seq > 0, "{}: {reply:?}", self.name);
                // The sending device knows its own message by this answer and is pushed nothing.
                if let Some(inbox_seq) = reply.inbox_seq {
                    self.keep(inbox_seq, reply.message_id);
                }
                self.answered.insert(id, (text, reply));
                world.answered_count.fetch_add(1, Ordering::Relaxed);
            }
            // It may come while the process is starting; the same send is made again.
            ReplyKind::Error(error) => assert!(error.retryable, "{}: {error:?}", self.name),
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// Keeps a message; the same inbox seq never means another message.
    fn keep(&mut self, inbox_seq: u64, message_id: u64) {
        let held = *self.held.entry(inbox_seq).or_insert(message_id);
        assert_eq!(held, message_id, "{}: inbox seq {inbox_seq} changed", self.name);
        while self.held.contains_key(&(self.position + 1)) {
            self.position += 1;
        }
    }

    /// Fills a hole as a client does: with one sync, once it has waited.
    async fn heal(&mut self, talk: &mut Talk, connection: &mut Connection) -> Result<(), Error> {
        let highest = self.held.last_key_value().map_or(0, |(seq, _)| *seq);
        if self.position >= highest {
            talk.hole_since = None;
            return Ok(());
        }
        if talk.hole_since.get_or_insert_with(Instant::now).elapsed() > HOLE_WAIT {
            talk.hole_since = None;
            self.page(connection, self.position + 1, highest).await?;
        }
        Ok(())
    }

    async fn page(&mut self, connection: &mut Connection, mut begin: u64, end: u64) -> Result<(), Error> {
        loop {
            let page: client::SyncReply = connection.request(sync(begin, end, 500)).await?;
            for message in page.messages {
                self.keep(message.inbox_seq.unwrap(), message.message_id);
            }
            if page.next == 0 || page.next > end {
                return Ok(());
            }
            begin = page.next;
        }
    }
}

/// Reads everything back and compares it with what was answered.
async fn check(server: &Server, people: &[Person]) {
    let mut conversations: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    let mut inboxes = Vec::new();
    for person in people {
        let mut connection = live(server, Carrier::Tcp, &person.name, "check").await;
        let stored = inbox(&mut connection).await;
        assert!(
            stored.iter().map(|message| message.inbox_seq.unwrap()).eq(1..=stored.len() as u64),
            "{}: the inbox has a hole",
            person.name
        );
        let ids: HashSet<u64> = stored.iter().map(|message| message.message_id).collect();
        assert_eq!(ids.len(), stored.len(), "{}: a message is there twice", person.name);
        let sends: HashSet<(&str, &str)> = stored
            .iter()
            .map(|message| (message.sender.as_str(), message.client_message_id.as_str()))
            .collect();
        assert_eq!(sends.len(), stored.len(), "{}: a send is there twice", person.name);
        assert!(
            person.held.values().copied().eq(stored.iter().map(|message| message.message_id)),
            "{}: holds {} of {} messages",
            person.name,
            person.held.len(),
            stored.len()
        );
        for message in &stored {
            let conversation = conversations.entry(message.conversation.clone()).or_default();
            let id = *conversation.entry(message.seq).or_insert(message.message_id);
            assert_eq!(id, message.message_id, "{} seq {}", message.conversation, message.seq);
        }
        inboxes.push(stored);
    }
    for (conversation, seqs) in &conversations {
        assert!(
            seqs.keys().copied().eq(1..=seqs.len() as u64),
            "{conversation} has a hole: {:?}",
            seqs.keys()
        );
    }
    for person in people {
        for (id, (text, reply)) in &person.answered {
            let receiver: usize = text.rsplit(' ').next().unwrap().parse().unwrap();
            for index in HashSet::from([person.index, receiver]) {
                let found: Vec<_> =
                    inboxes[index].iter().filter(|message| message.message_id == reply.message_id).collect();
                assert_eq!(found.len(), 1, "{id} is {} times in the inbox of {}", found.len(), name(index));
                assert_eq!((found[0].seq, text_of(found[0])), (reply.seq, text.as_str()), "{id}");
                assert_eq!(&found[0].client_message_id, id);
            }
        }
    }
}
