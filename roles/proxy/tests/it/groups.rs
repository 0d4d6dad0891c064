//! Super groups: who is in their rooms, what they are told, and that nobody names a room of the server's own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use contracts::proxy::{Delivery, Payload, RoomDelivery, RoomPayload};
use protocol::client::{self, Auth, GroupTop, HeartbeatReply, Message, Target, message, target};
use protocol::codec::{Event, ReplyKind, RequestKind};
use protocol::frame::{self, Header};
use protocol::message::kind;
use protocol::{ConversationId, GroupId, Identifier, RoomId, UserId, operation};
use proxy::Config;
use tokio::io::AsyncWriteExt;

use crate::fakes::{Client, Running};
use crate::websocket::JsonClient;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn group(name: &str) -> GroupId {
    GroupId::new(name).unwrap()
}

fn conversation(name: &str) -> ConversationId {
    ConversationId::group(&group(name))
}

/// A room's second message waits for a second.
fn slow_passes() -> Config {
    Config { merge_share: 0.000_001, merge_budget: Duration::from_secs(1), ..one_shard() }
}

/// With one shard, whoever shares a room is written to in the same pass.
fn one_shard() -> Config {
    Config { shards: 1, ..Config::default() }
}

fn row(name: &str, seq: u64) -> Message {
    Message {
        conversation: conversation(name).to_string(),
        group: Some(name.to_owned()),
        seq,
        message_id: 1000 + seq,
        sender: "sender".to_owned(),
        time_ms: 1,
        content: Some(message::Content::Text(format!("row {seq}"))),
        ..Message::default()
    }
}

impl Running {
    /// Pushes rows to the room of their super group; their seqs rise over all groups of a test.
    async fn push_rows(&self, name: &str, rows: impl IntoIterator<Item = Message>) {
        let delivery = |row: Message| RoomDelivery {
            room: RoomId::of_group(&group(name)),
            position: (0, row.seq),
            payload: RoomPayload::Row(Arc::new(row)),
        };
        self.contract.deliver_to_rooms(rows.into_iter().map(delivery).collect()).await.unwrap();
    }

    async fn command(&self, user: &UserId, group: &str, version: u64, member: bool) {
        let changes = self.logic.change(user, group, version, member);
        self.contract.set_memberships(changes).await.unwrap();
    }

    /// Sends something to one user that comes after all that was sent before.
    async fn mark(&self, user: &UserId) {
        let payload = Payload::Operation { operation: 7, body: Bytes::from_static(b"mark") };
        let receivers = vec![self.logic.receiver(user, 0)];
        self.contract.deliver(vec![Delivery { receivers, payload }]).await.unwrap();
    }
}

/// The seqs of the rows that come before the mark.
async fn rows_until_mark(client: &mut Client) -> Vec<u64> {
    let mut rows = Vec::new();
    loop {
        match client.next_push().await {
            Event::Message(row) => rows.push(row.seq),
            Event::Push(_) => return rows,
            Event::SyncDone(_) => {}
            other => panic!("{other:?} in place of rows"),
        }
    }
}

async fn next_row(client: &mut Client) -> Message {
    loop {
        match client.next_push().await {
            Event::Message(row) => return row,
            Event::SyncDone(_) => {}
            other => panic!("{other:?} in place of a row"),
        }
    }
}

async fn heartbeat(client: &mut Client) -> Vec<(String, u64)> {
    match client.ask(RequestKind::Heartbeat(client::Heartbeat {})).await {
        ReplyKind::Heartbeat(HeartbeatReply { groups, .. }) => {
            groups.into_iter().map(|group| (group.conversation, group.top)).collect()
        }
        other => panic!("{other:?} in place of the heartbeat's answer"),
    }
}

