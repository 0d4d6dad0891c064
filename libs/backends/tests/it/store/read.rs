//! Pages, tops and their edges.

use super::*;

async fn seqs(store: &Arc<dyn Store>, begin: u64, end: u64, limit: usize) -> (Vec<u64>, u64) {
    let page = store.inbox_page(&user("bob"), begin, end, limit).await.unwrap();
    (page.rows.iter().map(|row| row.inbox_seq).collect(), page.top)
}

pub(crate) async fn a_page_of_an_empty_inbox_is_empty(fixture: impl StoreFixture) {
    let store = fixture.store();
    append(&store, chat("alice", "bo", 1)).await;
    append(&store, chat("alice", "bobb", 2)).await;
    for (begin, end) in [(1, 0), (0, 0), (1, 10), (7, 3), (u64::MAX, u64::MAX)] {
        assert_eq!(seqs(&store, begin, end, 10).await, (vec![], 0));
    }
}

pub(crate) async fn a_page_keeps_to_begin_end_and_limit(fixture: impl StoreFixture) {
    let store = fixture.store();
    for number in 1..=10 {
        append(&store, chat("alice", "bob", number)).await;
    }
    assert_eq!(seqs(&store, 1, 0, 100).await, ((1..=10).collect(), 10));
    assert_eq!(seqs(&store, 0, 0, 100).await, ((1..=10).collect(), 10));
    assert_eq!(seqs(&store, 4, 0, 100).await, ((4..=10).collect(), 10));
    assert_eq!(seqs(&store, 4, 6, 100).await, ((4..=6).collect(), 10));
    assert_eq!(seqs(&store, 4, 4, 100).await, (vec![4], 10));
    assert_eq!(seqs(&store, 4, 0, 3).await, ((4..=6).collect(), 10));
    assert_eq!(seqs(&store, 4, 999, 100).await, ((4..=10).collect(), 10));
    assert_eq!(seqs(&store, 10, 0, 100).await, (vec![10], 10));
    assert_eq!(seqs(&store, 6, 5, 100).await, (vec![], 10));
    assert_eq!(seqs(&store, 11, 0, 100).await, (vec![], 10));
    assert_eq!(seqs(&store, u64::MAX, 0, 100).await, (vec![], 10));
    assert_eq!(seqs(&store, 1, 0, 0).await, (vec![], 10));
}

pub(crate) async fn an_outbox_page_keeps_to_begin_end_and_limit(fixture: impl StoreFixture) {
    let store = fixture.store();
    for number in 1..=10 {
        append(&store, group("alice", "bob", number)).await;
        append(&store, group("alice", "bobb", 100 + number)).await;
    }
    let here = group_conversation("bob");
    let page = async |begin, end, limit| {
        let rows = outbox(&store, &here, begin, end, limit).await;
        assert!(rows.iter().all(|row| *row == row_of(&group("alice", "bob", row.message_id), row.seq)));
        rows.iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    assert_eq!(page(1, 0, 100).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(page(0, 0, 100).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(page(3, 5, 100).await, [3, 4, 5]);
    assert_eq!(page(3, 0, 2).await, [3, 4]);
    assert_eq!(page(9, 999, 100).await, [9, 10]);
    assert!(page(11, 0, 100).await.is_empty());
    assert!(page(5, 4, 100).await.is_empty());
    assert!(page(1, 0, 0).await.is_empty());
    assert!(outbox(&store, &conversation("x", "y"), 1, 0, 10).await.is_empty());
}

pub(crate) async fn tops_are_answered_in_the_order_asked(fixture: impl StoreFixture) {
    let store = fixture.store();
    append(&store, chat("alice", "bob", 1)).await;
    append(&store, chat("carol", "bob", 2)).await;
    let users = [user("bob"), user("nobody-knows"), user("alice"), user("bob"), user("Bob")];
    assert_eq!(store.inbox_tops(&users).await.unwrap(), [2, 0, 1, 2, 0]);
    assert!(store.inbox_tops(&[]).await.unwrap().is_empty());
}

pub(crate) async fn who_reads_while_others_write_sees_whole_commits(fixture: impl StoreFixture) {
    let store = fixture.store();
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 1..=300 {
                append(&store, chat("alice", "bob", number)).await;
            }
        })
    };
    let mut top = 0;
    while top < 300 {
        let inbox = whole_inbox(&store, &user("bob")).await;
        assert!(inbox.iter().map(|(seq, _)| *seq).eq(1..=inbox.len() as u64));
        assert!(inbox.len() as u64 >= top, "a page never goes back");
        top = inbox.len() as u64;
    }
    writer.await.unwrap();
}
