//! Logic and im as simple as can be, and a client that speaks frames.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use contracts::im::{Asker, Im, Page, Position, Resumed, SendRequest, SuperGroup};
use contracts::logic::{ConnectRequest, Connected, Logic};
use contracts::proxy::{Delivery, MembershipChange, Payload, Receiver};
use contracts::router::{Handle, Report, Unregistration};
use contracts::{Error, Kind, Result};
use parking_lot::Mutex;
use protocol::client::{self, Auth, AuthReply, GroupTop, Join, Message, SendReply, message};
use protocol::codec::{self, Event, FromServer, ReplyKind, RequestKind};
use protocol::{
    Code, ConnectionId, ConversationId, DeviceId, GroupId, Identifier, RoomId, ServerId, UserId, frame,
};
use proxy::{Config, Deps, PageFile, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

/// Lets everybody in who claims to be somebody, and remembers where.
#[derive(Default)]
pub(crate) struct OpenLogic {
    next: AtomicU64,
    places: Mutex<HashMap<UserId, (ConnectionId, Handle)>>,
    /// While it is true, who is let in is not told so.
    pub(crate) held: watch::Sender<bool>,
    /// While it is true, no room can be announced.
    pub(crate) unreachable: AtomicBool,
    /// The rooms of each announcement.
    pub(crate) entered: Mutex<Vec<Vec<RoomId>>>,
    pub(crate) left: Mutex<Vec<Vec<RoomId>>>,
}

impl OpenLogic {
    pub(crate) fn receiver(&self, user: &UserId, inbox_seq: u64) -> Receiver {
        let (connection, handle) = self.places.lock()[user];
        Receiver { handle, connection, inbox_seq }
    }

    /// A command that the server gives for the connection of a user.
    pub(crate) fn change(
        &self,
        user: &UserId,
        group: &str,
        version: u64,
        member: bool,
    ) -> Vec<MembershipChange> {
        let Receiver { handle, connection, .. } = self.receiver(user, 0);
        vec![MembershipChange { handle, connection, group: GroupId::new(group).unwrap(), version, member }]
    }

    pub(crate) fn is_online(&self, user: &UserId) -> bool {
        self.places.lock().contains_key(user)
    }
}

#[async_trait]
impl Logic for OpenLogic {
    async fn connect(&self, request: ConnectRequest) -> Result<Connected> {
        let connection = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let user = request.credentials.claimed;
        if let Some(user) = &user {
            self.places.lock().insert(user.clone(), (connection, request.handle));
        }
        until_released(&self.held).await;
        Ok(Connected { user, connection, key: connection.to_string() })
    }

    async fn disconnect(&self, connections: Vec<Unregistration>) -> Result<()> {
        for gone in connections {
            if let Some(user) = gone.user {
                self.places.lock().remove(&user);
            }
        }
        Ok(())
    }

    async fn enter_rooms(&self, _: &ServerId, _: u64, rooms: Vec<RoomId>) -> Result<()> {
        if self.unreachable.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Unavailable, "nobody holds the directory"));
        }
        self.entered.lock().push(rooms);
        Ok(())
    }

    async fn leave_rooms(&self, _: &ServerId, _: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.left.lock().push(rooms);
        Ok(())
    }

    async fn report(&self, _: &ServerId, report: Report) -> Result<Vec<u64>> {
        Ok(vec![0; report.wanted.len()])
    }
}

/// One inbox for everybody.
#[derive(Default)]
pub(crate) struct OneInbox {
    pub(crate) messages: Mutex<Vec<Message>>,
    pub(crate) positions: Mutex<HashMap<(UserId, DeviceId), u64>>,
    /// While it is true, sends and tops are not answered.
    pub(crate) held: watch::Sender<bool>,
    /// While it is true, pages are as if nothing had been stored.
    pub(crate) stale: AtomicBool,
    pub(crate) page_count: AtomicU64,
    pub(crate) send_count: AtomicU64,
    pub(crate) tops_count: AtomicU64,
    /// Everybody's super groups.
    pub(crate) super_groups: Mutex<Vec<SuperGroup>>,
    /// While it is true, the super groups are read but not answered.
    pub(crate) groups_held: watch::Sender<bool>,
    pub(crate) groups_count: AtomicU64,
    pub(crate) group_tops: Mutex<HashMap<ConversationId, u64>>,
    pub(crate) group_tops_count: AtomicU64,
    /// What a device that connects is told of super groups.
    pub(crate) first_tops: Mutex<Vec<GroupTop>>,
    /// While it is true, where a device stands is read but not answered.
    pub(crate) resume_held: watch::Sender<bool>,
    pub(crate) resume_count: AtomicU64,
    pub(crate) asked: Mutex<Vec<(Asker, RequestKind)>>,
    /// Whoever asks while it is set is refused.
    pub(crate) refusal: Mutex<Option<Code>>,
}

