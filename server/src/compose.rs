//! Puts the roles together: the only code that sees two of them.
//!
//! It opens the four backends by URL, starts auth, router, proxy with its doors closed, push, logic, im and
//! consumer, each with the others it calls, and then opens the doors. It stops them in the reverse order:
//! doors, clients told to go elsewhere, drain with a deadline, workers, backends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth::keys::Keys;
use backends::discovery::{Discovery, Instance, Registration};
use contracts::proxy::{Proxies, Proxy};
use protocol::ServerId;
use runtime::config::Settings;
use runtime::lifecycle::Stop;
use runtime::telemetry::Metrics;
use tokio::task::JoinHandle;

use crate::command::failure::Failure;
use crate::data::Folder;
use crate::http::access::Access;
use crate::http::{Listener, RoleRoutes, routes};
use crate::readiness::{Readiness, State};

/// How long a role's tasks may take to end what they have taken.
const STOP_TIME_LIMIT: Duration = Duration::from_secs(5);
/// How often samples of metrics are folded together.
const FOLD_PERIOD: Duration = Duration::from_secs(5);
const BACKENDS: [&str; 4] = ["store", "cache", "broker", "discovery"];

/// What a system is made of.
pub(crate) struct Setup {
    /// The settings.
    pub(crate) settings: Settings,
    /// Everybody is trusted to be whoever they say.
    pub(crate) dev: bool,
    /// Where embedded backends keep their files.
    pub(crate) data: Folder,
    /// The keys of the data folder.
    pub(crate) keys: Keys,
    /// The metrics of the process.
    pub(crate) metrics: Metrics,
}

/// Where a system listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) tcp: SocketAddr,
    pub(crate) ws: SocketAddr,
    pub(crate) api: SocketAddr,
}

/// All roles, running.
pub(crate) struct System {
    /// Where it listens.
    pub(crate) addresses: Addresses,
    settings: Settings,
    proxy: proxy::Proxy,
    proxy_metadata: BTreeMap<String, String>,
    proxy_registration: Box<dyn Registration>,
    registrations: Vec<Box<dyn Registration>>,
    readiness: Arc<Readiness>,
    /// In the order they are stopped.
    workers: Vec<Worker>,
    api: Worker,
    // Released last, in this order: everything else works with the backends, and they have files in the folder.
    _backends: Backends,
    _data: Folder,
}

/// The tasks of one part, and what ends them.
struct Worker {
    name: &'static str,
    stop: Stop,
    tasks: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Watches tasks of a part: one that ends by itself makes the process not ready.
    fn watch(
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

/// The proxies of a system of one process.
struct LocalProxies {
    server: ServerId,
    proxy: Arc<dyn Proxy>,
}

impl Proxies for LocalProxies {
    fn proxy(&self, server: &ServerId) -> Option<Arc<dyn Proxy>> {
        (*server == self.server).then(|| Arc::clone(&self.proxy))
    }

    fn all(&self) -> Vec<(ServerId, Arc<dyn Proxy>)> {
        vec![(self.server.clone(), Arc::clone(&self.proxy))]
    }
}

/// The four backends, open.
struct Backends {
    store: Arc<dyn backends::store::Store>,
    cache: Arc<dyn backends::cache::Cache>,
    broker: Arc<dyn backends::broker::Broker>,
    discovery: Arc<dyn Discovery>,
}

impl Backends {
    async fn open(settings: &Settings, data: &Folder, readiness: &Readiness) -> Result<Self, Failure> {
        let url = |name: &str| match settings.text(&format!("{name}.url")) {
            "embedded:" if matches!(name, "store" | "broker") => {
                format!("embedded:{}", data.path.join(name).display())
            }
            url => url.to_owned(),
        };
        let failed = |name: &'static str| {
            move |error: backends::Error| failure(&format!("the {name} cannot be opened"), &error)
        };
        let store = backends::store::open(&url("store")).await.map_err(failed("store"))?;
        let cache = backends::cache::open(&url("cache")).await.map_err(failed("cache"))?;
        let broker = backends::broker::open(&url("broker")).await.map_err(failed("broker"))?;
        let discovery = backends::discovery::open(&url("discovery")).await.map_err(failed("discovery"))?;
        for name in BACKENDS {
            readiness.set(name, State::Ready);
        }
        Ok(Self { store, cache, broker, discovery })
    }
}

impl System {
    /// Starts everything; it answers when clients are let in.
    ///
    /// The caller drops the future to give up: what has started ends with the process.
    pub(crate) async fn start(setup: Setup) -> Result<Self, Failure> {
        let Setup { settings, dev, data, keys, metrics } = setup;
        let readiness = Arc::new(Readiness::new(BACKENDS.into_iter().chain(crate::role::NAMES)));
        let server = server_id(&settings);

        let listener = Listener::bind(settings.address("listen.api")).await.map_err(|error| {
            Failure::failed(format!("cannot listen on {}: {error}", settings.address("listen.api")))
        })?;
        let deps = proxy::Deps { server: server.clone(), page: Arc::new(crate::page::file) };
        let proxy = proxy::Proxy::bind(proxy_config(&settings), deps)
            .await
            .map_err(|error| Failure::failed(error.to_string()))?;
        let addresses = Addresses { tcp: proxy.tcp_address(), ws: proxy.ws_address(), api: listener.address };

        let role_routes = RoleRoutes::default();
        let access = access(&settings, dev, &keys, &data, addresses.ws);
        let api_stop = Stop::new();
        let routes = routes(access, Arc::clone(&readiness), metrics.clone(), Arc::clone(&role_routes));
        let api_tasks = [listener.serve(routes, api_stop.clone()), fold(metrics, api_stop.clone())];
        let api = Worker::watch("api", api_stop, api_tasks, &readiness);

        let backends = Backends::open(&settings, &data, &readiness).await?;
        let proxy_metadata = proxy_metadata(&settings);
        let (proxy_registration, registrations) =
            register(&*backends.discovery, &server, addresses, &settings, &proxy_metadata).await?;
        let roles =
            Roles { settings: &settings, dev, keys: &keys, server, proxy: &proxy, readiness: &readiness };
        let started = Box::pin(roles.start(&backends)).await?;

        // The routes are set once, by this task.
        let _ = role_routes.set(started.api);
        proxy.open_doors(started.logic, started.im).await;
        for role in crate::role::NAMES {
            readiness.set(role, State::Ready);
        }
        Ok(Self {
            addresses,
            settings,
            proxy,
            proxy_metadata,
            proxy_registration,
            registrations,
            readiness,
            workers: started.workers,
            api,
            _backends: backends,
            _data: data,
        })
    }