async fn goim_login(running: &Running, mid: i64) -> Client {
    let mut client = Client::connect(running).await;
    let auth = Header { version: 1, operation: operation::GOIM_AUTH, sequence: 1 };
    client.stream.write_all(&auth.frame(format!(r#"{{"mid":{mid}}}"#).as_bytes())).await.unwrap();
    let reply = client.next_frame().await;
    let reply = frame::decode_message(&reply, 64).unwrap();
    assert_eq!(reply.header.operation, operation::GOIM_AUTH_REPLY);
    client
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waited).await.unwrap();
}

#[tokio::test]
async fn a_row_reaches_each_client_in_its_form() {
    let running = Running::start(Config::default()).await;
    running.im.add_super_groups(&["g"]);
    let mut protobuf = Client::login(&running, &user("protobuf"), Some(0)).await;
    let mut json = JsonClient::login(&running, "json").await;
    let mut goim = goim_login(&running, 42).await;
    let recalled = Message {
        kind: Some(kind::RECALLED.to_owned()),
        target: Some(6),
        by: Some("sender".to_owned()),
        content: None,
        ..row("g", 7)
    };
    running.push_rows("g", [row("g", 6), recalled]).await;
    assert_eq!(next_row(&mut protobuf).await, row("g", 6));
    let Event::Recalled(told) = protobuf.next_push().await else { panic!("no recall") };
    assert_eq!((told.seq, told.target, told.inbox_seq, told.by.as_str()), (7, 6, None, "sender"));
    assert!(matches!(json.next_push().await, Event::SyncDone(_)));
    assert_eq!(json.next_push().await, Event::Message(row("g", 6)));
    assert_eq!(json.next_push().await, Event::Recalled(told));
    let frame = goim.next_frame().await;
    let frame = frame::decode_message(&frame, 4096).unwrap();
    assert_eq!(frame.header, Header::push(1000));
    let body: serde_json::Value = serde_json::from_slice(frame.body).unwrap();
    assert_eq!((&body["seq"], &body["text"], &body["group"]), (&6.into(), &"row 6".into(), &"g".into()));
    let frame = goim.next_frame().await;
    let body = frame::decode_message(&frame, 4096).unwrap().body.to_vec();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["kind"], &body["target"]), (&"recalled".into(), &6.into()));
}

#[tokio::test]
async fn a_goim_client_gets_control_rows_of_its_inbox_as_json() {
    let running = Running::start(Config::default()).await;
    running.im.messages.lock().push(Message {
        kind: Some(kind::INVITED.to_owned()),
        users: vec!["42".to_owned()],
        by: Some("owner".to_owned()),
        content: None,
        ..row("g", 1)
    });
    let mut goim = goim_login(&running, 42).await;
    let frame = goim.next_frame().await;
    let frame = frame::decode_message(&frame, 4096).unwrap();
    assert_eq!(frame.header, Header::push(1000));
    let body: serde_json::Value = serde_json::from_slice(frame.body).unwrap();
    assert_eq!(
        (&body["inboxSeq"], &body["kind"], &body["group"]),
        (&1.into(), &"invited".into(), &"g".into())
    );
    assert_eq!(body["users"], serde_json::json!(["42"]));
}

#[tokio::test]
async fn a_member_that_is_removed_gets_no_further_row_while_others_do() {
    // The second row waits for its pass while the member is removed.
    let running = Running::start(slow_passes()).await;
    running.im.add_super_groups(&["g"]);
    let mut stays = Client::login(&running, &user("stays"), Some(0)).await;
    let mut goes = Client::login(&running, &user("goes"), Some(0)).await;
    running.push_rows("g", [row("g", 6)]).await;
    assert_eq!(next_row(&mut goes).await.seq, 6);
    running.push_rows("g", [row("g", 7)]).await;
    running.command(&user("goes"), "g", 8, false).await;
    running.push_rows("g", [row("g", 8)]).await;
    for seq in 6..=8 {
        assert_eq!(next_row(&mut stays).await.seq, seq);
    }
    running.mark(&user("goes")).await;
    assert!(rows_until_mark(&mut goes).await.is_empty());
}

