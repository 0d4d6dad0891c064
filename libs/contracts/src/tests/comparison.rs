//! Local equals remote: what is asked, what is answered, and in which order.

use std::collections::BTreeSet;

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::sync::watch;

use super::*;
use crate::im;
use crate::im::{Im, Position};
use crate::push::{self, Push, StoredPush};
use crate::testing::{cases, compare};

/// Methods of the six contracts.
const METHOD_COUNT: usize = 37;

#[test]
fn every_call_with_whatever_it_carries_is_the_same_remote() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (loopback, remote) = runtime.block_on(async {
        let loopback = Loopback::start("all-1", Admission::default()).await;
        // One connection, so that no call is divided.
        let remote = loopback.remote(&Settings { connections: 1, ..settings() });
        (loopback, remote)
    });
    let seen = std::cell::RefCell::new(BTreeSet::new());
    let mut runner = TestRunner::new(Config { cases: 900, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&cases(), |case| {
        let words = format!("{case:?}");
        seen.borrow_mut().insert(words.split(' ').next().unwrap().to_owned());
        runtime.block_on(compare(&case, &loopback, &remote)).map_err(TestCaseError::fail)
    });
    outcome.unwrap();
    assert_eq!(seen.borrow().len(), METHOD_COUNT, "not every method was called: {:?}", seen.borrow());
}

/// Three processes and several connections to each.
async fn three() -> (Vec<Loopback>, watch::Receiver<crate::peers::Addresses>) {
    let mut all = Vec::new();
    for name in ["one", "two", "three"] {
        all.push(Loopback::start(name, Admission::default()).await);
    }
    let (_, addresses) = watch::channel(Loopback::addresses(&all.iter().collect::<Vec<_>>()));
    (all, addresses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_divided_is_answered_in_the_order_asked() {
    let (all, addresses) = three().await;
    let local = Fake::new();
    let settings = Settings { connections: 3, ..settings() };
    let push = push::Remote::follow(settings.clone(), addresses.clone());
    let users: Vec<UserId> =
        (1..500).map(|index| user(&"x".repeat(index % 7 + 1).replacen('x', &index.to_string(), 1))).collect();
    let expected = local.push_to_users(users.clone(), 4, "body".into()).await.unwrap();
    assert_eq!(push.push_to_users(users.clone(), 4, "body".into()).await.unwrap(), expected);
    let im = im::Remote::follow(settings, addresses);
    assert_eq!(im.inbox_tops(&users).await.unwrap(), local.inbox_tops(&users).await.unwrap());
    let positions = users.iter().map(|user| Position {
        user: user.clone(),
        device: protocol::DeviceId::new("phone").unwrap(),
        inbox_seq: 1,
    });
    im.ack(positions.collect()).await.unwrap();
    for one in &all {
        let calls = one.fake.take_calls().join("\n");
        for call in ["push.push_to_users", "im.inbox_tops", "im.ack"] {
            assert!(calls.contains(call), "{} was not asked for its part of {call}", one.server);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_pushes_reach_the_process_of_their_user_once_and_in_order() {
    let (all, addresses) = three().await;
    let push = push::Remote::follow(Settings { connections: 3, ..settings() }, addresses);
    let shared = Arc::new(protocol::client::Message { seq: 5, ..Default::default() });
    // Each call carries two rows of each user, and a body too large for one frame.
    for call in 0..5u64 {
        let pushes = (0..200u64).flat_map(|index| {
            let user = user(&format!("user-{index}"));
            let large = protocol::client::Message { sender: "x".repeat(20_000), ..Default::default() };
            [
                StoredPush {
                    user: user.clone(),
                    inbox_seq: call * 2 + 1,
                    message: shared.clone(),
                    except: None,
                },
                StoredPush { user, inbox_seq: call * 2 + 2, message: Arc::new(large), except: None },
            ]
        });
        push.push_stored(pushes.collect()).await.unwrap();
    }
    let mut user_count = 0;
    for one in &all {
        let stored = one.fake.stored.borrow().clone();
        let users: BTreeSet<String> = stored.iter().map(|push| push.user.to_string()).collect();
        user_count += users.len();
        assert!(!users.is_empty(), "{} has no user", one.server);
        for user in users {
            let of_user = stored.iter().filter(|push| push.user.as_str() == user);
            let seqs: Vec<u64> = of_user.map(|push| push.inbox_seq).collect();
            assert_eq!(seqs, (1..=10).collect::<Vec<u64>>(), "{user} at {}", one.server);
        }
        let first = stored.iter().find(|push| push.message.seq == 5).unwrap();
        let sharing = stored.iter().filter(|push| Arc::ptr_eq(&push.message, &first.message)).count();
        assert!(sharing > 1, "a message for many was copied for each");
    }
    assert_eq!(user_count, 200);
}
