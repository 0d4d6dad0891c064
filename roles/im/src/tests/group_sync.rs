//! Super groups: where they stand, and what was missed of many of them at once.

use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use protocol::client::{
    GroupInvite, GroupPage, GroupPosition, GroupTop, GroupTops, GroupTopsReply, GroupUpdate, SyncGroups,
};

use super::conversations::{read, remove};
use super::*;

async fn sync(
    running: &Running,
    name: &str,
    positions: &[(&str, u64)],
    limit: u32,
) -> Result<Vec<GroupPage>> {
    let position = |(conversation, begin): &(&str, u64)| GroupPosition {
        conversation: (*conversation).to_owned(),
        begin: *begin,
    };
    let request = SyncGroups { positions: positions.iter().map(position).collect(), limit };
    ask!(running, name, SyncGroups, request).map(|reply| reply.groups)
}

async fn tops(running: &Running, name: &str, cursor: &str, limit: u32) -> Result<GroupTopsReply> {
    ask!(running, name, GroupTops, GroupTops { cursor: cursor.to_owned(), limit })
}

fn seqs(page: &GroupPage) -> Vec<u64> {
    page.messages.iter().map(|message| message.seq).collect()
}

#[tokio::test]
async fn many_groups_are_synced_in_one_read_and_in_the_order_asked() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    for group in ["a", "b", "c"] {
        running.group(group, &["alice", "bob"], "super").await;
        for id in ["one", "two", "three"] {
            running.say_in(group, "alice", &format!("{group}-{id}")).await.unwrap();
        }
    }
    let reads = backends.store.outbox_reads.load(Ordering::Relaxed);
    let positions = [("group:c", 1), ("group:a", 3), ("group:b", 9)];
    let pages = sync(&running, "bob", &positions, 0).await.unwrap();
    assert_eq!(backends.store.outbox_reads.load(Ordering::Relaxed), reads + 1, "more than one read");
    let found: Vec<(&str, Vec<u64>, u64, u64)> =
        pages.iter().map(|page| (page.conversation.as_str(), seqs(page), page.top, page.next)).collect();
    // The row that made the group is the row of bob's join, which is not for bob.
    let expected =
        [("group:c", vec![2, 3, 4], 4, 0), ("group:a", vec![3, 4], 4, 0), ("group:b", vec![], 4, 0)];
    assert_eq!(found, expected);
    let message = &pages[1].messages[0];
    assert_eq!((message.group.as_deref(), message.inbox_seq), (Some("a"), None));
    assert_eq!(message.client_message_id, "a-two");
}

#[tokio::test]
async fn a_limit_is_for_all_groups_and_each_says_where_it_goes_on() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let mut held = Vec::new();
    for group in ["a", "b", "c"] {
        running.group(group, &["alice", "bob"], "super").await;
        for number in 0..5 {
            running.say_in(group, "alice", &format!("{group}-{number}")).await.unwrap();
        }
        held.push((format!("group:{group}"), 1, Vec::new()));
    }
    let mut rounds = 0;
    while !held.is_empty() {
        let positions: Vec<(&str, u64)> =
            held.iter().map(|(conversation, begin, _)| (conversation.as_str(), *begin)).collect();
        let pages = sync(&running, "bob", &positions, 4).await.unwrap();
        assert!(pages.iter().map(|page| page.messages.len()).sum::<usize>() <= 4);
        for (held, page) in held.iter_mut().zip(&pages) {
            held.2.extend(seqs(page));
            held.1 = page.next;
            assert!(page.next > 0 || held.2 == [2, 3, 4, 5, 6], "{page:?} says that it is all");
        }
        held.retain(|(_, begin, _)| *begin > 0);
        rounds += 1;
        assert!(rounds < 10, "it never comes to an end");
    }
}

#[tokio::test]
async fn a_member_syncs_from_the_join_to_the_leaving_and_nothing_else() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.group("crowd", &["alice", "carol"], "super").await;
    running.say_in("crowd", "alice", "before").await.unwrap();
    let invite = GroupInvite { group: "crowd".to_owned(), users: names(&["bob"]) };
    ask!(running, "alice", GroupInvite, invite).unwrap();
    running.say_in("crowd", "alice", "during").await.unwrap();
    remove(&running, "crowd", "bob").await;
    running.say_in("crowd", "alice", "after").await.unwrap();
    let page = sync(&running, "bob", &[("group:crowd", 1)], 0).await.unwrap().remove(0);
    assert_eq!((seqs(&page), page.top, page.next), (vec![4], 4, 0));
    let page = sync(&running, "carol", &[("group:crowd", 1)], 0).await.unwrap().remove(0);
    assert_eq!((seqs(&page), page.next), (vec![2, 3, 4, 5, 6], 0));
    assert_eq!(page.messages[1].kind.as_deref(), Some("invited"), "what has changed stands among them");
}

