//! Starts the roles of a process: each with the others it calls, which are here or in other processes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use auth::keys::Keys;
use backends::discovery::Registration;
use contracts::admission::{Admission, Secret};
use contracts::auth::Auth;
use contracts::channel;
use contracts::im::Im;
use contracts::logic::Logic;
use contracts::proxy::{Proxies, Proxy, Remotes};
use contracts::push::Push;
use contracts::router::Router;
use contracts::server::Server;
use protocol::ServerId;
use runtime::config::Settings;
use runtime::lifecycle::Stop;
use tokio::task::JoinHandle;

use super::announce::{Announcer, peers_of};
use super::backends::Backends;
use super::seat::{Place, Seat};
use super::{Worker, failure, settings as of};
use crate::command::failure::Failure;
use crate::readiness::{Readiness, State};
use crate::role::Roles;

/// What the roles are started with.
pub(super) struct Start<'a> {
    pub(super) settings: &'a Settings,
    pub(super) roles: &'a Roles,
    pub(super) dev: bool,
    pub(super) keys: &'a Keys,
    pub(super) server: &'a ServerId,
    /// The proxy of this process, its doors closed.
    pub(super) proxy: Option<&'a proxy::Proxy>,
    pub(super) backends: &'a Backends,
    /// How other processes are called; `None` where there are none.
    pub(super) peers: Option<&'a Admission>,
    pub(super) announcer: &'a Announcer,
    pub(super) readiness: &'a Arc<Readiness>,
}

/// The roles beside the proxy, running.
pub(super) struct Started {
    /// What the proxy calls, where there is one.
    pub(super) calls: Option<(Arc<dyn Logic>, Arc<dyn Im>)>,
    pub(super) api: axum::Router,
    /// In the order they are stopped.
    pub(super) workers: Vec<Worker>,
    /// What other processes ask, where there are some.
    pub(super) answers: Option<Server>,
}

/// Shows the key that all processes of a system have.
pub(super) fn admission(settings: &Settings, data: &std::path::Path) -> Result<Admission, Failure> {
    let folder = keys_folder(settings, data);
    let key = auth::keys::peer_key(&folder).map_err(|error| Failure::failed(error.to_string()))?;
    let secret = Secret::new(key.reveal());
    let secret = secret.map_err(|error| failure("the key in peer-key cannot be used", &error))?;
    Ok(Admission::with_secret(secret))
}

/// Where the keys of this process are.
pub(crate) fn keys_folder(settings: &Settings, data: &std::path::Path) -> std::path::PathBuf {
    match settings.text("keys.folder") {
        "" => data.to_owned(),
        folder => folder.into(),
    }
}

/// The instance of a contract that this process asks: its own one, or those of other processes.
macro_rules! callee {
    ($start:expr, $role:literal, $own:expr, $remote:path) => {
        match $own {
            Some(own) => own,
            None => Arc::new(<$remote>::follow($start.channel($role)?, $start.peers_of($role).await?)) as _,
        }
    };
}

