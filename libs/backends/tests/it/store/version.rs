//! Conversations that have changed since a version.

use std::collections::{BTreeMap, BTreeSet};

use backends::store::{Conversation, SuperChange};

use super::club::{Club, join, leave, stay};
use super::*;

/// Reads pages until there are no more; answers the conversations as they came last, and the version.
async fn since(
    store: &Arc<dyn Store>,
    name: &str,
    version: u64,
    limit: usize,
) -> (BTreeMap<ConversationId, Conversation>, u64) {
    let mut found = BTreeMap::new();
    let mut version = version;
    loop {
        let page = store.conversations_since(&user(name), version, limit).await.unwrap();
        assert!(page.conversations.len() <= limit && page.version < 1 << 53);
        assert!(page.version != version || !page.more, "it must come to an end");
        found.extend(page.conversations.into_iter().map(|here| (here.conversation.clone(), here)));
        version = page.version;
        if !page.more {
            return (found, version);
        }
    }
}

async fn changed(store: &Arc<dyn Store>, name: &str, version: u64) -> (Vec<ConversationId>, u64) {
    let (found, version) = since(store, name, version, 3).await;
    (found.into_keys().collect(), version)
}

pub(crate) async fn a_conversation_that_changes_is_told_once(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    assert_eq!(changed(&store, "bob", 0).await, (vec![], 0));
    let (alice, carol) = (conversation("alice", "bob"), conversation("bob", "carol"));
    append(&store, chat("alice", "bob", 1)).await;
    append(&store, chat("bob", "carol", 2)).await;
    let (found, version) = changed(&store, "bob", 0).await;
    assert_eq!(found, [carol.clone(), alice.clone()]);
    assert_eq!(changed(&store, "bob", version).await, (vec![], version));

    append(&store, chat("carol", "bob", 3)).await;
    append(&store, chat("carol", "bob", 4)).await;
    let (found, version) = changed(&store, "bob", version).await;
    assert_eq!(found, std::slice::from_ref(&carol));
    drop(store);
    fixture.reopen().await;

    let store = fixture.store();
    let (_, of_alice) = changed(&store, "alice", 0).await;
    store.set_read(&user("bob"), &alice, 1).await.unwrap();
    let (found, version) = changed(&store, "bob", version).await;
    assert_eq!(found, std::slice::from_ref(&alice));
    let (found, _) = since(&store, "alice", of_alice, 3).await;
    assert_eq!(found[&alice].peer_read, 1, "who wrote it was away, and hears that it was read");
    store.set_read(&user("bob"), &alice, 1).await.unwrap();
    store.set_choices(&user("bob"), &carol, Some(false), None).await.unwrap();
    assert_eq!(changed(&store, "bob", version).await, (vec![], version), "nothing has changed");
    store.set_choices(&user("bob"), &carol, Some(true), None).await.unwrap();
    append(&store, chat("alice", "bob", 5)).await;
    store.set_read(&user("bob"), &carol, 2).await.unwrap();
    let (found, last) = since(&store, "bob", version, 1).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), [&carol, &alice]);
    assert!(found[&carol].pinned && found[&carol].standing.read == 2);
    assert_eq!(last, version + 3);
}

pub(crate) async fn who_comes_or_goes_is_told(fixture: impl StoreFixture) {
    let store = fixture.store();
    append(&store, chat("alice", "bob", 1)).await;
    let (_, version) = changed(&store, "bob", 0).await;
    let mut club = Club::make(&store, "club", &["alice", "bob"]).await;
    let here = club.conversation();
    let (found, version) = changed(&store, "bob", version).await;
    assert_eq!(found, std::slice::from_ref(&here));
    club.members(vec![join("carol"), stay("alice", backends::store::Role::Owner)]).await;
    assert_eq!(changed(&store, "bob", version).await.0, [], "that is told by a row of the inbox");
    assert_eq!(changed(&store, "carol", 0).await.0, std::slice::from_ref(&here));
    let seq = club.send("alice", 2).await;
    store.fan_out(&here, seq, vec![user("bob")]).await.unwrap();
    let (found, version) = changed(&store, "bob", version).await;
    assert_eq!(found, std::slice::from_ref(&here));
    club.members(vec![leave("bob")]).await;
    let (found, _) = since(&store, "bob", version, 10).await;
    assert_ne!(found[&here].standing.left, 0);
    assert!(changed(&store, "bob", 0).await.0.contains(&here), "who has left still sees what was");
}

