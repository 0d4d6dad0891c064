//! What every store promises.

pub(crate) mod append;
pub(crate) mod fan_out;
pub(crate) mod model;
pub(crate) mod read;
pub(crate) mod upkeep;

use std::sync::Arc;

use async_trait::async_trait;
use backends::Result;
use backends::store::{Append, Appended, OutboxRow, Store};
use bytes::Bytes;
use protocol::{ConversationId, UserId};

use crate::user;

/// Starts an empty store.
#[async_trait]
pub(crate) trait StoreFixture: Sized + Send {
    async fn start() -> Self;
    fn store(&self) -> Arc<dyn Store>;
    /// Ends the store and opens it again; nobody holds it.
    async fn reopen(&mut self);
}

/// A single chat's message; its id and time follow from the number.
fn chat(from: &str, to: &str, number: u64) -> Append {
    let (sender, receiver) = (user(from), user(to));
    let mut inboxes = vec![sender.clone(), receiver.clone()];
    inboxes.dedup();
    Append {
        conversation: ConversationId::single(&sender, &receiver),
        message_id: number,
        sender,
        client_message_id: format!("c-{number}"),
        time_ms: time_of(number),
        content: Bytes::from(format!("text {number}")),
        inboxes,
    }
}

/// A message that is written to the outbox only, as a group's.
fn group(from: &str, to: &str, number: u64) -> Append {
    Append { inboxes: Vec::new(), ..chat(from, to, number) }
}

fn time_of(number: u64) -> u64 {
    1_700_000_000_000 + number
}

fn conversation(one: &str, other: &str) -> ConversationId {
    ConversationId::single(&user(one), &user(other))
}

fn row_of(append: &Append, seq: u64) -> OutboxRow {
    OutboxRow {
        conversation: append.conversation.clone(),
        seq,
        message_id: append.message_id,
        sender: append.sender.clone(),
        client_message_id: append.client_message_id.clone(),
        time_ms: append.time_ms,
        content: append.content.clone(),
    }
}

async fn append(store: &Arc<dyn Store>, append: Append) -> Appended {
    let mut answers = store.append(vec![append]).await;
    assert_eq!(answers.len(), 1);
    answers.remove(0).unwrap()
}

fn all_written(answers: Vec<Result<Appended>>) -> Vec<Appended> {
    answers.into_iter().map(|answer| answer.unwrap()).collect()
}

async fn whole_inbox(store: &Arc<dyn Store>, owner: &UserId) -> Vec<(u64, OutboxRow)> {
    let page = store.inbox_page(owner, 1, 0, usize::MAX).await.unwrap();
    assert_eq!(page.top, page.rows.last().map_or(0, |row| row.inbox_seq));
    page.rows.into_iter().map(|row| (row.inbox_seq, row.message)).collect()
}

/// All cases over one fixture.
macro_rules! store_suite {
    ($fixture:ty) => {
        crate::run_suite!(store over $fixture:
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
            crate::store::model::run::<$fixture>();
        }
    };
}
pub(crate) use store_suite;
