//! Reconnecting, resending and healing against a server that follows a script.

use std::time::Duration;

use protocol::code::{CloseCode, Code};
use protocol::codec::{Encoding, ReplyKind, RequestKind};

use super::*;
use crate::builder::Timing;
use crate::event::Events;
use crate::scripted::{Script, Side, message, patiently, sync_done};
use crate::{Client, ClientBuilder, Content, Push, To};

pub(super) fn quick(url: &str) -> ClientBuilder {
    let wait = Duration::from_millis(5);
    let timing = Timing { hole: wait, ack: wait, ..Timing::default() };
    Client::builder(url).user("alice").timing(timing).back_off(wait, wait)
}

/// A client whose server agreed to its auth and had nothing to replay.
pub(super) async fn live(script: &Script, builder: ClientBuilder) -> (Client, Events, Side) {
    let (client, events) = builder.start().unwrap();
    let mut side = script.accept().await;
    side.welcome(0, 60_000).await;
    side.push(sync_done(0)).await;
    client.ready().await.unwrap();
    (client, events, side)
}

fn sent(inbox_seq: u64) -> ReplyKind {
    let reply = client::SendReply { inbox_seq: Some(inbox_seq), ..client::SendReply::default() };
    ReplyKind::Send(reply)
}

/// The inbox seqs of the next stored messages.
async fn next_messages(events: &mut Events, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        if let Some(Event::Message(message)) = patiently(events.next()).await {
            seqs.push(message.inbox_seq.unwrap());
        }
    }
    seqs
}

#[tokio::test]
async fn a_send_is_repeated_under_its_id_until_it_is_answered() {
    let script = Script::start().await;
    let (client, _events, mut side) = live(&script, quick(&script.url())).await;
    let sending = tokio::spawn({
        let client = client.clone();
        async move { client.send_text(To::user("bob"), "hi").await }
    });
    let (_, first) = side.take_send().await;
    drop(side);
    let mut side = script.accept().await;
    let auth = side.welcome(0, 60_000).await;
    assert_eq!(auth.inbox_seq, Some(0));
    let (seq, again) = side.take_send().await;
    assert_eq!(first, again);
    assert_eq!(again.client_message_id.len(), 32);
    side.reply(seq, sent(1)).await;
    assert_eq!(patiently(sending).await.unwrap().unwrap().inbox_seq, Some(1));
}

#[tokio::test]
async fn requests_wait_for_the_connection_and_keep_their_order() {
    let script = Script::start().await;
    let (client, _events) = quick(&script.url()).encoding(Encoding::Protobuf).start().unwrap();
    let send =
        |number: usize| client.send_as(number.to_string(), To::user("bob"), Content::Text("hi".into()));
    let server = async {
        let mut side = script.accept().await;
        side.welcome(0, 60_000).await;
        let mut seqs = Vec::new();
        for number in 0..3 {
            let (seq, send) = side.take_send().await;
            assert_eq!(send.client_message_id, number.to_string());
            seqs.push(seq);
        }
        // Answers in another order find their requests.
        for (number, seq) in seqs.into_iter().enumerate().rev() {
            side.reply(seq, sent(number as u64 + 1)).await;
        }
        side
    };
    let (first, second, third, _side) =
        patiently(async { tokio::join!(send(0), send(1), send(2), server) }).await;
    let seqs = [first, second, third].map(|reply| reply.unwrap().inbox_seq.unwrap());
    assert_eq!(seqs, [1, 2, 3]);
}

