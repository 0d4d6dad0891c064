//! The embedded implementations: the suites of their seams, and what only they promise.

mod killed;
mod opening;

use std::sync::Arc;

use async_trait::async_trait;
use backends::broker::{self, Broker};
use backends::cache::{self, Cache};
use backends::discovery::{self, Discovery};
use backends::store::{self, Store};
use tempfile::TempDir;

use crate::broker::BrokerFixture;
use crate::cache::CacheFixture;
use crate::discovery::DiscoveryFixture;
use crate::run_suite;
use crate::store::StoreFixture;

fn url(folder: &TempDir) -> String {
    format!("embedded:{}", folder.path().join("data").display())
}

pub(crate) struct EmbeddedStore {
    folder: TempDir,
    store: Option<Arc<dyn Store>>,
}

#[async_trait]
impl StoreFixture for EmbeddedStore {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store::open(&url(&folder)).await.unwrap();
        Self { folder, store: Some(store) }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    async fn reopen(&mut self) {
        self.store = None;
        self.store = Some(store::open(&url(&self.folder)).await.unwrap());
    }
}

struct EmbeddedBroker {
    folder: TempDir,
    broker: Option<Arc<dyn Broker>>,
}

#[async_trait]
impl BrokerFixture for EmbeddedBroker {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = broker::open(&url(&folder)).await.unwrap();
        Self { folder, broker: Some(broker) }
    }

    fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(self.broker.as_ref().unwrap())
    }

    async fn reopen(&mut self) {
        self.broker = None;
        self.broker = Some(broker::open(&url(&self.folder)).await.unwrap());
    }
}

struct EmbeddedCache(Arc<dyn Cache>);

#[async_trait]
impl CacheFixture for EmbeddedCache {
    async fn start() -> Self {
        Self(cache::open("embedded:").await.unwrap())
    }

    fn cache(&self) -> Arc<dyn Cache> {
        Arc::clone(&self.0)
    }
}

struct EmbeddedDiscovery(Arc<dyn Discovery>);

#[async_trait]
impl DiscoveryFixture for EmbeddedDiscovery {
    async fn start() -> Self {
        Self(discovery::open("embedded:").await.unwrap())
    }

    fn discovery(&self) -> Arc<dyn Discovery> {
        Arc::clone(&self.0)
    }
}

mod store_suite {
    use super::*;

    run_suite!(store over EmbeddedStore:
        append::a_message_is_in_the_outbox_in_both_inboxes_and_an_intent,
        append::a_chat_with_oneself_is_one_inbox_row,
        append::a_message_without_inboxes_is_in_the_outbox_alone,
        append::seqs_count_up_in_each_box_of_its_own,
        append::what_was_handed_over_first_is_written_first,
        append::sixty_four_writers_leave_no_hole_and_repeat_no_seq,
        append::the_same_message_again_gets_the_first_answer,
        append::a_first_answer_names_where_the_first_message_went,
        append::the_same_message_twice_in_one_call_is_written_once,
        append::the_same_message_from_many_at_once_is_written_once,
        append::ids_are_compared_bytewise,
        append::one_append_that_fails_does_not_fail_the_others,
        append::large_and_empty_contents_come_back_as_they_were,
        append::what_was_answered_is_there_when_it_is_opened_again,
        read::a_page_of_an_empty_inbox_is_empty,
        read::a_page_keeps_to_begin_end_and_limit,
        read::an_outbox_page_keeps_to_begin_end_and_limit,
        read::tops_are_answered_in_the_order_asked,
        read::who_reads_while_others_write_sees_whole_commits,
        fan_out::a_message_is_written_into_each_inbox_once,
        fan_out::inboxes_written_with_the_message_are_not_written_again,
        fan_out::a_message_that_is_not_there_is_missing,
        fan_out::many_who_fan_out_the_same_message_write_it_once,
        fan_out::progress_moves_only_from_where_it_is,
        fan_out::of_many_who_advance_one_wins,
        upkeep::intents_are_seen_oldest_first_until_they_are_cleared,
        upkeep::an_intent_with_a_lower_id_than_those_before_is_seen,
        upkeep::positions_are_only_raised,
        upkeep::a_swept_answer_is_forgotten_and_a_younger_one_is_kept,
        upkeep::a_sweep_of_many_answers_forgets_them_all,
    );

    #[test]
    fn any_interleaving_does_what_a_simple_model_does() {
        crate::store::model::run::<EmbeddedStore>();
    }
}

mod broker_suite {
    use super::*;

    run_suite!(broker over EmbeddedBroker:
        cases::records_of_a_key_keep_their_order,
        cases::each_consumer_name_gets_every_record,
        cases::next_waits_for_a_record_and_never_answers_more_than_asked,
        cases::those_who_share_a_name_share_the_records,
        cases::what_was_not_committed_goes_to_the_next_of_that_name,
        cases::a_new_name_begins_with_the_first_record_of_a_durable_topic,
        cases::a_new_name_begins_with_the_next_record_of_a_topic_that_is_not,
        cases::a_durable_topic_goes_on_where_it_was_committed,
        cases::many_publishers_lose_nothing,
    );
}

mod cache_suite {
    use super::*;

    run_suite!(cache over EmbeddedCache:
        cases::tops_are_answered_in_the_order_asked,
        cases::a_top_is_only_raised,
        cases::a_top_older_than_asked_is_not_answered,
        cases::raising_with_a_lower_value_renews_the_age,
    );
}

mod discovery_suite {
    use super::*;

    run_suite!(discovery over EmbeddedDiscovery:
        cases::instances_come_and_go_ordered_by_server,
        cases::one_who_watches_later_sees_who_is_there,
        cases::the_same_role_of_the_same_server_is_there_once,
        cases::changed_metadata_is_seen_by_those_who_watch,
        cases::a_name_has_one_owner_at_a_time_and_each_a_higher_epoch,
        cases::of_many_who_want_a_name_each_owns_it_alone,
    );
}
