//! Groups as their members notice them: who comes in, who goes, who rules, and what each of them hears.

use serde_json::{Value, json};

use crate::support::chat::{JsonChat, person};
use crate::support::server::Shared;
use crate::support::unique;

static SERVER: Shared = Shared::new();

fn conversation(group: &str) -> String {
    format!("group:{group}")
}

async fn members(chat: &mut JsonChat, group: &str) -> Vec<(String, String)> {
    let found = chat.ask("groupMembers", json!({"group": group})).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut members: Vec<(String, String)> = found["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| (text(&member["user"]), text(&member["role"])))
        .collect();
    members.sort_unstable();
    members
}

/// Checks that what somebody hears next is this, so that nothing came before it.
async fn hears_next(chat: &mut JsonChat, from: &mut JsonChat, user: &str) {
    let text = unique("only this");
    from.say(user, &text).await;
    assert_eq!(chat.hears().await, text);
}

#[tokio::test]
async fn a_message_reaches_every_member_with_an_inbox_seq_of_their_own_and_one_seq_for_all() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let (mut carol, carol_id) = person(&server, "carol").await;
    // So that the inboxes do not stand at the same seq.
    alice.say(&carol_id, "before").await;
    assert_eq!(carol.hears().await, "before");
    let group = alice.make_group(&[&bob_id, &carol_id], json!({})).await;
    for chat in [&mut bob, &mut carol] {
        let told = chat.push_of("conversation").await;
        assert_eq!((&told["conversation"], &told["kind"]), (&json!(conversation(&group)), &json!("group")));
    }
    let request = json!({"to": {"group": group}, "clientMessageId": "c-1", "text": "hi all"});
    let answer = alice.ask("send", request).await;
    assert_eq!((&answer["seq"], answer.get("inboxSeq")), (&json!(2), None), "the group's first row made it");
    let mut inbox_seqs = Vec::new();
    for chat in [&mut alice, &mut bob, &mut carol] {
        let (name, row) = chat.row().await;
        assert_eq!((name.as_str(), &row["text"], &row["seq"]), ("message", &json!("hi all"), &json!(2)));
        assert_eq!((&row["group"], row.get("to")), (&json!(group), None));
        assert_eq!((&row["clientMessageId"], &row["messageId"]), (&json!("c-1"), &answer["messageId"]));
        inbox_seqs.push(row["inboxSeq"].as_u64().unwrap());
    }
    assert_eq!(inbox_seqs, [2, 1, 2]);
}

#[tokio::test]
async fn a_member_who_was_away_gets_all_of_it_in_order() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (bob, bob_id) = person(&server, "bob").await;
    let carol_id = unique("carol");
    drop(bob);
    let group = alice.make_group(&[&bob_id], json!({})).await;
    for number in 1..=30 {
        alice.say_in(&group, &number.to_string()).await;
    }
    alice.ask("groupInvite", json!({"group": group, "users": [carol_id]})).await;
    alice.say_in(&group, "31").await;
    let mut bob = JsonChat::open(&server).await;
    bob.ask("auth", json!({"user": bob_id, "device": "phone", "inboxSeq": 0})).await;
    let mut rows = Vec::new();
    // What the consumer has not written yet comes as pushes behind the replay.
    while rows.len() < 32 {
        rows.push(bob.row().await);
    }
    let seqs: Vec<u64> = rows.iter().map(|(_, row)| row["seq"].as_u64().unwrap()).collect();
    assert!(seqs.iter().copied().eq(2..=33), "{seqs:?}");
    assert!(rows.iter().enumerate().all(|(place, (_, row))| row["inboxSeq"] == place as u64 + 1));
    let (name, event) = &rows[30];
    assert_eq!(
        (name.as_str(), &event["kind"], &event["users"]),
        ("groupEvent", &json!("invited"), &json!([carol_id]))
    );
    assert_eq!(rows[31].1["text"], "31");
}

