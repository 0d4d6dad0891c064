//! One connection: made, looked after, and made again.
//!
//! A task of its own connects, says hello, opens the stream of the contract if it has one, and waits for the end of
//! either. While the first attempt lasts, calls wait for it; after a break they fail at once, until there is a
//! connection again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tonic::Streaming;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::Service;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{Request, Response, Uri};
use tonic_prost::ProstCodec;

use crate::admission::Admission;
use crate::channel::codec::Encoded;
use crate::channel::outgoing::{Outgoing, Pending, Queue, Reading};
use crate::channel::{
    CONNECTION_WINDOW_BYTES, HTTP2_FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, STREAM_WINDOW_BYTES, Target,
};
use crate::{status, wire};

const HELLO: &str = "/anser.contracts.v1.Link/Hello";

/// A connection, as far as it is there.
pub(crate) struct Connection {
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

/// Why nothing can be put into a queue.
pub(crate) enum Broken {
    /// There is no connection; why.
    Gone(Arc<str>),
    /// There is as much in it as there may be.
    Full,
}

#[derive(Clone)]
enum State {
    /// The first attempt. What is put into the queue leaves when it succeeds.
    Connecting(Option<Queue>),
    Live(Live),
    Broken(Arc<str>),
}

/// A connection that is there.
#[derive(Clone)]
pub(crate) struct Live {
    wire: Wire,
    queue: Option<Queue>,
    in_flight: Arc<Semaphore>,
}

impl Live {
    /// What calls are made through.
    pub(crate) fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// Counts a call while the permit lives; `None` where there are too many.
    pub(crate) fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.in_flight).try_acquire_owned().ok()
    }
}

impl Connection {
    /// Begins to connect, with this stream.
    pub(crate) fn open(
        target: Arc<Target>,
        stream: Option<&'static str>,
        changed: watch::Sender<u64>,
    ) -> Self {
        let bulk = stream.map(|_| Outgoing::new(&target.settings));
        let queue = bulk.as_ref().map(|(queue, _)| queue.clone());
        let (sender, state) = watch::channel(State::Connecting(queue));
        let keeper = Keeper { target, stream, state: sender, changed };
        Self { state, task: tokio::spawn(keeper.run(bulk)) }
    }

    /// Tells whether it is there.
    pub(crate) fn is_live(&self) -> bool {
        matches!(&*self.state.borrow(), State::Live(_))
    }

    /// Tells whether it is there, or its first attempt lasts.
    pub(crate) fn is_promising(&self) -> bool {
        !matches!(&*self.state.borrow(), State::Broken(_))
    }

    /// Why it is not there, in words.
    pub(crate) fn why(&self) -> Arc<str> {
        match &*self.state.borrow() {
            State::Connecting(_) => "it is being connected".into(),
            State::Live(_) => "it is connected".into(),
            State::Broken(why) => Arc::clone(why),
        }
    }

    /// The connection, waiting for the end of the first attempt.
    pub(crate) async fn live(&self, patience: Duration) -> Result<Live, Arc<str>> {
        let settled = |state: &State| match state {
            State::Connecting(_) => None,
            State::Live(live) => Some(Ok(live.clone())),
            State::Broken(why) => Some(Err(Arc::clone(why))),
        };
        if let Some(settled) = settled(&self.state.borrow()) {
            return settled;
        }
        let mut state = self.state.clone();
        let waited = timeout(patience, state.wait_for(|state| settled(state).is_some())).await;
        match waited {
            Ok(Ok(state)) => settled(&state).unwrap_or_else(|| Err("no connection yet".into())),
            Ok(Err(_)) => Err("the channel was closed".into()),
            Err(_) => Err("no connection yet".into()),
        }
    }

