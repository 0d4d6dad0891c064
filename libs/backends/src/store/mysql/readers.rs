//! Sessions that read, and those that change what needs no order.
//!
//! **Bound.** There are at most [`SESSIONS_COUNT_MAX`]. Who finds none free waits, at most [`WAIT_TIME`], and is then
//! answered `Transient`. A session is not asked whether it lives before it is used: where it turns out to be gone,
//! what was asked is asked once more of a new one. A reader that goes away in the middle takes its session along.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::connect::{Servers, Session};
use super::sql::{Answer, Sql};
use super::trouble::Trouble;
use crate::{Error, Kind, Result};

/// Sessions that read at the same time: more than the cores of a database server gain nothing.
const SESSIONS_COUNT_MAX: usize = 8;
/// How long a reader waits for a session.
const WAIT_TIME: Duration = Duration::from_secs(3);

pub(super) struct Readers {
    servers: Arc<Servers>,
    free: Semaphore,
    idle: Mutex<Vec<Session>>,
    refused: metrics::Counter,
}

impl Readers {
    pub(super) fn new(servers: Arc<Servers>) -> Self {
        let refused =
            metrics::counter!("anser_backend_refused_total", "backend" => "store", "reason" => "no_session");
        Self { servers, free: Semaphore::new(SESSIONS_COUNT_MAX), idle: Mutex::default(), refused }
    }

    /// Sends statements in one packet and answers what each of them answered.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    pub(super) async fn read(&self, write: impl Fn() -> Sql + Send) -> Result<Vec<Answer>> {
        let Ok(Ok(permit)) = tokio::time::timeout(WAIT_TIME, self.free.acquire()).await else {
            self.refused.increment(1);
            let message = format!("all {SESSIONS_COUNT_MAX} sessions that read are taken for {WAIT_TIME:?}");
            return Err(Error::new(Kind::Transient, message));
        };
        let kept = self.idle.lock().pop();
        let (mut session, was_kept) = match kept {
            Some(session) => (session, true),
            None => (self.servers.connect().await?, false),
        };
        let mut answers = session.run(write()).await;
        if was_kept && matches!(answers, Err(Trouble::Lost(_))) {
            // The others are as old as this one.
            self.idle.lock().clear();
            session = self.servers.connect().await?;
            answers = session.run(write()).await;
        }
        if !matches!(answers, Err(Trouble::Lost(_))) {
            self.idle.lock().push(session);
        }
        drop(permit);
        answers.map_err(Trouble::into_error)
    }

    /// As [`Self::read`], for one statement.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) async fn read_one(&self, write: impl Fn() -> Sql + Send) -> Result<Answer> {
        Ok(self.read(write).await?.pop().unwrap_or_default())
    }
}