#[tokio::test]
async fn who_is_invited_hears_the_next_message_at_once_and_nothing_from_before() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let (mut carol, carol_id) = person(&server, "carol").await;
    let group = alice.make_group(&[&bob_id], json!({})).await;
    alice.say_in(&group, "before").await;
    assert_eq!(bob.hears().await, "before");
    let invited = alice.ask("groupInvite", json!({"group": group, "users": [carol_id, bob_id]})).await;
    assert_eq!(invited["invited"], json!([carol_id]), "who is a member already is skipped");
    let told = carol.push_of("conversation").await;
    assert_eq!((&told["joined"], &told["unread"]), (&json!(3), &json!(0)));
    let (name, event) = bob.row().await;
    assert_eq!(
        (name.as_str(), &event["kind"], &event["by"]),
        ("groupEvent", &json!("invited"), &json!(alice_id))
    );
    alice.say_in(&group, "after").await;
    assert_eq!(carol.hears().await, "after");
    assert_eq!(bob.hears().await, "after");
    let history = carol.ask("history", json!({"conversation": conversation(&group)})).await;
    let seqs: Vec<&Value> = history["messages"].as_array().unwrap().iter().map(|row| &row["seq"]).collect();
    assert_eq!(seqs, [&json!(4)]);
}

#[tokio::test]
async fn where_the_group_says_so_who_joins_sees_what_was_said_before() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[], json!({"history": "all"})).await;
    alice.say_in(&group, "long ago").await;
    alice.ask("groupInvite", json!({"group": group, "users": [bob_id]})).await;
    let history = bob.ask("history", json!({"conversation": conversation(&group)})).await;
    let texts: Vec<&Value> =
        history["messages"].as_array().unwrap().iter().filter_map(|row| row.get("text")).collect();
    assert_eq!(texts, [&json!("long ago")]);
    let listed = bob.ask("conversations", json!({})).await;
    assert_eq!(listed["conversations"][0]["unread"], 0, "what was said before the join is not unread");
    assert_eq!(listed["conversations"][0]["last"]["text"], "long ago");
}

#[tokio::test]
async fn who_was_removed_neither_hears_nor_says_anything_from_then_on() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let (mut carol, carol_id) = person(&server, "carol").await;
    let group = alice.make_group(&[&bob_id, &carol_id], json!({})).await;
    alice.say_in(&group, "with bob").await;
    assert_eq!(bob.hears().await, "with bob");
    let removed =
        alice.ask("groupRemove", json!({"group": group, "users": [bob_id, unique("nobody")]})).await;
    assert_eq!(removed["removed"], json!([bob_id]));
    let told = bob.push_of("conversation").await;
    assert_eq!((&told["conversation"], &told["left"]), (&json!(conversation(&group)), &json!(3)));
    alice.say_in(&group, "without bob").await;
    assert_eq!(carol.hears().await, "with bob");
    assert_eq!(carol.row().await.1["kind"], "removed");
    assert_eq!(carol.hears().await, "without bob");
    let to = json!({"to": {"group": group}, "clientMessageId": unique("c"), "text": "still here?"});
    assert_eq!(bob.refused("send", to).await["number"], 40_300);
    hears_next(&mut bob, &mut alice, &bob_id).await;
    let history = bob.ask("history", json!({"conversation": conversation(&group)})).await;
    let texts: Vec<&Value> =
        history["messages"].as_array().unwrap().iter().filter_map(|row| row.get("text")).collect();
    assert_eq!(texts, [&json!("with bob")], "what was heard can still be read");
}