    /// Puts a frame into the queue of the stream.
    pub(crate) fn enqueue(&self, method: u32, body: Bytes, time_limit: Duration) -> Result<Pending, Broken> {
        let state = self.state.borrow();
        let queue = match &*state {
            State::Connecting(queue) => queue,
            State::Live(live) => &live.queue,
            State::Broken(why) => return Err(Broken::Gone(Arc::clone(why))),
        };
        match queue {
            Some(queue) => queue.put(method, body, Instant::now() + time_limit),
            None => Err(Broken::Gone("the contract has no stream".into())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps a connection.
struct Keeper {
    target: Arc<Target>,
    stream: Option<&'static str>,
    state: watch::Sender<State>,
    changed: watch::Sender<u64>,
}

impl Keeper {
    async fn run(self, mut bulk: Option<(Queue, Outgoing)>) {
        let settings = &self.target.settings;
        let mut pause = settings.back_off_max / 100;
        let mut is_broken = false;
        loop {
            let bulk = bulk.take().or_else(|| self.stream.map(|_| Outgoing::new(settings)));
            let attempt = timeout(settings.connect_time_limit, Box::pin(self.connect(bulk))).await;
            let why = match attempt.unwrap_or_else(|_| Err("no connection within the time limit".into())) {
                Ok(opened) => {
                    if is_broken {
                        self.tell(None);
                    }
                    is_broken = false;
                    pause = settings.back_off_max / 100;
                    self.watch_over(opened).await
                }
                Err(why) => why,
            };
            if !is_broken {
                self.tell(Some(&why));
            }
            is_broken = true;
            self.set(State::Broken(why));
            // Between half and all of the pause, so that many do not come back at once.
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(settings.back_off_max);
        }
    }

    fn tell(&self, broken: Option<&str>) {
        let Target { callee, server, address, .. } = &*self.target;
        let role = callee.role;
        match broken {
            Some(why) => {
                metrics::counter!("anser_contracts_breaks_total", "role" => role).increment(1);
                tracing::warn!(target: "contracts", role, %server, address, why, "no connection");
            }
            None => tracing::info!(target: "contracts", role, %server, address, "connected again"),
        }
    }

    fn set(&self, state: State) {
        self.state.send_replace(state);
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Connects, says hello and opens the stream.
    async fn connect(&self, bulk: Option<(Queue, Outgoing)>) -> Result<Opened, Arc<str>> {
        let Target { address, settings, .. } = &*self.target;
        let failed = |what: &str, error: &dyn fmt::Display| -> Arc<str> { format!("{what}: {error}").into() };
        // A connection with TLS is wrapped here, between the socket and HTTP/2.
        let socket = TcpStream::connect(address).await.map_err(|error| failed("cannot connect", &error))?;
        socket.set_nodelay(true).map_err(|error| failed("cannot connect", &error))?;
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(HTTP2_FRAME_BYTES_MAX)
            .keep_alive_interval(settings.ping_period)
            .keep_alive_timeout(settings.ping_time_limit)
            .keep_alive_while_idle(true)
            .handshake::<_, Body>(TokioIo::new(socket));
        let (sender, connection) = handshake.await.map_err(|error| failed("no HTTP/2", &error))?;
        let connection = AbortOnDrop(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target: "contracts", %error, "a connection ended");
            }
        }));
        let wire = Wire { sender, admission: Arc::new(settings.admission.clone()) };
        self.hello(&wire).await?;
        let (queue, stream) = match (self.stream, bulk) {
            (Some(path), Some((queue, outgoing))) => (Some(queue), Some(outgoing.start(&wire, path).await?)),
            _ => (None, None),
        };
        let in_flight = Arc::new(Semaphore::new(settings.in_flight_max));
        Ok(Opened { live: Live { wire, queue, in_flight }, connection, stream })
    }

    /// The first call on a connection: it tells whether both understand each other, and whether it is the process
    /// that is meant.
    async fn hello(&self, wire: &Wire) -> Result<(), Arc<str>> {
        let Target { server, settings, .. } = &*self.target;
        let own = settings.admission.wire_version;
        let request = wire::HelloRequest { wire_version: own }.encode_to_vec();
        let mut grpc = Grpc::with_origin(wire.clone(), Uri::from_static("http://anser"));
        let path = PathAndQuery::from_static(HELLO);
        let call =
            grpc.unary(tonic::Request::new(request.into()), path, Encoded::<wire::HelloReply>::default());
        let reply = call.await.map_err(|error| status::to_error(&error).to_string())?.into_inner();
        settings.admission.check_version(reply.wire_version).map_err(|error| error.to_string())?;
        if reply.server == *server.0 {
            return Ok(());
        }
        Err(format!("another process answers: {}", reply.server).into())
    }

    /// Waits for the end of a connection; answers why it ended.
    async fn watch_over(&self, opened: Opened) -> Arc<str> {
        let Opened { live, mut connection, stream } = opened;
        self.set(State::Live(live));
        match stream {
            None => {
                let _ = (&mut connection.0).await;
                "the connection ended".into()
            }
            Some(stream) => {
                let patience = self.target.settings.ping_time_limit;
                let mut reading = std::pin::pin!(stream.read());
                let why = tokio::select! {
                    biased;
                    why = &mut reading => {
                        self.set(State::Broken(Arc::clone(&why)));
                        // Calls that are under way may still be answered where only the stream has ended.
                        let _ = timeout(patience, &mut connection.0).await;
                        why
                    }
                    _ = &mut connection.0 => {
                        self.set(State::Broken("the connection ended".into()));
                        // Answers may have come before the end.
                        timeout(patience, reading).await.unwrap_or_else(|_| "the connection ended".into())
                    }
                };
                why
            }
        }
    }
}

/// A connection with all that belongs to it.
struct Opened {
    live: Live,
    connection: AbortOnDrop,
    stream: Option<Reading>,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection as tonic's client wants it.
#[derive(Clone)]
pub(crate) struct Wire {
    sender: http2::SendRequest<Body>,
    admission: Arc<Admission>,
}

impl Wire {
    /// Opens a stream of frames.
    pub(crate) async fn stream(
        &self,
        path: &'static str,
        frames: Outgoing,
    ) -> Result<Streaming<wire::Answers>, Arc<str>> {
        let mut grpc = Grpc::with_origin(self.clone(), Uri::from_static("http://anser"))
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let codec = ProstCodec::<wire::Frames, wire::Answers>::default();
        let opened = grpc.streaming(tonic::Request::new(frames), PathAndQuery::from_static(path), codec);
        match opened.await {
            Ok(response) => Ok(response.into_inner()),
            Err(error) => Err(format!("no stream: {}", status::to_error(&error)).into()),
        }
    }
}

impl Service<Request<Body>> for Wire {
    type Response = Response<Incoming>;
    type Error = Lost;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Lost>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        self.sender.poll_ready(context).map_err(Lost)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        self.admission.show(request.headers_mut());
        let sent = self.sender.send_request(request);
        Box::pin(async move { sent.await.map_err(Lost) })
    }
}

/// A call whose connection ended before its answer. It names no source, so that tonic leaves it as it is.
#[derive(Debug)]
pub(crate) struct Lost(hyper::Error);

impl Lost {
    /// Tells whether the call was never sent.
    pub(crate) fn untouched(&self) -> bool {
        self.0.is_canceled() || self.0.is_closed()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for Lost {}
