//! Super groups as their members notice them: pushes without an inbox seq, holes that syncGroups fills, a last message
//! that a heartbeat finds, and rooms that nobody can get into by a name.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::chat::{JsonChat, person};
use crate::support::goim_wire::{Goim, WIRES};
use crate::support::http::post;
use crate::support::server::{Server, Setup, Shared};
use crate::support::unique;

static SERVER: Shared = Shared::new();

fn conversation(group: &str) -> String {
    format!("group:{group}")
}

/// What a connection is told that says for itself what it holds.
async fn signed_in(server: &Server, user: &str, device: &str) -> (JsonChat, Value) {
    let mut chat = JsonChat::open(server).await;
    let answer = chat.ask("auth", json!({"user": user, "device": device, "inboxSeq": 0})).await;
    (chat, answer)
}

async fn page(chat: &mut JsonChat, group: &str, begin: u64) -> Value {
    let positions = json!([{"conversation": conversation(group), "begin": begin}]);
    chat.ask("syncGroups", json!({"positions": positions})).await["groups"][0].take()
}

fn seqs(page: &Value) -> Vec<u64> {
    page["messages"].as_array().unwrap().iter().map(|row| row["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_message_reaches_everybody_there_without_an_inbox_seq_and_no_inbox_at_all() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({"kind": "super"})).await;
    let info = alice.ask("groupInfo", json!({"group": group})).await;
    assert_eq!(info["kind"], "super");
    let answer = alice.say_in(&group, "hi all").await;
    assert_eq!((&answer["seq"], answer.get("inboxSeq")), (&json!(2), None));
    for chat in [&mut alice, &mut bob] {
        let (name, row) = chat.row().await;
        assert_eq!((name.as_str(), &row["text"], &row["seq"]), ("message", &json!("hi all"), &json!(2)));
        assert_eq!((row.get("inboxSeq"), &row["group"]), (None, &json!(group)));
    }
    for (chat, user) in [(&mut alice, &alice_id), (&mut bob, &bob_id)] {
        let inbox = chat.ask("sync", json!({"begin": 1})).await;
        assert_eq!((&inbox["messages"], &inbox["top"]), (&json!([]), &json!(0)), "{user}");
    }
}

#[tokio::test]
async fn a_hole_is_filled_and_the_first_seq_is_the_one_behind_the_join() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[], json!({"kind": "super"})).await;
    alice.say_in(&group, "before").await;
    alice.ask("groupInvite", json!({"group": group, "users": [bob_id]})).await;
    for number in 4..=23 {
        assert_eq!(alice.say_in(&group, &number.to_string()).await["seq"], number);
    }
    let all = page(&mut bob, &group, 1).await;
    assert_eq!((seqs(&all), &all["top"], &all["next"]), ((4..=23).collect(), &json!(23), &json!(0)));
    let some = page(&mut bob, &group, 20).await;
    assert_eq!(seqs(&some), [20, 21, 22, 23]);
    let none = page(&mut bob, &group, 24).await;
    assert_eq!((seqs(&none), &none["top"], &none["next"]), (vec![], &json!(23), &json!(0)));
}

#[tokio::test]
async fn a_lost_last_message_is_found_by_the_tops_of_the_next_heartbeat() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({"kind": "super"})).await;
    alice.say_in(&group, "lost on its way").await;
    // The push has come, and whoever reads it may lose it: that it was pushed must not count as told.
    assert_eq!(bob.hears().await, "lost on its way");
    let expected = json!([{"conversation": conversation(&group), "top": 2}]);
    bob.ask_until("heartbeat", json!({}), |beat| beat["groups"] == expected).await;
    let beat = bob.ask("heartbeat", json!({})).await;
    assert_eq!(beat["groups"], json!([]), "a top is told once");
}

