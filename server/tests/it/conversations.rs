//! The list of conversations: what is last, unread and mentioned, what was pinned, what has changed since a version,
//! and that all devices of a user agree on it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::chat::{Carrier, JsonChat, live, person, to_user, words};
use crate::support::server::Shared;
use crate::support::{unique, within};

static SERVER: Shared = Shared::new();

/// The conversations that have changed since a version, and the version from then on.
async fn since(chat: &mut JsonChat, mut version: u64, limit: u64) -> (BTreeMap<String, Value>, u64) {
    let mut found = BTreeMap::new();
    loop {
        let mut page = chat.ask("conversations", json!({"version": version, "limit": limit})).await;
        let conversations: Vec<Value> = page["conversations"].as_array_mut().unwrap().drain(..).collect();
        assert!(conversations.len() as u64 <= limit.max(1));
        for conversation in conversations {
            found.insert(conversation["conversation"].as_str().unwrap().to_owned(), conversation);
        }
        version = page["version"].as_u64().unwrap();
        if page["more"] != true {
            return (found, version);
        }
    }
}

/// The only conversation of somebody.
async fn only(chat: &mut JsonChat) -> Value {
    let (found, _) = since(chat, 0, 100).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_values().next().unwrap()
}

fn single(one: &str, other: &str) -> String {
    let (smaller, larger) = if one <= other { (one, other) } else { (other, one) };
    format!("single:{}:{smaller}:{larger}", smaller.len())
}

#[tokio::test]
async fn both_find_a_single_chat_each_with_what_is_unread_for_them() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    for text in ["one", "two", "three"] {
        alice.say(&bob_id, text).await;
    }
    let seen = only(&mut bob).await;
    assert_eq!(seen["conversation"], single(&alice_id, &bob_id));
    assert_eq!((&seen["kind"], &seen["peer"]), (&json!("single"), &json!(alice_id)));
    assert_eq!((&seen["top"], &seen["unread"], &seen["readUpTo"]), (&json!(3), &json!(3), &json!(0)));
    assert_eq!((&seen["last"]["text"], &seen["mentioned"]), (&json!("three"), &json!(false)));
    let own = only(&mut alice).await;
    assert_eq!((&own["peer"], &own["unread"]), (&json!(bob_id), &json!(0)), "what one said oneself is read");
    bob.say(&alice_id, "four").await;
    assert_eq!(only(&mut bob).await["unread"], 0, "who answers has seen what was said before");
    assert_eq!(only(&mut alice).await["unread"], 1);
}

#[tokio::test]
async fn what_was_read_on_one_device_is_read_on_all() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut phone, bob_id) = person(&server, "bob").await;
    let mut tablet = JsonChat::live(&server, &bob_id, "tablet").await;
    for text in ["one", "two", "three"] {
        alice.say(&bob_id, text).await;
    }
    let conversation = single(&alice_id, &bob_id);
    let read = |seq: u64| json!({"conversation": conversation, "seq": seq});
    assert_eq!(phone.ask("read", read(2)).await["readUpTo"], 2);
    let told = tablet.push_of("conversation").await;
    assert_eq!(
        (&told["conversation"], &told["readUpTo"], &told["unread"]),
        (&json!(conversation), &json!(2), &json!(1))
    );
    assert_eq!(tablet.ask("read", read(1)).await["readUpTo"], 2, "it is only ever raised");
    assert_eq!(tablet.ask("read", read(9)).await["readUpTo"], 3, "and at most to what there is");
    assert_eq!(only(&mut phone).await["unread"], 0);
    for bad in
        [json!({"conversation": "nonsense", "seq": 1}), json!({"conversation": single("x", "y"), "seq": 1})]
    {
        assert_eq!(phone.refused("read", bad).await["number"], 40_400);
    }
}