#[tokio::test]
async fn rows_from_before_a_conversion_are_synced_too() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.group("grown", &["alice", "bob"], "").await;
    running.say_in("grown", "alice", "small").await.unwrap();
    assert_eq!(code_of(sync(&running, "bob", &[("group:grown", 1)], 0).await), Code::NotFound);
    let update =
        GroupUpdate { group: "grown".to_owned(), kind: Some("super".to_owned()), ..GroupUpdate::default() };
    ask!(running, "alice", GroupUpdate, update).unwrap();
    running.say_in("grown", "alice", "large").await.unwrap();
    let page = sync(&running, "bob", &[("group:grown", 1)], 0).await.unwrap().remove(0);
    assert_eq!((seqs(&page), page.next), (vec![2, 3, 4], 0));
}

#[tokio::test]
async fn what_cannot_be_synced_is_named() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.group("crowd", &["alice", "bob"], "super").await;
    running.say("alice", "bob", "c-1").await.unwrap();
    for conversation in ["group:crowd", "group:nowhere", "nonsense"] {
        let error = sync(&running, "mallory", &[(conversation, 1)], 0).await.unwrap_err();
        assert!(error.to_string().contains(conversation), "{error}");
        assert_eq!(error.kind(), Kind::Refused(Code::NotFound));
    }
    assert_eq!(code_of(sync(&running, "bob", &[("single:5:alice:bob", 1)], 0).await), Code::NotFound);
    assert_eq!(code_of(sync(&running, "bob", &vec![("group:crowd", 1); 501], 0).await), Code::TooLarge);
    assert_eq!(sync(&running, "bob", &[], 0).await.unwrap(), []);
}

#[tokio::test]
async fn a_user_is_told_page_by_page_where_the_super_groups_stand() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let groups: Vec<String> = (0..205).map(|number| format!("g{number:03}")).collect();
    join_all(groups.iter().map(|group| running.group(group, &["alice", "bob"], "super"))).await;
    running.group("small", &["alice", "bob"], "").await;
    running.say_in("g000", "alice", "c-1").await.unwrap();
    read(&running, "bob", "group:g000", 2).await.unwrap();

    let device = DeviceId::new("phone").unwrap();
    let resumed = running.im().resume(&user("bob"), &device, None).await.unwrap();
    assert_eq!((resumed.groups.len(), resumed.groups_next.as_str()), (200, "group:g199"));
    let first =
        GroupTop { conversation: "group:g000".to_owned(), top: 2, read_up_to: Some(2), joined: Some(1) };
    assert_eq!(resumed.groups[0], first);
    let rest = tops(&running, "bob", &resumed.groups_next, 0).await.unwrap();
    let names: Vec<&str> = rest.groups.iter().map(|group| group.conversation.as_str()).collect();
    assert_eq!(names, ["group:g200", "group:g201", "group:g202", "group:g203", "group:g204"]);
    assert_eq!(rest.next, "");
    let page = tops(&running, "bob", "group:g001", 3).await.unwrap();
    assert_eq!((page.groups.len(), page.next.as_str()), (3, "group:g004"));
    let last = tops(&running, "bob", "group:g199", 5).await.unwrap();
    assert_eq!((last.groups.len(), last.next.as_str()), (5, ""), "a full last page says that it is the last");

    remove(&running, "g000", "bob").await;
    let page = tops(&running, "bob", "", 1).await.unwrap();
    assert_eq!(page.groups[0].conversation, "group:g001", "who has gone is not told of it");
    assert_eq!(code_of(tops(&running, "bob", "nonsense", 1).await), Code::NotFound);
    let nobody = running.im().resume(&user("nobody"), &device, None).await.unwrap();
    assert_eq!((nobody.groups.len(), nobody.groups_next.as_str()), (0, ""));
}