    /// Answers when a part has failed that this process cannot go on without.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + use<> {
        let (failed, readiness) = (self.proxy.failed(), Arc::clone(&self.readiness));
        async move {
            failed.await;
            readiness.set("proxy", State::Failed);
        }
    }

    /// Stops everything; what was answered is kept.
    pub(crate) async fn stop(mut self) {
        self.readiness.stop();
        self.proxy_metadata.insert("offline".to_owned(), "true".to_owned());
        if let Err(error) = self.proxy_registration.update(self.proxy_metadata).await {
            tracing::warn!(target: "anser", %error, "discovery was not told that this proxy goes");
        }
        tokio::time::sleep(self.settings.duration("drain.grace")).await;
        self.proxy.drain(self.settings.duration("drain.time_limit")).await;
        self.api.end().await;
        self.proxy.stop().await;
        drop(self.proxy_registration);
        for worker in self.workers {
            worker.end().await;
        }
        drop(self.registrations);
    }
}

/// What the roles are started with.
struct Roles<'a> {
    settings: &'a Settings,
    dev: bool,
    keys: &'a Keys,
    server: ServerId,
    proxy: &'a proxy::Proxy,
    readiness: &'a Arc<Readiness>,
}

/// The roles beside the proxy, running.
struct Started {
    logic: Arc<dyn contracts::logic::Logic>,
    im: Arc<dyn contracts::im::Im>,
    api: axum::Router,
    workers: Vec<Worker>,
}