#[tokio::test]
async fn a_member_that_comes_gets_what_follows_its_join_and_nothing_before() {
    let running = Running::start(slow_passes()).await;
    running.im.add_super_groups(&["g"]);
    let mut member = Client::login(&running, &user("member"), Some(0)).await;
    running.im.super_groups.lock().clear();
    let mut comes = Client::login(&running, &user("comes"), Some(0)).await;
    running.push_rows("g", [row("g", 6)]).await;
    assert_eq!(next_row(&mut member).await.seq, 6);
    running.push_rows("g", [row("g", 7)]).await;
    running.command(&user("comes"), "g", 8, true).await;
    running.push_rows("g", [row("g", 8), row("g", 9)]).await;
    for seq in 7..=9 {
        assert_eq!(next_row(&mut member).await.seq, seq);
    }
    running.mark(&user("comes")).await;
    assert_eq!(rows_until_mark(&mut comes).await, [9]);
}

#[tokio::test]
async fn a_late_command_or_list_does_not_undo_a_newer_command() {
    let running = Running::start(one_shard()).await;
    running.im.add_super_groups(&["g"]);
    let mut witness = Client::login(&running, &user("witness"), Some(0)).await;
    let names = ["early", "between", "after"];
    let mut clients = Vec::new();
    for name in names {
        let mut client = Client::connect(&running).await;
        let held = if name == "early" { &running.logic.held } else { &running.im.groups_held };
        held.send_replace(name != "after");
        let asked_count = running.im.groups_count.load(Ordering::Relaxed);
        let auth = Auth { user: name.to_owned(), inbox_seq: Some(0), ..Auth::default() };
        client.request(1, RequestKind::Auth(auth)).await;
        match name {
            // The command comes before the list, and before the connection has a session.
            "early" => until(|| running.logic.is_online(&user(name))).await,
            // The command comes while the list is on its way.
            "between" => until(|| running.im.groups_count.load(Ordering::Relaxed) > asked_count).await,
            _ => {
                client.let_in().await;
            }
        }
        running.command(&user(name), "g", 7, false).await;
        running.command(&user(name), "other", 3, true).await;
        held.send_replace(false);
        if name != "after" {
            client.let_in().await;
        }
        running.command(&user(name), "g", 6, true).await;
        clients.push(client);
    }
    running.push_rows("g", [row("g", 10)]).await;
    assert_eq!(next_row(&mut witness).await.seq, 10);
    running.push_rows("other", [row("other", 11)]).await;
    for (name, client) in names.iter().zip(&mut clients) {
        assert_eq!(next_row(client).await.seq, 11, "{name}");
        running.command(&user(name), "g", 12, true).await;
        running.command(&user(name), "g", 7, false).await;
    }
    running.push_rows("g", [row("g", 13)]).await;
    for client in &mut clients {
        assert_eq!(next_row(client).await.seq, 13);
    }
}

#[tokio::test]
async fn a_command_for_another_connection_changes_nothing() {
    let running = Running::start(one_shard()).await;
    let mut client = Client::login(&running, &user("alice"), Some(0)).await;
    let mut changes = running.logic.change(&user("alice"), "g", 5, true);
    changes[0].connection = protocol::ConnectionId(999);
    running.contract.set_memberships(changes).await.unwrap();
    assert!(running.logic.entered.lock().is_empty());
    running.command(&user("alice"), "g", 4, true).await;
    running.push_rows("g", [row("g", 6)]).await;
    assert_eq!(next_row(&mut client).await.seq, 6);
}

#[tokio::test]
async fn a_command_whose_room_cannot_be_announced_fails_and_is_said_again() {
    let running = Running::start(Config::default()).await;
    let mut client = Client::login(&running, &user("alice"), Some(0)).await;
    running.logic.unreachable.store(true, Ordering::Relaxed);
    let changes = running.logic.change(&user("alice"), "g", 5, true);
    let error = running.contract.set_memberships(changes.clone()).await.unwrap_err();
    assert!(error.retryable());
    running.logic.unreachable.store(false, Ordering::Relaxed);
    running.contract.set_memberships(changes).await.unwrap();
    assert_eq!(*running.logic.entered.lock(), [[RoomId::of_group(&group("g"))]]);
    running.push_rows("g", [row("g", 6)]).await;
    assert_eq!(next_row(&mut client).await.seq, 6);
}