#[tokio::test]
async fn rows_that_are_no_messages_are_not_unread() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({})).await;
    alice.ask("groupUpdate", json!({"group": group, "name": "other"})).await;
    alice.ask("groupInvite", json!({"group": group, "users": [unique("carol")]})).await;
    assert_eq!(only(&mut bob).await["unread"], 0);
    let said = alice.say_in(&group, "hi").await;
    let conversation = said["conversation"].clone();
    alice.ask("recall", json!({"conversation": conversation, "seq": said["seq"]})).await;
    let seen = only(&mut bob).await;
    assert_eq!((&seen["unread"], &seen["top"]), (&json!(1), &json!(5)), "a recall changes nothing of it");
    assert_eq!((&seen["last"]["recalled"], seen["last"].get("text")), (&json!(true), None));
    assert_eq!(seen["last"]["sender"], alice_id);
}

#[tokio::test]
async fn who_is_mentioned_has_a_mark_until_it_is_read() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let (mut carol, carol_id) = person(&server, "carol").await;
    let group = alice.make_group(&[&bob_id, &carol_id], json!({})).await;
    let request =
        json!({"to": {"group": group}, "clientMessageId": "c", "text": "bob!", "mentions": [bob_id]});
    let said = alice.ask("send", request).await;
    assert_eq!(only(&mut bob).await["mentioned"], true);
    assert_eq!(only(&mut carol).await["mentioned"], false);
    let (_, row) = bob.row().await;
    assert_eq!(row["mentions"], json!([bob_id]));
    bob.ask("read", json!({"conversation": said["conversation"], "seq": said["seq"]})).await;
    assert_eq!(only(&mut bob).await["mentioned"], false);
    let request = json!({"to": {"group": group}, "clientMessageId": "d", "text": "all!", "mentionAll": true});
    alice.ask("send", request).await;
    for chat in [&mut bob, &mut carol] {
        assert_eq!(only(chat).await["mentioned"], true);
    }
    let names: Vec<String> = (0..101).map(|number| format!("user-{number}")).collect();
    let too_many = json!({"to": {"group": group}, "clientMessageId": "e", "text": "x", "mentions": names});
    assert_eq!(alice.refused("send", too_many).await["number"], 40_000);
}

#[tokio::test]
async fn an_answer_names_the_message_that_it_answers() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let said = alice.say(&bob_id, "how are you?").await;
    let request =
        json!({"to": {"user": alice_id}, "clientMessageId": "c", "text": "fine", "replyTo": said["seq"]});
    bob.ask("send", request).await;
    let (_, row) = alice.row().await;
    assert_eq!((&row["text"], &row["replyTo"]), (&json!("fine"), &said["seq"]));
}

#[tokio::test]
async fn what_a_user_pins_and_mutes_is_so_on_all_devices_and_for_nobody_else() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut phone, bob_id) = person(&server, "bob").await;
    let mut tablet = JsonChat::live(&server, &bob_id, "tablet").await;
    alice.say(&bob_id, "hi").await;
    let conversation = single(&alice_id, &bob_id);
    phone.ask("conversationUpdate", json!({"conversation": conversation, "pinned": true})).await;
    let told = tablet.push_of("conversation").await;
    assert_eq!((&told["pinned"], &told["muted"]), (&json!(true), &json!(false)));
    tablet.ask("conversationUpdate", json!({"conversation": conversation, "muted": true})).await;
    let seen = only(&mut phone).await;
    assert_eq!((&seen["pinned"], &seen["muted"]), (&json!(true), &json!(true)), "what is absent stays");
    let other = only(&mut alice).await;
    assert_eq!((&other["pinned"], &other["muted"]), (&json!(false), &json!(false)));
    let nothing = json!({"conversation": conversation});
    assert_eq!(phone.refused("conversationUpdate", nothing).await["number"], 40_000);
}

