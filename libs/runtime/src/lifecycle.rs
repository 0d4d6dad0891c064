//! Stopping in order: whoever starts a task hands it a [`Stop`] and waits for its end.

use tokio::sync::watch;

/// Tells tasks to end. Clones are the same signal.
#[derive(Debug, Clone)]
pub struct Stop {
    sender: std::sync::Arc<watch::Sender<bool>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A signal that was not given.
    #[must_use]
    pub fn new() -> Self {
        Self { sender: std::sync::Arc::new(watch::Sender::new(false)) }
    }

    /// Gives the signal; giving it again changes nothing.
    pub fn trigger(&self) {
        self.sender.send_replace(true);
    }

    /// Tells whether the signal was given.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits for the signal; returns at once where it was given.
    pub async fn triggered(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives as long as this reference, so waiting cannot fail.
        let _ = receiver.wait_for(|triggered| *triggered).await;
    }
}
