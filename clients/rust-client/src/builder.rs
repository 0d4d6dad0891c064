//! What a client is told before it connects.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use protocol::client;
use protocol::codec::Encoding;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::back_off::BackOff;
use crate::event::{Events, Queue, State};
use crate::session::Session;
use crate::{Client, Endpoint, Error};

/// Requests in flight, by default.
const IN_FLIGHT_MAX: usize = 64;
/// Events that wait for the application, by default.
const EVENTS_MAX: usize = 1024;

/// Describes a client; see [`Client::builder`].
pub struct ClientBuilder {
    url: String,
    encoding: Encoding,
    config: Config,
}

/// What a session works by.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) user: String,
    pub(crate) device: String,
    pub(crate) platform: String,
    pub(crate) inbox_seq: Option<u64>,
    pub(crate) super_groups: HashMap<String, u64>,
    pub(crate) rooms: BTreeSet<String>,
    pub(crate) accepts: Vec<i32>,
    pub(crate) token: Token,
    pub(crate) auto_ack: bool,
    pub(crate) in_flight_max: usize,
    pub(crate) events_max: usize,
    pub(crate) back_off: BackOff,
    pub(crate) timing: Timing,
}

/// The waits that applications do not choose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// How long connecting and auth may take together.
    pub(crate) connect: Duration,
    /// How long a connection may be silent while an answer is owed.
    pub(crate) silence: Duration,
    /// How long a hole may close by itself.
    pub(crate) hole: Duration,
    /// The least time between two acks.
    pub(crate) ack: Duration,
    /// A connection that lived this long makes the next wait a short one.
    pub(crate) steady: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            hole: Duration::from_millis(300),
            ack: Duration::from_millis(500),
            steady: Duration::from_secs(30),
        }
    }
}

type Provider = dyn Fn() -> BoxFuture<'static, Result<String, Error>> + Send + Sync;

/// Where tokens come from.
#[derive(Clone)]
pub(crate) enum Token {
    Fixed(String),
    Provider(Arc<Provider>),
}

impl Token {
    pub(crate) async fn get(&self) -> Result<String, Error> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::Provider(provider) => provider().await,
        }
    }

    /// Tells whether asking again may give another token.
    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self, Self::Provider(_))
    }
}

impl ClientBuilder {
    pub(crate) fn new(url: &str) -> Self {
        let config = Config {
            user: String::new(),
            device: String::new(),
            platform: "rust".to_owned(),
            inbox_seq: None,
            super_groups: HashMap::new(),
            rooms: BTreeSet::new(),
            accepts: Vec::new(),
            token: Token::Fixed(String::new()),
            auto_ack: true,
            in_flight_max: IN_FLIGHT_MAX,
            events_max: EVENTS_MAX,
            back_off: BackOff { base: Duration::from_millis(500), max: Duration::from_secs(20) },
            timing: Timing::default(),
        };
        Self { url: url.to_owned(), encoding: Encoding::Json, config }
    }