impl Start<'_> {
    fn channel(&self, role: &str) -> Result<channel::Settings, Failure> {
        let admission = self.peers.cloned().ok_or_else(|| {
            Failure::failed(format!("role {role} is not in this process, and there are no others"))
        })?;
        Ok(channel::Settings { admission, ..channel::Settings::default() })
    }

    async fn peers_of(
        &self,
        role: &'static str,
    ) -> Result<tokio::sync::watch::Receiver<contracts::peers::Addresses>, Failure> {
        peers_of(&*self.backends.discovery, role).await
    }

    fn worker(&self, name: &'static str, stop: Stop, tasks: Vec<JoinHandle<()>>) -> Worker {
        Worker::watch(name, stop, tasks, self.readiness)
    }

    pub(super) async fn start(self) -> Result<Started, Failure> {
        let mut answers = self.peers.map(|admission| Server::new(self.server.clone(), admission.clone()));
        let mut workers = Vec::new();
        let mut api = axum::Router::new();

        let auth = self.start_auth()?;
        let (router, place) = self.start_router(&mut workers).await?;
        let proxies = self.proxies().await?;
        let push = self.start_push(&router, &proxies, &mut workers).await?;
        let logic = self.start_logic(&auth, &router, &push, &proxies, &mut api).await?;
        let im = self.start_im(&push, &mut api, &mut workers).await?;
        self.start_consumer(&push, &mut workers).await?;

        if let Some(server) = answers.take() {
            let mut server = server;
            let own = |role| self.roles.has(role);
            if let Some(auth) = auth.filter(|_| own("auth")) {
                server = server.auth(auth);
            }
            if let Some(place) = place {
                server = server.router(Arc::new(Seat::of_others(place)));
            }
            if let Some(push) = push.filter(|_| own("push")) {
                server = server.push(push);
            }
            if let Some(logic) = logic.clone().filter(|_| own("logic")) {
                server = server.logic(logic);
            }
            if let Some(im) = im.clone().filter(|_| own("im")) {
                server = server.im(im);
            }
            if let Some(proxy) = self.proxy {
                server = server.proxy(proxy.contract());
            }
            answers = Some(server);
        }
        workers.reverse();
        Ok(Started { calls: logic.zip(im), api, workers, answers })
    }

    /// Auth, for logic.
    async fn ask_auth(&self, own: Option<Arc<dyn Auth>>) -> Result<Arc<dyn Auth>, Failure> {
        Ok(callee!(self, "auth", own, contracts::auth::Remote))
    }

    fn start_auth(&self) -> Result<Option<Arc<dyn Auth>>, Failure> {
        if !self.roles.has("auth") {
            return Ok(None);
        }
        let auth = auth::start(of::auth_config(self.settings, self.dev, self.keys), auth::Deps {});
        auth.map(Some).map_err(|error| failure("auth does not start", &error))
    }

    /// The router for those who ask it here, and its place where this process may hold the directory.
    async fn start_router(
        &self,
        workers: &mut Vec<Worker>,
    ) -> Result<(Option<Arc<dyn Router>>, Option<Place>), Failure> {
        let asked = self.roles.has_any(&["logic", "push"]);
        if !self.roles.has("router") {
            let router: Option<Arc<dyn Router>> = match asked {
                true => Some(callee!(self, "router", None, contracts::router::Remote)),
                false => None,
            };
            return Ok((router, None));
        }
        let stop = Stop::new();
        let deps = router::Deps {
            server: self.server.clone(),
            discovery: self.backends.discovery.clone(),
            broker: self.backends.broker()?,
            stop: stop.clone(),
        };
        let start = router::start(of::router_config(self.settings), deps);
        if self.peers.is_none() {
            let (router, task) = start.await.map_err(|error| failure("the router does not start", &error))?;
            workers.push(self.worker("router", stop, vec![task]));
            return Ok((Some(router), None));
        }
        let place: Place = Arc::new(OnceLock::new());
        let (stopped, taken, announcer) = (stop.clone(), place.clone(), self.announcer.clone());
        let task = tokio::spawn(async move {
            let held = tokio::select! {
                held = start => held,
                () = stopped.triggered() => return,
            };
            let (router, task) = match held {
                Ok(held) => held,
                Err(error) => return tracing::error!(target: "router", %error, "it cannot be elected"),
            };
            // It is set once, by this task, and before others hear of it.
            let _ = taken.set(router);
            match announcer.announce("router", BTreeMap::new()).await {
                // Others hear no more of it when the directory is lost.
                Ok(_registration) => drop(task.await),
                Err(error) => tracing::error!(target: "router", %error, "it cannot be announced"),
            }
        });
        workers.push(self.worker("router", stop, vec![task]));
        let router: Option<Arc<dyn Router>> = match asked {
            true => {
                let elsewhere = contracts::router::Remote::follow(
                    self.channel("router")?,
                    self.peers_of("router").await?,
                );
                Some(Arc::new(Seat::of_callers(place.clone(), elsewhere)))
            }
            false => None,
        };
        Ok((router, Some(place)))
    }

    /// The proxies, for those who hand them something.
    async fn proxies(&self) -> Result<Arc<dyn Proxies>, Failure> {
        let own = self.proxy.map(proxy::Proxy::contract);
        if self.peers.is_none() || !self.roles.has_any(&["logic", "push"]) {
            return Ok(Arc::new(OwnProxy { server: self.server.clone(), proxy: own }));
        }
        let remotes = Remotes::follow(self.channel("proxy")?, self.peers_of("proxy").await?);
        Ok(Arc::new(match own {
            Some(own) => remotes.with_local(self.server.clone(), own),
            None => remotes,
        }))
    }

    async fn start_push(
        &self,
        router: &Option<Arc<dyn Router>>,
        proxies: &Arc<dyn Proxies>,
        workers: &mut Vec<Worker>,
    ) -> Result<Option<Arc<dyn Push>>, Failure> {
        let (true, Some(router)) = (self.roles.has("push"), router) else {
            return Ok(match self.roles.has_any(&["logic", "im", "consumer"]) {
                true => Some(callee!(self, "push", None, contracts::push::Remote)),
                false => None,
            });
        };
        let stop = Stop::new();
        let deps = push::Deps {
            router: router.clone(),
            proxies: proxies.clone(),
            broker: self.backends.broker()?,
            stop: stop.clone(),
        };
        let started = push::start(of::push_config(self.settings), deps).await;
        let (push, task) = started.map_err(|error| failure("push does not start", &error))?;
        workers.push(self.worker("push", stop, vec![task]));
        Ok(Some(push))
    }

    async fn start_logic(
        &self,
        auth: &Option<Arc<dyn Auth>>,
        router: &Option<Arc<dyn Router>>,
        push: &Option<Arc<dyn Push>>,
        proxies: &Arc<dyn Proxies>,
        api: &mut axum::Router,
    ) -> Result<Option<Arc<dyn Logic>>, Failure> {
        let (true, Some(router), Some(push)) = (self.roles.has("logic"), router, push) else {
            return Ok(match self.roles.has("proxy") {
                true => Some(callee!(self, "logic", None, contracts::logic::Remote)),
                false => None,
            });
        };
        let deps = logic::Deps {
            auth: self.ask_auth(auth.clone()).await?,
            router: router.clone(),
            push: push.clone(),
            proxies: proxies.clone(),
            broker: self.backends.broker()?,
            discovery: self.backends.discovery.clone(),
        };
        let started = logic::start(of::logic_config(self.settings), deps).await;
        let logic = started.map_err(|error| failure("logic does not start", &error))?;
        *api = std::mem::take(api).merge(logic.api);
        Ok(Some(logic.contract))
    }

    async fn start_im(
        &self,
        push: &Option<Arc<dyn Push>>,
        api: &mut axum::Router,
        workers: &mut Vec<Worker>,
    ) -> Result<Option<Arc<dyn Im>>, Failure> {
        let (true, Some(push)) = (self.roles.has("im"), push) else {
            return Ok(match self.roles.has("proxy") {
                true => Some(callee!(self, "im", None, contracts::im::Remote)),
                false => None,
            });
        };
        let stop = Stop::new();
        let deps = im::Deps {
            store: self.backends.store()?,
            cache: self.backends.cache()?,
            broker: self.backends.broker()?,
            push: push.clone(),
            stop: stop.clone(),
        };
        let im = im::start(of::im_config(self.settings), deps);
        workers.push(self.worker("im", stop, im.tasks));
        *api = std::mem::take(api).merge(im.api);
        Ok(Some(im.contract))
    }

    async fn start_consumer(
        &self,
        push: &Option<Arc<dyn Push>>,
        workers: &mut Vec<Worker>,
    ) -> Result<(), Failure> {
        let (true, Some(push)) = (self.roles.has("consumer"), push) else { return Ok(()) };
        let stop = Stop::new();
        let deps = consumer::Deps {
            store: self.backends.store()?,
            cache: self.backends.cache()?,
            broker: self.backends.broker()?,
            push: push.clone(),
            stop: stop.clone(),
        };
        let started = consumer::start(consumer::Config::default(), deps).await;
        let task = started.map_err(|error| failure("consumer does not start", &error))?;
        workers.push(self.worker("consumer", stop, vec![task]));
        Ok(())
    }
}