#[tokio::test]
async fn who_leaves_and_comes_back_has_heard_nothing_in_between() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({"join": "open"})).await;
    for round in 0..10 {
        alice.say_in(&group, &format!("inside {round}")).await;
        bob.ask("groupLeave", json!({"group": group})).await;
        alice.say_in(&group, &format!("outside {round}")).await;
        assert_eq!(bob.ask("groupJoin", json!({"group": group})).await["joined"], true);
    }
    alice.say_in(&group, "last").await;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|text| text != "last") {
        heard.push(bob.hears().await);
    }
    let expected: Vec<String> =
        (0..10).map(|round| format!("inside {round}")).chain(["last".to_owned()]).collect();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn who_may_come_in_is_the_groups_to_say() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let closed = alice.make_group(&[], json!({})).await;
    assert_eq!(bob.refused("groupJoin", json!({"group": closed})).await["number"], 40_400);
    let open = alice.make_group(&[], json!({"join": "open"})).await;
    assert_eq!(bob.ask("groupJoin", json!({"group": open})).await["joined"], true);
    let (name, event) = alice.row().await;
    assert_eq!(
        (name.as_str(), &event["kind"], &event["users"]),
        ("groupEvent", &json!("joined"), &json!([bob_id]))
    );

    let asked = alice.make_group(&[], json!({"join": "approval"})).await;
    let request = json!({"group": asked, "text": "let me in"});
    assert_eq!(bob.ask("groupJoin", request).await["joined"], false);
    let told = alice.push_of("groupRequest").await;
    assert_eq!(
        (&told["group"], &told["user"], &told["text"]),
        (&json!(asked), &json!(bob_id), &json!("let me in"))
    );
    let waiting = alice.ask("groupRequests", json!({"group": asked})).await;
    assert_eq!(waiting["requests"][0]["user"], json!(bob_id));
    alice.ask("groupAnswer", json!({"group": asked, "user": bob_id, "accept": false})).await;
    assert_eq!(alice.ask("groupRequests", json!({"group": asked})).await["requests"], json!([]));
    assert_eq!(members(&mut alice, &asked).await.len(), 1);
    bob.ask("groupJoin", json!({"group": asked})).await;
    alice.ask("groupAnswer", json!({"group": asked, "user": bob_id, "accept": true})).await;
    assert_eq!(members(&mut alice, &asked).await.len(), 2);
    alice.say_in(&asked, "welcome").await;
    assert_eq!(bob.hears().await, "welcome");
    let again = json!({"group": asked, "user": bob_id, "accept": true});
    assert_eq!(alice.refused("groupAnswer", again).await["number"], 40_400);
}

#[tokio::test]
async fn owner_admins_and_members_may_do_what_is_theirs() {
    let server = SERVER.get();
    let (mut owner, owner_id) = person(&server, "owner").await;
    let (mut admin, admin_id) = person(&server, "admin").await;
    let (mut member, member_id) = person(&server, "member").await;
    let other_id = unique("other");
    let group = owner.make_group(&[&admin_id, &member_id], json!({})).await;
    let role = |users: &[&String], role: &str| json!({"group": group, "users": users, "role": role});
    owner.ask("groupRole", role(&[&admin_id], "admin")).await;
    for (name, request) in [
        ("groupInvite", json!({"group": group, "users": [other_id]})),
        ("groupRemove", json!({"group": group, "users": [admin_id]})),
        ("groupUpdate", json!({"group": group, "name": "mine"})),
        ("groupMute", json!({"group": group, "users": [admin_id], "muted": true})),
        ("groupMute", json!({"group": group, "muted": true})),
        ("groupRole", role(&[&member_id], "admin")),
        ("groupRequests", json!({"group": group})),
        ("groupDismiss", json!({"group": group})),
    ] {
        assert_eq!(member.refused(name, request).await["number"], 40_300, "{name} by a member");
    }
    admin.ask("groupInvite", json!({"group": group, "users": [other_id]})).await;
    admin.ask("groupUpdate", json!({"group": group, "name": "ours"})).await;
    admin.ask("groupRemove", json!({"group": group, "users": [other_id]})).await;
    for (name, request) in [
        ("groupRemove", json!({"group": group, "users": [owner_id]})),
        ("groupMute", json!({"group": group, "users": [owner_id], "muted": true})),
        ("groupRole", role(&[&member_id], "admin")),
        ("groupUpdate", json!({"group": group, "kind": "super"})),
        ("groupDismiss", json!({"group": group})),
    ] {
        assert_eq!(admin.refused(name, request).await["number"], 40_300, "{name} by an admin");
    }
    assert_eq!(owner.refused("groupLeave", json!({"group": group})).await["number"], 40_300);
    owner.ask("groupRole", role(&[&member_id], "owner")).await;
    let info = owner.ask("groupInfo", json!({"group": group})).await;
    assert_eq!(
        (&info["owner"], &info["role"], &info["name"]),
        (&json!(member_id), &json!("member"), &json!("ours"))
    );
    owner.ask("groupLeave", json!({"group": group})).await;
    let expected = [(admin_id.clone(), "admin".to_owned()), (member_id.clone(), "owner".to_owned())];
    assert_eq!(members(&mut member, &group).await, expected);
}