    /// How a WebSocket carries the messages; JSON by default. TCP always carries protobuf.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Who this is. Believed by a server in `--dev` only; otherwise the token says who.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.config.user = user.into();
        self
    }

    /// A token for every connection.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.config.token = Token::Fixed(token.into());
        self
    }

    /// A source of tokens, asked before every connection. When a token is refused, it is asked once more
    /// before the client gives up.
    #[must_use]
    pub fn token_provider<F, T>(mut self, provider: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, Error>> + Send + 'static,
    {
        self.config.token = Token::Provider(Arc::new(move || Box::pin(provider())));
        self
    }

    /// The name of this device among its user's; the server knows how far each device received.
    #[must_use]
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.config.device = device.into();
        self
    }

    /// The kind of device, for the server's figures; `rust` by default.
    #[must_use]
    pub fn platform(mut self, platform: impl Into<String>) -> Self {
        self.config.platform = platform.into();
        self
    }

    /// Up to where the application holds the inbox: `None` for the server's record of this device (the
    /// default), 0 for nothing. Past the top means the top: nothing is replayed.
    #[must_use]
    pub fn inbox_seq(mut self, inbox_seq: Option<u64>) -> Self {
        self.config.inbox_seq = inbox_seq;
        self
    }

    /// Up to where the application holds its super groups, by conversation: the seq of the last row that it took of
    /// each, or what [`Event::SuperGroupsDone`](crate::Event::SuperGroupsDone) said. One that is not named begins at
    /// the user's join, at most 50 rows below its top.
    #[must_use]
    pub fn super_groups<T: Into<String>>(mut self, positions: impl IntoIterator<Item = (T, u64)>) -> Self {
        self.config.super_groups = positions.into_iter().map(|(id, seq)| (id.into(), seq)).collect();
        self
    }

    /// Rooms to be in from the start.
    #[must_use]
    pub fn rooms<T: Into<String>>(mut self, rooms: impl IntoIterator<Item = T>) -> Self {
        self.config.rooms = rooms.into_iter().map(Into::into).collect();
        self
    }

    /// The operations of server pushes to receive; all of them by default.
    #[must_use]
    pub fn accepts(mut self, operations: impl IntoIterator<Item = i32>) -> Self {
        self.config.accepts = operations.into_iter().collect();
        self
    }

    /// Whether to ack what the application took from its events, at most every half second; on by default.
    /// An application that writes messages down before it acks switches this off.
    #[must_use]
    pub fn auto_ack(mut self, auto_ack: bool) -> Self {
        self.config.auto_ack = auto_ack;
        self
    }

    /// The wait before the first attempt to connect again, and the longest wait; 0.5 and 20 s by default.
    #[must_use]
    pub fn back_off(mut self, base: Duration, max: Duration) -> Self {
        self.config.back_off = BackOff { base, max };
        self
    }

    /// How many requests may be in flight; the next one waits. 64 by default.
    #[must_use]
    pub fn in_flight_max(mut self, in_flight_max: usize) -> Self {
        self.config.in_flight_max = in_flight_max.clamp(1, 4096);
        self
    }

    /// How many events may wait for the application; 1024 by default. [`Events`] tells what happens beyond.
    #[must_use]
    pub fn events_max(mut self, events_max: usize) -> Self {
        self.config.events_max = events_max.max(1);
        self
    }

    #[cfg(test)]
    pub(crate) fn timing(mut self, timing: Timing) -> Self {
        self.config.timing = timing;
        self
    }

    /// Begins to connect and waits until requests are answered.
    ///
    /// # Errors
    /// Why no attempt will succeed. While attempts may succeed this waits, so put a time limit around it or
    /// use [`Self::start`].
    pub async fn connect(self) -> Result<(Client, Events), Error> {
        let (client, events) = self.start()?;
        client.ready().await?;
        Ok((client, events))
    }

    /// Begins to connect. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Address`] when the url cannot be used.
    pub fn start(self) -> Result<(Client, Events), Error> {
        let endpoint = Endpoint::new(&self.url, self.encoding)?;
        let (queue, events) = Queue::new(self.config.events_max);
        // A request holds a permit before it is put here, so only closing can ever wait.
        let (commands, receiver) = mpsc::channel(self.config.in_flight_max + 1);
        let permits = Arc::new(Semaphore::new(self.config.in_flight_max));
        let (state, state_receiver) = watch::channel(State::Connecting);
        let client = Client { commands, permits, state: state_receiver, events: Arc::clone(&queue) };
        tokio::spawn(Session::new(self.config, endpoint, receiver, queue, state).run());
        Ok((client, events))
    }
}

impl Config {
    /// The first request of a connection.
    pub(crate) fn auth(
        &self,
        token: String,
        inbox_seq: Option<u64>,
        rooms: &BTreeSet<String>,
    ) -> client::Auth {
        client::Auth {
            token,
            user: self.user.clone(),
            device: self.device.clone(),
            platform: self.platform.clone(),
            inbox_seq,
            rooms: rooms.iter().cloned().collect(),
            accepts: self.accepts.clone(),
        }
    }
}
