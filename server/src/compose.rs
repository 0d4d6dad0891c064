//! Puts the roles together: the only code that sees two of them.
//!
//! It opens the backends that the roles of this process work with, starts auth, router, proxy with its doors closed,
//! push, logic, im and consumer, each with the others it calls, and then opens the doors. A role that is called and
//! is not here is called in the processes that discovery names. It stops them in the reverse order: doors, clients
//! told to go elsewhere, drain with a deadline, what others ask, workers, backends.

mod announce;
mod backends;
mod roles;
mod seat;
mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::backends::discovery::Registration;
use auth::keys::Keys;
use contracts::admission::Admission;
use contracts::server::Listener as PeerListener;
use protocol::ServerId;
use runtime::config::Settings;
use runtime::lifecycle::Stop;
use runtime::telemetry::Metrics;
use tokio::task::JoinHandle;

use self::announce::{Announcer, proxy_metadata, server_id};
use self::backends::{Backends, is_cluster};
use self::roles::{Start, Started};
use crate::command::failure::Failure;
use crate::data::Folder;
use crate::http::access::Access;
use crate::http::{Listener, RoleRoutes, routes};
use crate::readiness::{Readiness, State};
use crate::role::Roles;

pub(crate) use self::roles::keys_folder;

/// How long a role's tasks may take to end what they have taken.
const STOP_TIME_LIMIT: Duration = Duration::from_secs(5);
/// How often samples of metrics are folded together.
const FOLD_PERIOD: Duration = Duration::from_secs(5);

/// What a process is made of.
pub(crate) struct Setup {
    /// The settings.
    pub(crate) settings: Settings,
    /// The roles it holds.
    pub(crate) roles: Roles,
    /// Everybody is trusted to be whoever they say.
    pub(crate) dev: bool,
    /// Where embedded backends keep their files.
    pub(crate) data: Folder,
    /// The keys of the system.
    pub(crate) keys: Keys,
    /// The metrics of the process.
    pub(crate) metrics: Metrics,
}

/// Checks what the settings say against the roles.
pub(crate) fn check(settings: &Settings, roles: &Roles) -> Result<(), Failure> {
    backends::check(settings, roles)
}

/// Where a process listens; for clients only where it has a proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) ws: Option<SocketAddr>,
    pub(crate) api: SocketAddr,
}

/// The roles of a process, running.
pub(crate) struct System {
    /// Where it listens.
    pub(crate) addresses: Addresses,
    settings: Settings,
    server: ServerId,
    proxy: Option<OpenProxy>,
    registrations: Vec<Box<dyn Registration>>,
    readiness: Arc<Readiness>,
    /// In the order they are stopped.
    workers: Vec<Worker>,
    /// Answers other processes, where there are some.
    answers: Option<Worker>,
    api: Worker,
    // Released last, in this order: everything else works with the backends, and they have files in the folder.
    _backends: Backends,
    _data: Folder,
}

/// A proxy that lets clients in.
struct OpenProxy {
    proxy: proxy::Proxy,
    metadata: BTreeMap<String, String>,
    registration: Box<dyn Registration>,
}

/// The tasks of one part, and what ends them.
pub(super) struct Worker {
    name: &'static str,
    stop: Stop,
    tasks: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Watches tasks of a part: one that ends by itself makes the process not ready.
    pub(super) fn watch(
        name: &'static str,
        stop: Stop,
        tasks: impl IntoIterator<Item = JoinHandle<()>>,
        readiness: &Arc<Readiness>,
    ) -> Self {
        let tasks = tasks.into_iter().map(|task| {
            let (stop, readiness) = (stop.clone(), Arc::clone(readiness));
            tokio::spawn(async move {
                let outcome = task.await;
                if !stop.is_triggered() {
                    let error = outcome.err();
                    tracing::error!(target: "anser", part = name, ?error, "a part ended by itself");
                    readiness.set(name, State::Failed);
                }
            })
        });
        Self { name, tasks: tasks.collect(), stop }
    }

    async fn end(self) {
        self.stop.trigger();
        for task in self.tasks {
            if tokio::time::timeout(STOP_TIME_LIMIT, task).await.is_err() {
                tracing::warn!(target: "anser", part = self.name, "a part did not end in time");
            }
        }
    }
}

