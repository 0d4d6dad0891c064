//! The list of conversations: what is unread, what mentions, what was chosen, and who is told.

use std::collections::HashSet;

use contracts::push::EventPush;
use protocol::client::{
    Conversation, ConversationUpdate, Conversations, ConversationsReply, Custom, GroupRemove, Read,
    Send as Sending, send,
};
use protocol::codec::Event;

use super::*;

/// The user's conversations since a version.
async fn since(running: &Running, name: &str, version: u64, limit: u32) -> ConversationsReply {
    ask!(running, name, Conversations, Conversations { version, limit }).unwrap()
}

/// One of the user's conversations, as it stands in the list.
async fn listed(running: &Running, name: &str, conversation: &str) -> Conversation {
    let all = since(running, name, 0, 0).await.conversations;
    let found = all.into_iter().find(|found| found.conversation == conversation);
    found.unwrap_or_else(|| panic!("{name} has no {conversation}"))
}

pub(super) async fn remove(running: &Running, group: &str, name: &str) {
    let request = GroupRemove { group: group.to_owned(), users: names(&[name]) };
    ask!(running, "alice", GroupRemove, request).unwrap();
}

pub(super) async fn read(running: &Running, name: &str, conversation: &str, seq: u64) -> Result<u64> {
    let request = Read { conversation: conversation.to_owned(), seq };
    ask!(running, name, Read, request).map(|reply| reply.read_up_to)
}

fn told(events: &[EventPush], name: &str) -> Vec<(Conversation, Option<ConnectionId>)> {
    let for_user = events.iter().filter(|push| push.users == [user(name)]);
    let conversation = |push: &EventPush| match &*push.event {
        Event::Conversation(conversation) => Some((conversation.clone(), push.except)),
        _ => None,
    };
    for_user.filter_map(conversation).collect()
}

#[tokio::test]
async fn what_is_unread_and_mentions_is_the_same_for_both_devices_of_a_user() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    let create = GroupCreate {
        group: "team".to_owned(),
        name: "Team".to_owned(),
        members: names(&["bob", "carol"]),
        ..GroupCreate::default()
    };
    ask!(running, "alice", GroupCreate, create).unwrap();
    let team = "group:team";
    for (number, mentions) in [vec![], vec!["bob".to_owned()], vec![]].into_iter().enumerate() {
        let send =
            Sending { mentions, ..request("alice", to_group("team"), &format!("c-{number}"), "hi").send };
        running.im().send(SendRequest { send, ..request("alice", to_group("team"), "", "") }).await.unwrap();
    }
    let of_bob = listed(&running, "bob", team).await;
    assert_eq!((of_bob.kind.as_str(), of_bob.name.as_deref()), ("group", Some("Team")));
    assert_eq!((of_bob.top, of_bob.unread, of_bob.mentioned), (4, 3, true), "the row that made it counts");
    assert_eq!(of_bob.last.unwrap().client_message_id, "c-2");
    let of_carol = listed(&running, "carol", team).await;
    assert_eq!((of_carol.unread, of_carol.mentioned), (3, false), "carol was not meant");
    assert_eq!(listed(&running, "alice", team).await.unread, 0, "what one says oneself is not unread");

    assert_eq!(read(&running, "bob", team, 3).await.unwrap(), 3);
    push.until_told(|event| matches!(event, Event::Conversation(told) if told.read_up_to == 3)).await;
    let events = push.told.borrow().clone();
    let (other_device, except) = told(&events, "bob").pop().unwrap();
    assert_eq!((other_device.unread, other_device.mentioned, other_device.read_up_to), (1, false, 3));
    assert_eq!(except, Some(ConnectionId(77)), "the device that read knows it");
    let of_bob = listed(&running, "bob", team).await;
    assert_eq!((of_bob.unread, of_bob.mentioned, of_bob.read_up_to), (1, false, 3));
    assert_eq!(listed(&running, "carol", team).await.unread, 3, "bob's reading is bob's");
}