#[tokio::test]
async fn a_device_is_told_what_has_changed_since_it_asked_last_and_only_that() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let (mut carol, carol_id) = person(&server, "carol").await;
    alice.say(&bob_id, "from alice").await;
    carol.say(&bob_id, "from carol").await;
    let (all, version) = since(&mut bob, 0, 1).await;
    assert_eq!(all.len(), 2);
    let (nothing, version) = since(&mut bob, version, 100).await;
    assert_eq!(nothing, BTreeMap::new());
    carol.say(&bob_id, "again").await;
    let (changed, version) = since(&mut bob, version, 100).await;
    assert_eq!(changed.keys().collect::<Vec<_>>(), [&single(&bob_id, &carol_id)]);
    bob.ask("read", json!({"conversation": single(&alice_id, &bob_id), "seq": 1})).await;
    let (changed, version) = since(&mut bob, version, 100).await;
    assert_eq!(changed.keys().collect::<Vec<_>>(), [&single(&alice_id, &bob_id)]);
    let group = carol.make_group(&[&bob_id], json!({})).await;
    let (changed, version) = since(&mut bob, version, 100).await;
    assert_eq!(changed.keys().collect::<Vec<_>>(), [&format!("group:{group}")]);
    carol.ask("groupRemove", json!({"group": group, "users": [bob_id]})).await;
    let (changed, _) = since(&mut bob, version, 100).await;
    assert_eq!(changed[&format!("group:{group}")]["left"], 2);
}

#[tokio::test]
async fn a_list_of_more_than_a_thousand_is_told_page_by_page_each_once() {
    let server = SERVER.get();
    let alice_id = unique("alice");
    let mut sender = live(&server, Carrier::Tcp, &alice_id, "computer").await;
    let mut seqs = Vec::new();
    for number in 0..1_100 {
        let request = words(to_user(&format!("{alice_id}-{number:04}")), &format!("c-{number}"), "hi");
        seqs.push(within("sending", sender.send(request)).await.unwrap());
    }
    for seq in seqs {
        let reply = within("an answer", sender.reply(seq)).await.unwrap();
        assert!(matches!(reply, anser_client::ReplyKind::Send(_)), "{reply:?}");
    }
    let mut alice = JsonChat::open(&server).await;
    alice.ask("auth", json!({"user": alice_id, "device": "phone"})).await;
    let mut version = 0;
    let mut found = Vec::new();
    loop {
        let page = alice.ask("conversations", json!({"version": version, "limit": 1_000})).await;
        let conversations = page["conversations"].as_array().unwrap();
        found.extend(conversations.iter().map(|one| one["peer"].as_str().unwrap().to_owned()));
        version = page["version"].as_u64().unwrap();
        if page["more"] != true {
            break;
        }
    }
    assert_eq!(found.len(), 1_100);
    found.sort_unstable();
    let expected: Vec<String> = (0..1_100).map(|number| format!("{alice_id}-{number:04}")).collect();
    assert_eq!(found, expected);
    let (changed, _) = since(&mut alice, version, 100).await;
    assert_eq!(changed, BTreeMap::new());
}

#[tokio::test]
async fn somebody_is_seen_writing_by_whom_they_write_to() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let (mut carol, carol_id) = person(&server, "carol").await;
    alice.ask("typing", json!({"to": {"user": bob_id}})).await;
    let told = bob.push_of("typing").await;
    assert_eq!(
        (&told["conversation"], &told["user"]),
        (&json!(single(&alice_id, &bob_id)), &json!(alice_id))
    );
    let group = alice.make_group(&[&bob_id, &carol_id], json!({})).await;
    bob.ask("typing", json!({"to": {"group": group}})).await;
    for chat in [&mut alice, &mut carol] {
        let told = chat.push_of("typing").await;
        assert_eq!(
            (&told["conversation"], &told["user"]),
            (&json!(format!("group:{group}")), &json!(bob_id))
        );
    }
    let crowd = alice.make_group(&[&bob_id], json!({"kind": "super"})).await;
    assert_eq!(bob.refused("typing", json!({"to": {"group": crowd}})).await["number"], 50_101);
    let nowhere = json!({"to": {"group": unique("nowhere")}});
    assert_eq!(alice.refused("typing", nowhere).await["number"], 40_400);
}
