//! Who may write to whom: block lists, and servers where the business begins each chat.

use serde_json::json;

use crate::support::chat::person;
use crate::support::http::post;
use crate::support::server::{Setup, Shared};
use crate::support::unique;

static SERVER: Shared = Shared::new();

#[tokio::test]
async fn who_is_blocked_writes_to_that_user_no_more_and_to_all_others_as_before() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let (mut carol, carol_id) = person(&server, "carol").await;
    bob.say(&alice_id, "before").await;
    assert_eq!(alice.hears().await, "before");
    alice.ask("block", json!({"user": bob_id})).await;
    alice.ask("block", json!({"user": bob_id})).await;
    let to_alice = || json!({"to": {"user": alice_id}, "clientMessageId": unique("c"), "text": "x"});
    assert_eq!(bob.refused("send", to_alice()).await["number"], 40_301);
    bob.say(&carol_id, "to carol").await;
    assert_eq!(carol.hears().await, "to carol");
    // The other way is open, and a group is not concerned.
    alice.say(&bob_id, "to bob").await;
    assert_eq!(bob.hears().await, "to bob");
    let group = carol.make_group(&[&alice_id, &bob_id], json!({})).await;
    bob.say_in(&group, "in a group").await;
    assert_eq!(alice.hears().await, "in a group");
    assert_eq!(alice.ask("blocks", json!({})).await["users"], json!([bob_id]));
    assert_eq!(bob.ask("blocks", json!({})).await["users"], json!([]));
    alice.ask("unblock", json!({"user": bob_id})).await;
    bob.ask("send", to_alice()).await;
    assert_eq!(alice.hears().await, "x");
    assert_eq!(alice.refused("block", json!({"user": ""})).await["number"], 40_000);
}

#[tokio::test]
async fn a_message_that_was_answered_before_the_block_is_answered_the_same_again() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let request = json!({"to": {"user": alice_id}, "clientMessageId": "c", "text": "x"});
    let first = bob.ask("send", request.clone()).await;
    alice.ask("block", json!({"user": bob_id})).await;
    assert_eq!(bob.ask("send", request).await, first);
}

#[tokio::test]
async fn where_the_business_begins_each_chat_nobody_else_does() {
    let server = Setup::dev().set("im.single_chat=existing").start();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let to_bob = || json!({"to": {"user": bob_id}, "clientMessageId": unique("c"), "text": "x"});
    assert_eq!(alice.refused("send", to_bob()).await["number"], 40_300);
    let begin = json!({"to": {"user": bob_id}, "clientMessageId": "begin", "text": "meet"});
    let response =
        post(server.api, &format!("/v1/users/{alice_id}/send"), begin.to_string().as_bytes()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(bob.hears().await, "meet");
    assert_eq!(alice.hears().await, "meet", "it came from elsewhere to her devices too");
    alice.ask("send", to_bob()).await;
    bob.say(&alice_id, "hi").await;
    assert_eq!(alice.hears().await, "hi");
}
