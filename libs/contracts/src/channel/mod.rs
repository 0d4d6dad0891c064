//! The connections to one process: several for calls, chosen by key, and one that bulk cannot delay.
//!
//! Calls of one key go over one connection, so that they keep their order. What a contract hands over in bulk goes
//! through a stream of each connection, joined with what waits beside it; everything else is a call of its own.
//! Commands (kicks, memberships) have a connection of their own. A call ends by its time limit, by a break of its
//! connection, or with an answer; nothing is sent twice. What is in flight is bounded: beyond that a call is
//! answered `Overloaded`, and nothing was done.
//!
//! A connection that breaks is made again with a back-off, in the background. A peer that hangs is noticed by pings.

mod codec;
mod connection;
mod outgoing;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use metrics::Counter;
use prost::Message;
use protocol::ServerId;
use tokio::sync::watch;
use tonic::client::Grpc;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;

use crate::admission::Admission;
use crate::channel::codec::Encoded;
use crate::channel::connection::{Broken, Connection, Live};
use crate::trace::{Context, TRACEPARENT};
use crate::{Error, Kind, status};

pub(crate) use outgoing::Pending;

/// Bytes of one message between processes: a page of 500 messages of the largest size.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Bytes of one frame of bulk, as far as what is in it can be divided.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 20;
/// HTTP/2's window of one stream: 4 MiB are on their way on a link of 1 Gbit/s within 32 ms.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// HTTP/2's window of a connection.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// HTTP/2's largest frame: a joined message leaves in few of them.
pub(crate) const HTTP2_FRAME_BYTES_MAX: u32 = 256 << 10;

/// What can be set about the connections to other processes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is shown to others.
    pub admission: Admission,
    /// Connections to each process, beside the one for commands.
    pub connections: usize,
    /// How long a call may take.
    pub time_limit: Duration,
    /// How long a connection may take to be made, and a call may wait for the first one.
    pub connect_time_limit: Duration,
    /// How often a ping asks whether the other side is there.
    pub ping_period: Duration,
    /// How long the answer to a ping may take; then the connection counts as broken.
    pub ping_time_limit: Duration,
    /// The longest pause between two attempts to connect; the first is a hundredth of it.
    pub back_off_max: Duration,
    /// Calls in flight on one connection, those that wait included.
    pub in_flight_max: usize,
    /// Bytes of bulk in flight on one connection, those that wait included; one alone may be larger.
    pub in_flight_bytes_max: usize,
    /// Calls of bulk that were sent on one connection and are not answered; the others wait.
    pub unanswered_max: usize,
    /// Bytes of bulk that were sent on one connection and are not answered.
    pub unanswered_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            admission: Admission::default(),
            connections: 2,
            time_limit: Duration::from_secs(5),
            connect_time_limit: Duration::from_secs(1),
            ping_period: Duration::from_millis(500),
            ping_time_limit: Duration::from_secs(1),
            back_off_max: Duration::from_secs(1),
            in_flight_max: 8192,
            in_flight_bytes_max: 64 << 20,
            unanswered_max: 4096,
            unanswered_bytes_max: 8 << 20,
        }
    }
}

/// What is to be known of a contract to call it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callee {
    /// The role.
    pub(crate) role: &'static str,
    /// Where its stream is; only who has one has a connection for commands.
    pub(crate) stream: Option<&'static str>,
}

/// Which connection a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The one of this key's hash.
    Key(u64),
    /// The one for commands.
    Control,
}

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the caller is told.
    pub(crate) error: Error,
    /// It has not left this process, so another one may be asked.
    pub(crate) untouched: bool,
}

impl Failure {
    fn unavailable(message: String) -> Self {
        Self { error: Error::new(Kind::Unavailable, message), untouched: false }
    }

    fn untouched(message: String) -> Self {
        Self { error: Error::new(Kind::Unavailable, message), untouched: true }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Where a channel leads.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) callee: Callee,
    pub(crate) server: ServerId,
    pub(crate) address: String,
    pub(crate) settings: Settings,
}

/// The connections to one process for one contract.
pub(crate) struct Channel {
    target: Arc<Target>,
    connections: Vec<Connection>,
    control: Option<Connection>,
    in_flight: AtomicUsize,
    overloaded: Counter,
    not_connected: Counter,
    late: Counter,
}

impl Channel {
    /// Begins to connect. `changed` is raised with every connection that is made or broken.
    pub(crate) fn open(target: Target, changed: &watch::Sender<u64>) -> Self {
        let target = Arc::new(target);
        let count = target.settings.connections.max(1);
        let open = |stream| Connection::open(Arc::clone(&target), stream, changed.clone());
        let failed = |reason| metrics::counter!("anser_contracts_failed_total", "role" => target.callee.role, "reason" => reason);
        Self {
            connections: (0..count).map(|_| open(target.callee.stream)).collect(),
            control: target.callee.stream.map(|_| open(None)),
            in_flight: AtomicUsize::new(0),
            overloaded: failed("overloaded"),
            not_connected: failed("not_connected"),
            late: failed("late"),
            target,
        }
    }

