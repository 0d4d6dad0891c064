//! The registrations of this process: each is an ephemeral node, made again in every session.
//!
//! One task makes, changes and removes them, one after the other, so that a removal and a registration of the same
//! name that follows it cannot cross. What could not be written is tried again until it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::ServerId;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use zookeeper_client::{CreateMode, Error as ZooError};

use super::super::Instance;
use super::session::{Live, Sessions};
use super::{away, failed, instance};
use crate::discovery::name;
use crate::{Error, Kind, Result};

/// Calls that wait for the task; a process has a registration for each of its roles.
const CALLS_COUNT: usize = 64;
/// What a registration waits for a session.
const SESSION_TIME: Duration = Duration::from_secs(5);
/// Before what could not be written is tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a node is looked at before it counts as somebody else's doing.
const ROUNDS_COUNT: usize = 4;

/// Which registration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    role: String,
    server: ServerId,
}

enum Call {
    Register(Instance, oneshot::Sender<Result<()>>),
    Update(Place, BTreeMap<String, String>, oneshot::Sender<Result<()>>),
    Remove(Place),
}

/// The way to the task.
pub(super) struct Registrar {
    calls: mpsc::Sender<Call>,
}

impl Registrar {
    pub(super) fn start(sessions: Sessions) -> (Self, JoinHandle<()>) {
        let (calls, received) = mpsc::channel(CALLS_COUNT);
        let task = Task { sessions, held: BTreeMap::new(), leftovers: Vec::new(), session: 0 };
        (Self { calls }, tokio::spawn(task.run(received)))
    }

    /// Registers an instance, until it is removed.
    pub(super) async fn register(&self, instance: Instance) -> Result<Place> {
        let place = Place { role: instance.role.clone(), server: instance.server.clone() };
        self.call(|reply| Call::Register(instance, reply)).await?;
        Ok(place)
    }

    /// Changes what others see of an instance.
    pub(super) async fn update(&self, place: &Place, metadata: BTreeMap<String, String>) -> Result<()> {
        self.call(|reply| Call::Update(place.clone(), metadata, reply)).await
    }

