//! Groups, super groups and what is said beside messages, against a server that follows a script.

use std::collections::BTreeMap;

use protocol::client::{GroupPage, GroupTop, Message};
use protocol::code::{CloseCode, Code};
use protocol::codec::{ReplyKind, RequestKind};

use super::tests::{live, quick};
use super::*;
use crate::event::Events;
use crate::scripted::{Script, Side, message, patiently, sync_done};
use crate::{Content, Draft, Push, To};

const GROUP: &str = "group:g";

fn row(seq: u64) -> Message {
    Message { inbox_seq: None, conversation: GROUP.to_owned(), group: Some("g".to_owned()), ..message(seq) }
}

fn group_top(top: u64) -> GroupTop {
    GroupTop { conversation: GROUP.to_owned(), top, joined: Some(0), ..GroupTop::default() }
}

async fn answer(side: &mut Side, seq: u64, messages: Vec<Message>, top: u64) {
    let groups = vec![GroupPage { conversation: GROUP.to_owned(), messages, top, next: 0 }];
    side.reply(seq, ReplyKind::SyncGroups(client::SyncGroupsReply { groups })).await;
}

/// The seqs of the next messages of the super group.
async fn next_rows(events: &mut Events, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        if let Some(Event::Message(message)) = patiently(events.next()).await {
            assert_eq!((message.conversation.as_str(), message.inbox_seq), (GROUP, None));
            seqs.push(message.seq);
        }
    }
    seqs
}

/// The next event that is neither a message nor about the connection.
async fn next_other(events: &mut Events) -> Event {
    loop {
        match patiently(events.next()).await.expect("the client was closed") {
            Event::State(_) | Event::SyncDone(_) | Event::SuperGroupsDone(_) | Event::Message(_) => {}
            event => return event,
        }
    }
}

#[tokio::test]
async fn what_was_missed_in_super_groups_is_told_after_the_inbox_is_up_to_date() {
    let script = Script::start().await;
    let builder = quick(&script.url()).auto_ack(false).super_groups([(GROUP, 3)]);
    let (_client, mut events) = builder.start().unwrap();
    let mut side = script.accept().await;
    let reply = client::AuthReply { groups: vec![group_top(5)], heartbeat_ms: 60_000, ..Default::default() };
    side.welcome_with(reply).await;
    side.push(sync_done(0)).await;
    let (seq, asked) = side.take_sync_groups().await;
    assert_eq!(asked, [(GROUP.to_owned(), 4)]);
    answer(&mut side, seq, vec![row(4), row(5)], 5).await;
    assert_eq!(next_rows(&mut events, 2).await, [4, 5]);
    let done = patiently(events.next()).await;
    assert_eq!(done, Some(Event::SuperGroupsDone(BTreeMap::from([(GROUP.to_owned(), 5)]))));
    // A hole and a double in what is pushed.
    for seq in [6, 8, 6, 9] {
        side.push(Push::Message(row(seq))).await;
    }
    let (seq, asked) = side.take_sync_groups().await;
    assert_eq!(asked, [(GROUP.to_owned(), 7)]);
    answer(&mut side, seq, vec![row(7), row(8), row(9)], 9).await;
    assert_eq!(next_rows(&mut events, 4).await, [6, 7, 8, 9]);
}

#[tokio::test]
async fn the_last_row_of_a_super_group_is_found_by_the_heartbeat() {
    let script = Script::start().await;
    let (_client, mut events) = quick(&script.url()).start().unwrap();
    let mut side = script.accept().await;
    let reply = client::AuthReply { groups: vec![group_top(0)], heartbeat_ms: 20, ..Default::default() };
    side.welcome_with(reply).await;
    side.push(sync_done(0)).await;
    let (seq, request) = side.request().await;
    assert!(matches!(request, RequestKind::Heartbeat(_)), "{request:?}");
    let groups = vec![GroupTop { conversation: GROUP.to_owned(), top: 1, ..GroupTop::default() }];
    side.reply(seq, ReplyKind::Heartbeat(client::HeartbeatReply { inbox_top: 0, groups })).await;
    let (seq, asked) = side.take_sync_groups().await;
    assert_eq!(asked, [(GROUP.to_owned(), 1)]);
    answer(&mut side, seq, vec![row(1)], 1).await;
    assert_eq!(next_rows(&mut events, 1).await, [1]);
}

