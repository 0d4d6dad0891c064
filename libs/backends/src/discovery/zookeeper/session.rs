//! The session with ZooKeeper, built anew whenever it ended.
//!
//! A session outlives the connection: the client goes from server to server until one takes it up again, or until it
//! has heard from none for so long that it is over. Then another one is begun, and whoever works on one learns of it
//! here. What a session held (registrations, candidates) is made again by its owner; see `registrar` and `election`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error as ZooError};

use crate::{Error, Kind, Result};

/// What opening waits for a session.
const OPEN_TIME: Duration = Duration::from_secs(10);
/// Between two tries for a session at first, and once there were [`QUICK_TRIES_COUNT`] of them. What a session held
/// must be made again before the servers let the one before it go, so it is well below a session time.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_LONG: Duration = Duration::from_millis(400);
const QUICK_TRIES_COUNT: u32 = 20;
/// Earlier sessions of this process that are remembered: what they held may still stand for a while.
const EARLIER_COUNT: usize = 16;
/// What stands below the path: registrations, candidates, epochs, agreed values.
const FOLDERS: [&str; 4] = ["roles", "elections", "epochs", "agreed"];

/// Where ZooKeeper is, and how to live there.
pub(super) struct Settings {
    /// The servers, as the client takes them.
    pub(super) servers: String,
    /// The node that all of ours are below, such as `/anser`.
    pub(super) path: String,
    /// How long a silent process is taken for alive.
    pub(super) session_time: Duration,
    /// `user:password`, with which nodes are guarded.
    pub(super) login: Option<String>,
}

impl Settings {
    /// A node below ours.
    pub(super) fn node(&self, folder: &str, name: &str) -> String {
        format!("{}/{folder}/{}", self.path, crate::discovery::name::escaped(name))
    }

    /// How a node is made: with a login, only who has the same one may touch it.
    pub(super) fn options(&self, mode: CreateMode) -> CreateOptions<'static> {
        mode.with_acls(if self.login.is_some() { Acls::creator_all() } else { Acls::anyone_all() })
    }
}

/// A session that is, or was a moment ago, alive.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) client: Client,
    pub(super) settings: Arc<Settings>,
    /// Rises with every session of this process.
    pub(super) number: u64,
    /// Ids of this process's sessions before it.
    pub(super) earlier: Arc<[i64]>,
}

impl Live {
    /// How ZooKeeper knows the session.
    pub(super) fn id(&self) -> i64 {
        self.client.session_id().0
    }

    /// The time after which the servers let a silent session go, as agreed with them.
    pub(super) fn session_time(&self) -> Duration {
        self.client.session_timeout()
    }

