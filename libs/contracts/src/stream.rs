//! The callee's side of a stream of frames.
//!
//! A contract says in which order its calls are carried out: one after the other, neighbours joined, or begun in
//! order and answered as they end. What is not carried out within its caller's time is answered `Unavailable`.
//! Answers that are ready together leave together.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::{Error, Kind, Result, status, trace, wire};

/// Calls of one stream that are carried out at the same time, where they may overlap.
const OVERLAPPING_MAX: usize = 1024;
/// Answers that wait to be sent.
const ANSWERS_MAX: usize = 1024;
/// Bytes of neighbours that are joined into one call.
const JOINED_BYTES_MAX: usize = 4 << 20;

/// How the calls of a stream follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// One after the other; neighbours of one method are joined.
    OneByOne,
    /// Begun in the order of their frames, and answered as they end.
    Overlapping,
}

/// What carries out the calls of a stream.
#[async_trait]
pub(crate) trait Bulk: Send + Sync + 'static {
    /// What a trace calls them.
    const NAME: &'static str;
    /// How they follow each other.
    const ORDER: Order;

    /// Carries out frames of one method, joined; more than one only where [`Order::OneByOne`] says so.
    async fn call(&self, method: u32, bodies: Vec<Bytes>) -> Result<Bytes>;
}

/// The answers of a stream, in what they leave.
pub(crate) type AnswerStream =
    Pin<Box<dyn Stream<Item = std::result::Result<wire::Answers, Status>> + Send + 'static>>;

/// Answers a stream's frames until the caller ends it, or until `closing` says so.
pub(crate) fn answer<B: Bulk>(
    bulk: Arc<B>,
    frames: Streaming<wire::Frames>,
    closing: watch::Receiver<bool>,
) -> AnswerStream {
    let (sender, answers) = mpsc::channel(ANSWERS_MAX);
    tokio::spawn(Callee { bulk, answers: sender }.run(frames, closing));
    Box::pin(Joined { answers, ready: Vec::new() })
}

/// What is known of frames.
enum Answered {
    /// All up to this one are carried out.
    UpTo(u64),
    One(wire::Answer),
}

impl Answered {
    fn of(seq: u64, result: Result<Bytes>) -> Self {
        Self::One(match result {
            Ok(body) => wire::Answer { seq, error: None, body },
            Err(error) => wire::Answer { seq, error: Some(status::to_wire(&error)), body: Bytes::new() },
        })
    }
}

struct Callee<B> {
    bulk: Arc<B>,
    answers: mpsc::Sender<Answered>,
}

impl<B: Bulk> Callee<B> {
    async fn run(self, mut frames: Streaming<wire::Frames>, mut closing: watch::Receiver<bool>) {
        let overlapping = Arc::new(Semaphore::new(OVERLAPPING_MAX));
        loop {
            let next = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => break,
                () = self.answers.closed() => break,
                next = frames.message() => next,
            };
            // The caller logs a stream that broke.
            let Ok(Some(wire::Frames { frames })) = next else { break };
            let is_heard = match B::ORDER {
                Order::OneByOne => self.one_by_one(frames).await,
                Order::Overlapping => self.overlapping(frames, &overlapping).await,
            };
            if !is_heard {
                break;
            }
        }
    }

    /// Carries out joined frames; false where nobody hears the answers any more.
    async fn one_by_one(&self, frames: Vec<wire::Frame>) -> bool {
        let mut frames = frames.into_iter().peekable();
        while let Some(first) = frames.next() {
            let wire::Frame { seq, method, body, mut timeout_ms, traceparent } = first;
            let (mut last, mut joined_bytes, mut bodies) = (seq, body.len(), vec![body]);
            while let Some(next) = frames.next_if(|next| {
                next.method == method && joined_bytes < JOINED_BYTES_MAX && next.traceparent == traceparent
            }) {
                joined_bytes += next.body.len();
                timeout_ms = timeout_ms.max(next.timeout_ms);
                last = next.seq;
                bodies.push(next.body);
            }
            let call = self.bulk.call(method, bodies);
            let call = trace::under(Some(&traceparent), B::NAME, call);
            let answered = match within(timeout_ms, call).await {
                Ok(_) => vec![Answered::UpTo(last)],
                Err(error) => (seq..=last).map(|seq| Answered::of(seq, Err(error.clone()))).collect(),
            };
            for answered in answered {
                if self.answers.send(answered).await.is_err() {
                    return false;
                }
            }
        }
        true
    }

    /// Begins frames in their order; false where nobody hears the answers any more.
    async fn overlapping(&self, frames: Vec<wire::Frame>, running: &Arc<Semaphore>) -> bool {
        for wire::Frame { seq, method, body, timeout_ms, traceparent } in frames {
            let Ok(permit) = Arc::clone(running).acquire_owned().await else { return false };
            let (bulk, answers) = (Arc::clone(&self.bulk), self.answers.clone());
            let mut call: Pin<Box<dyn Future<Output = Result<Bytes>> + Send>> = Box::pin(async move {
                let call = bulk.call(method, vec![body]);
                within(timeout_ms, trace::under(Some(&traceparent), B::NAME, call)).await
            });
            // The first step is taken here, so that calls begin in their order.
            let first_step = futures_util::future::poll_immediate(&mut call);
            let Some(result) = tokio::task::unconstrained(first_step).await else {
                tokio::spawn(async move {
                    let result = call.await;
                    drop(permit);
                    // Where nobody hears it, the caller was told that the connection broke.
                    let _ = answers.send(Answered::of(seq, result)).await;
                });
                continue;
            };
            if self.answers.send(Answered::of(seq, result)).await.is_err() {
                return false;
            }
        }
        true
    }
}

async fn within<F: Future<Output = Result<Bytes>>>(timeout_ms: u32, call: F) -> Result<Bytes> {
    let limit = Duration::from_millis(u64::from(timeout_ms.max(1)));
    timeout(limit, call).await.unwrap_or_else(|_| {
        let message =
            format!("the call was not carried out within the {timeout_ms} ms that its caller waits");
        Err(Error::new(Kind::Unavailable, message))
    })
}

/// Joins answers that are ready.
struct Joined {
    answers: mpsc::Receiver<Answered>,
    ready: Vec<Answered>,
}

impl Stream for Joined {
    type Item = std::result::Result<wire::Answers, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.answers.poll_recv_many(context, &mut this.ready, ANSWERS_MAX) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(0) => Poll::Ready(None),
            Poll::Ready(_) => {
                let mut joined = wire::Answers::default();
                for answered in this.ready.drain(..) {
                    match answered {
                        Answered::UpTo(seq) => joined.up_to = seq,
                        Answered::One(answer) => joined.answers.push(answer),
                    }
                }
                Poll::Ready(Some(Ok(joined)))
            }
        }
    }
}
