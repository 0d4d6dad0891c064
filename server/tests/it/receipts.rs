//! Receipts: who sends learns that it was delivered and read, and who has read it.

use serde_json::{Value, json};

use crate::support::chat::{JsonChat, person};
use crate::support::server::Shared;

static SERVER: Shared = Shared::new();

/// The next receipt that says this of a conversation.
async fn receipt(chat: &mut JsonChat, field: &str) -> Value {
    loop {
        let receipt = chat.push_of("receipt").await;
        if receipt.get(field).is_some() {
            return receipt;
        }
    }
}

fn sorted(names: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn who_writes_to_somebody_is_told_when_it_was_delivered_and_when_it_was_read() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let said = alice.say(&bob_id, "hi").await;
    let (_, row) = bob.row().await;
    bob.ask("ack", json!({"inboxSeq": row["inboxSeq"]})).await;
    let delivered = receipt(&mut alice, "delivered").await;
    assert_eq!(
        (&delivered["conversation"], &delivered["user"], &delivered["device"], &delivered["delivered"]),
        (&said["conversation"], &json!(bob_id), &json!("phone"), &said["seq"])
    );
    bob.ask("read", json!({"conversation": said["conversation"], "seq": said["seq"]})).await;
    let read = receipt(&mut alice, "read").await;
    assert_eq!((&read["user"], &read["read"]), (&json!(bob_id), &said["seq"]));
}

#[tokio::test]
async fn who_was_away_finds_in_the_list_how_far_it_was_delivered_and_read() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    for text in ["one", "two", "three"] {
        alice.say(&bob_id, text).await;
    }
    drop(alice);
    for text in ["one", "two", "three"] {
        assert_eq!(bob.hears().await, text);
    }
    bob.ask("ack", json!({"inboxSeq": 3})).await;
    let mut list = bob.ask("conversations", json!({})).await;
    let conversation = list["conversations"][0]["conversation"].take();
    bob.ask("read", json!({"conversation": conversation, "seq": 2})).await;
    let mut alice = JsonChat::live(&server, &alice_id, "phone").await;
    let is_told = |page: &Value| {
        let seen = &page["conversations"][0];
        (&seen["peerDeliveredUpTo"], &seen["peerReadUpTo"]) == (&json!(3), &json!(2))
    };
    alice.ask_until("conversations", json!({}), is_told).await;
}

#[tokio::test]
async fn a_message_of_a_group_counts_and_names_its_readers() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let (mut carol, carol_id) = person(&server, "carol").await;
    let group = alice.make_group(&[&bob_id, &carol_id], json!({})).await;
    let said = alice.say_in(&group, "read me").await;
    let message = json!({"conversation": said["conversation"], "seq": said["seq"]});
    let readers = alice.ask("readers", message.clone()).await;
    assert_eq!((&readers["count"], &readers["users"]), (&json!(0), &json!([])), "its sender is none of them");
    bob.ask("read", message.clone()).await;
    let read = receipt(&mut alice, "read").await;
    assert_eq!((&read["user"], &read["read"]), (&json!(bob_id), &said["seq"]));
    let readers = alice.ask("readers", message.clone()).await;
    assert_eq!((&readers["count"], &readers["users"]), (&json!(1), &json!([bob_id])));
    // Who answers has read it.
    carol.say_in(&group, "I did").await;
    let readers = bob.ask("readers", message).await;
    assert_eq!(
        (&readers["count"], sorted(&readers["users"])),
        (&json!(2), {
            let mut both = vec![bob_id, carol_id];
            both.sort_unstable();
            both
        })
    );
}

#[tokio::test]
async fn readers_are_refused_where_they_are_not_known() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (_bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({"kind": "super"})).await;
    let said = alice.say_in(&group, "x").await;
    let message = json!({"conversation": said["conversation"], "seq": said["seq"]});
    assert_eq!(alice.refused("readers", message).await["number"], 50_101);
    let said = alice.say(&bob_id, "x").await;
    let beyond = json!({"conversation": said["conversation"], "seq": 2});
    assert_eq!(alice.refused("readers", beyond).await["number"], 40_400);
}
