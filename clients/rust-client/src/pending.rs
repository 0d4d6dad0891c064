//! Requests of the application that were not answered, in the order in which they were made.
//!
//! They outlive a connection: on the next one they are sent again, sends with their client message id. Each
//! holds a permit, so there are never more than the client's bound of requests in flight.

use std::collections::BTreeMap;

use protocol::codec::{ReplyKind, RequestKind};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::Error;

/// A request of the application.
pub(crate) struct PendingRequest {
    pub(crate) request: RequestKind,
    pub(crate) answer: oneshot::Sender<Result<ReplyKind, Error>>,
    pub(crate) permit: OwnedSemaphorePermit,
}

#[derive(Default)]
pub(crate) struct Pending {
    last_id: u64,
    requests: BTreeMap<u64, PendingRequest>,
}

impl Pending {
    /// Takes a request and gives the id under which it is answered.
    pub(crate) fn add(&mut self, request: PendingRequest) -> u64 {
        self.last_id += 1;
        self.requests.insert(self.last_id, request);
        self.last_id
    }

    /// What is to be sent on a connection that begins; what nobody waits for any longer is forgotten.
    pub(crate) fn unanswered(&mut self) -> Vec<(u64, RequestKind)> {
        self.requests.retain(|_, request| !request.answer.is_closed());
        self.requests.iter().map(|(id, request)| (*id, request.request.clone())).collect()
    }

    /// Takes the request that is answered now.
    pub(crate) fn answered(&mut self, id: u64) -> Option<PendingRequest> {
        self.requests.remove(&id)
    }

    /// Tells everybody that no answer will come.
    pub(crate) fn fail(&mut self, cause: &Error) {
        for (_, request) in std::mem::take(&mut self.requests) {
            request.fail(cause);
        }
    }
}

impl PendingRequest {
    pub(crate) fn fail(self, cause: &Error) {
        // Whoever gave up waiting needs no answer.
        let _ = self.answer.send(Err(cause.clone()));
        drop(self.permit);
    }

    pub(crate) fn finish(self, reply: ReplyKind) {
        let _ = self.answer.send(Ok(reply));
        drop(self.permit);
    }
}