#[tokio::test]
async fn a_group_is_followed_as_a_super_group_from_its_conversion_on() {
    let script = Script::start().await;
    let (_client, mut events, mut side) = live(&script, quick(&script.url()).auto_ack(false)).await;
    let event = client::GroupEvent {
        inbox_seq: Some(1),
        conversation: GROUP.to_owned(),
        seq: 7,
        kind: "converted".to_owned(),
        by: "bob".to_owned(),
        group: "g".to_owned(),
        ..client::GroupEvent::default()
    };
    side.push(Push::Message(row(9))).await;
    side.push(Push::GroupEvent(event.clone())).await;
    assert_eq!(next_other(&mut events).await, Event::GroupEvent(event));
    let (seq, asked) = side.take_sync_groups().await;
    assert_eq!(asked, [(GROUP.to_owned(), 8)]);
    answer(&mut side, seq, vec![row(8), row(9)], 9).await;
    assert_eq!(next_rows(&mut events, 2).await, [8, 9]);
}

#[tokio::test]
async fn a_message_sent_to_a_group_comes_back_as_an_event_with_its_client_message_id() {
    let script = Script::start().await;
    let (client, mut events, mut side) = live(&script, quick(&script.url()).auto_ack(false)).await;
    let draft = Draft::new(To::group("g"), Content::Text("hi".into())).mention("bob").reply_to(3);
    let server = async {
        let (seq, send) = side.take_send().await;
        assert_eq!((send.mentions.as_slice(), send.reply_to), (["bob".to_owned()].as_slice(), 3));
        let reply = client::SendReply { conversation: GROUP.to_owned(), seq: 4, ..Default::default() };
        side.reply(seq, ReplyKind::Send(reply)).await;
        send.client_message_id
    };
    let (reply, id) = patiently(async { tokio::join!(client.send_draft(draft), server) }).await;
    assert_eq!(reply.unwrap().inbox_seq, None);
    let own = Message { inbox_seq: Some(1), client_message_id: id, seq: 4, ..row(4) };
    for _ in 0..2 {
        side.push(Push::Message(own.clone())).await;
    }
    let typing = client::TypingPush { conversation: GROUP.to_owned(), user: "bob".to_owned() };
    side.push(Push::Typing(typing.clone())).await;
    let mut told = Vec::new();
    loop {
        match patiently(events.next()).await.unwrap() {
            Event::Message(message) => told.push(message),
            Event::Typing(seen) => break assert_eq!(seen, typing),
            _ => {}
        }
    }
    assert_eq!(told, [own], "it is told once");
}

#[tokio::test]
async fn a_recall_is_told_in_its_turn_whether_it_was_pushed_or_synced() {
    let script = Script::start().await;
    let (_client, mut events, mut side) = live(&script, quick(&script.url()).auto_ack(false)).await;
    let recalled = client::Recalled {
        inbox_seq: Some(2),
        conversation: "single:5:alice:bob".to_owned(),
        seq: 2,
        target: 1,
        by: "bob".to_owned(),
        ..client::Recalled::default()
    };
    let as_row = protocol::codec::row_of_event(Push::Recalled(recalled.clone())).unwrap();
    side.push(Push::Message(message(3))).await;
    let (seq, _) = side.take_sync().await;
    let page = client::SyncReply { messages: vec![message(1), as_row], top: 3, next: 0 };
    side.reply(seq, ReplyKind::Sync(page)).await;
    side.push(Push::Recalled(client::Recalled { inbox_seq: Some(4), ..recalled.clone() })).await;
    side.push(Push::Recalled(client::Recalled { inbox_seq: Some(5), seq: 5, target: 3, ..recalled.clone() }))
        .await;
    assert_eq!(next_other(&mut events).await, Event::Recalled(recalled.clone()));
    let Event::Recalled(second) = next_other(&mut events).await else { panic!("not a recall") };
    assert_eq!((second.seq, second.target), (5, 3), "the same row under another inbox seq is a double");
}