#[tokio::test]
async fn who_is_muted_may_not_write_until_it_is_over() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({})).await;
    let send = || json!({"to": {"group": group}, "clientMessageId": unique("c"), "text": "x"});
    alice.ask("groupMute", json!({"group": group, "users": [bob_id], "muted": true})).await;
    assert_eq!(bob.refused("send", send()).await["number"], 40_302);
    let found = alice.ask("groupMembers", json!({"group": group})).await;
    let muted = found["members"].as_array().unwrap().iter().find(|member| member["user"] == bob_id.as_str());
    assert_eq!(muted.unwrap()["mutedUntilMs"], 9_007_199_254_740_991_u64);
    alice.ask("groupMute", json!({"group": group, "users": [bob_id], "muted": false})).await;
    bob.ask("send", send()).await;
    alice.ask("groupMute", json!({"group": group, "muted": true})).await;
    assert_eq!(bob.refused("send", send()).await["number"], 40_302);
    alice.ask("send", send()).await;
    alice.ask("groupMute", json!({"group": group, "muted": false})).await;
    bob.ask("send", send()).await;
    let for_a_while = json!({"group": group, "users": [bob_id], "muted": true, "durationMs": 700});
    alice.ask("groupMute", for_a_while).await;
    assert_eq!(bob.refused("send", send()).await["number"], 40_302);
    while bob.request("send", send()).await.get("error").is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_group_that_has_ended_can_be_read_and_not_written() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({})).await;
    alice.say_in(&group, "goodbye").await;
    alice.ask("groupDismiss", json!({"group": group})).await;
    assert_eq!(bob.hears().await, "goodbye");
    let (name, event) = bob.row().await;
    assert_eq!((name.as_str(), &event["kind"]), ("groupEvent", &json!("dismissed")));
    for chat in [&mut alice, &mut bob] {
        let to = json!({"to": {"group": group}, "clientMessageId": unique("c"), "text": "x"});
        assert_eq!(chat.refused("send", to).await["number"], 40_304);
    }
    assert_eq!(alice.refused("groupInvite", json!({"group": group, "users": ["x"]})).await["number"], 40_304);
    let history = bob.ask("history", json!({"conversation": conversation(&group)})).await;
    assert_eq!(history["messages"][0]["text"], "goodbye");
    assert_eq!(bob.ask("groupInfo", json!({"group": group})).await["dismissed"], true);
}

