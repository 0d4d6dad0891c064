//! Measures one link from push to a proxy: frames a second and CPU time a frame, both ends in this process.
//!
//! A frame is one delivery of a stored message to one connection. Beside the contract stands the floor: the same
//! bytes, one message each, through a bare bidirectional stream of tonic with an acknowledgement every 64.
//!
//! ```text
//! cargo run --release -p contracts --example link -- [seconds a row]
//! ```

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints what it measured, and may stop"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use contracts::Result;
use contracts::admission::Admission;
use contracts::channel::Settings;
use contracts::proxy::{
    BroadcastDelivery, Delivery, Kick, MembershipChange, Payload, Proxies as _, Proxy, Receiver, Remotes,
    RoomDelivery,
};
use contracts::router::Handle;
use contracts::server::{Listener, Server};
use futures_util::StreamExt as _;
use protocol::client::Message;
use protocol::message::Content;
use protocol::{ConnectionId, ServerId};
use tokio::sync::{mpsc, watch};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// Calls that wait for their answer at the same time.
const CALLS: u64 = 256;
/// Messages between two acknowledgements of the floor.
const ACK_EVERY: u64 = 64;

/// A proxy that counts what it takes.
#[derive(Default)]
struct Counting {
    taken: AtomicU64,
}

#[async_trait]
impl Proxy for Counting {
    async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<()> {
        let count = deliveries.iter().map(|delivery| delivery.receivers.len() as u64).sum();
        self.taken.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    async fn deliver_to_rooms(&self, _: Vec<RoomDelivery>) -> Result<()> {
        Ok(())
    }

    async fn broadcast(&self, _: BroadcastDelivery) -> Result<()> {
        Ok(())
    }

    async fn set_memberships(&self, _: Vec<MembershipChange>) -> Result<()> {
        Ok(())
    }

    async fn kick(&self, _: Vec<Kick>) -> Result<()> {
        Ok(())
    }
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(3.0);
    let length = Duration::from_secs_f64(seconds);
    let message = Arc::new(Message {
        conversation: "single:5:alice:bob".to_owned(),
        seq: 7,
        message_id: 1 << 60,
        sender: "alice".to_owned(),
        client_message_id: "0b0c7c9e-9c1e-4d0f-8f6e-3a8f3d1f9c11".to_owned(),
        time_ms: 1_700_000_000_000,
        content: Some(Content::Text("x".repeat(100)).into()),
        ..Message::default()
    });
    let bytes = prost::Message::encoded_len(&*message);
    println!("stored messages of {bytes} bytes, {CALLS} calls under way, {seconds} s a row");
    println!("{:<44} {:>12} {:>14}", "", "frames/s", "us CPU a frame");
    let counting = Arc::new(Counting::default());
    let name = ServerId("proxy-1".into());
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.address().to_string();
    Server::new(name.clone(), Admission::default())
        .proxy(counting.clone())
        .serve(listener, std::future::pending());
    for connections in [1, 2, 4] {
        let (_, addresses) = watch::channel([(name.clone(), address.clone())].into());
        let settings = Settings { connections, ..Settings::default() };
        let proxies = Remotes::follow(settings, addresses);
        let proxy = proxies.proxy(&name).unwrap();
        for per_call in [1, 8, 64] {
            let row = format!("contract, {connections} connections, {per_call} a call");
            let before = counting.taken.load(Ordering::Relaxed);
            let (begun, cpu) = (Instant::now(), cpu_time());
            deliver(&proxy, &message, per_call, begun + length).await;
            let frames = counting.taken.load(Ordering::Relaxed) - before;
            report(&row, frames, begun.elapsed(), cpu_time() - cpu);
        }
    }
    floor(&message, length).await;
}

/// Hands over deliveries of one connection each until then, many calls at once.
async fn deliver(proxy: &Arc<dyn Proxy>, message: &Arc<Message>, per_call: u64, end: Instant) {
    let callers = (0..CALLS).map(|caller| {
        let (proxy, message) = (Arc::clone(proxy), Arc::clone(message));
        tokio::spawn(async move {
            let mut seq = 0;
            while Instant::now() < end {
                let one = |index| {
                    let connection = caller * per_call + index;
                    let receiver = Receiver {
                        handle: Handle(connection),
                        connection: ConnectionId(connection),
                        inbox_seq: seq,
                    };
                    Delivery { receivers: vec![receiver], payload: Payload::Stored(message.clone()) }
                };
                proxy.deliver((0..per_call).map(one).collect()).await.unwrap();
                seq += 1;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

/// The bare stream: each message by itself.
async fn floor(message: &Arc<Message>, length: Duration) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Arc::new(AtomicU64::new(0));
    let serve = Floor(Arc::clone(&taken));
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let incoming = futures_util::stream::iter([Ok::<_, std::io::Error>(socket)])
            .chain(futures_util::stream::pending());
        tonic::transport::Server::builder()
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .serve_with_incoming(serve, incoming)
            .await
            .unwrap();
    });
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .connect()
        .await
        .unwrap();
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let (sender, mut receiver) = mpsc::channel::<Message>(4096);
    let frames = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let codec = ProstCodec::<Message, Message>::default();
    let path = PathAndQuery::from_static("/floor/Stream");
    let answers = grpc.streaming(Request::new(frames), path, codec).await.unwrap();
    let (begun, cpu) = (Instant::now(), cpu_time());
    let acks = tokio::spawn(answers.into_inner().for_each(|_| async {}));
    while begun.elapsed() < length {
        for _ in 0..ACK_EVERY {
            sender.send(Message::clone(message)).await.unwrap();
        }
    }
    report(
        "floor: bare stream, 1 a message",
        taken.load(Ordering::Relaxed),
        begun.elapsed(),
        cpu_time() - cpu,
    );
    acks.abort();
}

/// Takes messages and acknowledges every 64th.
#[derive(Clone)]
struct Floor(Arc<AtomicU64>);

impl tonic::server::StreamingService<Message> for Floor {
    type Response = Message;
    type ResponseStream = futures_util::stream::BoxStream<'static, std::result::Result<Message, Status>>;
    type Future = std::future::Ready<std::result::Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Message>>) -> Self::Future {
        let taken = Arc::clone(&self.0);
        let acks = request.into_inner().filter_map(move |message| {
            let count = taken.fetch_add(1, Ordering::Relaxed) + 1;
            let ack =
                message.ok().filter(|_| count.is_multiple_of(ACK_EVERY)).map(|_| Ok(Message::default()));
            std::future::ready(ack)
        });
        std::future::ready(Ok(Response::new(acks.boxed())))
    }
}

impl tonic::codegen::Service<tonic::codegen::http::Request<tonic::body::Body>> for Floor {
    type Response = tonic::codegen::http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = futures_util::future::BoxFuture<'static, std::result::Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::result::Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::codegen::http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<Message, Message>::default();
            Ok(tonic::server::Grpc::new(codec).streaming(service, request).await)
        })
    }
}

fn report(row: &str, frames: u64, wall: Duration, cpu: Duration) {
    let rate = frames as f64 / wall.as_secs_f64();
    let each_us = cpu.as_secs_f64() * 1e6 / frames.max(1) as f64;
    println!("{row:<44} {rate:>12.0} {each_us:>14.2}");
}

/// What this process has used of the processors: user and system time, in ticks of a hundredth of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = rest.split(' ').skip(11).take(2).map(|text| text.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