impl Roles<'_> {
    async fn start(self, backends: &Backends) -> Result<Started, Failure> {
        let (settings, readiness) = (self.settings, self.readiness);
        let Backends { store, cache, broker, discovery } = backends;
        let worker =
            |name, stop: Stop, tasks: Vec<JoinHandle<()>>| Worker::watch(name, stop, tasks, readiness);

        let auth = auth::start(auth_config(settings, self.dev, self.keys), auth::Deps {})
            .map_err(|error| failure("auth does not start", &error))?;

        let router_stop = Stop::new();
        let deps = router::Deps {
            server: self.server.clone(),
            discovery: discovery.clone(),
            broker: broker.clone(),
            stop: router_stop.clone(),
        };
        let router = router::start(router_config(settings), deps)
            .await
            .map_err(|error| failure("the router does not start", &error))?;

        let proxies = Arc::new(LocalProxies { server: self.server, proxy: self.proxy.contract() });
        let push_stop = Stop::new();
        let deps = push::Deps {
            router: router.clone(),
            proxies: proxies.clone(),
            broker: broker.clone(),
            stop: push_stop.clone(),
        };
        let (push, push_task) = push::start(push_config(settings), deps)
            .await
            .map_err(|error| failure("push does not start", &error))?;

        let deps = logic::Deps {
            auth,
            router,
            push: push.clone(),
            proxies,
            broker: broker.clone(),
            discovery: discovery.clone(),
        };
        let logic = logic::start(logic_config(settings), deps)
            .await
            .map_err(|error| failure("logic does not start", &error))?;

        let im_stop = Stop::new();
        let deps = im::Deps {
            store: store.clone(),
            cache: cache.clone(),
            broker: broker.clone(),
            push: push.clone(),
            stop: im_stop.clone(),
        };
        let im = im::start(im_config(settings), deps);

        let consumer_stop = Stop::new();
        let deps = consumer::Deps {
            store: store.clone(),
            cache: cache.clone(),
            broker: broker.clone(),
            push,
            stop: consumer_stop.clone(),
        };
        let consumer_task = consumer::start(consumer::Config::default(), deps)
            .await
            .map_err(|error| failure("consumer does not start", &error))?;

        let workers = vec![
            worker("consumer", consumer_stop, vec![consumer_task]),
            worker("im", im_stop, im.tasks),
            worker("push", push_stop, vec![push_task]),
            worker("router", router_stop, Vec::new()),
        ];
        Ok(Started { logic: logic.contract, im: im.contract, api: logic.api.merge(im.api), workers })
    }
}

/// Announces every role of this process; the proxy's registration is apart, since what it says changes.
async fn register(
    discovery: &dyn Discovery,
    server: &ServerId,
    addresses: Addresses,
    settings: &Settings,
    proxy_metadata: &BTreeMap<String, String>,
) -> Result<(Box<dyn Registration>, Vec<Box<dyn Registration>>), Failure> {
    let host = settings.text("node.host");
    let reached = |address: SocketAddr| match host {
        "" => address.to_string(),
        host => format!("{host}:{}", address.port()),
    };
    let instance = |role: &str, addresses: &[(&str, SocketAddr)]| Instance {
        role: role.to_owned(),
        server: server.clone(),
        addresses: addresses.iter().map(|(name, address)| ((*name).to_owned(), reached(*address))).collect(),
        metadata: BTreeMap::new(),
        since_ms: runtime::clock::now_ms(),
    };
    let failed = |error: backends::Error| failure("this process cannot be announced", &error);
    let mut proxy = instance("proxy", &[("tcp", addresses.tcp), ("ws", addresses.ws)]);
    proxy.metadata.clone_from(proxy_metadata);
    let proxy = discovery.register(proxy).await.map_err(failed)?;
    let mut others = Vec::new();
    for role in crate::role::NAMES.into_iter().filter(|role| *role != "proxy") {
        let addresses: &[_] = if role == "logic" { &[("api", addresses.api)] } else { &[] };
        others.push(discovery.register(instance(role, addresses)).await.map_err(failed)?);
    }
    Ok((proxy, others))
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

fn failure(what: &str, error: &dyn std::error::Error) -> Failure {
    let mut message = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    Failure::failed(message)
}

fn node_name(settings: &Settings) -> String {
    match settings.text("node.name") {
        "" => std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned()),
        name => name.to_owned(),
    }
}

fn server_id(settings: &Settings) -> ServerId {
    ServerId(format!("{}-{:08x}", node_name(settings), rand::random::<u32>()).into())
}