#[tokio::test]
async fn a_version_brings_what_has_changed_since_and_nothing_else() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.say("alice", "bob", "c-1").await.unwrap();
    running.say("carol", "bob", "c-2").await.unwrap();
    let first = since(&running, "bob", 0, 1).await;
    assert_eq!((first.conversations.len(), first.more), (1, true));
    let rest = since(&running, "bob", first.version, 0).await;
    assert_eq!((rest.conversations.len(), rest.more), (1, false));
    assert_ne!(first.conversations[0].conversation, rest.conversations[0].conversation);
    let nothing = since(&running, "bob", rest.version, 0).await;
    assert_eq!((nothing.conversations.len(), nothing.version), (0, rest.version));

    running.say("alice", "bob", "c-3").await.unwrap();
    let changed = since(&running, "bob", rest.version, 0).await;
    let [with_alice] = &changed.conversations[..] else { panic!("{:?}", changed.conversations) };
    assert_eq!(
        (with_alice.peer.as_deref(), with_alice.unread, with_alice.kind.as_str()),
        (Some("alice"), 2, "single")
    );
    assert_eq!(with_alice.last.as_ref().map(|last| last.seq), Some(2));
}

#[tokio::test]
async fn a_choice_is_kept_and_told_to_the_other_devices() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.say("alice", "bob", "c-1").await.unwrap();
    let chat = "single:5:alice:bob";
    let update = |conversation: &str, pinned, muted| {
        let conversation = conversation.to_owned();
        RequestKind::ConversationUpdate(ConversationUpdate { conversation, pinned, muted })
    };
    running.ask("bob", update(chat, Some(true), None)).await.unwrap();
    running.ask("bob", update(chat, None, Some(true))).await.unwrap();
    push.until_told(|event| matches!(event, Event::Conversation(told) if told.muted)).await;
    let of_bob = listed(&running, "bob", chat).await;
    assert_eq!((of_bob.pinned, of_bob.muted), (true, true), "what is absent stays");
    let of_alice = listed(&running, "alice", chat).await;
    assert_eq!((of_alice.pinned, of_alice.muted), (false, false), "bob's choice is bob's");
    assert!(push.told.borrow().iter().all(|push| push.users == [user("bob")]));

    for (request, code) in [
        (update(chat, None, None), Code::InvalidArgument),
        (update("single:5:alice:carol", Some(true), None), Code::NotFound),
        (update("group:nowhere", Some(true), None), Code::NotFound),
        (update("nonsense", Some(true), None), Code::NotFound),
    ] {
        let answer = running.ask("bob", request.clone()).await;
        assert_eq!(code_of(answer), code, "{request:?}");
    }
}

#[tokio::test]
async fn a_super_groups_unread_is_computed_and_ends_where_the_member_was_removed() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.group("crowd", &["alice", "bob"], "super").await;
    let crowd = "group:crowd";
    running.say_in("crowd", "alice", "c-1").await.unwrap();
    running.say_in("crowd", "alice", "c-2").await.unwrap();
    let of_bob = listed(&running, "bob", crowd).await;
    assert_eq!((of_bob.kind.as_str(), of_bob.top, of_bob.unread, of_bob.left), ("super", 3, 2, None));
    remove(&running, "crowd", "bob").await;
    running.say_in("crowd", "alice", "c-3").await.unwrap();
    let of_bob = listed(&running, "bob", crowd).await;
    assert_eq!((of_bob.top, of_bob.unread, of_bob.left), (3, 2, Some(4)));
    assert_eq!(of_bob.last.unwrap().client_message_id, "c-2");
}

#[tokio::test]
async fn pages_of_long_messages_are_bounded_and_miss_no_conversation() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let body = Bytes::from(vec![b'x'; 32 * 1024]);
    for number in 0..40 {
        let content = Custom { r#type: "blob".to_owned(), body: body.clone() };
        let ask = request(&format!("user-{number}"), to_user("bob"), "c", "");
        let send = Sending { content: Some(send::Content::Custom(content)), ..ask.send.clone() };
        running.im().send(SendRequest { send, ..ask }).await.unwrap();
    }
    let (mut version, mut found) = (0, HashSet::new());
    loop {
        let page = since(&running, "bob", version, 1_000).await;
        let bytes = prost::Message::encoded_len(&page);
        assert!(bytes <= 1024 * 1024 + 100, "a page has {bytes} bytes");
        found.extend(page.conversations.into_iter().map(|found| found.conversation));
        version = page.version;
        if !page.more {
            break;
        }
    }
    assert_eq!(found.len(), 40);
}
