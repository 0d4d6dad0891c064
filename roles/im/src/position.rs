//! How far each device received: positions of many devices are gathered for a moment and written together.
//!
//! A client acks often, and only its highest ack counts. A call answers when what it brought is stored. Calls
//! beyond the bound are refused as overloaded; the client's next ack says the same and more.
//!
//! Where a device's position has risen, those who wrote to its user are told what was delivered: see
//! [`crate::notice`]. From where it rose is remembered here since the device connected; of a device that was
//! forgotten, what it received last is told once more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backends::store::{Position, Store};
use contracts::{Error, Kind, Result};
use parking_lot::Mutex;
use protocol::{DeviceId, UserId};
use runtime::lifecycle::Stop;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::notice::{Notice, Notices};
use crate::recent::Recent;
use crate::{Config, failure};

/// Positions that are written together.
const POSITIONS_MAX: usize = 4_096;
/// Devices whose positions are remembered: those that ack at about the same time.
const ACKED_MAX: usize = 65_536;

/// Positions of one call, and whom to tell.
struct Call {
    positions: Vec<contracts::im::Position>,
    written: oneshot::Sender<Result<()>>,
}

/// The positions that are on their way to the store.
type Pending = Arc<Mutex<HashMap<(UserId, DeviceId), u64>>>;

/// Up to where devices are known to have received.
type Acked = Arc<Mutex<Recent<(UserId, DeviceId), u64>>>;

/// Takes positions.
pub(crate) struct Positions {
    calls: mpsc::Sender<Call>,
    pending: Pending,
    acked: Acked,
}

/// Writes them.
pub(crate) struct Writer {
    store: Arc<dyn Store>,
    calls: mpsc::Receiver<Call>,
    pending: Pending,
    acked: Acked,
    notices: Notices,
    window: Duration,
    stop: Stop,
}

impl Positions {
    /// The two ends; the writer is to be run.
    pub(crate) fn new(
        config: &Config,
        store: Arc<dyn Store>,
        notices: Notices,
        stop: Stop,
    ) -> (Self, Writer) {
        let (sender, calls) = mpsc::channel(config.position_calls_max.max(1));
        let pending = Pending::default();
        let acked: Acked = Arc::new(Mutex::new(Recent::new(ACKED_MAX)));
        let writer = Writer {
            store,
            calls,
            pending: pending.clone(),
            acked: acked.clone(),
            notices,
            window: config.position_window,
            stop,
        };
        (Self { calls: sender, pending, acked }, writer)
    }

    /// A device that connects has received up to a seq, and those who wrote to its user know it.
    pub(crate) fn know(&self, user: &UserId, device: &DeviceId, inbox_seq: u64) {
        let key = (user.clone(), device.clone());
        let mut acked = self.acked.lock();
        // What was told while this was read from the store stays told.
        let known = acked.get(&key).copied().unwrap_or(0);
        acked.insert(key, known.max(inbox_seq));
    }

    /// The position of a device that is on its way to the store: who comes back at once is not sent again what
    /// it has just acked.
    pub(crate) fn pending(&self, user: &UserId, device: &DeviceId) -> Option<u64> {
        self.pending.lock().get(&(user.clone(), device.clone())).copied()
    }

    /// Records positions; a record is only ever raised. When it answers they are stored.
    pub(crate) async fn record(&self, positions: Vec<contracts::im::Position>) -> Result<()> {
        let (written, answer) = oneshot::channel();
        // Before the call is in line, so that the writer finds all that it writes.
        for position in &positions {
            let key = (position.user.clone(), position.device.clone());
            let mut pending = self.pending.lock();
            let known = pending.entry(key).or_default();
            *known = position.inbox_seq.max(*known);
        }
        self.calls.try_send(Call { positions, written }).map_err(|error| {
            let (mpsc::error::TrySendError::Full(call) | mpsc::error::TrySendError::Closed(call)) = &error;
            let refused = call.positions.iter();
            let refused = refused.map(|one| ((one.user.clone(), one.device.clone()), one.inbox_seq));
            forget(&self.pending, &refused.collect());
            match error {
                mpsc::error::TrySendError::Full(_) => {
                    Error::new(Kind::Overloaded, "as many positions wait to be written as may wait")
                }
                mpsc::error::TrySendError::Closed(_) => ended(),
            }
        })?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> Error {
    Error::new(Kind::Unavailable, "positions are written no more: im is stopping")
}

impl Writer {
    /// Writes until it is told to stop and what waits is written.
    pub(crate) async fn run(mut self) {
        loop {
            let first = tokio::select! {
                first = self.calls.recv() => first,
                () = self.stop.triggered(), if !self.calls.is_closed() => {
                    self.calls.close();
                    continue;
                }
            };
            let Some(first) = first else { return };
            self.write_with(first).await;
        }
    }

    /// Writes a call's positions with those that come within the window.
    async fn write_with(&mut self, first: Call) {
        let end = Instant::now() + self.window;
        let mut highest: HashMap<(UserId, DeviceId), u64> = HashMap::new();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(call) = next {
            for position in call.positions {
                let record = highest.entry((position.user, position.device)).or_default();
                *record = position.inbox_seq.max(*record);
            }
            waiting.push(call.written);
            next = match highest.len() < POSITIONS_MAX {
                true => timeout_at(end, self.calls.recv()).await.unwrap_or(None),
                false => None,
            };
        }
        let position = |((user, device), inbox_seq): (&(UserId, DeviceId), &u64)| Position {
            user: user.clone(),
            device: device.clone(),
            inbox_seq: *inbox_seq,
        };
        let positions: Vec<Position> = highest.iter().map(position).collect();
        let count = positions.len();
        let result = self.store.set_positions(positions).await.map_err(|error| {
            tracing::warn!(target: "im", ?error, count, "positions were not written");
            failure::of_backend(error)
        });
        forget(&self.pending, &highest);
        let stored = result.is_ok();
        for written in waiting {
            // Whoever went away meanwhile does not want to know.
            let _ = written.send(result.clone());
        }
        if stored {
            self.tell(highest);
        }
    }

    /// Tells what was delivered to devices whose position has risen.
    fn tell(&self, written: HashMap<(UserId, DeviceId), u64>) {
        for ((user, device), to) in written {
            let key = (user, device);
            let from = {
                let mut acked = self.acked.lock();
                let from = acked.get(&key).copied().unwrap_or(0);
                if from >= to {
                    continue;
                }
                acked.insert(key.clone(), to);
                from
            };
            let (user, device) = key;
            self.notices.offer(Notice::Delivered { user, device, from, to });
        }
    }
}

/// What was written, or was refused, is on its way no more; what came in the meantime is.
fn forget(pending: &Pending, written: &HashMap<(UserId, DeviceId), u64>) {
    let mut pending = pending.lock();
    for (key, inbox_seq) in written {
        if pending.get(key).is_some_and(|known| known <= inbox_seq) {
            pending.remove(key);
        }
    }
}