#[tokio::test]
async fn a_heartbeat_tells_a_risen_top_once_and_again_when_it_rises() {
    let running = Running::start(Config::default()).await;
    running.im.add_super_groups(&["a", "b"]);
    let first = GroupTop { conversation: "group:a".to_owned(), top: 8, ..GroupTop::default() };
    *running.im.first_tops.lock() = vec![first.clone()];
    let set_top = |name, top| running.im.group_tops.lock().insert(conversation(name), top);
    let mut client = Client::connect(&running).await;
    let reply = client.say_who(&user("alice"), Some(0)).await;
    assert_eq!(reply.groups, [first]);
    set_top("a", 8);
    assert_eq!(heartbeat(&mut client).await, []);
    set_top("b", 2);
    assert_eq!(heartbeat(&mut client).await, [("group:b".to_owned(), 2)]);
    assert_eq!(heartbeat(&mut client).await, []);
    set_top("a", 9);
    assert_eq!(heartbeat(&mut client).await, [("group:a".to_owned(), 9)]);
    running.command(&user("alice"), "a", 10, false).await;
    set_top("a", 11);
    assert_eq!(heartbeat(&mut client).await, []);
    let asked_count = running.im.group_tops_count.load(Ordering::Relaxed);
    running.command(&user("alice"), "b", 10, false).await;
    assert_eq!(heartbeat(&mut client).await, []);
    assert_eq!(running.im.group_tops_count.load(Ordering::Relaxed), asked_count);
}

#[tokio::test]
async fn a_row_that_is_pushed_while_a_client_comes_in_is_in_its_first_tops() {
    let running = Running::start(one_shard()).await;
    running.im.add_super_groups(&["g"]);
    let first = GroupTop { conversation: "group:g".to_owned(), top: 6, ..GroupTop::default() };
    *running.im.first_tops.lock() = vec![first];
    let mut witness = Client::login(&running, &user("witness"), Some(0)).await;
    running.im.resume_held.send_replace(true);
    let mut client = Client::connect(&running).await;
    let auth = Auth { user: "alice".to_owned(), inbox_seq: Some(0), ..Auth::default() };
    client.request(1, RequestKind::Auth(auth)).await;
    until(|| running.im.resume_count.load(Ordering::Relaxed) == 2).await;
    running.push_rows("g", [row("g", 7)]).await;
    assert_eq!(next_row(&mut witness).await.seq, 7);
    running.im.resume_held.send_replace(false);
    assert_eq!(client.let_in().await.groups[0].top, 7);
}

