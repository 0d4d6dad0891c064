//! The application's handle on a connected device.

use std::sync::Arc;

use protocol::client::{self, Target, target};
use protocol::codec::{ReplyKind, RequestKind};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::event::{Queue, State};
use crate::pending::PendingRequest;
use crate::reply::{Answer, expect};
use crate::{ClientBuilder, Error};

mod conversations;
mod groups;
mod messages;
mod people;
mod rooms;

pub use messages::{Draft, new_client_message_id};

/// Methods that make one request each: its fields become the arguments, or its whole message is the argument.
macro_rules! requests {
    ($($(#[$documentation:meta])* $name:ident $arguments:tt => $request:ident -> $reply:ident;)*) => {
        impl $crate::Client {
            $(requests! { @method $(#[$documentation])* $name $arguments => $request -> $reply })*
        }
    };
    (@method $(#[$documentation:meta])* $name:ident (message) => $request:ident -> $reply:ident) => {
        $(#[$documentation])*
        ///
        /// # Errors
        /// As [`Self::request`].
        pub async fn $name(
            &self,
            message: protocol::client::$request,
        ) -> Result<protocol::client::$reply, $crate::Error> {
            self.request(protocol::codec::RequestKind::$request(message)).await
        }
    };
    (@method $(#[$documentation:meta])* $name:ident ($($field:ident: $type:ty),*) => $request:ident -> $reply:ident) => {
        $(#[$documentation])*
        ///
        /// # Errors
        /// As [`Self::request`].
        pub async fn $name(&self, $($field: $type),*) -> Result<protocol::client::$reply, $crate::Error> {
            let message = protocol::client::$request { $($field: $field.into()),* };
            self.request(protocol::codec::RequestKind::$request(message)).await
        }
    };
}
use requests;

/// What a handle tells the session.
pub(crate) enum Command {
    Request(Box<PendingRequest>),
    Close,
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// One user; stored before it is answered.
    User(String),
    /// A group.
    Group(String),
    /// The people in a room now; not stored.
    Room(String),
}

impl To {
    /// One user.
    pub fn user(user: impl Into<String>) -> Self {
        Self::User(user.into())
    }

    /// A group.
    pub fn group(group: impl Into<String>) -> Self {
        Self::Group(group.into())
    }

    /// A room.
    pub fn room(room: impl Into<String>) -> Self {
        Self::Room(room.into())
    }
}

impl From<To> for Target {
    fn from(to: To) -> Self {
        let target = match to {
            To::User(user) => target::Target::User(user),
            To::Group(group) => target::Target::Group(group),
            To::Room(room) => target::Target::Room(room),
        };
        Self { target: Some(target) }
    }
}

/// One device of one user, kept connected. Clones are the same client; when the last one is dropped, the
/// connection ends.
///
/// A request waits while the client is connecting, and is sent again on the next connection until it is
/// answered. Dropping its future gives up waiting: whether it was carried out is then unknown.
#[derive(Clone)]
pub struct Client {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) events: Arc<Queue>,
}

impl Client {
    /// Begins to describe a client of the server at `ws://host:port/sub` or `tcp://host:port`.
    #[must_use]
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    /// Makes any request and waits for its answer: a reply of one kind, or [`ReplyKind`] for whatever comes.
    ///
    /// # Errors
    /// The server's refusal, or why the client was closed.
    pub async fn request<T: Answer>(&self, request: RequestKind) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| self.why_closed())?;
        let (answer, reply) = oneshot::channel();
        let command = Command::Request(Box::new(PendingRequest { request, answer, permit }));
        self.commands.send(command).await.map_err(|_| self.why_closed())?;
        let reply: ReplyKind = reply.await.unwrap_or_else(|_| Err(self.why_closed()))?;
        expect(reply)
    }

    /// Says that this device received everything up to this inbox seq. Needed only where the client was
    /// built with `auto_ack(false)`.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn ack(&self, inbox_seq: u64) -> Result<client::AckReply, Error> {
        self.request(RequestKind::Ack(client::Ack { inbox_seq })).await
    }

    /// Asks for a page of stored messages; they are not told as events.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn sync(&self, begin: u64, end: u64, limit: u32) -> Result<client::SyncReply, Error> {
        self.request(RequestKind::Sync(client::Sync { begin, end, limit })).await
    }

    /// Asks whether the server is there. The client does so by itself when it is idle.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn heartbeat(&self) -> Result<client::HeartbeatReply, Error> {
        self.request(RequestKind::Heartbeat(client::Heartbeat {})).await
    }

    /// How the connection is doing.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits until requests are answered.
    ///
    /// # Errors
    /// Why no further attempt follows.
    pub async fn ready(&self) -> Result<client::AuthReply, Error> {
        let mut state = self.state.clone();
        let settled = |state: &State| matches!(state, State::Live(_) | State::Closed(_));
        match state.wait_for(settled).await.as_deref() {
            Ok(State::Live(reply)) => Ok(reply.clone()),
            Ok(State::Closed(cause)) => Err(cause.clone()),
            _ => Err(Error::Stopped),
        }
    }

    /// How many room messages and pushes were dropped because the application did not take its events.
    #[must_use]
    pub fn dropped_count(&self) -> u64 {
        self.events.dropped_count()
    }

    /// Acks what the application took, says goodbye, and waits until that is done.
    pub async fn close(&self) {
        let mut state = self.state.clone();
        if self.commands.send(Command::Close).await.is_ok() {
            // The session may be gone by itself; then there is nothing to wait for.
            let _ = state.wait_for(|state| matches!(state, State::Closed(_))).await;
        }
    }

    fn why_closed(&self) -> Error {
        match &*self.state.borrow() {
            State::Closed(cause) => cause.clone(),
            _ => Error::Stopped,
        }
    }
}