    /// The process it leads to.
    pub(crate) fn server(&self) -> &ServerId {
        &self.target.server
    }

    /// The address it leads to.
    pub(crate) fn address(&self) -> &str {
        &self.target.address
    }

    /// Why it is not connected, in words.
    pub(crate) fn why(&self) -> Arc<str> {
        self.connections[0].why()
    }

    /// Calls that have no answer yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Which of the connections calls of a key take.
    pub(crate) fn place(&self, key: u64) -> usize {
        usize::try_from(key % self.connections.len() as u64).unwrap_or_default()
    }

    /// Tells whether a lane has a connection.
    pub(crate) fn is_live(&self, lane: Lane) -> bool {
        self.connection(lane).is_live()
    }

    /// Tells whether a lane has a connection, or is about to have its first one.
    pub(crate) fn is_promising(&self, lane: Lane) -> bool {
        self.connection(lane).is_promising()
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask<A: Message + Default + 'static>(
        &self,
        lane: Lane,
        path: &'static str,
        message: Bytes,
    ) -> Result<A, Failure> {
        let _counted = Counted::new(&self.in_flight);
        let live = self.live(lane).await?;
        let Some(_permit) = live.begin() else { return Err(self.overloaded(path)) };
        let time_limit = self.target.settings.time_limit;
        let mut request = tonic::Request::new(message);
        request.set_timeout(time_limit);
        if let Some(context) = Context::current()
            && let Ok(value) = MetadataValue::try_from(context.to_string())
        {
            request.metadata_mut().insert(TRACEPARENT, value);
        }
        let mut grpc = Grpc::with_origin(live.wire(), Uri::from_static("http://anser"))
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let path_and_query = PathAndQuery::from_static(path);
        let call = grpc.unary(request, path_and_query, Encoded::<A>::default());
        match tokio::time::timeout(time_limit, Box::pin(call)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failure(path, &status)),
            Err(_) => Err(self.late(path)),
        }
    }

    /// Puts a frame of bulk into the queue of its connection, at once: frames of one connection leave in the order
    /// of these calls. The answer is waited for apart.
    pub(crate) fn enqueue(&self, place: usize, method: u32, body: Bytes) -> Result<Pending, Failure> {
        let connection = &self.connections[place % self.connections.len()];
        match connection.enqueue(method, body, self.target.settings.time_limit) {
            Ok(pending) => Ok(pending),
            Err(Broken::Full) => Err(self.overloaded("bulk")),
            Err(Broken::Gone(why)) => {
                self.not_connected.increment(1);
                Err(Failure::untouched(self.named("is not connected", &why)))
            }
        }
    }

    /// Waits for the answer to a frame.
    pub(crate) async fn answer(&self, pending: Pending) -> Result<Bytes, Failure> {
        let _counted = Counted::new(&self.in_flight);
        let deadline = pending.deadline;
        match tokio::time::timeout_at(deadline, pending.reply).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Failure::unavailable(self.named("broke the connection", "bulk"))),
            Err(_) => Err(self.late("bulk")),
        }
    }

    fn connection(&self, lane: Lane) -> &Connection {
        match (lane, &self.control) {
            (Lane::Control, Some(control)) => control,
            (Lane::Control, None) => &self.connections[0],
            (Lane::Key(key), _) => &self.connections[self.place(key)],
        }
    }

    async fn live(&self, lane: Lane) -> Result<Live, Failure> {
        self.connection(lane).live(self.target.settings.connect_time_limit).await.map_err(|why| {
            self.not_connected.increment(1);
            Failure::untouched(self.named("is not connected", &why))
        })
    }

    fn failure(&self, path: &str, status: &tonic::Status) -> Failure {
        let source = std::error::Error::source(status);
        if let Some(lost) = source.and_then(|source| source.downcast_ref::<connection::Lost>()) {
            let message = self.named("broke the connection", &format!("{path}: {lost}"));
            return match lost.untouched() {
                true => Failure::untouched(message),
                false => Failure::unavailable(message),
            };
        }
        if status.details().is_empty()
            && matches!(status.code(), tonic::Code::DeadlineExceeded | tonic::Code::Cancelled)
        {
            return self.late(path);
        }
        Failure { error: status::to_error(status), untouched: false }
    }

    fn overloaded(&self, path: &str) -> Failure {
        self.overloaded.increment(1);
        let message = self.named("has as many calls in flight as it may", path);
        Failure { error: Error::new(Kind::Overloaded, message), untouched: false }
    }

    fn late(&self, path: &str) -> Failure {
        self.late.increment(1);
        let limit_ms = self.target.settings.time_limit.as_millis();
        Failure::unavailable(self.named(&format!("did not answer within {limit_ms} ms"), path))
    }

    fn named(&self, what: &str, why: &str) -> String {
        let Target { callee, server, address, .. } = &*self.target;
        format!("{} {server} at {address} {what} ({why})", callee.role)
    }
}

/// Counts a call while it lasts.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