impl System {
    /// Starts everything; it answers when clients are let in.
    ///
    /// The caller drops the future to give up: what has started ends with the process.
    pub(crate) async fn start(setup: Setup) -> Result<Self, Failure> {
        let Setup { settings, roles, dev, data, keys, metrics } = setup;
        let readiness = Arc::new(Readiness::new(backends::names(&roles).chain(roles.names())));
        let server = server_id(&settings);

        let listener = Listener::bind(settings.address("listen.api")).await.map_err(|error| {
            Failure::failed(format!("cannot listen on {}: {error}", settings.address("listen.api")))
        })?;
        let proxy = match roles.has("proxy") {
            true => Some(bind_proxy(&settings, &server).await?),
            false => None,
        };
        let addresses = Addresses {
            tcp: proxy.as_ref().map(proxy::Proxy::tcp_address),
            ws: proxy.as_ref().map(proxy::Proxy::ws_address),
            api: listener.address,
        };
        let peers = match is_cluster(&settings) {
            true => Some(Peers::bind(&settings, &data).await?),
            false => None,
        };

        let role_routes = RoleRoutes::default();
        let access = access(&settings, dev, &keys, &keys_folder(&settings, &data.path), addresses.ws);
        let api_stop = Stop::new();
        let routes = routes(access, Arc::clone(&readiness), metrics.clone(), Arc::clone(&role_routes));
        let api_tasks = [listener.serve(routes, api_stop.clone()), fold(metrics, api_stop.clone())];
        let api = Worker::watch("api", api_stop, api_tasks, &readiness);

        let backends = Backends::open(&settings, &roles, &data, &readiness).await?;
        let peers_address = peers.as_ref().map(|peers| peers.listener.address());
        let announcer =
            Announcer::new(backends.discovery.clone(), server.clone(), &settings, &addresses, peers_address);
        let proxy_metadata = proxy_metadata(&settings);
        // Before the router starts, which follows the proxies from then on.
        let proxy_registration = match &proxy {
            Some(_) => Some(announcer.announce("proxy", proxy_metadata.clone()).await?),
            None => None,
        };
        let start = Start {
            settings: &settings,
            roles: &roles,
            dev,
            keys: &keys,
            server: &server,
            proxy: proxy.as_ref(),
            backends: &backends,
            peers: peers.as_ref().map(|peers| &peers.admission),
            announcer: &announcer,
            readiness: &readiness,
        };
        let Started { calls, api: role_api, workers, answers } = Box::pin(start.start()).await?;

        // The routes are set once, by this task.
        let _ = role_routes.set(role_api);
        let answers = answers.zip(peers).map(|(answers, peers)| {
            let stop = Stop::new();
            let ended = stop.clone();
            let task = answers.serve(peers.listener, async move { ended.triggered().await });
            Worker::watch("peers", stop, [task], &readiness)
        });
        let registrations = roles::announce(&announcer, &roles, answers.is_some()).await?;
        let proxy = match (proxy, calls, proxy_registration) {
            (Some(proxy), Some((logic, im)), Some(registration)) => {
                proxy.open_doors(logic, im).await;
                Some(OpenProxy { proxy, metadata: proxy_metadata, registration })
            }
            _ => None,
        };
        roles::set_ready(&readiness, &roles);
        Ok(Self {
            addresses,
            settings,
            server,
            proxy,
            registrations,
            readiness,
            workers,
            answers,
            api,
            _backends: backends,
            _data: data,
        })
    }

    /// Under which name other processes know this one.
    pub(crate) fn server(&self) -> &ServerId {
        &self.server
    }

    /// Answers when a part has failed that this process cannot go on without: which.
    pub(crate) fn failed(&self) -> impl Future<Output = &'static str> + use<> {
        let proxy = self.proxy.as_ref().map(|open| open.proxy.failed());
        let readiness = Arc::clone(&self.readiness);
        async move {
            let proxy = async {
                match proxy {
                    Some(failed) => failed.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = proxy => {
                    readiness.set("proxy", State::Failed);
                    "proxy"
                }
                // One that lost the directory must not go on answering for it.
                () = readiness.failed("router") => "router",
            }
        }
    }

    /// Stops everything; what was answered is kept.
    pub(crate) async fn stop(mut self) {
        self.readiness.stop();
        if let Some(open) = &mut self.proxy {
            open.metadata.insert("offline".to_owned(), "true".to_owned());
            if let Err(error) = open.registration.update(open.metadata.clone()).await {
                tracing::warn!(target: "anser", %error, "discovery was not told that this proxy goes");
            }
            tokio::time::sleep(self.settings.duration("drain.grace")).await;
            open.proxy.drain(self.settings.duration("drain.time_limit")).await;
        } else {
            // Who calls this process is to go elsewhere before it stops answering.
            self.registrations.clear();
            tokio::time::sleep(self.settings.duration("drain.grace")).await;
        }
        self.api.end().await;
        if let Some(open) = self.proxy {
            open.proxy.stop().await;
            drop(open.registration);
        }
        if let Some(answers) = self.answers {
            answers.end().await;
        }
        for worker in self.workers {
            worker.end().await;
        }
        drop(self.registrations);
    }
}

/// The listener for other processes, and what they show each other.
struct Peers {
    listener: PeerListener,
    admission: Admission,
}

impl Peers {
    async fn bind(settings: &Settings, data: &Folder) -> Result<Self, Failure> {
        let admission = roles::admission(settings, &data.path)?;
        let listener = PeerListener::bind(settings.address("listen.peers")).await;
        Ok(Self { listener: listener.map_err(|error| Failure::failed(error.to_string()))?, admission })
    }
}

async fn bind_proxy(settings: &Settings, server: &ServerId) -> Result<proxy::Proxy, Failure> {
    let deps = proxy::Deps { server: server.clone(), page: Arc::new(crate::page::file) };
    let proxy = proxy::Proxy::bind(settings::proxy_config(settings), deps).await;
    proxy.map_err(|error| Failure::failed(error.to_string()))
}

/// Folds samples of metrics together until the stop.
fn fold(metrics: Metrics, stop: Stop) -> JoinHandle<()> {
    metrics::gauge!("anser_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    tokio::spawn(async move {
        let mut period = tokio::time::interval(FOLD_PERIOD);
        loop {
            tokio::select! {
                _ = period.tick() => metrics.fold(),
                () = stop.triggered() => return,
            }
        }
    })
}

pub(super) fn failure(what: &str, error: &dyn std::error::Error) -> Failure {
    let mut message = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    Failure::failed(message)
}

fn access(
    settings: &Settings,
    dev: bool,
    keys: &Keys,
    keys_folder: &Path,
    page: Option<SocketAddr>,
) -> Access {
    Access {
        api_key: keys.api_key.reveal().to_owned(),
        api_key_file: keys_folder.join(auth::keys::API_KEY_FILE).display().to_string(),
        dev,
        goim_anonymous: settings.bool("goim.allow_anonymous"),
        page,
        allowed_origins: settings.texts("web.allowed_origins").to_vec(),
    }
}