fn proxy_metadata(settings: &Settings) -> BTreeMap<String, String> {
    let text = |name: &str| settings.text(name).to_owned();
    let pairs = [
        ("hostname", node_name(settings)),
        ("region", text("node.region")),
        ("zone", text("node.zone")),
        ("environment", text("node.environment")),
        ("weight", settings.integer("node.weight").to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn access(settings: &Settings, dev: bool, keys: &Keys, data: &Folder, page: SocketAddr) -> Access {
    Access {
        api_key: keys.api_key.reveal().to_owned(),
        api_key_file: data.path.join(auth::keys::API_KEY_FILE).display().to_string(),
        dev,
        goim_anonymous: settings.bool("goim.allow_anonymous"),
        page,
        allowed_origins: settings.texts("web.allowed_origins").to_vec(),
    }
}

fn auth_config(settings: &Settings, dev: bool, keys: &Keys) -> auth::Config {
    auth::Config {
        token_key: keys.token_key.clone(),
        trust_everybody: dev,
        goim_trust_mid: settings.bool("goim.trust_mid"),
    }
}

fn proxy_config(settings: &Settings) -> proxy::Config {
    proxy::Config {
        tcp: settings.address("listen.tcp"),
        ws: settings.address("listen.ws"),
        shards: settings.size("proxy.shards"),
        frame_body_bytes_max: settings.size("proxy.frame_body_bytes_max"),
        send_queue_bytes_max: settings.size("proxy.send_queue_bytes_max"),
        slow_time_limit: settings.duration("proxy.slow_time_limit"),
        idle_time_limit: settings.duration("proxy.idle_time_limit"),
        auth_time_limit: settings.duration("auth.time_limit"),
        chat_heartbeat: settings.duration("proxy.chat_heartbeat"),
        connections_max: settings.size("proxy.connections_max"),
        connections_per_address_max: settings.size("proxy.connections_per_address_max"),
        connection_rate_per_address_max: number(settings, "proxy.connection_rate_per_address_max"),
        requests_per_second_max: number(settings, "proxy.requests_per_second_max"),
        merge_share: settings.float("merge.share"),
        merge_budget: settings.duration("merge.budget"),
        allowed_origins: settings.texts("web.allowed_origins").to_vec(),
        chat_operation: operation(settings),
    }
}

fn router_config(settings: &Settings) -> router::Config {
    let devices = match settings.text("router.devices") {
        "platform" => router::DeviceRule::OnePerPlatform,
        "single" => router::DeviceRule::Single,
        _ => router::DeviceRule::All,
    };
    router::Config { devices, ..router::Config::default() }
}

fn push_config(settings: &Settings) -> push::Config {
    push::Config { proxy_deadline: settings.duration("push.proxy_time_limit"), ..push::Config::default() }
}

fn logic_config(settings: &Settings) -> logic::Config {
    let heartbeat = settings.duration("proxy.heartbeat");
    let missed = settings.duration("proxy.idle_time_limit").as_millis() / heartbeat.as_millis().max(1);
    logic::Config {
        heartbeat,
        heartbeat_max: u32::try_from(missed).unwrap_or(u32::MAX),
        domain: settings.text("goim.domain").to_owned(),
        host_domain: settings.text("goim.host_domain").to_owned(),
        wss_port: 0,
        operation: operation(settings),
    }
}

fn im_config(settings: &Settings) -> im::Config {
    im::Config {
        node: u16::try_from(settings.integer("im.node")).unwrap_or_default(),
        inbox_top_age_max: settings.duration("proxy.chat_heartbeat"),
        sweep_period: settings.duration("im.sweep_period"),
        sweep_age: settings.duration("im.sweep_age"),
        answer_kept: settings.duration("im.answer_kept"),
        group_members_max: settings.integer("im.group_members_max"),
        recall_time_limit: settings.duration("im.recall_time_limit"),
        single_chat: match settings.text("im.single_chat") {
            "existing" => im::SingleChatRule::Existing,
            _ => im::SingleChatRule::Anyone,
        },
        ..im::Config::default()
    }
}

fn operation(settings: &Settings) -> i32 {
    i32::try_from(settings.integer("goim.chat_operation")).unwrap_or(i32::MAX)
}

fn number(settings: &Settings, name: &str) -> u32 {
    u32::try_from(settings.integer(name)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use runtime::config::Sources;

    use super::*;

    /// Reading every key once finds a name or a type that the table does not have.
    #[test]
    fn every_role_is_configured_from_the_table() {
        let settings = crate::config::TABLE.resolve(&Sources::default()).unwrap();
        let proxy = proxy_config(&settings);
        let default = proxy::Config::default();
        assert_eq!((proxy.tcp, proxy.ws), (default.tcp, default.ws));
        assert_eq!(proxy.frame_body_bytes_max, default.frame_body_bytes_max);
        assert_eq!(proxy.idle_time_limit, default.idle_time_limit);
        assert_eq!(proxy.auth_time_limit, default.auth_time_limit);
        assert_eq!(proxy.merge_budget, default.merge_budget);
        let logic = logic_config(&settings);
        assert_eq!((logic.heartbeat.as_secs(), logic.heartbeat_max), (240, 2));
        let (im, default) = (im_config(&settings), im::Config::default());
        assert_eq!((im.answer_kept, im.recall_time_limit), (default.answer_kept, default.recall_time_limit));
        assert_eq!((im.group_members_max, im.single_chat), (default.group_members_max, default.single_chat));
        assert_eq!(router_config(&settings).devices, router::Config::default().devices);
        assert_eq!(push_config(&settings).proxy_deadline, push::Config::default().proxy_deadline);
        assert_eq!(proxy_metadata(&settings)["weight"], "10");
        assert!(server_id(&settings).to_string().len() > 9);
    }
}
