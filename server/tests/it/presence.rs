//! Presence: who is there, on which devices, and who comes and goes.

use serde_json::{Value, json};

use crate::support::chat::{JsonChat, person};
use crate::support::server::{Setup, Shared};
use crate::support::unique;

static SERVER: Shared = Shared::new();

/// The next push that tells this of a user; what it tells of others is passed over.
async fn told(chat: &mut JsonChat, user: &str) -> Value {
    loop {
        let push = chat.push_of("presence").await;
        if push["user"] == user {
            return push;
        }
    }
}

#[tokio::test]
async fn it_is_answered_who_is_there_on_which_devices_and_when_somebody_was_last() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (bob, bob_id) = person(&server, "bob").await;
    let tablet = JsonChat::live(&server, &bob_id, "tablet").await;
    let nobody = unique("nobody");
    let asked = json!({"users": [nobody, bob_id]});
    let answer = alice.ask("presence", asked.clone()).await;
    assert_eq!((&answer["users"][0]["user"], &answer["users"][1]["user"]), (&json!(nobody), &json!(bob_id)));
    assert_eq!(
        (&answer["users"][0]["online"], &answer["users"][0]["lastSeenMs"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(answer["users"][1]["online"], true);
    let mut devices: Vec<&str> =
        answer["users"][1]["devices"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    devices.sort_unstable();
    assert_eq!(devices, ["phone", "tablet"]);
    drop(tablet);
    let one_left = |answer: &Value| answer["users"][1]["devices"] == json!(["phone"]);
    alice.ask_until("presence", asked.clone(), one_left).await;
    drop(bob);
    let is_gone = |answer: &Value| {
        let bob = &answer["users"][1];
        bob["online"] == false && bob["lastSeenMs"].as_u64().is_some_and(|time| time > 0)
    };
    alice.ask_until("presence", asked, is_gone).await;
    let names: Vec<String> = (0..1_001).map(|number| format!("user-{number}")).collect();
    assert_eq!(alice.refused("presence", json!({"users": names})).await["number"], 41_301);
}

#[tokio::test]
async fn who_watches_somebody_is_told_that_they_come_and_go_also_when_their_line_is_cut() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let bob_id = unique("bob");
    let answer = alice.ask("watch", json!({"users": [bob_id]})).await;
    assert_eq!(answer["users"][0]["online"], false);
    let bob = JsonChat::live(&server, &bob_id, "phone").await;
    assert_eq!(told(&mut alice, &bob_id).await["online"], true);
    // A second device is no coming, and its end no going.
    drop(JsonChat::live(&server, &bob_id, "tablet").await);
    let is_alone = |answer: &Value| answer["users"][0]["devices"] == json!(["phone"]);
    alice.ask_until("presence", json!({"users": [bob_id]}), is_alone).await;
    // As when the process of the client is killed: the socket goes without a word.
    bob.socket.stream.set_zero_linger().unwrap();
    drop(bob);
    let gone = told(&mut alice, &bob_id).await;
    assert_eq!(gone["online"], false);
    assert!(gone["lastSeenMs"].as_u64().is_some_and(|time| time > 0), "{gone}");
    let bob = JsonChat::live(&server, &bob_id, "phone").await;
    assert_eq!(told(&mut alice, &bob_id).await["online"], true);
    alice.ask("unwatch", json!({"users": [bob_id]})).await;
    drop(bob);
    let is_gone = |answer: &Value| answer["users"][0]["online"] == false;
    alice.ask_until("presence", json!({"users": [bob_id]}), is_gone).await;
    let (mut carol, carol_id) = person(&server, "carol").await;
    alice.ask("watch", json!({"users": [carol_id]})).await;
    carol.ask("unwatch", json!({})).await;
    drop(carol);
    assert_eq!(alice.push_of("presence").await["user"], carol_id, "of bob nothing more was told");
}

#[tokio::test]
async fn a_connection_may_watch_so_many_and_no_more() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let names: Vec<String> = (0..1_000).map(|number| unique(&format!("user-{number}"))).collect();
    alice.ask("watch", json!({"users": names[..600]})).await;
    alice.ask("watch", json!({"users": names[300..900]})).await;
    alice.ask("watch", json!({"users": names})).await;
    let refused = alice.refused("watch", json!({"users": [unique("one too many")]})).await;
    assert!(refused["message"].as_str().unwrap().contains("1000"), "{refused}");
    alice.ask("unwatch", json!({"users": [names[0]]})).await;
    let last = unique("last");
    alice.ask("watch", json!({"users": [last]})).await;
    let _there = JsonChat::live(&server, &last, "phone").await;
    assert_eq!(told(&mut alice, &last).await["online"], true);
}

#[tokio::test]
async fn when_somebody_was_last_there_is_known_after_a_restart() {
    let mut server = Setup::dev().same_ports().start();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (bob, bob_id) = person(&server, "bob").await;
    drop(bob);
    let asked = json!({"users": [bob_id]});
    let is_gone = |answer: &Value| answer["users"][0]["lastSeenMs"].as_u64().is_some_and(|time| time > 0);
    let before = alice.ask_until("presence", asked.clone(), is_gone).await;
    server.signal("TERM");
    assert!(server.wait().success());
    server.start_again();
    let mut alice = JsonChat::live(&server, &alice_id, "phone").await;
    let after = alice.ask("presence", asked).await;
    assert_eq!(after["users"][0]["lastSeenMs"], before["users"][0]["lastSeenMs"]);
}
