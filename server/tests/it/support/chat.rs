//! Chat clients: JSON texts as a browser sees them, and the Rust client's connection in every encoding.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anser_client::{Connection, Encoding, Endpoint, Push, RequestKind};
use protocol::client::{self, target};
use serde_json::{Value, json};

use super::server::Server;
use super::websocket::{CLOSE, TEXT, WebSocket};
use super::{PATIENCE, unique, within};

/// Somebody of that name who is there, and the name, which nobody else has.
pub(crate) async fn person(server: &Server, name: &str) -> (JsonChat, String) {
    let user = unique(name);
    (JsonChat::live(server, &user, "phone").await, user)
}

/// A client of `anser.v1.json` whose texts are written by the test.
pub(crate) struct JsonChat {
    pub(crate) socket: WebSocket,
    seq: u64,
    pushes: VecDeque<Value>,
}

impl JsonChat {
    /// Connects and says nothing.
    pub(crate) async fn open(server: &Server) -> Self {
        Self::try_open(server.ws).await.expect("a server that listens")
    }

    /// As [`Self::open`]; `None` where nobody listens.
    pub(crate) async fn try_open(address: SocketAddr) -> Option<Self> {
        let socket = WebSocket::try_connect(address, Some("anser.v1.json")).await?;
        assert_eq!(socket.subprotocol.as_deref(), Some("anser.v1.json"));
        Some(Self { socket, seq: 0, pushes: VecDeque::new() })
    }

    /// Connects as a user's device that holds nothing, and waits until it is live.
    pub(crate) async fn live(server: &Server, user: &str, device: &str) -> Self {
        let mut chat = Self::open(server).await;
        chat.ask("auth", json!({"user": user, "device": device, "inboxSeq": 0})).await;
        chat.sync_done().await;
        chat
    }

    /// Sends a request and takes its whole answer; pushes that come before it are kept.
    pub(crate) async fn request(&mut self, name: &str, request: Value) -> Value {
        self.try_request(name, request).await.expect("a reply and not the end of the connection")
    }

    /// As [`Self::request`]; `None` where the connection has ended.
    pub(crate) async fn try_request(&mut self, name: &str, request: Value) -> Option<Value> {
        let seq = self.begin(name, request).await;
        self.try_reply(seq).await
    }

    /// Sends a request and gives its seq, without waiting for its answer.
    pub(crate) async fn begin(&mut self, name: &str, request: Value) -> u64 {
        self.seq += 1;
        let seq = self.seq;
        self.send_text(&json!({"seq": seq, name: request}).to_string()).await;
        seq
    }

    /// Sends a request that must not be refused and takes what its answer says.
    pub(crate) async fn ask(&mut self, name: &str, request: Value) -> Value {
        let mut reply = self.request(name, request).await;
        assert!(reply.get(name).is_some(), "{name} was answered with {reply}");
        reply[name].take()
    }

    /// Asks again and again until the answer is the one waited for.
    pub(crate) async fn ask_until(
        &mut self,
        name: &str,
        request: Value,
        is_it: impl Fn(&Value) -> bool,
    ) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.ask(name, request.clone()).await;
            if is_it(&answer) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "{name} {request} is still answered with {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a request that must be refused and takes the error.
    pub(crate) async fn refused(&mut self, name: &str, request: Value) -> Value {
        let mut reply = self.request(name, request).await;
        assert!(reply.get("error").is_some(), "{name} was answered with {reply}");
        reply["error"].take()
    }

    /// Sends a text message to a user.
    pub(crate) async fn say(&mut self, to: &str, text: &str) -> Value {
        let id = unique("client-message");
        self.ask("send", json!({"to": {"user": to}, "clientMessageId": id, "text": text})).await
    }

