//! Recall: what was said is gone for everybody, whenever they look, and those who have it are told.

use serde_json::{Value, json};

use crate::support::chat::{JsonChat, person};
use crate::support::server::{Setup, Shared};

static SERVER: Shared = Shared::new();

fn of(said: &Value) -> Value {
    json!({"conversation": said["conversation"], "seq": said["seq"]})
}

#[tokio::test]
async fn a_recalled_message_is_empty_for_everybody_and_those_who_are_there_are_told() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let said = alice.say(&bob_id, "oh no").await;
    assert_eq!(bob.hears().await, "oh no");
    let recalled = alice.ask("recall", of(&said)).await;
    assert_eq!(recalled["seq"], 2);
    for chat in [&mut alice, &mut bob] {
        let (name, row) = chat.row().await;
        assert_eq!((name.as_str(), &row["target"], &row["by"]), ("recalled", &said["seq"], &json!(alice_id)));
        assert_eq!((&row["seq"], &row["inboxSeq"]), (&json!(2), &json!(2)));
    }
    for request in [json!({"begin": 1}), json!({"conversation": said["conversation"]})] {
        let name = if request.get("begin").is_some() { "sync" } else { "history" };
        let page = bob.ask(name, request).await;
        let rows = page["messages"].as_array().unwrap();
        assert_eq!(rows.len(), 2, "{page}");
        assert_eq!((&rows[0]["recalled"], rows[0].get("text")), (&json!(true), None), "{name}");
        assert_eq!((&rows[1]["kind"], &rows[1]["target"]), (&json!("recalled"), &said["seq"]), "{name}");
    }
    assert_eq!(alice.ask("recall", of(&said)).await, recalled, "again, it is the same row");
    let rows = alice.ask("sync", json!({"begin": 1})).await;
    assert_eq!(rows["top"], 2);
}

#[tokio::test]
async fn a_device_that_was_away_learns_of_the_recall_of_what_it_has() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({})).await;
    let said = alice.say_in(&group, "oh no").await;
    let (_, row) = bob.row().await;
    assert_eq!((&row["text"], &row["inboxSeq"]), (&json!("oh no"), &json!(1)));
    drop(bob);
    alice.ask("recall", of(&said)).await;
    let mut bob = JsonChat::open(&server).await;
    bob.ask("auth", json!({"user": bob_id, "device": "phone", "inboxSeq": 1})).await;
    let (name, row) = bob.row().await;
    assert_eq!((name.as_str(), &row["target"], &row["inboxSeq"]), ("recalled", &said["seq"], &json!(2)));
}

#[tokio::test]
async fn a_message_of_a_super_group_is_recalled_in_its_room_and_in_every_page() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({"kind": "super"})).await;
    let said = alice.say_in(&group, "oh no").await;
    assert_eq!(bob.hears().await, "oh no");
    alice.ask("recall", of(&said)).await;
    let (name, row) = bob.row().await;
    assert_eq!((name.as_str(), &row["target"], row.get("inboxSeq")), ("recalled", &said["seq"], None));
    let positions = json!([{"conversation": said["conversation"], "begin": 1}]);
    let page = bob.ask("syncGroups", json!({"positions": positions})).await;
    let rows = &page["groups"][0]["messages"];
    assert_eq!((&rows[0]["recalled"], rows[0].get("text")), (&json!(true), None));
    assert_eq!(rows[1]["kind"], "recalled");
}

#[tokio::test]
async fn who_may_recall_is_the_sender_and_in_a_group_those_who_rule() {
    let server = SERVER.get();
    let (mut owner, _) = person(&server, "owner").await;
    let (mut admin, admin_id) = person(&server, "admin").await;
    let (mut member, member_id) = person(&server, "member").await;
    let (mut other, other_id) = person(&server, "other").await;
    let group = owner.make_group(&[&admin_id, &member_id, &other_id], json!({})).await;
    owner.ask("groupRole", json!({"group": group, "users": [admin_id], "role": "admin"})).await;
    let by_member = member.say_in(&group, "by a member").await;
    let by_admin = admin.say_in(&group, "by an admin").await;
    let by_owner = owner.say_in(&group, "by the owner").await;
    for said in [&by_member, &by_admin, &by_owner] {
        assert_eq!(other.refused("recall", of(said)).await["number"], 40_300);
    }
    assert_eq!(admin.refused("recall", of(&by_owner)).await["number"], 40_300);
    admin.ask("recall", of(&by_member)).await;
    owner.ask("recall", of(&by_admin)).await;
    let event = json!({"conversation": by_owner["conversation"], "seq": 1});
    assert!(
        owner.request("recall", event).await.get("error").is_some(),
        "what is no message is not recalled"
    );
    let nothing = json!({"conversation": by_owner["conversation"], "seq": 99});
    assert_eq!(owner.refused("recall", nothing).await["number"], 40_400);
    let private = member.say(&other_id, "for you").await;
    assert_eq!(other.refused("recall", of(&private)).await["number"], 40_300);
    assert_eq!(owner.refused("recall", of(&private)).await["number"], 40_400);
}

#[tokio::test]
async fn after_the_time_limit_only_those_who_rule_a_group_may_recall() {
    let server = Setup::dev().set("im.recall_time_limit=0s").start();
    let (mut owner, _) = person(&server, "owner").await;
    let (mut member, member_id) = person(&server, "member").await;
    let group = owner.make_group(&[&member_id], json!({})).await;
    loop {
        let said = member.say_in(&group, "too late").await;
        let reply = member.request("recall", of(&said)).await;
        if reply.get("error").is_some() {
            assert_eq!(reply["error"]["number"], 40_303, "{reply}");
            owner.ask("recall", of(&said)).await;
            return;
        }
        // It was asked within the same millisecond.
        assert!(reply["recall"]["seq"].is_u64(), "{reply}");
    }
}