    /// Takes an instance out.
    pub(super) fn remove(&self, place: &Place) {
        let call = Call::Remove(place.clone());
        if let Err(mpsc::error::TrySendError::Full(call)) = self.calls.try_send(call)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let calls = self.calls.clone();
            runtime.spawn(async move { calls.send(call).await });
        }
    }

    async fn call(&self, call: impl FnOnce(oneshot::Sender<Result<()>>) -> Call) -> Result<()> {
        let stopped = || Error::new(Kind::Transient, "discovery is being stopped");
        let (reply, answer) = oneshot::channel();
        self.calls.send(call(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

struct Held {
    instance: Instance,
    /// Whether the node holds it in this session.
    is_written: bool,
    /// Whether the log says why it does not.
    is_told: bool,
}

struct Task {
    sessions: Sessions,
    held: BTreeMap<Place, Held>,
    /// Nodes of this session that nobody holds and that may still stand.
    leftovers: Vec<Place>,
    /// The number of the session that the rest is about.
    session: u64,
}

impl Task {
    async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        loop {
            let is_waiting = self.write_missing().await;
            tokio::select! {
                call = calls.recv() => match call {
                    Some(call) => self.answer(call).await,
                    None => return,
                },
                changed = self.sessions.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(PAUSE), if is_waiting => {}
            }
        }
    }

    /// Writes what does not stand in this session, and removes what should not; whether something is left to do.
    async fn write_missing(&mut self) -> bool {
        let Some(live) = self.sessions.current() else { return false };
        self.enter(&live);
        while let Some(place) = self.leftovers.last() {
            if !remove(&live, place).await {
                return true;
            }
            self.leftovers.pop();
        }
        for (place, held) in self.held.iter_mut().filter(|(_, held)| !held.is_written) {
            match write(&live, &held.instance).await {
                Ok(()) => {
                    (held.is_written, held.is_told) = (true, false);
                    tracing::info!(target: "discovery", role = place.role, server = %place.server, "registered again");
                }
                Err(error) => {
                    let Place { role, server } = place;
                    if !std::mem::replace(&mut held.is_told, true) {
                        tracing::warn!(target: "discovery", role, %server, %error, "not registered: tried again");
                    }
                    return true;
                }
            }
        }
        false
    }

    /// Forgets what stood in a session that is over.
    fn enter(&mut self, live: &Live) {
        if self.session == live.number {
            return;
        }
        self.session = live.number;
        // A session's nodes go with it.
        self.leftovers.clear();
        for held in self.held.values_mut() {
            held.is_written = false;
        }
    }

    async fn answer(&mut self, call: Call) {
        match call {
            Call::Register(instance, reply) => {
                let place = Place { role: instance.role.clone(), server: instance.server.clone() };
                let outcome = self.register(&place, instance).await;
                let is_held = outcome.is_ok();
                if reply.send(outcome).is_err() && is_held {
                    self.remove(place).await;
                }
            }
            Call::Update(place, metadata, reply) => {
                let _ = reply.send(self.update(&place, metadata).await);
            }
            Call::Remove(place) => self.remove(place).await,
        }
    }

    async fn register(&mut self, place: &Place, instance: Instance) -> Result<()> {
        let what = || format!("register {}", place.role);
        if self.held.contains_key(place) {
            return Err(taken(&instance));
        }
        let Ok(Some(live)) = tokio::time::timeout(SESSION_TIME, self.sessions.live()).await else {
            return Err(away(&what()));
        };
        self.enter(&live);
        self.leftovers.retain(|leftover| leftover != place);
        let outcome = write(&live, &instance).await;
        match &outcome {
            Ok(()) => {
                self.held.insert(place.clone(), Held { instance, is_written: true, is_told: false });
            }
            // It may or may not stand.
            Err(error) if error.kind() == Kind::Transient => self.leftovers.push(place.clone()),
            Err(_) => {}
        }
        outcome
    }

    async fn update(&mut self, place: &Place, metadata: BTreeMap<String, String>) -> Result<()> {
        let Some(held) = self.held.get_mut(place) else {
            return Err(Error::new(Kind::Missing, format!("{} is not registered", place.role)));
        };
        held.instance.metadata = metadata;
        held.is_written = false;
        // Where it cannot be written it is when the session is back.
        let live = self.sessions.current().ok_or_else(|| away(&format!("change {}", place.role)))?;
        let outcome = write(&live, &held.instance).await;
        held.is_written = outcome.is_ok() && live.number == self.session;
        outcome
    }

    async fn remove(&mut self, place: Place) {
        if self.held.remove(&place).is_none() {
            return;
        }
        if let Some(live) = self.sessions.current()
            && live.number == self.session
            && !remove(&live, &place).await
        {
            self.leftovers.push(place);
        }
    }
}

/// Makes a node, or changes the one that this process has.
async fn write(live: &Live, instance: &Instance) -> Result<()> {
    let bytes = instance::encode(instance)?;
    let folder = live.settings.node("roles", &instance.role);
    let path = format!("{folder}/{}", name::escaped(&instance.server.0));
    let what = format!("register {}", instance.role);
    let options = live.settings.options(CreateMode::Ephemeral);
    for _ in 0..ROUNDS_COUNT {
        match live.call(live.client.create(&path, &bytes, &options)).await {
            Ok(_) => return Ok(()),
            Err(ZooError::NodeExists) => {}
            Err(ZooError::NoNode) => {
                let options = live.settings.options(CreateMode::Persistent);
                live.call(live.client.mkdir(&folder, &options))
                    .await
                    .map_err(|error| failed(&what, error))?;
                continue;
            }
            Err(error) => return Err(failed(&what, error)),
        }
        let stat = live.call(live.client.check_stat(&path)).await.map_err(|error| failed(&what, error))?;
        let Some(stat) = stat else { continue };
        let outcome = if stat.ephemeral_owner == live.id() {
            live.call(live.client.set_data(&path, &bytes, None)).await.map(|_| ())
        } else if live.earlier.contains(&stat.ephemeral_owner) {
            // Both at once: nobody sees that it was gone.
            let mut writer = live.client.new_multi_writer();
            let added = writer
                .add_delete(&path, Some(stat.version))
                .and_then(|()| writer.add_create(&path, &bytes, &options));
            match added {
                Ok(()) => live.call(writer.commit()).await.map(|_| ()),
                Err(error) => Err(error),
            }
        } else {
            return Err(taken(instance));
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(ZooError::NoNode | ZooError::BadVersion | ZooError::NodeExists) => {}
            Err(error) => return Err(failed(&what, error)),
        }
    }
    Err(Error::new(Kind::Transient, format!("zookeeper cannot {what}: the node keeps changing")))
}

/// Removes the node of this session; whether it is known to be gone.
async fn remove(live: &Live, place: &Place) -> bool {
    let path = format!("{}/{}", live.settings.node("roles", &place.role), name::escaped(&place.server.0));
    let removed = live.call(live.client.delete(&path, None)).await;
    matches!(removed, Ok(()) | Err(ZooError::NoNode)) || live.has_ended()
}

fn taken(instance: &Instance) -> Error {
    let message = format!("{} of server {} is registered already", instance.role, instance.server);
    Error::new(Kind::Conflict, message)
}