    /// Sends any text.
    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(TEXT, text.as_bytes()).await;
    }

    /// The answer of that seq; pushes that come before it are kept.
    pub(crate) async fn reply(&mut self, seq: u64) -> Value {
        self.try_reply(seq).await.expect("a reply and not the end of the connection")
    }

    /// As [`Self::reply`]; `None` where the connection has ended.
    pub(crate) async fn try_reply(&mut self, seq: u64) -> Option<Value> {
        loop {
            let value = self.next().await?;
            if value["seq"] == seq {
                return Some(value);
            }
            assert!(value.get("seq").is_none(), "waiting for the reply to {seq} came {value}");
            self.pushes.push_back(value);
        }
    }

    /// The pushes that have come and that nobody has taken.
    pub(crate) fn taken_pushes(&mut self) -> Vec<Value> {
        self.pushes.drain(..).collect()
    }

    /// Takes pushes until there is one of that name, and gives what it says; those before it are dropped.
    pub(crate) async fn push_of(&mut self, name: &str) -> Value {
        loop {
            let mut push = self.push().await;
            if push.get(name).is_some() {
                return push[name].take();
            }
        }
    }

    /// The next push that tells a row of a conversation: its name and what it says.
    pub(crate) async fn row(&mut self) -> (String, Value) {
        loop {
            let mut push = self.push().await;
            for name in ["message", "recalled", "groupEvent"] {
                if push.get(name).is_some() {
                    return (name.to_owned(), push[name].take());
                }
            }
        }
    }

    /// The words of the next row, which must be a message.
    pub(crate) async fn hears(&mut self) -> String {
        let (name, row) = self.row().await;
        assert_eq!(name, "message", "instead of a message came {row}");
        row["text"].as_str().unwrap_or_else(|| panic!("no words in {row}")).to_owned()
    }

    /// Sends a text message to a group.
    pub(crate) async fn say_in(&mut self, group: &str, text: &str) -> Value {
        let id = unique("client-message");
        self.ask("send", json!({"to": {"group": group}, "clientMessageId": id, "text": text})).await
    }

    /// Makes a group with these members beside the user, and these fields beside its name; gives its id.
    pub(crate) async fn make_group(&mut self, members: &[&str], fields: Value) -> String {
        let mut request = json!({"name": "group", "members": members});
        for (name, value) in fields.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        let made = self.ask("groupCreate", request).await;
        made["group"].as_str().unwrap().to_owned()
    }

    /// The next push.
    pub(crate) async fn push(&mut self) -> Value {
        if let Some(push) = self.pushes.pop_front() {
            return push;
        }
        let value = self.next().await.expect("a push and not the end of the connection");
        assert!(value.get("seq").is_none(), "instead of a push came {value}");
        value
    }

    /// Takes pushes up to the end of the replay and gives the messages before it.
    pub(crate) async fn sync_done(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            let mut push = self.push().await;
            if push.get("syncDone").is_some() {
                return messages;
            }
            assert!(push.get("message").is_some(), "in the replay came {push}");
            messages.push(push["message"].take());
        }
    }

    /// The next thing the server says; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let received = self.socket.next().await?;
        if received.opcode == CLOSE {
            return None;
        }
        assert_eq!(received.opcode, TEXT, "JSON comes in text messages");
        Some(serde_json::from_slice(&received.payload).unwrap())
    }
}

/// The three ways to carry Anser's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Json,
    Protobuf,
    Tcp,
}

pub(crate) const CARRIERS: [Carrier; 3] = [Carrier::Json, Carrier::Protobuf, Carrier::Tcp];

/// One connection that has said nothing.
pub(crate) async fn open(server: &Server, carrier: Carrier) -> Connection {
    let (url, encoding) = match carrier {
        Carrier::Json => (format!("ws://{}/sub", server.ws), Encoding::Json),
        Carrier::Protobuf => (format!("ws://{}/sub", server.ws), Encoding::Protobuf),
        Carrier::Tcp => (format!("tcp://{}", server.tcp), Encoding::Protobuf),
    };
    let endpoint = Endpoint::new(&url, encoding).unwrap();
    within("a connection", Connection::open(&endpoint)).await.unwrap()
}

