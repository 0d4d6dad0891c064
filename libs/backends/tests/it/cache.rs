//! What every cache promises.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backends::cache::Cache;

/// Starts an empty cache.
#[async_trait]
pub(crate) trait CacheFixture: Sized {
    async fn start() -> Self;
    fn cache(&self) -> Arc<dyn Cache>;
}

pub(crate) mod cases {
    use protocol::{ConversationId, GroupId, Identifier};

    use super::{Arc, Cache, CacheFixture, Duration};
    use crate::user;

    async fn top(cache: &Arc<dyn Cache>, name: &str, age_max: Duration) -> Option<u64> {
        cache.inbox_tops(&[user(name)], age_max).await.unwrap()[0]
    }

    pub(crate) async fn tops_are_answered_in_the_order_asked(fixture: impl CacheFixture) {
        let cache = fixture.cache();
        cache.raise_inbox_tops(&[(user("alice"), 3), (user("bob"), 5)]).await.unwrap();
        let users = [user("bob"), user("nobody-knows"), user("alice"), user("Alice")];
        let tops = cache.inbox_tops(&users, Duration::from_secs(60)).await.unwrap();
        assert_eq!(tops, [Some(5), None, Some(3), None]);
    }

    pub(crate) async fn a_top_is_only_raised(fixture: impl CacheFixture) {
        let cache = fixture.cache();
        for seq in [7, 5, 9, 0] {
            cache.raise_inbox_tops(&[(user("alice"), seq)]).await.unwrap();
        }
        assert_eq!(top(&cache, "alice", Duration::from_secs(60)).await, Some(9));
    }

    pub(crate) async fn a_top_older_than_asked_is_not_answered(fixture: impl CacheFixture) {
        let cache = fixture.cache();
        cache.raise_inbox_tops(&[(user("alice"), 7)]).await.unwrap();
        let age_max = Duration::from_millis(2);
        while top(&cache, "alice", age_max).await.is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(top(&cache, "alice", Duration::from_secs(60)).await, Some(7));
    }

    pub(crate) async fn inboxes_and_conversations_are_kept_apart(fixture: impl CacheFixture) {
        let cache = fixture.cache();
        let (here, there) = (
            ConversationId::single(&user("a"), &user("b")),
            ConversationId::group(&GroupId::new("a").unwrap()),
        );
        cache.raise_inbox_tops(&[(user("a"), 3)]).await.unwrap();
        cache.raise_outbox_tops(&[(here.clone(), 7), (here.clone(), 5)]).await.unwrap();
        let age_max = Duration::from_secs(60);
        assert_eq!(cache.outbox_tops(&[there, here.clone()], age_max).await.unwrap(), [None, Some(7)]);
        assert_eq!(cache.inbox_tops(&[user("a"), user("b")], age_max).await.unwrap(), [Some(3), None]);
        let age_max = Duration::from_millis(2);
        while cache.outbox_tops(std::slice::from_ref(&here), age_max).await.unwrap()[0].is_some() {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn raising_with_a_lower_value_renews_the_age(fixture: impl CacheFixture) {
        let cache = fixture.cache();
        cache.raise_inbox_tops(&[(user("alice"), 7)]).await.unwrap();
        let age_max = Duration::from_millis(200);
        while top(&cache, "alice", age_max).await.is_some() {
            tokio::task::yield_now().await;
        }
        cache.raise_inbox_tops(&[(user("alice"), 6)]).await.unwrap();
        assert_eq!(top(&cache, "alice", age_max).await, Some(7));
    }
}

/// All cases over one fixture.
macro_rules! cache_suite {
    ($fixture:ty) => {
        crate::run_suite!(cache over $fixture:
            cases::tops_are_answered_in_the_order_asked,
            cases::a_top_is_only_raised,
            cases::a_top_older_than_asked_is_not_answered,
            cases::inboxes_and_conversations_are_kept_apart,
            cases::raising_with_a_lower_value_renews_the_age,
        );
    };
}
pub(crate) use cache_suite;