#[tokio::test]
async fn who_was_removed_neither_hears_nor_says_anything_and_who_is_invited_hears_at_once() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let (mut carol, carol_id) = person(&server, "carol").await;
    let group = alice.make_group(&[&bob_id], json!({"kind": "super"})).await;
    alice.say_in(&group, "with bob").await;
    assert_eq!(bob.hears().await, "with bob");
    let mut tablet = JsonChat::live(&server, &bob_id, "tablet").await;
    alice.ask("groupRemove", json!({"group": group, "users": [bob_id]})).await;
    alice.ask("groupInvite", json!({"group": group, "users": [carol_id]})).await;
    alice.say_in(&group, "with carol").await;
    assert_eq!(carol.hears().await, "with carol");
    let text = unique("only this");
    alice.say(&bob_id, &text).await;
    for chat in [&mut bob, &mut tablet] {
        let to = json!({"to": {"group": group}, "clientMessageId": unique("c"), "text": "x"});
        assert_eq!(chat.refused("send", to).await["number"], 40_300);
        // It is for this user alone, and nothing of the group came before it.
        assert_eq!(chat.hears().await, text);
    }
    assert_eq!(tablet.ask("groupTops", json!({})).await["groups"], json!([]));
    let old = page(&mut bob, &group, 1).await;
    assert_eq!((seqs(&old), &old["top"]), (vec![2], &json!(2)), "what lies before the leaving can be read");
}

#[tokio::test]
async fn nobody_gets_into_the_room_of_a_super_group_by_a_name() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut eve, eve_id) = person(&server, "eve").await;
    let group = alice.make_group(&[], json!({"kind": "super"})).await;
    let own = format!("\u{1}group:{group}");
    let names = [own.clone(), conversation(&group), format!("group://{group}"), group.clone()];
    assert_eq!(eve.refused("join", json!({"rooms": [own]})).await["number"], 40_000);
    let mut open = JsonChat::open(&server).await;
    let refused = open.refused("auth", json!({"user": eve_id, "device": "d", "rooms": [own]})).await;
    assert_eq!(refused["number"], 40_000);
    eve.ask("join", json!({"rooms": names[1..]})).await;
    let mut goims = Vec::new();
    for wire in WIRES {
        for name in &names {
            let mut goim = Goim::user(&server, wire, 0, &unique("key"), &[1000]).await;
            goim.send(12, 2, name.as_bytes()).await;
            goims.push(goim);
            let mut goim = Goim::open(&server, wire).await;
            let auth = json!({"mid": 0, "key": unique("key"), "room_id": name, "accepts": [1000]});
            goim.send(7, 1, auth.to_string().as_bytes()).await;
            goims.push(goim);
        }
    }
    alice.say_in(&group, "among ourselves").await;
    assert_eq!(alice.hears().await, "among ourselves");
    // Nor does the server API reach it.
    let push = json!({"to": {"room": own}, "op": 1000, "text": "forged"});
    assert_eq!(post(server.api, "/v1/push", push.to_string().as_bytes()).await.status, 400);
    let room: String = own.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let target = format!("/goim/push/room?operation=1000&type={room}&room=x");
    assert_ne!(post(server.api, &target, b"forged").await.json()["code"], 0);
    let message = json!({"from": eve_id, "to": {"room": own}, "clientMessageId": "c", "text": "forged"});
    assert_eq!(post(server.api, "/v1/messages", message.to_string().as_bytes()).await.status, 400);
    alice.say_in(&group, "still").await;
    assert_eq!(alice.hears().await, "still");
    // Everybody else hears this and has heard nothing before it.
    let all = json!({"to": {"all": true}, "op": 1000, "text": "to all"});
    assert_eq!(post(server.api, "/v1/push", all.to_string().as_bytes()).await.status, 200);
    let push = eve.push().await;
    assert_eq!(push["push"]["op"], 1000, "{push}");
    for mut goim in goims {
        while let Some(frame) = goim.next_or_end().await {
            let text = String::from_utf8_lossy(&frame.body).into_owned();
            assert!(!text.contains("among ourselves") && !text.contains("still"), "{text}");
            if frame.operation == 1000 {
                assert_eq!(frame.body, b"to all");
                break;
            }
        }
    }
}