pub(crate) async fn a_super_groups_rows_move_no_version(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob"]).await;
    let (_, version) = changed(&store, "bob", 0).await;
    club.change(|change| change.super_change = SuperChange::AfterThisRow).await;
    let (found, version) = changed(&store, "bob", version).await;
    assert_eq!(found, [club.conversation()]);
    club.send("alice", 1).await;
    assert_eq!(changed(&store, "bob", version).await, (vec![], version));
    let (found, _) = since(&store, "bob", 0, 10).await;
    assert_eq!(found[&club.conversation()].unread, 1, "and yet what is read is what there is");
}

pub(crate) async fn all_are_listed_page_by_page_while_they_change(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut number = 0;
    let mut send = async |other: u64| {
        number += 1;
        append(&store, chat(&format!("user-{other:03}"), "bob", number)).await
    };
    for other in 0..40 {
        send(2 * other).await;
    }
    let mut found = BTreeSet::new();
    let mut page = store.conversations_since(&user("bob"), 0, 7).await.unwrap();
    let mut begun = 0;
    while page.more {
        begun += 1;
        // Before and after the place that the list has come to.
        send(2 * begun + 1).await;
        send(79 - 2 * begun).await;
        assert_eq!(page.conversations.len(), 7);
        found.extend(page.conversations.into_iter().map(|here| here.conversation));
        page = store.conversations_since(&user("bob"), page.version, 7).await.unwrap();
    }
    found.extend(page.conversations.into_iter().map(|here| here.conversation));
    assert!(begun >= 5);
    let (later, _) = since(&store, "bob", page.version, 3).await;
    let told = later.len();
    found.extend(later.into_keys());
    assert_eq!(found.len(), 40 + 2 * usize::try_from(begun).unwrap(), "all are found in the end");
    assert!(told < found.len());
}

pub(crate) async fn so_many_changes_that_all_are_listed(fixture: impl StoreFixture) {
    let store = fixture.store();
    append(&store, chat("carol", "bob", 1)).await;
    append(&store, chat("alice", "bob", 2)).await;
    let (_, version) = changed(&store, "bob", 0).await;
    for batch in 0..11 {
        let numbers = (0..1_000).map(|number| 10 + batch * 1_000 + number);
        all_written(store.append(numbers.map(|number| chat("alice", "bob", number)).collect()).await);
    }
    let (found, current) = since(&store, "bob", version, 1).await;
    assert_eq!(current, version + 11_000);
    assert!(found[&conversation("alice", "bob")].unread > 11_000);
    let (found, again) = since(&store, "bob", current - 9_999, 1).await;
    assert_eq!((found.into_keys().collect::<Vec<_>>(), again), (vec![conversation("alice", "bob")], current));
}

pub(crate) async fn a_version_of_another_store_lists_all(fixture: impl StoreFixture) {
    let store = fixture.store();
    append(&store, chat("alice", "bob", 1)).await;
    for version in [2, 10_000, (1 << 52) - 1, 1 << 53, u64::MAX >> 12] {
        let page = store.conversations_since(&user("bob"), version, 10).await.unwrap();
        assert!(page.conversations.len() <= 1 && !page.more, "{version}");
    }
    let (found, version) = since(&store, "bob", 77, 10).await;
    assert_eq!((found.len(), version), (1, 1));
    let page = store.conversations_since(&user("bob"), 1, 0).await.unwrap();
    assert_eq!((page.conversations.len(), page.version, page.more), (0, 1, false));
}
