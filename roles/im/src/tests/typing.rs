//! Who is writing: told to whom, and how often.

use protocol::client::{Block, GroupInvite, Typing, TypingReply};
use protocol::codec::Event;

use super::conversations::remove;
use super::*;

async fn typing(running: &Running, name: &str, to: Target) -> Result<TypingReply> {
    ask!(running, name, Typing, Typing { to: Some(to) })
}

/// Who was told who is writing in which conversation.
fn told(push: &Remembering) -> Vec<(Vec<String>, String, String)> {
    let told = push.told.borrow();
    let typing = |push: &contracts::push::EventPush| match &*push.event {
        Event::Typing(typing) => {
            let users = push.users.iter().map(ToString::to_string).collect();
            Some((users, typing.user.clone(), typing.conversation.clone()))
        }
        _ => None,
    };
    told.iter().filter_map(typing).collect()
}

#[tokio::test]
async fn the_other_one_is_told_and_at_most_once_a_second() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    for _ in 0..20 {
        typing(&running, "alice", to_user("bob")).await.unwrap();
    }
    let expected = (names(&["bob"]), "alice".to_owned(), "single:5:alice:bob".to_owned());
    assert_eq!(told(&push), [expected]);
    typing(&running, "alice", to_user("carol")).await.unwrap();
    typing(&running, "bob", to_user("alice")).await.unwrap();
    assert_eq!(told(&push).len(), 3, "another chat, and the other direction, are told of their own");
    typing(&running, "alice", to_user("alice")).await.unwrap();
    assert_eq!(told(&push).len(), 3, "nobody is told of oneself");
    until_told_again(&running, &push).await;
}

/// Says that alice is writing to bob until it is told once more.
async fn until_told_again(running: &Running, push: &Remembering) {
    let count = told(push).len();
    let again = async {
        while told(push).len() == count {
            typing(running, "alice", to_user("bob")).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("it was told only once");
}

#[tokio::test]
async fn who_is_blocked_is_answered_and_not_told() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    ask!(running, "bob", Block, Block { user: "mallory".to_owned() }).unwrap();
    typing(&running, "mallory", to_user("bob")).await.unwrap();
    assert_eq!(told(&push), []);
}

#[tokio::test]
async fn where_chats_must_exist_nobody_else_is_told() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    backends.store_unhanded(vec![Bytes::new()], &[user("alice"), user("bob")]).await;
    let config = Config { single_chat: SingleChatRule::Existing, ..Config::default() };
    let running = backends.start(config, &push);
    typing(&running, "mallory", to_user("bob")).await.unwrap();
    typing(&running, "alice", to_user("bob")).await.unwrap();
    let told: Vec<String> = told(&push).into_iter().map(|(_, user, _)| user).collect();
    assert_eq!(told, ["alice"]);
}

#[tokio::test]
async fn the_other_members_of_a_group_are_told_as_they_are_at_that_moment() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.group("team", &["alice", "bob", "carol"], "").await;
    typing(&running, "alice", to_group("team")).await.unwrap();
    remove(&running, "team", "carol").await;
    let invite = GroupInvite { group: "team".to_owned(), users: names(&["dave"]) };
    ask!(running, "alice", GroupInvite, invite).unwrap();
    typing(&running, "dave", to_group("team")).await.unwrap();
    let told = told(&push);
    let users: Vec<Vec<String>> = told.iter().map(|(users, ..)| users.clone()).collect();
    assert_eq!(users, [names(&["bob", "carol"]), names(&["alice", "bob"])]);
    assert_eq!(told[0].2, "group:team");
    assert_eq!(code_of(typing(&running, "carol", to_group("team")).await), Code::NotFound);
}

#[tokio::test]
async fn what_cannot_be_told_says_why() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.group("crowd", &["alice", "bob"], "super").await;
    let refused = [
        ("alice", to_group("crowd"), Code::Unsupported),
        ("alice", to_group("crowd"), Code::Unsupported),
        ("mallory", to_group("crowd"), Code::NotFound),
        ("alice", to_group("nowhere"), Code::NotFound),
        ("alice", to_room("live://1"), Code::InvalidArgument),
        ("alice", to_user(""), Code::InvalidArgument),
        ("alice", Target { target: None }, Code::InvalidArgument),
    ];
    for (name, to, code) in refused {
        assert_eq!(code_of(typing(&running, name, to.clone()).await), code, "{to:?}");
    }
    assert_eq!(told(&push), []);
}