#[tokio::test]
async fn what_a_group_is_can_be_asked_and_changed() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let given = unique("choice");
    let fields = json!({
        "group": given, "name": "Friends", "avatar": "https://example.com/a.png", "announcement": "be kind",
        "join": "approval", "history": "all",
    });
    let group = alice.make_group(&[&bob_id], fields.clone()).await;
    assert_eq!(group, given);
    let info = bob.ask("groupInfo", json!({"group": group})).await;
    for field in ["name", "avatar", "announcement", "join", "history"] {
        assert_eq!(info[field], fields[field], "{field}");
    }
    assert_eq!(
        (&info["kind"], &info["owner"], &info["memberCount"], &info["role"]),
        (&json!("group"), &json!(alice_id), &json!(2), &json!("member"))
    );
    alice.ask("groupUpdate", json!({"group": group, "name": "Family"})).await;
    assert_eq!(bob.row().await.1["kind"], "updated");
    let info = bob.ask("groupInfo", json!({"group": group})).await;
    assert_eq!((&info["name"], &info["announcement"]), (&json!("Family"), &json!("be kind")));
    let taken = json!({"group": group, "name": "again", "members": []});
    assert_eq!(bob.refused("groupCreate", taken).await["number"], 40_900);
    for (name, request, number) in [
        ("groupInfo", json!({"group": unique("nowhere")}), 40_400),
        ("groupInfo", json!({"group": ""}), 40_000),
        ("groupCreate", json!({"name": "x", "members": ["a\u{1}b"]}), 40_000),
        ("groupCreate", json!({"name": "x", "join": "sometimes"}), 40_000),
        ("groupCreate", json!({"name": "x".repeat(101)}), 41_301),
        ("groupInvite", json!({"group": group, "users": []}), 40_000),
    ] {
        assert_eq!(alice.refused(name, request.clone()).await["number"], number, "{name} {request}");
    }
    let many: Vec<String> = (0..1_001).map(|number| format!("user-{number}")).collect();
    let request = json!({"group": group, "users": many});
    assert_eq!(alice.refused("groupInvite", request).await["number"], 40_000);
}

#[tokio::test]
async fn who_is_not_a_member_learns_nothing_of_a_closed_group() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut eve, _) = person(&server, "eve").await;
    let group = alice.make_group(&[], json!({})).await;
    alice.say_in(&group, "secret").await;
    let conversation = conversation(&group);
    for (name, request) in [
        ("groupInfo", json!({"group": group})),
        ("groupMembers", json!({"group": group})),
        ("groupInvite", json!({"group": group, "users": ["x"]})),
        ("groupLeave", json!({"group": group})),
        ("send", json!({"to": {"group": group}, "clientMessageId": "c", "text": "x"})),
        ("history", json!({"conversation": conversation})),
        ("read", json!({"conversation": conversation, "seq": 1})),
        ("readers", json!({"conversation": conversation, "seq": 2})),
        ("recall", json!({"conversation": conversation, "seq": 2})),
        ("conversationUpdate", json!({"conversation": conversation, "pinned": true})),
        ("syncGroups", json!({"positions": [{"conversation": conversation, "begin": 1}]})),
    ] {
        assert_eq!(eve.refused(name, request).await["number"], 40_400, "{name}");
    }
    assert_eq!(eve.ask("conversations", json!({})).await["conversations"], json!([]));
}

#[tokio::test]
async fn members_are_told_page_by_page_each_once() {
    let server = SERVER.get();
    let (mut alice, alice_id) = person(&server, "alice").await;
    let others: Vec<String> = (0..230).map(|number| format!("{alice_id}-{number:03}")).collect();
    let names: Vec<&str> = others.iter().map(String::as_str).collect();
    let group = alice.make_group(&names, json!({})).await;
    let (mut found, mut cursor) = (Vec::new(), Value::from(""));
    loop {
        let mut page =
            alice.ask("groupMembers", json!({"group": group, "cursor": cursor, "limit": 50})).await;
        let members = page["members"].as_array().unwrap();
        assert!(members.len() <= 50);
        found.extend(members.iter().map(|member| member["user"].as_str().unwrap().to_owned()));
        cursor = page["next"].take();
        if cursor == "" {
            break;
        }
    }
    found.sort_unstable();
    let mut expected = others;
    expected.push(alice_id);
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_message_to_a_group_that_is_sent_again_is_there_once_and_gets_the_first_answer() {
    let server = SERVER.get();
    let (mut alice, _) = person(&server, "alice").await;
    let (mut bob, bob_id) = person(&server, "bob").await;
    let group = alice.make_group(&[&bob_id], json!({})).await;
    let request = json!({"to": {"group": group}, "clientMessageId": "c", "text": "once"});
    let first = alice.ask("send", request.clone()).await;
    assert_eq!(alice.ask("send", request).await, first);
    alice.say_in(&group, "next").await;
    assert_eq!((bob.hears().await, bob.hears().await), ("once".to_owned(), "next".to_owned()));
}