/// Announces the roles of this process that others are to find now; the router announces itself once it holds the
/// directory, where there are other processes.
pub(super) async fn announce(
    announcer: &Announcer,
    roles: &Roles,
    is_cluster: bool,
) -> Result<Vec<Box<dyn Registration>>, Failure> {
    let mut registrations = Vec::new();
    let by_itself = |role: &str| role == "proxy" || (role == "router" && is_cluster);
    for role in roles.names().filter(|role| !by_itself(role)) {
        registrations.push(announcer.announce(role, BTreeMap::new()).await?);
    }
    Ok(registrations)
}

/// Sets all roles of this process ready.
pub(super) fn set_ready(readiness: &Readiness, roles: &Roles) {
    for role in roles.names() {
        readiness.set(role, State::Ready);
    }
}

/// The proxies as seen by a process that calls no others.
struct OwnProxy {
    server: ServerId,
    proxy: Option<Arc<dyn Proxy>>,
}

impl Proxies for OwnProxy {
    fn proxy(&self, server: &ServerId) -> Option<Arc<dyn Proxy>> {
        self.proxy.clone().filter(|_| *server == self.server)
    }

    fn all(&self) -> Vec<(ServerId, Arc<dyn Proxy>)> {
        self.proxy.iter().map(|proxy| (self.server.clone(), Arc::clone(proxy))).collect()
    }
}