#[tokio::test]
async fn many_groups_are_asked_for_at_once_and_share_the_limit() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let mut groups = Vec::new();
    for number in 0..30 {
        let group = alice.make_group(&[&bob_id], json!({"kind": "super"})).await;
        for text in 0..=number % 5 {
            alice.say_in(&group, &format!("{number}-{text}")).await;
        }
        groups.push(group);
    }
    let mut positions: Vec<Value> =
        groups.iter().map(|group| json!({"conversation": conversation(group), "begin": 2})).collect();
    let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut request_count = 0;
    while !positions.is_empty() {
        let asked = json!({"positions": positions, "limit": 20});
        let mut answer = bob.ask("syncGroups", asked).await;
        let pages = answer["groups"].take();
        let pages = pages.as_array().unwrap();
        assert_eq!(pages.len(), positions.len());
        assert!(pages.iter().map(|page| seqs(page).len()).sum::<usize>() <= 20);
        for (page, asked) in pages.iter().zip(&positions) {
            assert_eq!(page["conversation"], asked["conversation"], "in the order asked");
            let texts = held.entry(page["conversation"].as_str().unwrap().to_owned()).or_default();
            let rows = page["messages"].as_array().unwrap().iter();
            texts.extend(rows.map(|row| row["text"].as_str().unwrap().to_owned()));
        }
        let unfinished = pages.iter().filter(|page| page["next"] != 0);
        positions = unfinished
            .map(|page| json!({"conversation": page["conversation"], "begin": page["next"]}))
            .collect();
        request_count += 1;
        assert!(request_count < 20, "it comes to no end");
    }
    for (number, group) in groups.iter().enumerate() {
        let expected: Vec<String> = (0..=number % 5).map(|text| format!("{number}-{text}")).collect();
        assert_eq!(held[&conversation(group)], expected);
    }
    let strange = json!({"positions": [{"conversation": "group:nowhere", "begin": 1}]});
    assert_eq!(bob.refused("syncGroups", strange).await["number"], 40_400);
    let many: Vec<Value> =
        (0..501).map(|_| json!({"conversation": conversation(&groups[0]), "begin": 1})).collect();
    assert_eq!(bob.refused("syncGroups", json!({"positions": many})).await["number"], 41_301);
}

#[tokio::test]
async fn the_answer_to_auth_tells_where_many_super_groups_stand_page_by_page() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let bob_id = unique("bob");
    let mut expected = BTreeMap::new();
    for number in 0..230 {
        let group = alice.make_group(&[&bob_id], json!({"kind": "super"})).await;
        if number % 10 == 0 {
            alice.say_in(&group, "x").await;
        }
        let top = if number % 10 == 0 { 2 } else { 1 };
        expected.insert(conversation(&group), (top, 0, 1));
    }
    let first = expected.keys().next().unwrap().clone();
    let (mut bob, mut answer) = signed_in(&server, &bob_id, "phone").await;
    bob.ask("read", json!({"conversation": first, "seq": 2})).await;
    expected.get_mut(&first).unwrap().1 = expected[&first].0;
    let (mut bob, again) = signed_in(&server, &bob_id, "tablet").await;
    assert_eq!(answer["groups"].as_array().unwrap().len(), 200);
    answer = again;
    let mut found = Vec::new();
    let (mut groups, mut next) = (answer["groups"].take(), answer["groupsNext"].take());
    loop {
        for group in groups.as_array().unwrap() {
            let number = |field: &str| group[field].as_u64().unwrap();
            let conversation = group["conversation"].as_str().unwrap().to_owned();
            found.push((conversation, (number("top"), number("readUpTo"), number("joined"))));
        }
        if next == "" {
            break;
        }
        let mut page = bob.ask("groupTops", json!({"cursor": next, "limit": 20})).await;
        (groups, next) = (page["groups"].take(), page["next"].take());
        assert!(groups.as_array().unwrap().len() <= 20);
    }
    assert!(found.is_sorted(), "ascending by conversation");
    assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
}

#[tokio::test]
async fn what_is_unread_in_a_super_group_is_counted_when_it_is_asked() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({"kind": "super"})).await;
    for text in ["one", "two", "three"] {
        alice.say_in(&group, text).await;
    }
    alice.ask("groupUpdate", json!({"group": group, "name": "another"})).await;
    let mut listed = bob.ask("conversations", json!({})).await;
    let found = listed["conversations"][0].take();
    assert_eq!((&found["kind"], &found["top"], &found["unread"]), (&json!("super"), &json!(5), &json!(3)));
    assert_eq!(found["last"]["text"], "three");
    bob.ask("read", json!({"conversation": conversation(&group), "seq": 3})).await;
    let found = bob.ask("conversations", json!({})).await["conversations"][0].take();
    assert_eq!((&found["readUpTo"], &found["unread"]), (&json!(3), &json!(1)));
    bob.say_in(&group, "mine").await;
    let found = bob.ask("conversations", json!({})).await["conversations"][0].take();
    assert_eq!(found["unread"], 0, "what was said before an own message was seen");
    let to_all =
        json!({"to": {"group": group}, "clientMessageId": unique("c"), "text": "all!", "mentionAll": true});
    assert_eq!(bob.refused("send", to_all.clone()).await["number"], 40_300);
    alice.ask("send", to_all).await;
    let found = bob.ask("conversations", json!({})).await["conversations"][0].take();
    assert_eq!((&found["mentioned"], &found["unread"]), (&json!(true), &json!(1)));
}

