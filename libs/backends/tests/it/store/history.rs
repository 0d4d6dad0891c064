//! History: backwards and forwards, by seq and by time.

use backends::store::{HistoryFrom, HistoryRange};

use super::*;

async fn read(
    store: &Arc<dyn Store>,
    low: u64,
    high: u64,
    from: HistoryFrom,
    limit: usize,
) -> (Vec<u64>, bool) {
    let range = HistoryRange { conversation: conversation("alice", "bob"), low, high, from, limit };
    let page = store.history(range).await.unwrap();
    (page.rows.iter().map(|row| row.seq).collect(), page.more)
}

/// Ten messages, at 10, 20, … 100.
async fn ten(store: &Arc<dyn Store>) {
    for number in 1..=10 {
        append(store, Append { time_ms: number * 10, ..chat("alice", "bob", number) }).await;
    }
    append(store, chat("alice", "bobb", 99)).await;
}

pub(crate) async fn it_is_read_backwards_and_forwards(fixture: impl StoreFixture) {
    use HistoryFrom::{After, Before};
    let store = fixture.store();
    assert_eq!(read(&store, 0, 0, Before(u64::MAX), 5).await, (vec![], false));
    assert_eq!(read(&store, 0, 0, After(0), 5).await, (vec![], false));
    ten(&store).await;
    assert_eq!(read(&store, 0, 0, Before(u64::MAX), 3).await, (vec![8, 9, 10], true));
    assert_eq!(read(&store, 0, 0, Before(8), 3).await, (vec![5, 6, 7], true));
    assert_eq!(read(&store, 0, 0, Before(4), 3).await, (vec![1, 2, 3], false));
    assert_eq!(read(&store, 0, 0, Before(1), 3).await, (vec![], false));
    assert_eq!(read(&store, 0, 0, Before(0), 3).await, (vec![], false));
    assert_eq!(read(&store, 0, 0, After(0), 3).await, (vec![1, 2, 3], true));
    assert_eq!(read(&store, 0, 0, After(7), 3).await, (vec![8, 9, 10], false));
    assert_eq!(read(&store, 0, 0, After(10), 3).await, (vec![], false));
    assert_eq!(read(&store, 0, 0, After(u64::MAX), 3).await, (vec![], false));
    assert_eq!(read(&store, 0, 0, After(3), 0).await, (vec![], true));
    assert_eq!(read(&store, 0, 0, After(0), usize::MAX).await, ((1..=10).collect(), false));
}

pub(crate) async fn nothing_beyond_the_view_is_answered_or_promised(fixture: impl StoreFixture) {
    use HistoryFrom::{After, AfterTime, Before, BeforeTime};
    let store = fixture.store();
    ten(&store).await;
    assert_eq!(read(&store, 3, 7, Before(u64::MAX), 3).await, (vec![5, 6, 7], true));
    assert_eq!(read(&store, 3, 7, Before(6), 3).await, (vec![3, 4, 5], false));
    assert_eq!(read(&store, 3, 7, After(0), 5).await, (vec![3, 4, 5, 6, 7], false));
    assert_eq!(read(&store, 3, 99, After(8), 5).await, (vec![9, 10], false));
    assert_eq!(read(&store, 3, 7, AfterTime(0), 2).await, (vec![3, 4], true));
    assert_eq!(read(&store, 3, 7, BeforeTime(999), 2).await, (vec![6, 7], true));
    assert_eq!(read(&store, 7, 3, After(0), 2).await, (vec![], false));
}

pub(crate) async fn a_time_is_found(fixture: impl StoreFixture) {
    use HistoryFrom::{AfterTime, BeforeTime};
    let store = fixture.store();
    ten(&store).await;
    assert_eq!(read(&store, 0, 0, AfterTime(50), 3).await, (vec![5, 6, 7], true));
    assert_eq!(read(&store, 0, 0, AfterTime(51), 3).await, (vec![6, 7, 8], true));
    assert_eq!(read(&store, 0, 0, AfterTime(101), 3).await, (vec![], false));
    assert_eq!(read(&store, 0, 0, AfterTime(0), 3).await, (vec![1, 2, 3], true));
    assert_eq!(read(&store, 0, 0, BeforeTime(50), 3).await, (vec![2, 3, 4], true));
    assert_eq!(read(&store, 0, 0, BeforeTime(51), 9).await, (vec![1, 2, 3, 4, 5], false));
    assert_eq!(read(&store, 0, 0, BeforeTime(10), 3).await, (vec![], false));
    assert_eq!(read(&store, 0, 0, BeforeTime(u64::MAX), 2).await, (vec![9, 10], true));
}

pub(crate) async fn a_clock_that_was_set_back_moves_no_time_back(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let at = |number, time_ms| Append { time_ms, ..chat("alice", "bob", number) };
    let answers = all_written(store.append(vec![at(1, 100), at(2, 40), at(3, 120)]).await);
    assert_eq!(answers.iter().map(|answer| answer.time_ms).collect::<Vec<_>>(), [100, 100, 120]);
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    assert_eq!(append(&store, at(4, 7)).await.time_ms, 120);
    let times: Vec<u64> =
        whole_outbox(&store, &conversation("alice", "bob")).await.iter().map(|row| row.time_ms).collect();
    assert_eq!(times, [100, 100, 120, 120]);
    let again = append(&store, Append { message_id: 9, ..at(2, 999) }).await;
    assert_eq!((again.duplicate, again.time_ms), (true, 100));
}

pub(crate) async fn pages_of_many_outboxes_share_one_limit(fixture: impl StoreFixture) {
    let store = fixture.store();
    ten(&store).await;
    let range = |one, other, begin, end| OutboxRange { conversation: conversation(one, other), begin, end };
    let ranges = [
        range("alice", "bob", 8, 0),
        range("x", "y", 1, 0),
        range("alice", "bobb", 0, 0),
        range("alice", "bob", 1, 5),
        range("alice", "bob", 1, 0),
    ];
    let pages = store.outbox_pages(&ranges, 6).await.unwrap();
    let seqs: Vec<Vec<u64>> = pages.iter().map(|page| page.iter().map(|row| row.seq).collect()).collect();
    assert_eq!(seqs, [vec![8, 9, 10], vec![], vec![1], vec![1, 2], vec![]]);
    let ids: Vec<_> = ranges.into_iter().map(|range| range.conversation).collect();
    assert_eq!(store.outbox_tops(&ids).await.unwrap(), [10, 0, 1, 10, 10]);
}