impl OneInbox {
    /// Stores a message and answers its inbox seq.
    pub(crate) fn store(&self, text: &str) -> (u64, Arc<Message>) {
        let mut messages = self.messages.lock();
        let message = Message {
            seq: messages.len() as u64 + 1,
            conversation: "single:5:alice:bob".to_owned(),
            content: Some(message::Content::Text(text.to_owned())),
            ..Message::default()
        };
        messages.push(message.clone());
        (messages.len() as u64, Arc::new(message))
    }

    /// Makes everybody a member of super groups, each come into with the row of seq 5.
    pub(crate) fn add_super_groups(&self, groups: &[&str]) {
        let listed =
            groups.iter().map(|group| SuperGroup { group: GroupId::new(group).unwrap(), version: 5 });
        self.super_groups.lock().extend(listed);
    }
}

async fn until_released(held: &watch::Sender<bool>) {
    held.subscribe().wait_for(|held| !held).await.unwrap();
}

#[async_trait]
impl Im for OneInbox {
    async fn send(&self, request: SendRequest) -> Result<SendReply> {
        assert_ne!(request.send.client_message_id, "panic");
        self.send_count.fetch_add(1, Ordering::Relaxed);
        until_released(&self.held).await;
        Ok(SendReply::default())
    }

    async fn resume(&self, _: &UserId, _: &DeviceId, held_up_to: Option<u64>) -> Result<Resumed> {
        let inbox_top = self.messages.lock().len() as u64;
        let groups = self.first_tops.lock().clone();
        self.resume_count.fetch_add(1, Ordering::Relaxed);
        until_released(&self.resume_held).await;
        let held_up_to = held_up_to.unwrap_or(0).min(inbox_top);
        Ok(Resumed { inbox_top, acked_up_to: 0, held_up_to, groups, groups_next: String::new() })
    }

    async fn ask(&self, asker: Asker, request: RequestKind) -> Result<ReplyKind> {
        if let Some(code) = *self.refusal.lock() {
            return Err(Error::refused(code, "not to you"));
        }
        let reply = match &request {
            RequestKind::Watch(watch) => {
                let presence = |user: &String| client::UserPresence {
                    user: user.clone(),
                    online: Some(false),
                    ..client::UserPresence::default()
                };
                ReplyKind::Watch(client::WatchReply { users: watch.users.iter().map(presence).collect() })
            }
            RequestKind::Read(read) => ReplyKind::Read(client::ReadReply { read_up_to: read.seq }),
            _ => return Err(Error::refused(Code::UnknownRequest, "not known here")),
        };
        self.asked.lock().push((asker, request));
        Ok(reply)
    }

    async fn super_groups(&self, _: &UserId) -> Result<Vec<SuperGroup>> {
        let groups = self.super_groups.lock().clone();
        self.groups_count.fetch_add(1, Ordering::Relaxed);
        until_released(&self.groups_held).await;
        Ok(groups)
    }

    async fn group_tops(&self, conversations: &[ConversationId]) -> Result<Vec<u64>> {
        self.group_tops_count.fetch_add(1, Ordering::Relaxed);
        let tops = self.group_tops.lock();
        Ok(conversations.iter().map(|group| tops.get(group).copied().unwrap_or(0)).collect())
    }

    async fn page(&self, _: &UserId, begin: u64, end: u64, limit: u32) -> Result<Page> {
        self.page_count.fetch_add(1, Ordering::Relaxed);
        // A store takes a moment, so that nothing else happens to wake the shard.
        tokio::time::sleep(Duration::from_millis(2)).await;
        if self.stale.load(Ordering::Relaxed) {
            return Ok(Page::default());
        }
        let messages = self.messages.lock();
        let top = messages.len() as u64;
        let end = if end == 0 { top } else { end.min(top) };
        let last = end.min(begin + u64::from(limit) - 1);
        let numbered = |seq: u64| Message { inbox_seq: Some(seq), ..messages[seq as usize - 1].clone() };
        let next = if last < top { last + 1 } else { 0 };
        Ok(Page { messages: (begin..=last).map(numbered).collect(), top, next })
    }

    async fn ack(&self, positions: Vec<Position>) -> Result<()> {
        for position in positions {
            self.positions.lock().insert((position.user, position.device), position.inbox_seq);
        }
        Ok(())
    }

    async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>> {
        self.tops_count.fetch_add(1, Ordering::Relaxed);
        until_released(&self.held).await;
        Ok(vec![self.messages.lock().len() as u64; users.len()])
    }
}

