//! Block lists.

use futures_util::future::join_all;
use protocol::client::{Block, Blocks, Unblock};

use super::*;

async fn block(running: &Running, name: &str, other: &str) -> Result<client::BlockReply> {
    ask!(running, name, Block, Block { user: other.to_owned() })
}

#[tokio::test]
async fn who_is_blocked_can_write_no_more_until_unblocked() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.say("mallory", "bob", "c-1").await.unwrap();
    block(&running, "bob", "mallory").await.unwrap();
    block(&running, "bob", "mallory").await.unwrap();
    assert_eq!(code_of(running.say("mallory", "bob", "c-2").await), Code::Blocked);
    running.say("bob", "mallory", "c-3").await.unwrap();
    let blocked = ask!(running, "bob", Blocks, Blocks {}).unwrap().users;
    assert_eq!(blocked, ["mallory"]);
    assert_eq!(ask!(running, "mallory", Blocks, Blocks {}).unwrap().users, names(&[]));

    ask!(running, "bob", Unblock, Unblock { user: "mallory".to_owned() }).unwrap();
    ask!(running, "bob", Unblock, Unblock { user: "stranger".to_owned() }).unwrap();
    running.say("mallory", "bob", "c-4").await.unwrap();
    assert_eq!(ask!(running, "bob", Blocks, Blocks {}).unwrap().users, names(&[]));
}

#[tokio::test]
async fn a_block_list_is_bounded_and_names_users() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    assert_eq!(code_of(block(&running, "bob", "").await), Code::InvalidArgument);
    assert_eq!(code_of(block(&running, "bob", "bob").await), Code::InvalidArgument);
    let (bob, others) = (user("bob"), (1..=1_000).map(|number| user(&number.to_string())));
    let set = others.map(|other| {
        let (store, bob) = (&backends.store, &bob);
        async move { store.set_blocked(bob, &other, true, 1_000).await }
    });
    assert!(join_all(set).await.into_iter().all(|set| set.unwrap()));
    let count = ask!(running, "bob", Blocks, Blocks {}).unwrap().users.len();
    assert_eq!(count, 1_000);
    assert_eq!(code_of(block(&running, "bob", "one-more").await), Code::TooLarge);
    block(&running, "bob", "999").await.unwrap();
}
