//! Which of a user's devices may be there at once, as `router.devices` says: the newest stays, and another is told not
//! to come back.

use anser_client::{Client, Error, Event, Push, State};
use serde_json::json;

use crate::support::chat::{CARRIERS, Carrier, JsonChat, device, hello, message, push, replay, text_of};
use crate::support::server::{Server, Setup, Shared};
use crate::support::websocket::CLOSE;
use crate::support::{unique, within};

static SERVER: Shared = Shared::new();

/// A device of a platform that has taken its replay.
async fn on(
    server: &Server,
    carrier: Carrier,
    user: &str,
    name: &str,
    platform: &str,
) -> anser_client::Connection {
    let auth = protocol::client::Auth { platform: platform.to_owned(), ..hello(user, name, Some(0)) };
    let (mut connection, _) = device(server, carrier, auth).await;
    replay(&mut connection).await;
    connection
}

/// Takes the words that end a connection, and its end.
async fn must_end(connection: &mut anser_client::Connection, number: u32) {
    loop {
        match push(connection).await {
            Push::Kicked(kicked) => {
                assert_eq!(kicked.number, number, "{kicked:?}");
                assert!(!kicked.message.is_empty());
                break;
            }
            // What was sent before is a stored message or a sign of life.
            Push::Message(_) | Push::Conversation(_) => {}
            other => panic!("instead of an end came {other:?}"),
        }
    }
    let end = within("the end", connection.next()).await.unwrap_err();
    assert!(matches!(&end, Error::Closed(kicked) if kicked.number == number), "{end:?}");
    assert!(!end.is_retryable(), "a client that is told {number} does not come back");
}

#[tokio::test]
async fn all_devices_are_there_together_unless_it_is_set_otherwise() {
    let server = SERVER.get();
    let user = unique("user");
    let mut devices = Vec::new();
    for (number, carrier) in CARRIERS.into_iter().enumerate() {
        devices.push(on(&server, carrier, &user, &format!("device-{number}"), "ios").await);
    }
    let mut friend = JsonChat::live(&server, &unique("friend"), "phone").await;
    friend.say(&user, "to all of them").await;
    for device in &mut devices {
        assert_eq!(text_of(&message(device).await), "to all of them");
    }
}

#[tokio::test]
async fn where_one_device_is_allowed_the_newest_stays() {
    let server = Setup::dev().set("router.devices=single").start();
    for carrier in CARRIERS {
        for newer in CARRIERS {
            let user = unique("user");
            let mut old = on(&server, carrier, &user, "phone", "ios").await;
            let mut new = on(&server, newer, &user, "computer", "web").await;
            must_end(&mut old, 4504).await;
            let mut friend = JsonChat::live(&server, &unique("friend"), "phone").await;
            friend.say(&user, "to the one").await;
            assert_eq!(text_of(&message(&mut new).await), "to the one");
            let mut newest = on(&server, carrier, &user, "phone", "ios").await;
            must_end(&mut new, 4504).await;
            assert_eq!(text_of(&message_or_none(&mut newest, &mut friend, &user).await), "again");
        }
    }
}

async fn message_or_none(
    connection: &mut anser_client::Connection,
    friend: &mut JsonChat,
    user: &str,
) -> protocol::client::Message {
    friend.say(user, "again").await;
    message(connection).await
}

#[tokio::test]
async fn where_one_device_of_each_platform_is_allowed_the_others_stay() {
    let server = Setup::dev().set("router.devices=platform").start();
    for carrier in CARRIERS {
        let user = unique("user");
        let mut phone = on(&server, carrier, &user, "phone", "ios").await;
        let mut computer = on(&server, carrier, &user, "computer", "web").await;
        let mut other_phone = on(&server, carrier, &user, "other phone", "ios").await;
        must_end(&mut phone, 4504).await;
        let mut friend = JsonChat::live(&server, &unique("friend"), "phone").await;
        friend.say(&user, "to both").await;
        for connection in [&mut computer, &mut other_phone] {
            assert_eq!(text_of(&message(connection).await), "to both");
        }
    }
}

#[tokio::test]
async fn the_close_code_of_a_device_that_gave_way_is_4504() {
    let server = Setup::dev().set("router.devices=single").start();
    let user = unique("user");
    let mut old = JsonChat::live(&server, &user, "phone").await;
    let _new = JsonChat::live(&server, &user, "tablet").await;
    let kicked = old.push_of("kicked").await;
    assert_eq!((&kicked["number"], &kicked["code"]), (&json!(4504), &json!("replaced_by_login")));
    let close = old.socket.next().await.unwrap();
    assert_eq!((close.opcode, &close.payload[..2]), (CLOSE, &4504_u16.to_be_bytes()[..]));
}

#[tokio::test]
async fn two_devices_that_come_at_once_end_with_one_of_them_there() {
    let server = Setup::dev().set("router.devices=single").start();
    for _ in 0..20 {
        let user = unique("user");
        let connect = |name: &'static str| {
            let user = user.clone();
            let server = &server;
            async move {
                let mut chat = JsonChat::open(server).await;
                let auth = json!({"user": user, "device": name, "inboxSeq": 0});
                // It may be ended before it has heard its answer.
                let _ = chat.try_request("auth", auth).await;
                chat
            }
        };
        let (mut one, mut other) = tokio::join!(connect("one"), connect("other"));
        let mut friend = JsonChat::live(&server, &unique("friend"), "phone").await;
        let is_one = |answer: &serde_json::Value| {
            answer["users"][0]["devices"].as_array().is_some_and(|devices| devices.len() == 1)
        };
        let asked = json!({"users": [user]});
        let answer = friend.ask_until("presence", asked, is_one).await;
        let stays = answer["users"][0]["devices"][0] == "one";
        let (stays, goes) = if stays { (&mut one, &mut other) } else { (&mut other, &mut one) };
        assert_eq!(goes.push_of("kicked").await["number"], 4504);
        friend.say(&user, "hi").await;
        assert_eq!(stays.hears().await, "hi");
    }
}

#[tokio::test]
async fn two_clients_of_one_user_do_not_drive_each_other_out_again_and_again() {
    let server = Setup::dev().set("router.devices=single").start();
    let user = unique("user");
    let url = format!("ws://{}/sub", server.ws);
    let client = |name: &str| Client::builder(&url).user(user.as_str()).device(name).connect();
    let (_old, mut told_to_old) = within("a client", client("phone")).await.unwrap();
    let (new, mut told_to_new) = within("another client", client("tablet")).await.unwrap();
    loop {
        match within("the end of the older one", told_to_old.next()).await {
            Some(Event::State(State::Closed(Error::Closed(kicked)))) => {
                assert_eq!(kicked.number, 4504);
                break;
            }
            Some(Event::State(State::Waiting { cause, .. })) => panic!("it will come back: {cause}"),
            Some(_) => {}
            None => panic!("it ended without a reason"),
        }
    }
    let mut friend = JsonChat::live(&server, &unique("friend"), "phone").await;
    friend.say(&user, "to the one").await;
    loop {
        match within("a message", told_to_new.next()).await {
            Some(Event::Message(message)) => {
                assert_eq!(text_of(&message), "to the one");
                break;
            }
            Some(Event::State(State::Live(_)) | Event::SyncDone(_) | Event::SuperGroupsDone(_)) => {}
            other => panic!("instead of a message came {other:?}"),
        }
    }
    assert!(matches!(new.state(), State::Live(_)));
}