fn page(name: &str) -> Option<PageFile> {
    (name == "index.html").then(|| PageFile { media_type: "text/html", bytes: "a page".into() })
}

/// A proxy with its doors open.
pub(crate) struct Running {
    pub(crate) proxy: Proxy,
    pub(crate) contract: Arc<dyn contracts::proxy::Proxy>,
    pub(crate) logic: Arc<OpenLogic>,
    pub(crate) im: Arc<OneInbox>,
}

impl Running {
    pub(crate) async fn start(config: Config) -> Self {
        let config = Config {
            tcp: "127.0.0.1:0".parse().unwrap(),
            ws: "127.0.0.1:0".parse().unwrap(),
            shards: if config.shards == 0 { 2 } else { config.shards },
            ..config
        };
        let deps = Deps { server: ServerId("proxy-1".into()), page: Arc::new(page) };
        let proxy = Proxy::bind(config, deps).await.unwrap();
        let (logic, im) = (Arc::<OpenLogic>::default(), Arc::<OneInbox>::default());
        proxy.open_doors(Arc::clone(&logic) as _, Arc::clone(&im) as _).await;
        Self { contract: proxy.contract(), proxy, logic, im }
    }

    /// Stores a message and pushes it to a user.
    pub(crate) async fn send_to(&self, user: &UserId, text: &str) -> u64 {
        let (inbox_seq, message) = self.im.store(text);
        self.push_stored(user, inbox_seq, message).await;
        inbox_seq
    }

    /// Pushes a stored message to a user.
    pub(crate) async fn push_stored(&self, user: &UserId, inbox_seq: u64, message: Arc<Message>) {
        let receivers = vec![self.logic.receiver(user, inbox_seq)];
        let delivery = Delivery { receivers, payload: Payload::Stored(message) };
        self.contract.deliver(vec![delivery]).await.unwrap();
    }
}

/// A client on TCP.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(running: &Running) -> Self {
        let stream = TcpStream::connect(running.proxy.tcp_address()).await.unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Connects with a socket that holds little of what is not read.
    pub(crate) async fn connect_with_little_room(running: &Running) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(running.proxy.tcp_address()).await.unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Connects and says who it is.
    pub(crate) async fn login(running: &Running, user: &UserId, inbox_seq: Option<u64>) -> Self {
        let mut client = Self::connect(running).await;
        client.say_who(user, inbox_seq).await;
        client
    }

    pub(crate) async fn say_who(&mut self, user: &UserId, inbox_seq: Option<u64>) -> AuthReply {
        let auth = Auth { user: user.to_string(), inbox_seq, ..Auth::default() };
        self.request(1, RequestKind::Auth(auth)).await;
        self.let_in().await
    }

    /// The answer to auth, which comes before all else.
    pub(crate) async fn let_in(&mut self) -> AuthReply {
        match self.next().await {
            FromServer::Reply(1, ReplyKind::Auth(reply)) => reply,
            other => panic!("{other:?} in place of the answer to auth"),
        }
    }

    /// Asks, and passes over what is pushed until the answer is there.
    pub(crate) async fn ask(&mut self, request: RequestKind) -> ReplyKind {
        self.request(7, request).await;
        loop {
            if let FromServer::Reply(7, reply) = self.next().await {
                return reply;
            }
        }
    }

    pub(crate) async fn join(&mut self, room: &str) {
        self.request(2, RequestKind::Join(Join { rooms: vec![room.to_owned()] })).await;
        loop {
            if matches!(self.next().await, FromServer::Reply(2, ReplyKind::Join(_))) {
                return;
            }
        }
    }

    pub(crate) async fn request(&mut self, seq: i32, request: RequestKind) {
        self.stream.write_all(&codec::encode_request_frame(seq, &request)).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> FromServer {
        let frame = self.next_frame().await;
        let frame = frame::decode_message(&frame, usize::MAX).unwrap();
        codec::decode_server_frame(&frame).unwrap()
    }

    pub(crate) async fn next_push(&mut self) -> Event {
        loop {
            if let FromServer::Push(event) = self.next().await {
                return event;
            }
        }
    }

    pub(crate) async fn next_frame(&mut self) -> Vec<u8> {
        loop {
            if let Some(frame) = frame::decode(&self.received, 1 << 24).unwrap() {
                let length_bytes = frame.length_bytes();
                return self.received.drain(..length_bytes).collect();
            }
            let read = self.stream.read_buf(&mut self.received);
            let read_bytes = tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
            assert!(read_bytes > 0, "the server closed the connection");
        }
    }
}
