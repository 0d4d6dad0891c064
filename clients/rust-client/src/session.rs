//! The task behind a client: connects, and again, until it is closed or told not to.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use protocol::client;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::builder::Config;
use crate::client::Command;
use crate::event::{Event, Queue, State};
use crate::inbox::Inbox;
use crate::pending::Pending;
use crate::super_groups::SuperGroups;
use crate::{Connection, Endpoint, Error};

pub(crate) struct Session {
    pub(crate) config: Config,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) inbox: Inbox,
    pub(crate) super_groups: SuperGroups,
    pub(crate) pending: Pending,
    pub(crate) rooms: BTreeSet<String>,
    /// Users whose coming and going this device is told.
    pub(crate) watched: BTreeSet<String>,
    pub(crate) acked_up_to: u64,
    /// Where and when to connect next, as the server said it.
    pub(crate) moved: Option<Moved>,
    endpoint: Endpoint,
    state: watch::Sender<State>,
    failure_count: u32,
    token_refused: bool,
}

/// The server asked to be left.
pub(crate) struct Moved {
    pub(crate) at: Instant,
    pub(crate) url: Option<String>,
}

impl Session {
    pub(crate) fn new(
        config: Config,
        endpoint: Endpoint,
        commands: mpsc::Receiver<Command>,
        queue: Arc<Queue>,
        state: watch::Sender<State>,
    ) -> Self {
        Self {
            inbox: Inbox::new(config.inbox_seq, config.timing.hole),
            super_groups: SuperGroups::new(config.super_groups.clone(), config.timing.hole),
            rooms: config.rooms.clone(),
            watched: BTreeSet::new(),
            config,
            commands,
            queue,
            pending: Pending::default(),
            acked_up_to: 0,
            moved: None,
            endpoint,
            state,
            failure_count: 0,
            token_refused: false,
        }
    }

    /// Runs until the client is closed.
    pub(crate) async fn run(mut self) {
        let cause = self.keep_connected().await;
        self.pending.fail(&cause);
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Request(request) = command {
                request.fail(&cause);
            }
        }
        self.tell(State::Closed(cause));
        self.queue.finish();
    }

    /// Connects again and again; gives the reason for which it does so no longer.
    async fn keep_connected(&mut self) -> Error {
        let mut endpoint = self.endpoint.clone();
        loop {
            self.tell(State::Connecting);
            let inbox_seq = self.inbox.position();
            let attempt = connect(self.config.clone(), endpoint, inbox_seq, self.rooms.clone());
            // Boxed, since it is the largest part of a task that mostly waits.
            let cause = match self.while_waiting(Box::pin(attempt)).await {
                None => return Error::Stopped,
                Some(Err(error)) => error,
                Some(Ok((connection, reply))) => self.keep_live(connection, reply).await,
            };
            if let Error::Closed(kicked) = &cause
                && kicked.number >= 4000
            {
                self.queue.put_notice(Event::Kicked(kicked.clone()));
            }
            if !cause.is_retryable() && !self.may_renew_token(&cause) {
                return cause;
            }
            endpoint = match self.wait(cause).await {
                Some(endpoint) => endpoint,
                None => return Error::Stopped,
            };
        }
    }

    async fn keep_live(&mut self, connection: Connection, reply: client::AuthReply) -> Error {
        let began = Instant::now();
        self.token_refused = false;
        self.tell(State::Live(reply.clone()));
        let cause = self.live(connection, &reply).await;
        if began.elapsed() >= self.config.timing.steady {
            self.failure_count = 0;
        }
        cause
    }

    /// A refused token is tried once more with a fresh one.
    fn may_renew_token(&mut self, cause: &Error) -> bool {
        let may = cause.is_token_refusal() && self.config.token.is_renewable() && !self.token_refused;
        self.token_refused = true;
        may
    }

    /// Waits before the next attempt and gives its endpoint; `None` when the client is closed meanwhile.
    async fn wait(&mut self, cause: Error) -> Option<Endpoint> {
        let (retry_in, endpoint) = match self.moved.take() {
            Some(moved) => {
                let elsewhere = moved.url.and_then(|url| self.endpoint.redirected(&url).ok());
                (moved.at.saturating_duration_since(Instant::now()), elsewhere)
            }
            None => {
                self.failure_count = self.failure_count.saturating_add(1);
                (self.config.back_off.draw(self.failure_count), None)
            }
        };
        self.tell(State::Waiting { retry_in, cause });
        self.while_waiting(sleep(retry_in)).await?;
        Some(endpoint.unwrap_or_else(|| self.endpoint.clone()))
    }

    /// Waits for something other than a connection; requests are taken to be sent later. `None` when the
    /// client is closed meanwhile.
    async fn while_waiting<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                value = &mut future => return Some(value),
                command = self.commands.recv() => match command {
                    Some(Command::Request(request)) => {
                        self.pending.add(*request);
                    }
                    Some(Command::Close) | None => return None,
                },
            }
        }
    }

    fn tell(&self, state: State) {
        self.state.send_replace(state.clone());
        self.queue.put_notice(Event::State(state));
    }
}

/// Connects and says who is there.
async fn connect(
    config: Config,
    endpoint: Endpoint,
    inbox_seq: Option<u64>,
    rooms: BTreeSet<String>,
) -> Result<(Connection, client::AuthReply), Error> {
    let token = config.token.get().await?;
    let auth = config.auth(token, inbox_seq, &rooms);
    let after = config.timing.connect;
    let attempt = async {
        let mut connection = Connection::open(&endpoint).await?;
        let reply = connection.auth(auth).await?;
        Ok((connection, reply))
    };
    timeout(after, attempt).await.unwrap_or_else(|_| {
        let what = format!("connecting to {}", endpoint.address());
        Err(Error::Timeout { what, after })
    })
}

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod tests;
