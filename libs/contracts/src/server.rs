//! Answers for the roles that run in this process.
//!
//! One listener serves every contract that was given, and checks who calls: the secret and the wire version of every
//! call. It says hello first, with the id of the process, so that nobody mistakes it for the one that had the
//! address before. Stopping ends the streams after what was taken from them is carried out, and then the
//! connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use protocol::ServerId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::{InterceptorLayer, Routes};
use tonic::{Request, Response, Status};

use crate::admission::Admission;
use crate::channel::{
    CONNECTION_WINDOW_BYTES, HTTP2_FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, STREAM_WINDOW_BYTES,
};
use crate::wire::link_server::{Link, LinkServer};
use crate::{auth, im, logic, proxy, push, router, trace, wire};

/// Calls of one connection at the same time; a caller's own bound is lower.
const CALLS_PER_CONNECTION_MAX: u32 = 1 << 16;
/// How often a ping asks whether a silent caller is there.
const PING_PERIOD: Duration = Duration::from_secs(2);
/// How long the answer to a ping may take.
const PING_TIME_LIMIT: Duration = Duration::from_secs(2);
/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A listener for other processes, bound and not serving yet.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {address} for other processes: {error}"))
        };
        let listener = TcpListener::bind(address).await.map_err(named)?;
        let address = listener.local_addr().map_err(named)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The contracts that this process answers.
pub struct Server {
    routes: Routes,
    admission: Admission,
    closing: watch::Sender<bool>,
}

impl Server {
    /// A server of this process that answers nobody else than who shows the same.
    #[must_use]
    pub fn new(server: ServerId, admission: Admission) -> Self {
        let hello = Hello { server, wire_version: admission.wire_version };
        Self { routes: Routes::new(LinkServer::new(hello)), admission, closing: watch::Sender::new(false) }
    }

    /// Answers for auth.
    #[must_use]
    pub fn auth(self, auth: Arc<dyn auth::Auth>) -> Self {
        self.with(|routes, _| routes.add_service(sized!(auth::serve::service(auth))))
    }

    /// Answers for logic.
    #[must_use]
    pub fn logic(self, logic: Arc<dyn logic::Logic>) -> Self {
        self.with(|routes, _| routes.add_service(sized!(logic::serve::service(logic))))
    }

    /// Answers for the router.
    #[must_use]
    pub fn router(self, router: Arc<dyn router::Router>) -> Self {
        self.with(|routes, _| routes.add_service(sized!(router::serve::service(router))))
    }

    /// Answers for push.
    #[must_use]
    pub fn push(self, push: Arc<dyn push::Push>) -> Self {
        self.with(|routes, closing| routes.add_service(sized!(push::serve::service(push, closing))))
    }

    /// Answers for im.
    #[must_use]
    pub fn im(self, im: Arc<dyn im::Im>) -> Self {
        self.with(|routes, closing| routes.add_service(sized!(im::serve::service(im, closing))))
    }

    /// Answers for the proxy.
    #[must_use]
    pub fn proxy(self, proxy: Arc<dyn proxy::Proxy>) -> Self {
        self.with(|routes, closing| routes.add_service(sized!(proxy::serve::service(proxy, closing))))
    }

    /// Serves until `stop`; the task ends when the last connection has.
    pub fn serve(
        self,
        listener: Listener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let Self { routes, admission, closing } = self;
        let gate = move |request: Request<()>| {
            admission.check(request.metadata().as_ref())?;
            Ok(request)
        };
        let stopped = async move {
            stop.await;
            closing.send_replace(true);
        };
        let server = tonic::transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(HTTP2_FRAME_BYTES_MAX)
            .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
            .http2_keepalive_interval(Some(PING_PERIOD))
            .http2_keepalive_timeout(Some(PING_TIME_LIMIT))
            .layer(InterceptorLayer::new(gate))
            .add_routes(routes.prepare())
            .serve_with_incoming_shutdown(incoming(listener.listener), stopped);
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(target: "contracts", %error, "the listener for other processes has ended");
            }
        })
    }

    fn with(mut self, add: impl FnOnce(Routes, watch::Receiver<bool>) -> Routes) -> Self {
        self.routes = add(self.routes, self.closing.subscribe());
        self
    }
}

/// A service that reads messages of any size that a caller may send.
macro_rules! sized {
    ($service:expr) => {
        $service.max_decoding_message_size(MESSAGE_BYTES_MAX)
    };
}
use sized;

/// Connections, as they come. One that cannot be accepted, for want of files, is waited for.
fn incoming(listener: TcpListener) -> impl futures_util::Stream<Item = io::Result<TcpStream>> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    // A connection that is gone already is noticed by whoever serves it.
                    let _ = socket.set_nodelay(true);
                    return Some((Ok(socket), listener));
                }
                Err(error) => {
                    tracing::warn!(target: "contracts", %error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

struct Hello {
    server: ServerId,
    wire_version: u32,
}

#[tonic::async_trait]
impl Link for Hello {
    async fn hello(&self, _: Request<wire::HelloRequest>) -> Result<Response<wire::HelloReply>, Status> {
        let reply = wire::HelloReply { wire_version: self.wire_version, server: self.server.to_string() };
        Ok(Response::new(reply))
    }
}

/// Answers one call: reads what was asked, runs it under the trace it came with, and writes what came of it.
pub(crate) async fn answer<Q, A, F>(
    request: Request<Q>,
    call: &'static str,
    run: impl FnOnce(Q) -> F + Send,
) -> Result<Response<A>, Status>
where
    F: Future<Output = crate::Result<A>> + Send,
{
    let (metadata, _, message) = request.into_parts();
    let traceparent = metadata.get(trace::TRACEPARENT).and_then(|value| value.to_str().ok());
    let answered = trace::under(traceparent, call, run(message)).await;
    answered.map(Response::new).map_err(|error| crate::status::of_error(&error))
}