/// What a device says when it connects.
pub(crate) fn hello(user: &str, device: &str, inbox_seq: Option<u64>) -> client::Auth {
    client::Auth {
        user: user.to_owned(),
        device: device.to_owned(),
        platform: "test".to_owned(),
        inbox_seq,
        ..client::Auth::default()
    }
}

/// A device past auth, and what it was answered.
pub(crate) async fn device(
    server: &Server,
    carrier: Carrier,
    auth: client::Auth,
) -> (Connection, client::AuthReply) {
    let mut connection = open(server, carrier).await;
    let reply = within("the answer to auth", connection.auth(auth)).await.unwrap();
    (connection, reply)
}

/// A device that held nothing and has taken its replay.
pub(crate) async fn live(server: &Server, carrier: Carrier, user: &str, device_name: &str) -> Connection {
    let (mut connection, _) = device(server, carrier, hello(user, device_name, Some(0))).await;
    replay(&mut connection).await;
    connection
}

/// Takes the replay: its messages, and the push that ends it.
pub(crate) async fn replay(connection: &mut Connection) -> (Vec<client::Message>, Push) {
    let mut messages = Vec::new();
    loop {
        match push(connection).await {
            Push::Message(message) => messages.push(message),
            end @ (Push::SyncDone(_) | Push::Gap(_)) => return (messages, end),
            other => panic!("in the replay came {other:?}"),
        }
    }
}

pub(crate) async fn push(connection: &mut Connection) -> Push {
    within("a push", connection.next_push()).await.unwrap()
}

/// The message of the next push.
pub(crate) async fn message(connection: &mut Connection) -> client::Message {
    match push(connection).await {
        Push::Message(message) => message,
        other => panic!("instead of a message came {other:?}"),
    }
}

/// Sends a request that must not be refused.
pub(crate) async fn ask<T: anser_client::Answer>(connection: &mut Connection, request: RequestKind) -> T {
    within("an answer", connection.request(request)).await.unwrap()
}

/// Sends a request that must be refused and gives the error's number.
pub(crate) async fn refused(connection: &mut Connection, request: RequestKind) -> u32 {
    let seq = within("sending", connection.send(request)).await.unwrap();
    match within("an answer", connection.reply(seq)).await.unwrap() {
        anser_client::ReplyKind::Error(error) => error.number,
        other => panic!("instead of an error came {other:?}"),
    }
}

pub(crate) fn to_user(user: &str) -> client::Target {
    client::Target { target: Some(target::Target::User(user.to_owned())) }
}

pub(crate) fn to_room(room: &str) -> client::Target {
    client::Target { target: Some(target::Target::Room(room.to_owned())) }
}

/// A request to send words.
pub(crate) fn words(to: client::Target, client_message_id: &str, text: &str) -> RequestKind {
    RequestKind::Send(client::Send {
        to: Some(to),
        client_message_id: client_message_id.to_owned(),
        content: Some(client::send::Content::Text(text.to_owned())),
        ..client::Send::default()
    })
}

/// Sends words to a user under a fresh client message id.
pub(crate) async fn say(connection: &mut Connection, to: &str, text: &str) -> client::SendReply {
    ask(connection, words(to_user(to), &unique("client-message"), text)).await
}

/// The words of a message.
pub(crate) fn text_of(message: &client::Message) -> &str {
    match &message.content {
        Some(client::message::Content::Text(text)) => text,
        other => panic!("not words: {other:?}"),
    }
}

pub(crate) fn sync(begin: u64, end: u64, limit: u32) -> RequestKind {
    RequestKind::Sync(client::Sync { begin, end, limit })
}

/// Reads a whole inbox, page after page.
pub(crate) async fn inbox(connection: &mut Connection) -> Vec<client::Message> {
    let (mut messages, mut begin) = (Vec::new(), 1);
    loop {
        let page: client::SyncReply = ask(connection, sync(begin, 0, 500)).await;
        messages.extend(page.messages);
        match page.next {
            0 => return messages,
            next => {
                assert!(next > begin, "sync answered next {next} to begin {begin}");
                begin = next;
            }
        }
    }
}