    /// Waits for an answer no longer than a session lives: without a connection there is none.
    pub(super) async fn call<T, E: Into<ZooError>>(
        &self,
        call: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<T, ZooError> {
        match tokio::time::timeout(self.session_time(), call).await {
            Ok(outcome) => outcome.map_err(Into::into),
            Err(_) => Err(ZooError::Timeout),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.client.state().is_terminated()
    }

    /// Waits until the session is over.
    pub(super) async fn ended(&self) {
        let mut states = self.client.state_watcher();
        while !self.has_ended() {
            states.changed().await;
        }
    }
}

/// The sessions, one after the other.
#[derive(Clone)]
pub(super) struct Sessions {
    settings: Arc<Settings>,
    current: watch::Receiver<Current>,
}

#[derive(Clone, Default)]
enum Current {
    /// None yet, or none any more.
    #[default]
    Away,
    Live(Live),
    /// ZooKeeper does not let this login in.
    Refused(String),
}

impl Sessions {
    /// Begins the first session and keeps one going until the task is ended.
    ///
    /// # Errors
    /// `Missing` where the login is refused; `Transient` where no session begins in time.
    pub(super) async fn open(settings: Arc<Settings>) -> Result<(Self, JoinHandle<()>)> {
        let (sender, current) = watch::channel(Current::Away);
        let servers = settings.servers.clone();
        let mut sessions = Self { settings: Arc::clone(&settings), current };
        let keeper = tokio::spawn(keep(settings, sender));
        let first = tokio::time::timeout(
            OPEN_TIME,
            sessions.current.wait_for(|current| !matches!(current, Current::Away)),
        );
        let failure = match first.await.map(|current| current.map(|current| current.clone())) {
            Ok(Ok(Current::Live(_))) => None,
            Ok(Ok(Current::Refused(what))) => {
                let message = format!("zookeeper at {servers} refuses the login: {what}");
                Some(Error::new(Kind::Missing, message))
            }
            _ => Some(Error::new(Kind::Transient, format!("no zookeeper of {servers} answers"))),
        };
        match failure {
            None => Ok((sessions, keeper)),
            Some(failure) => {
                keeper.abort();
                Err(failure)
            }
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The session, where there is one.
    pub(super) fn current(&self) -> Option<Live> {
        match &*self.current.borrow() {
            Current::Live(live) if !live.has_ended() => Some(live.clone()),
            _ => None,
        }
    }

    /// Waits for a session; `None` where there will be none any more.
    pub(super) async fn live(&mut self) -> Option<Live> {
        let is_live = |current: &Current| matches!(current, Current::Live(live) if !live.has_ended());
        match &*self.current.wait_for(is_live).await.ok()? {
            Current::Live(live) => Some(live.clone()),
            _ => None,
        }
    }

    /// Waits until a session begins or ends; it fails where there will be none any more.
    pub(super) async fn changed(&mut self) -> std::result::Result<(), watch::error::RecvError> {
        self.current.changed().await
    }
}

async fn keep(settings: Arc<Settings>, current: watch::Sender<Current>) {
    let mut earlier: Vec<i64> = Vec::new();
    for number in 1.. {
        let mut tries_count = 0_u32;
        let live = loop {
            match begin(&settings, number, &earlier).await {
                Ok(live) => break live,
                Err(error) => {
                    if matches!(error, ZooError::NoAuth | ZooError::AuthFailed | ZooError::InvalidAcl) {
                        current.send_replace(Current::Refused(error.to_string()));
                    }
                    tries_count = tries_count.saturating_add(1);
                    if tries_count == 1 {
                        let servers = &settings.servers;
                        tracing::warn!(target: "discovery", servers, %error, "zookeeper is away: the last view stays");
                    }
                    tokio::time::sleep(if tries_count < QUICK_TRIES_COUNT { PAUSE } else { PAUSE_LONG })
                        .await;
                }
            }
        };
        let id = live.id();
        tracing::info!(target: "discovery", session = number, id = format!("{id:#x}"), "zookeeper is there");
        current.send_replace(Current::Live(live.clone()));
        live.ended().await;
        metrics::counter!("anser_discovery_sessions_lost_total").increment(1);
        tracing::warn!(target: "discovery", session = number, "the session with zookeeper is over: another is begun");
        current.send_replace(Current::Away);
        if earlier.len() == EARLIER_COUNT {
            earlier.remove(0);
        }
        earlier.push(id);
    }
}

async fn begin(
    settings: &Arc<Settings>,
    number: u64,
    earlier: &[i64],
) -> std::result::Result<Live, ZooError> {
    let mut connector = Client::connector().with_session_timeout(settings.session_time).with_fail_eagerly();
    if let Some(login) = &settings.login {
        connector = connector.with_auth("digest", login.as_bytes());
    }
    let client = tokio::time::timeout(settings.session_time, connector.connect(&settings.servers))
        .await
        .map_err(|_| ZooError::Timeout)??;
    let live = Live { client, settings: Arc::clone(settings), number, earlier: earlier.into() };
    let options = settings.options(CreateMode::Persistent);
    for folder in FOLDERS {
        let path = format!("{}/{folder}", settings.path);
        live.call(live.client.mkdir(&path, &options)).await?;
        // What is there already may be somebody else's, which making it does not tell.
        live.call(live.client.list_children(&path)).await?;
    }
    Ok(live)
}
