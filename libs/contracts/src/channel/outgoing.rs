//! The stream of a connection: frames that wait are joined into one message, in their order.
//!
//! What was sent and is not answered is bounded, in calls and in bytes; the rest waits in a queue that is bounded
//! too. A frame that nobody waits for any more is not sent. When the stream ends, everybody who waits is told.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tonic::Streaming;

use crate::channel::connection::{Broken, Wire};
use crate::channel::{Failure, Settings};
use crate::{status, trace, wire};

/// Frames of one message.
const JOINED_FRAMES_MAX: usize = 512;
/// Bytes of one message after which no further frame is joined.
const JOINED_BYTES_MAX: usize = 256 << 10;

/// The answer to a frame.
type Reply = Result<Bytes, Failure>;

/// A frame that is on its way.
pub(crate) struct Pending {
    pub(crate) reply: oneshot::Receiver<Reply>,
    pub(crate) deadline: Instant,
}

/// A frame that waits to be sent.
struct Entry {
    method: u32,
    body: Bytes,
    trace: Option<trace::Context>,
    deadline: Instant,
    reply: oneshot::Sender<Reply>,
    bytes: Held,
}

/// Counts bytes in flight while it lives.
struct Held {
    bytes: usize,
    count: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where frames wait.
#[derive(Clone)]
pub(crate) struct Queue {
    entries: mpsc::Sender<Entry>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl Queue {
    /// Puts a frame behind the others.
    pub(crate) fn put(&self, method: u32, body: Bytes, deadline: Instant) -> Result<Pending, Broken> {
        let bytes = body.len();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { bytes, count: Arc::clone(&self.bytes) };
        if before > 0 && before + bytes > self.bytes_max {
            return Err(Broken::Full);
        }
        let (reply, answered) = oneshot::channel();
        let entry = Entry { method, body, trace: trace::Context::current(), deadline, reply, bytes: held };
        match self.entries.try_send(entry) {
            Ok(()) => Ok(Pending { reply: answered, deadline }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Broken::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Broken::Gone("the stream has ended".into())),
        }
    }
}

/// A frame that was sent and is not answered.
struct Unanswered {
    reply: oneshot::Sender<Reply>,
    bytes: Held,
}

/// What was sent and is not answered, in its order.
#[derive(Default)]
struct Sent {
    /// The seq of the first.
    first: u64,
    frames: VecDeque<Option<Unanswered>>,
    count: usize,
    bytes: usize,
    /// No answer will come any more.
    is_closed: bool,
}

impl Sent {
    fn add(&mut self, unanswered: Unanswered) -> u64 {
        self.count += 1;
        self.bytes += unanswered.bytes.bytes;
        self.frames.push_back(Some(unanswered));
        self.first + self.frames.len() as u64 - 1
    }

    fn answer(&mut self, seq: u64, answer: Reply) {
        let index = seq.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let frame = index.and_then(|index| self.frames.get_mut(index)).and_then(Option::take);
        if let Some(Unanswered { reply, bytes }) = frame {
            self.count -= 1;
            self.bytes -= bytes.bytes;
            // Whoever is answered may call again at once, and these bytes are no longer in flight.
            drop(bytes);
            // Whoever waited may have given up.
            let _ = reply.send(answer);
        }
        while matches!(self.frames.front(), Some(None)) {
            self.frames.pop_front();
            self.first += 1;
        }
    }

    fn answer_up_to(&mut self, seq: u64) {
        while self.first <= seq && !self.frames.is_empty() {
            let first = self.first;
            self.answer(first, Ok(Bytes::new()));
        }
    }
}

/// What both directions of a stream share.
struct Window {
    sent: Mutex<Sent>,
    opened: AtomicWaker,
    count_max: usize,
    bytes_max: usize,
}

/// The frames of a stream, as they leave.
pub(crate) struct Outgoing {
    entries: mpsc::Receiver<Entry>,
    window: Arc<Window>,
}

impl Outgoing {
    /// A queue and what leaves it.
    pub(crate) fn new(settings: &Settings) -> (Queue, Self) {
        let (sender, entries) = mpsc::channel(settings.in_flight_max.max(1));
        let queue = Queue { entries: sender, bytes: Arc::default(), bytes_max: settings.in_flight_bytes_max };
        let window = Window {
            sent: Mutex::new(Sent { first: 1, ..Sent::default() }),
            opened: AtomicWaker::new(),
            count_max: settings.unanswered_max.max(1),
            bytes_max: settings.unanswered_bytes_max.max(1),
        };
        (queue, Self { entries, window: Arc::new(window) })
    }

