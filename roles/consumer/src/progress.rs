//! How far the fan-out of a conversation is, and what comes next.
//!
//! The mark in the store is the truth and moves by compare-and-set. Whoever finds it moved reads it again: the
//! other did the same work with the same outcome.

use std::sync::Arc;

use backends::Result;
use backends::store::{FanOut, OutboxRange, OutboxRow, Store};
use protocol::ConversationId;

/// Rows of a conversation that are read together.
const ROWS_MAX: usize = 64;

/// The mark of one conversation, as last seen.
pub(crate) struct Progress<'a> {
    store: &'a Arc<dyn Store>,
    conversation: &'a ConversationId,
    fanned_out_to: u64,
}

impl<'a> Progress<'a> {
    /// Reads the mark.
    ///
    /// # Errors
    /// As the store.
    pub(crate) async fn read(store: &'a Arc<dyn Store>, conversation: &'a ConversationId) -> Result<Self> {
        let fanned_out_to = store.fanned_out_to(conversation).await?;
        Ok(Self { store, conversation, fanned_out_to })
    }

    /// The next rows to be written into inboxes, in seq order; none where all are done, or the rest stands in the
    /// outbox alone or was written with its commit.
    ///
    /// # Errors
    /// As the store.
    pub(crate) async fn next_rows(&self) -> Result<Vec<OutboxRow>> {
        let conversation = self.conversation.clone();
        let range = OutboxRange { conversation, begin: self.fanned_out_to + 1, end: 0 };
        let pages = self.store.outbox_pages(&[range], ROWS_MAX).await?;
        let rows = pages.into_iter().next().unwrap_or_default();
        Ok(rows.into_iter().take_while(|row| row.fan_out == FanOut::OnWrite).collect())
    }

    /// A row is done. Answers false where somebody else moved the mark: it is to be read again.
    ///
    /// # Errors
    /// As the store.
    pub(crate) async fn advance(&mut self, seq: u64) -> Result<bool> {
        let advanced = self.store.advance_fanned_out(self.conversation, self.fanned_out_to, seq).await?;
        if advanced {
            self.fanned_out_to = seq;
        }
        Ok(advanced)
    }
}
