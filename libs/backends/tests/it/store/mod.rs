//! What every store promises.

pub(crate) mod append;
mod club;
pub(crate) mod conversation;
pub(crate) mod fan_out;
pub(crate) mod group;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod intents;
pub(crate) mod model;
pub(crate) mod read;
pub(crate) mod upkeep;
pub(crate) mod version;

use std::sync::Arc;

use async_trait::async_trait;
use backends::Result;
use backends::store::{
    Append, Appended, FanOut, Guard, Intent, IntentLane, OutboxRange, OutboxRow, Outcome, Store,
};
use bytes::Bytes;
use protocol::{ConversationId, GroupId, Identifier, UserId};

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
        counted: true,
        mentions: Vec::new(),
        mention_all: false,
        replaces: None,
        guard: Guard::None,
        inboxes,
    }
}

/// A message to a group.
fn group(from: &str, to: &str, number: u64) -> Append {
    Append { conversation: group_conversation(to), inboxes: Vec::new(), ..chat(from, to, number) }
}

fn time_of(number: u64) -> u64 {
    1_700_000_000_000 + number
}

fn conversation(one: &str, other: &str) -> ConversationId {
    ConversationId::single(&user(one), &user(other))
}

fn group_id(name: &str) -> GroupId {
    GroupId::new(name).unwrap()
}

fn group_conversation(name: &str) -> ConversationId {
    ConversationId::group(&group_id(name))
}

/// The row that an append makes in a conversation whose members nothing has changed.
fn row_of(append: &Append, seq: u64) -> OutboxRow {
    OutboxRow {
        conversation: append.conversation.clone(),
        seq,
        message_id: append.message_id,
        sender: append.sender.clone(),
        client_message_id: append.client_message_id.clone(),
        time_ms: append.time_ms,
        content: append.content.clone(),
        counted: append.counted,
        fan_out: if append.conversation.group_id().is_some() { FanOut::OnWrite } else { FanOut::InCommit },
        membership_seq: 0,
    }
}

async fn append(store: &Arc<dyn Store>, append: Append) -> Appended {
    let mut answers = store.append(vec![append]).await;
    assert_eq!(answers.len(), 1);
    written(answers.remove(0))
}

fn written(answer: Result<Outcome>) -> Appended {
    match answer.unwrap() {
        Outcome::Written(appended) => appended,
        Outcome::Denied(denied) => panic!("it was denied: {denied:?}"),
    }
}

fn all_written(answers: Vec<Result<Outcome>>) -> Vec<Appended> {
    answers.into_iter().map(written).collect()
}

/// A part of one outbox.
async fn outbox(
    store: &Arc<dyn Store>,
    here: &ConversationId,
    begin: u64,
    end: u64,
    limit: usize,
) -> Vec<OutboxRow> {
    let range = OutboxRange { conversation: here.clone(), begin, end };
    store.outbox_pages(&[range], limit).await.unwrap().remove(0)
}

async fn whole_outbox(store: &Arc<dyn Store>, here: &ConversationId) -> Vec<OutboxRow> {
    outbox(store, here, 1, 0, usize::MAX).await
}

/// The intents of both lanes.
async fn all_intents(store: &Arc<dyn Store>) -> Vec<Intent> {
    let mut intents = store.intents(IntentLane::Push, u64::MAX, usize::MAX).await.unwrap();
    intents.extend(store.intents(IntentLane::FanOut, u64::MAX, usize::MAX).await.unwrap());
    intents
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
            fan_out::a_row_is_received_by_those_who_were_members_then,
            fan_out::a_single_chat_is_received_by_its_users,
            fan_out::a_row_that_the_fan_out_has_passed_is_a_conflict,
            fan_out::two_who_share_a_row_out_differently_write_each_inbox_once,
            group::a_group_is_made_whole,
            group::a_change_decided_on_another_version_changes_nothing,
            group::of_many_who_change_a_group_at_once_one_wins,
            group::members_come_change_and_go,
            group::members_are_paged,
            group::a_super_group_stands_in_the_outbox_alone,
            group::super_groups_are_paged_in_the_order_of_their_conversations,
            group::a_conversion_is_the_last_row_that_is_fanned_out,
            group::a_group_of_many_is_made_and_converted_in_one_commit,
            group::a_change_of_who_is_not_there_changes_nobody,
            group::requests_to_join_are_kept_within_their_bound,
            group::ids_of_groups_members_and_devices_are_compared_bytewise,
            guard::who_is_blocked_cannot_write,
            guard::a_conversation_that_must_be_there_is_not_begun,
            guard::only_members_write_to_a_group,
            guard::who_is_muted_writes_nothing_until_it_ends,
            guard::a_message_sent_again_is_answered_as_the_first_whatever_has_changed,
            guard::a_recall_replaces_what_was_said_everywhere,
            guard::a_recall_finds_a_message_of_the_same_call,
            history::it_is_read_backwards_and_forwards,
            history::nothing_beyond_the_view_is_answered_or_promised,
            history::a_time_is_found,
            history::a_clock_that_was_set_back_moves_no_time_back,
            history::pages_of_many_outboxes_share_one_limit,
            conversation::unread_is_what_others_sent_since_one_read_or_wrote,
            conversation::a_chat_with_oneself_has_nothing_unread,
            conversation::a_member_sees_from_the_join_to_the_leave,
            conversation::who_comes_back_sees_from_the_second_join,
            conversation::where_all_history_is_open_the_last_message_is_seen,
            conversation::a_mention_marks_a_conversation_until_it_is_read,
            conversation::one_is_mentioned_in_a_single_chat,
            conversation::the_other_user_has_received_and_read,
            conversation::what_members_have_read_or_sent_is_told,
            conversation::a_read_is_only_raised_and_not_beyond_the_top,
            conversation::a_user_has_no_part_in_what_others_say,
            conversation::choices_are_kept_each_for_itself,
            conversation::what_was_received_is_told_for_each_single_chat,
            version::a_conversation_that_changes_is_told_once,
            version::who_comes_or_goes_is_told,
            version::a_super_groups_rows_move_no_version,
            version::all_are_listed_page_by_page_while_they_change,
            version::so_many_changes_that_all_are_listed,
            version::a_version_of_another_store_lists_all,
            intents::each_lane_is_cleared_for_itself,
            intents::a_super_groups_rows_are_ims_work,
            intents::of_many_stored_together_each_is_cleared_for_itself,
            intents::what_is_cleared_while_others_write_stays_cleared,
            intents::only_rows_sent_before_are_answered,
            upkeep::intents_are_seen_oldest_first_until_they_are_cleared,
            upkeep::an_intent_with_a_lower_id_than_those_before_is_seen,
            upkeep::positions_are_only_raised,
            upkeep::a_swept_answer_is_forgotten_and_a_younger_one_is_kept,
            upkeep::a_sweep_of_many_answers_forgets_them_all,
            upkeep::when_devices_went_away_is_only_raised,
        );

        #[test]
        fn any_interleaving_does_what_a_simple_model_does() {
            crate::store::model::run::<$fixture>();
        }
    };
}
pub(crate) use store_suite;