#[tokio::test]
async fn watched_users_are_watched_again_after_a_reconnect() {
    let script = Script::start().await;
    let (client, mut events, mut side) = live(&script, quick(&script.url())).await;
    let users = || vec!["bob".to_owned(), "carol".to_owned()];
    let server = async {
        let (seq, _) = side.request().await;
        side.reply(seq, ReplyKind::Watch(client::WatchReply::default())).await;
        let (seq, _) = side.request().await;
        side.reply(seq, ReplyKind::Unwatch(client::UnwatchReply {})).await;
    };
    let asks = async {
        client.watch(users()).await.unwrap();
        client.unwatch(vec!["carol".to_owned()]).await.unwrap();
    };
    patiently(async { tokio::join!(server, asks) }).await;
    drop(side);
    let mut side = script.accept().await;
    side.welcome(0, 60_000).await;
    let (seq, request) = side.request().await;
    assert_eq!(request, RequestKind::Watch(client::Watch { users: vec!["bob".to_owned()] }));
    let bob = client::UserPresence { user: "bob".to_owned(), online: Some(true), ..Default::default() };
    side.reply(seq, ReplyKind::Watch(client::WatchReply { users: vec![bob] })).await;
    let Event::Presence(presence) = next_other(&mut events).await else { panic!("not presence") };
    assert_eq!((presence.user.as_str(), presence.online), ("bob", true));
}

#[tokio::test]
async fn a_group_is_made_once_though_its_request_was_sent_twice() {
    let script = Script::start().await;
    let (client, _events, mut side) = live(&script, quick(&script.url())).await;
    let create = client::GroupCreate { name: "team".to_owned(), ..client::GroupCreate::default() };
    let making = tokio::spawn({
        let client = client.clone();
        async move { client.group_create(create).await }
    });
    let (_, first) = side.request().await;
    drop(side);
    let mut side = script.accept().await;
    side.welcome(0, 60_000).await;
    let (seq, again) = side.request().await;
    assert_eq!(first, again);
    side.reply(seq, ReplyKind::Error(Code::AlreadyExists.with("there is one"))).await;
    let made = patiently(making).await.unwrap().unwrap();
    let RequestKind::GroupCreate(create) = again else { panic!("{again:?} makes no group") };
    assert_eq!((&made.group, made.conversation), (&create.group, format!("group:{}", create.group)));
}

#[tokio::test]
async fn a_device_that_was_replaced_by_a_login_elsewhere_stays_away() {
    let script = Script::start().await;
    let (client, mut events, side) = live(&script, quick(&script.url())).await;
    side.close(CloseCode::ReplacedByLogin).await;
    while patiently(events.next()).await.is_some() {}
    assert!(matches!(client.state(), State::Closed(Error::Closed(kicked)) if kicked.number == 4504));
}

#[tokio::test]
async fn a_refusal_of_any_request_is_its_error() {
    let script = Script::start().await;
    let (client, _events, mut side) = live(&script, quick(&script.url())).await;
    let server = async {
        let (seq, request) = side.request().await;
        let expected = client::GroupJoin { group: "g".to_owned(), text: "hi".to_owned() };
        assert_eq!(request, RequestKind::GroupJoin(expected));
        side.reply(seq, ReplyKind::Error(Code::NotAllowed.with("the group is closed"))).await;
        let (seq, _) = side.request().await;
        side.reply(seq, ReplyKind::Read(client::ReadReply { read_up_to: 4 })).await;
    };
    let asks = async {
        let refused = client.group_join("g", "hi").await.unwrap_err();
        assert_eq!(refused, Error::Refused(Code::NotAllowed.with("the group is closed")));
        assert_eq!(client.read(GROUP, 4).await.unwrap().read_up_to, 4);
    };
    patiently(async { tokio::join!(server, asks) }).await;
}
