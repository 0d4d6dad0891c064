//! How many connections each proxy said it has, for spreading new clients over them.
//!
//! The counts over the system are the router's. These are only what passed through here, so they may be
//! missing: whoever asks goes on without.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::ServerId;

/// A proxy says its counts about twice a second; what is older than this is of one that is gone.
const AGE_MAX: Duration = Duration::from_secs(30);

/// The counts of one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// Connections that are past auth.
    pub(crate) connection_count: u64,
    /// Distinct addresses they come from.
    pub(crate) address_count: u64,
}

#[derive(Default)]
pub(crate) struct Online {
    loads: Mutex<HashMap<ServerId, (Load, Instant)>>,
}

impl Online {
    /// Takes what a proxy says of itself; what is too old goes, so there are never more than proxies.
    pub(crate) fn absorb(&self, server: &ServerId, connection_count: u64, address_count: u64) {
        let now = Instant::now();
        let load = Load { connection_count, address_count };
        let mut loads = self.loads.lock();
        if loads.insert(server.clone(), (load, now)).is_none() {
            loads.retain(|_, (_, heard)| now.duration_since(*heard) <= AGE_MAX);
        }
    }

    /// The counts of a proxy; `None` where it said nothing here lately.
    pub(crate) fn of(&self, server: &ServerId) -> Option<Load> {
        let loads = self.loads.lock();
        loads.get(server).filter(|(_, heard)| heard.elapsed() <= AGE_MAX).map(|(load, _)| *load)
    }
}