#[tokio::test]
async fn a_hole_is_filled_by_sync() {
    let script = Script::start().await;
    let (_client, mut events, mut side) = live(&script, quick(&script.url()).auto_ack(false)).await;
    for seq in [1, 4] {
        side.push(Push::Message(message(seq))).await;
    }
    let (seq, sync) = side.take_sync().await;
    assert_eq!((sync.begin, sync.end), (2, 3));
    let page = client::SyncReply { messages: vec![message(2), message(3)], top: 4, next: 0 };
    side.reply(seq, ReplyKind::Sync(page)).await;
    assert_eq!(next_messages(&mut events, 4).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_lost_last_message_is_found_by_the_heartbeat() {
    let script = Script::start().await;
    let (_client, mut events) = quick(&script.url()).start().unwrap();
    let mut side = script.accept().await;
    side.welcome(0, 20).await;
    side.push(sync_done(0)).await;
    let (seq, request) = side.request().await;
    assert!(matches!(request, RequestKind::Heartbeat(_)), "{request:?}");
    side.reply(seq, ReplyKind::Heartbeat(client::HeartbeatReply { inbox_top: 1, ..Default::default() }))
        .await;
    let (seq, sync) = side.take_sync().await;
    assert_eq!((sync.begin, sync.end), (1, 0));
    let page = client::SyncReply { messages: vec![message(1)], top: 1, next: 0 };
    side.reply(seq, ReplyKind::Sync(page)).await;
    assert_eq!(next_messages(&mut events, 1).await, [1]);
}

#[tokio::test]
async fn a_gap_is_paged_before_what_came_later() {
    let script = Script::start().await;
    let (_client, mut events) = quick(&script.url()).auto_ack(false).inbox_seq(Some(0)).start().unwrap();
    let mut side = script.accept().await;
    side.welcome(3, 60_000).await;
    side.push(Push::Message(message(1))).await;
    side.push(Push::Gap(client::Gap { begin: 2, end: 3 })).await;
    side.push(Push::Message(message(4))).await;
    for inbox_seq in [2, 3] {
        let (seq, sync) = side.take_sync().await;
        assert_eq!(sync.begin, inbox_seq);
        let next = if inbox_seq == 2 { 3 } else { 0 };
        let page = client::SyncReply { messages: vec![message(inbox_seq)], top: 4, next };
        side.reply(seq, ReplyKind::Sync(page)).await;
    }
    assert_eq!(next_messages(&mut events, 4).await, [1, 2, 3, 4]);
    assert_eq!(patiently(events.next()).await, Some(Event::SyncDone(client::SyncDone { inbox_seq: 3 })));
}

#[tokio::test]
async fn a_final_close_code_ends_the_client_and_its_requests() {
    for tcp in [false, true] {
        let script = Script::start().await;
        let url = if tcp { script.tcp_url() } else { script.url() };
        let (client, mut events) = quick(&url).start().unwrap();
        let mut side = if tcp { script.accept_tcp().await } else { script.accept().await };
        side.welcome(0, 60_000).await;
        let sending = tokio::spawn({
            let client = client.clone();
            async move { client.send_text(To::user("bob"), "hi").await }
        });
        side.take_send().await;
        side.close(CloseCode::ReplacedByDevice).await;
        let error = patiently(sending).await.unwrap().unwrap_err();
        let Error::Closed(kicked) = &error else { panic!("{error:?} is no close") };
        assert_eq!((kicked.number, kicked.code.as_str()), (4503, "replaced_by_device"));
        assert!(!error.is_retryable());
        let mut told = Vec::new();
        while let Some(event) = patiently(events.next()).await {
            told.push(event);
        }
        assert!(told.contains(&Event::Kicked(kicked.clone())), "{told:?}");
        assert_eq!(told.last(), Some(&Event::State(State::Closed(error.clone()))));
        assert_eq!(client.heartbeat().await, Err(error));
    }
}

#[tokio::test]
async fn a_close_code_below_4500_is_followed_by_another_attempt() {
    let script = Script::start().await;
    let (client, _events, side) = live(&script, quick(&script.url())).await;
    side.close(CloseCode::Draining).await;
    let mut side = script.accept().await;
    side.welcome(0, 60_000).await;
    patiently(client.ready()).await.unwrap();
}

#[tokio::test]
async fn joined_rooms_are_joined_again_after_a_reconnect() {
    let script = Script::start().await;
    let (client, _events, mut side) = live(&script, quick(&script.url()).rooms(["live://1"])).await;
    let server = async {
        let (seq, _) = side.request().await;
        side.reply(seq, ReplyKind::Join(client::JoinReply {})).await;
        let (seq, _) = side.request().await;
        side.reply(seq, ReplyKind::Leave(client::LeaveReply {})).await;
    };
    let asks = async {
        client.join(vec!["live://2".into(), "live://3".into()]).await.unwrap();
        client.leave(vec!["live://2".into()]).await.unwrap();
    };
    patiently(async { tokio::join!(server, asks) }).await;
    drop(side);
    let auth = script.accept().await.welcome(0, 60_000).await;
    assert_eq!(auth.rooms, ["live://1", "live://3"]);
}

#[tokio::test]
async fn what_the_application_took_is_acked_and_nothing_else() {
    let script = Script::start().await;
    let (client, mut events, mut side) = live(&script, quick(&script.url())).await;
    for seq in 1..=3 {
        side.push(Push::Message(message(seq))).await;
    }
    assert_eq!(next_messages(&mut events, 2).await, [1, 2]);
    let mut acked_up_to = 0;
    while acked_up_to < 2 {
        let (seq, request) = side.request().await;
        let RequestKind::Ack(ack) = request else { panic!("{request:?} is no ack") };
        acked_up_to = ack.inbox_seq;
        side.reply(seq, ReplyKind::Ack(client::AckReply { acked_up_to })).await;
    }
    assert_eq!(acked_up_to, 2);
    // The third is acked when it was taken, at the latest on the way out.
    assert_eq!(next_messages(&mut events, 1).await, [3]);
    let closing = tokio::spawn(async move { client.close().await });
    let (seq, request) = side.request().await;
    assert_eq!(request, RequestKind::Ack(client::Ack { inbox_seq: 3 }));
    side.reply(seq, ReplyKind::Ack(client::AckReply { acked_up_to: 3 })).await;
    side.end().await;
    patiently(closing).await.unwrap();
}

#[tokio::test]
async fn a_slow_application_loses_pushes_that_are_counted_and_no_message() {
    let script = Script::start().await;
    let (client, mut events, mut side) =
        live(&script, quick(&script.url()).events_max(3).auto_ack(false)).await;
    for seq in 1..=6 {
        side.push(Push::Message(message(seq))).await;
        side.push(Push::Push(client::OperationPush::default())).await;
    }
    // The answer comes after all of it was taken in.
    let server = async {
        let (seq, request) = side.request().await;
        assert!(matches!(request, RequestKind::Heartbeat(_)), "{request:?}");
        side.reply(seq, ReplyKind::Heartbeat(client::HeartbeatReply { inbox_top: 6, ..Default::default() }))
            .await;
    };
    let (_, reply) = patiently(async { tokio::join!(server, client.heartbeat()) }).await;
    reply.unwrap();
    assert!(client.dropped_count() > 0);
    let told = tokio::spawn(async move { next_messages(&mut events, 6).await });
    let (seq, sync) = side.take_sync().await;
    let messages = (sync.begin..=6).map(message).collect();
    side.reply(seq, ReplyKind::Sync(client::SyncReply { messages, top: 6, next: 0 })).await;
    assert_eq!(patiently(told).await.unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_refused_token_is_tried_once_more_with_a_fresh_one() {
    let script = Script::start().await;
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let builder = quick(&script.url()).token_provider(move || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move { Ok(format!("token {number}")) }
    });
    let (client, _events) = builder.start().unwrap();
    for number in 0..2 {
        let mut side = script.accept().await;
        let (seq, request) = side.request().await;
        let RequestKind::Auth(auth) = request else { panic!("{request:?} is not auth") };
        assert_eq!(auth.token, format!("token {number}"));
        side.reply(seq, ReplyKind::Error(Code::TokenExpired.with("expired"))).await;
    }
    let error = patiently(client.ready()).await.unwrap_err();
    assert_eq!(error, Error::Refused(Code::TokenExpired.with("expired")));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left() {
    let script = Script::start().await;
    let wait = Duration::from_millis(20);
    let timing = Timing { silence: wait, ..Timing::default() };
    let (_client, _events) = quick(&script.url()).timing(timing).start().unwrap();
    let mut side = script.accept().await;
    side.welcome(0, 20).await;
    // It has the socket open and reads, but answers no heartbeat.
    let (mut other, ()) = patiently(async { tokio::join!(script.accept(), side.end()) }).await;
    other.welcome(0, 60_000).await;
}

#[tokio::test]
async fn a_server_that_goes_away_names_the_next_one() {
    let script = Script::start().await;
    let other = Script::start().await;
    let (client, _events, mut side) = live(&script, quick(&script.url())).await;
    let reconnect = client::Reconnect { after_ms: 1, url: Some(other.url()) };
    side.push(Push::Reconnect(reconnect)).await;
    let mut side = other.accept().await;
    side.welcome(0, 60_000).await;
    patiently(client.ready()).await.unwrap();
}

#[tokio::test]
async fn pipelined_replies_are_found_on_a_raw_connection() {
    let script = Script::start().await;
    let endpoint = Endpoint::new(&script.url(), Encoding::Json).unwrap();
    let (connection, mut side) = tokio::join!(Connection::open(&endpoint), script.accept());
    let mut connection = connection.unwrap();
    let heartbeat = || RequestKind::Heartbeat(client::Heartbeat {});
    let first = connection.send(heartbeat()).await.unwrap();
    let second = connection.send(heartbeat()).await.unwrap();
    side.push(sync_done(7)).await;
    for (seq, inbox_top) in [(second, 2), (first, 1)] {
        side.reply(seq, ReplyKind::Heartbeat(client::HeartbeatReply { inbox_top, ..Default::default() }))
            .await;
    }
    let top = |inbox_top| ReplyKind::Heartbeat(client::HeartbeatReply { inbox_top, ..Default::default() });
    assert_eq!(patiently(connection.reply(first)).await, Ok(top(1)));
    assert_eq!(patiently(connection.reply(second)).await, Ok(top(2)));
    assert_eq!(patiently(connection.next_push()).await, Ok(sync_done(7)));
    side.close(CloseCode::Kicked).await;
    let error = patiently(connection.next()).await.unwrap_err();
    assert_eq!(error, Error::closed(4502, String::new()));
}