#[tokio::test]
async fn five_hundred_groups_are_entered_and_left_with_one_announcement() {
    let running = Running::start(one_shard()).await;
    let names: Vec<String> = (0..500).map(|number| format!("g{number}")).collect();
    running.im.add_super_groups(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let client = Client::login(&running, &user("alice"), Some(0)).await;
    let counts = |calls: &[Vec<RoomId>]| calls.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(counts(&running.logic.entered.lock()), [500]);
    let mut other = Client::login(&running, &user("bob"), Some(0)).await;
    assert_eq!(counts(&running.logic.entered.lock()), [500]);
    drop(client);
    until(|| !running.logic.is_online(&user("alice"))).await;
    assert!(running.logic.left.lock().is_empty());
    running.push_rows("g77", [row("g77", 6)]).await;
    assert_eq!(next_row(&mut other).await.seq, 6);
    drop(other);
    until(|| counts(&running.logic.left.lock()) == [500]).await;
}

#[tokio::test]
async fn no_client_can_name_a_room_of_the_servers_own() {
    let running = Running::start(one_shard()).await;
    running.im.add_super_groups(&["g"]);
    let mut member = Client::login(&running, &user("member"), Some(0)).await;
    let mut json_member = JsonClient::login(&running, "json-member").await;
    running.im.super_groups.lock().clear();
    let mut outsider = Client::login(&running, &user("outsider"), Some(0)).await;
    let mut json = JsonClient::login(&running, "json").await;
    let own = RoomId::of_group(&group("g")).to_string();
    let to = Some(Target { target: Some(target::Target::Room(own.clone())) });
    let requests = [
        RequestKind::Join(client::Join { rooms: vec![own.clone()] }),
        RequestKind::Leave(client::Leave { rooms: vec![own.clone()] }),
        RequestKind::Send(client::Send { to, ..client::Send::default() }),
    ];
    for request in requests {
        for client in [&mut member, &mut outsider] {
            assert!(matches!(client.ask(request.clone()).await, ReplyKind::Error(_)), "{request:?}");
        }
        for client in [&mut json_member, &mut json] {
            assert!(matches!(client.ask(request.clone()).await, ReplyKind::Error(_)), "{request:?}");
        }
    }
    let mut goim = goim_login(&running, 42).await;
    let change = Header { version: 1, operation: operation::CHANGE_ROOM, sequence: 2 };
    goim.stream.write_all(&change.frame(own.as_bytes())).await.unwrap();
    goim.next_frame().await;
    let mut refused = Client::connect(&running).await;
    let auth = Header { version: 1, operation: operation::GOIM_AUTH, sequence: 1 };
    let body = serde_json::json!({"mid": 43, "room_id": own}).to_string();
    refused.stream.write_all(&auth.frame(body.as_bytes())).await.unwrap();
    assert_eq!(tokio::io::AsyncReadExt::read(&mut refused.stream, &mut [0; 8]).await.unwrap(), 0);

    running.push_rows("g", [row("g", 6)]).await;
    assert_eq!(next_row(&mut member).await.seq, 6);
    while !matches!(json_member.next_push().await, Event::Message(row) if row.seq == 6) {}
    running.mark(&user("outsider")).await;
    assert!(rows_until_mark(&mut outsider).await.is_empty());
    running.mark(&user("json")).await;
    loop {
        match json.next_push().await {
            Event::SyncDone(_) => {}
            Event::Push(_) => break,
            other => panic!("{other:?} for who is not in the group"),
        }
    }
    // What it accepts is nothing, so a heartbeat stands for the mark: nothing comes before its answer.
    let beat = Header { version: 1, operation: operation::HEARTBEAT, sequence: 3 };
    goim.stream.write_all(&beat.frame(&[])).await.unwrap();
    let frame = goim.next_frame().await;
    let frame = frame::decode_message(&frame, 4096).unwrap();
    assert_eq!((frame.header.operation, frame.body), (operation::HEARTBEAT_REPLY, &[0, 0, 0, 0][..]));
}

#[tokio::test]
async fn a_goim_clients_change_of_room_leaves_its_super_groups_alone() {
    let running = Running::start(Config::default()).await;
    running.im.add_super_groups(&["g"]);
    let mut others = Vec::new();
    for number in 0..3 {
        others.push(Client::login(&running, &user(&format!("other-{number}")), Some(0)).await);
    }
    let mut goim = goim_login(&running, 42).await;
    let beat = Header { version: 1, operation: operation::HEARTBEAT, sequence: 3 };
    for (room, count) in [("", 0), ("live://1", 1), ("live://2", 1), ("", 0)] {
        let change = Header { version: 1, operation: operation::CHANGE_ROOM, sequence: 2 };
        goim.stream.write_all(&change.frame(room.as_bytes())).await.unwrap();
        goim.next_frame().await;
        goim.stream.write_all(&beat.frame(&[])).await.unwrap();
        let frame = goim.next_frame().await;
        assert_eq!(frame::decode_message(&frame, 64).unwrap().body, i32::to_be_bytes(count), "{room}");
    }
    running.push_rows("g", [row("g", 6)]).await;
    let frame = goim.next_frame().await;
    assert_eq!(frame::decode_message(&frame, 4096).unwrap().header, Header::push(1000));
}

#[tokio::test]
async fn super_groups_do_not_count_among_the_rooms_that_a_client_may_be_in() {
    let running = Running::start(Config::default()).await;
    let names: Vec<String> = (0..200).map(|number| format!("g{number}")).collect();
    running.im.add_super_groups(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut client = Client::login(&running, &user("alice"), Some(0)).await;
    let rooms = (0..protocol::limits::ROOMS_PER_CONNECTION_MAX).map(|number| number.to_string()).collect();
    let join = RequestKind::Join(client::Join { rooms });
    assert_eq!(client.ask(join).await, ReplyKind::Join(client::JoinReply {}));
}