    /// Lets frames leave through a connection.
    pub(crate) async fn start(self, wire: &Wire, path: &'static str) -> Result<Reading, Arc<str>> {
        let window = Arc::clone(&self.window);
        Ok(Reading { answers: wire.stream(path, self).await?, window })
    }

    /// Takes what waits and fits into the window; `true` where nothing will come any more.
    fn take(&mut self, context: &mut Context<'_>, frames: &mut Vec<wire::Frame>) -> bool {
        let now = Instant::now();
        let mut joined_bytes = 0;
        let mut sent = self.window.sent.lock();
        if sent.is_closed {
            return true;
        }
        while frames.len() < JOINED_FRAMES_MAX
            && joined_bytes < JOINED_BYTES_MAX
            && sent.count < self.window.count_max
            && sent.bytes < self.window.bytes_max
        {
            let entry = match self.entries.poll_recv(context) {
                Poll::Ready(Some(entry)) => entry,
                Poll::Ready(None) => return true,
                Poll::Pending => return false,
            };
            let Entry { method, body, trace, deadline, reply, bytes } = entry;
            if reply.is_closed() || deadline <= now {
                continue;
            }
            joined_bytes += body.len();
            let timeout_ms = u32::try_from((deadline - now).as_millis()).unwrap_or(u32::MAX).max(1);
            let traceparent = trace.map(|trace| trace.to_string()).unwrap_or_default();
            let seq = sent.add(Unanswered { reply, bytes });
            frames.push(wire::Frame { seq, method, body, timeout_ms, traceparent });
        }
        false
    }
}

impl Stream for Outgoing {
    type Item = wire::Frames;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<wire::Frames>> {
        // Registered before the window is looked at: an answer in between wakes.
        self.window.opened.register(context.waker());
        let mut frames = Vec::new();
        let ended = self.take(context, &mut frames);
        if !frames.is_empty() {
            return Poll::Ready(Some(wire::Frames { frames }));
        }
        if ended { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl Drop for Outgoing {
    /// What has never left may be asked of another process; of the rest nothing is known.
    fn drop(&mut self) {
        self.entries.close();
        while let Ok(entry) = self.entries.try_recv() {
            let message = "the connection ended before the call was sent".to_owned();
            let _ = entry.reply.send(Err(Failure::untouched(message)));
        }
    }
}

/// The answers of a stream, as they come.
pub(crate) struct Reading {
    answers: Streaming<wire::Answers>,
    window: Arc<Window>,
}

impl Reading {
    /// Hands every answer to whoever waits for it, until the stream ends; answers why it did.
    pub(crate) async fn read(mut self) -> Arc<str> {
        loop {
            let wire::Answers { up_to, answers } = match self.answers.message().await {
                Ok(Some(answers)) => answers,
                Ok(None) => return "the stream was closed".into(),
                Err(error) => return format!("the stream broke: {}", status::to_error(&error)).into(),
            };
            let mut sent = self.window.sent.lock();
            for wire::Answer { seq, error, body } in answers {
                let answer = match error {
                    None => Ok(body),
                    Some(error) => Err(Failure { error: status::of_wire(error), untouched: false }),
                };
                sent.answer(seq, answer);
            }
            sent.answer_up_to(up_to);
            drop(sent);
            self.window.opened.wake();
        }
    }
}

impl Drop for Reading {
    /// Nothing is known of what was sent and not answered.
    fn drop(&mut self) {
        let mut sent = self.window.sent.lock();
        *sent = Sent { is_closed: true, ..Sent::default() };
        drop(sent);
        self.window.opened.wake();
    }
}
