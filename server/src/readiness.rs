//! Which parts of the process are ready: what `/readyz` says.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Serialize;
use tokio::sync::Notify;

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It has not come up yet.
    Starting,
    /// It does its work.
    Ready,
    /// It was told to end.
    Stopping,
    /// It ended without having been told to.
    Failed,
}

/// The parts of the process.
#[derive(Debug)]
pub(crate) struct Readiness {
    parts: Mutex<BTreeMap<&'static str, State>>,
    changed: Notify,
}

/// What `/readyz` answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parts: Option<BTreeMap<&'static str, State>>,
}

impl Readiness {
    /// All these parts are about to start.
    pub(crate) fn new(parts: impl IntoIterator<Item = &'static str>) -> Self {
        let parts = parts.into_iter().map(|part| (part, State::Starting)).collect();
        Self { parts: Mutex::new(parts), changed: Notify::new() }
    }

    /// Says how a part is from here on.
    pub(crate) fn set(&self, part: &'static str, state: State) {
        self.with(|parts| parts.insert(part, state));
        self.changed.notify_waiters();
    }

    /// Every part is being stopped.
    pub(crate) fn stop(&self) {
        self.with(|parts| parts.values_mut().for_each(|state| *state = State::Stopping));
    }

    /// Waits until a part has failed.
    pub(crate) async fn failed(&self, part: &'static str) {
        loop {
            let changed = self.changed.notified();
            if self.with(|parts| parts.get(part) == Some(&State::Failed)) {
                return;
            }
            changed.await;
        }
    }

    /// Whether all parts are ready, and how each is where that is asked for.
    pub(crate) fn report(&self, verbose: bool) -> Report {
        self.with(|parts| Report {
            ready: parts.values().all(|state| *state == State::Ready),
            parts: verbose.then(|| parts.clone()),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<&'static str, State>) -> T) -> T {
        // Nothing that is done under the lock can leave it half done.
        work(&mut self.parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_every_part_is() {
        let readiness = Readiness::new(["store", "proxy"]);
        readiness.set("store", State::Ready);
        assert!(!readiness.report(false).ready);
        readiness.set("proxy", State::Ready);
        assert_eq!(readiness.report(false), Report { ready: true, parts: None });
        readiness.set("store", State::Failed);
        let report = readiness.report(true);
        assert!(!report.ready);
        assert_eq!(report.parts.unwrap()["store"], State::Failed);
    }
}