#[tokio::test]
async fn a_message_reaches_three_hundred_members_who_are_there() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let names: Vec<String> = (0..300).map(|number| format!("{alice_id}-{number}")).collect();
    let mut members = Vec::new();
    for name in &names {
        members.push(JsonChat::live(&server, name, "phone").await);
    }
    let references: Vec<&str> = names.iter().map(String::as_str).collect();
    let group = alice.make_group(&references, json!({"kind": "super"})).await;
    for text in ["one", "two"] {
        alice.say_in(&group, text).await;
    }
    for member in &mut members {
        assert_eq!((member.hears().await, member.hears().await), ("one".to_owned(), "two".to_owned()));
    }
}

#[tokio::test]
async fn a_group_that_outgrows_the_bound_while_all_talk_loses_doubles_and_reorders_nothing() {
    let server = Setup::dev().set("im.group_members_max=4").start();
    let names: Vec<String> = (0..8).map(|number| unique(&format!("user-{number}"))).collect();
    let mut owner = JsonChat::live(&server, &names[0], "phone").await;
    let references: Vec<&str> = names[1..4].iter().map(String::as_str).collect();
    let group = owner.make_group(&references, json!({})).await;
    let mut talks = tokio::task::JoinSet::new();
    for name in &names[..4] {
        let (mut chat, group) = (JsonChat::live(&server, name, "talk").await, group.clone());
        talks.spawn(async move {
            for number in 0..40 {
                chat.say_in(&group, &number.to_string()).await;
            }
        });
    }
    owner.ask("groupInvite", json!({"group": group, "users": [names[4]]})).await;
    owner.ask("groupInvite", json!({"group": group, "users": [names[5], names[6], names[7]]})).await;
    while let Some(talk) = talks.join_next().await {
        talk.unwrap();
    }
    assert_eq!(owner.ask("groupInfo", json!({"group": group})).await["kind"], "super");
    let history = all_rows(&mut owner, &group).await;
    let kinds: Vec<(u64, &str)> =
        history.iter().filter_map(|row| Some((row["seq"].as_u64()?, row["kind"].as_str()?))).collect();
    let converted: Vec<u64> =
        kinds.iter().filter(|(_, kind)| *kind == "converted").map(|(seq, _)| *seq).collect();
    assert_eq!((kinds.len(), converted.len()), (3, 1), "{kinds:?}");
    for (number, name) in names[..4].iter().enumerate() {
        let mut chat = JsonChat::open(&server).await;
        chat.ask("auth", json!({"user": name, "device": "fresh", "inboxSeq": 0})).await;
        // Up to the row that says so in the inbox, from there on outside of it.
        let whole = json!({"begin": 1, "limit": 500});
        let is_whole = |page: &Value| {
            page["messages"].as_array().unwrap().last().is_some_and(|row| row["kind"] == "converted")
        };
        let inbox = chat.ask_until("sync", whole, is_whole).await;
        let inside = seqs(&inbox);
        assert_eq!(inside, (2..=converted[0]).collect::<Vec<u64>>(), "the inbox of member {number}");
        let mut outside = Vec::new();
        let mut begin = converted[0] + 1;
        while begin > 0 {
            let page = page(&mut chat, &group, begin).await;
            outside.extend(seqs(&page));
            begin = page["next"].as_u64().unwrap();
        }
        assert_eq!(outside, (converted[0] + 1..=164).collect::<Vec<u64>>(), "member {number}");
    }
    for sender in &names[..4] {
        let said = history.iter().filter(|row| row.get("kind").is_none() && row["sender"] == sender.as_str());
        let texts: Vec<&str> = said.map(|row| row["text"].as_str().unwrap()).collect();
        let expected: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        assert_eq!(texts, expected, "{sender}");
    }
}

/// All rows of a group from the first one that the user may see.
async fn all_rows(chat: &mut JsonChat, group: &str) -> Vec<Value> {
    let (mut rows, mut after) = (Vec::new(), 0);
    loop {
        let request = json!({"conversation": conversation(group), "after": after, "limit": 100});
        let mut page = chat.ask("history", request).await;
        rows.append(page["messages"].as_array_mut().unwrap());
        if page["more"] != true {
            return rows;
        }
        after = rows.last().unwrap()["seq"].as_u64().unwrap();
    }
}
