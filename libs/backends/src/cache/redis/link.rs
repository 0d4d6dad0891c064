//! The connection to the master, made anew when it is lost.
//!
//! One connection serves all callers; each one made has a generation. Who fails on it reports its generation, and the
//! first report of one takes the connection away: from then on callers are answered at once that Redis is away, and
//! one task looks for the master until it has found it. So a failure is met by those who were waiting when it came
//! and by nobody after them, and a hundred callers make one connection.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, ServerErrorKind,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::address::Address;
use crate::{Error, Kind, Result};

/// What a call may take; past it Redis counts as lost.
pub(super) const CALL_TIME: Duration = Duration::from_millis(500);
/// What asking a sentinel and connecting to the master may take.
const TRY_TIME: Duration = Duration::from_secs(2);
/// What opening waits for the first connection before it goes on without.
const OPEN_TIME: Duration = Duration::from_secs(2);
/// Between two tries at first: a failover takes a second or two.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two tries once there were [`QUICK_TRIES_COUNT`] of them.
const PAUSE_LONG: Duration = Duration::from_millis(500);
const QUICK_TRIES_COUNT: u32 = 200;

/// The way to the master.
pub(super) struct Link {
    shared: Arc<Shared>,
    renewal: JoinHandle<()>,
}

struct Shared {
    address: Address,
    state: RwLock<State>,
    lost: Notify,
    losses: metrics::Counter,
    refusals: metrics::Counter,
    failures: metrics::Counter,
}

#[derive(Default)]
struct State {
    /// Rises with every connection.
    generation: u64,
    connection: Option<MultiplexedConnection>,
}

impl Link {
    /// Connects, or begins to look for the master where it is away.
    ///
    /// # Errors
    /// `Missing` where the login is refused.
    pub(super) async fn open(address: Address) -> Result<Self> {
        let failures = |reason| metrics::counter!("anser_cache_failures_total", "reason" => reason);
        let shared = Arc::new(Shared {
            address,
            state: RwLock::default(),
            lost: Notify::new(),
            losses: failures("lost"),
            refusals: failures("away"),
            failures: failures("refused"),
        });
        match tokio::time::timeout(OPEN_TIME, shared.connect(0)).await {
            Ok(Ok(connection)) => {
                *shared.state.write() = State { generation: 1, connection: Some(connection) }
            }
            Ok(Err(error)) if error.kind() == ErrorKind::AuthenticationFailed => {
                let message = format!("redis at {} refuses the login", shared.address.servers.list());
                return Err(Error::new(Kind::Missing, message).caused_by(error));
            }
            failed => {
                let reason =
                    failed.map_or_else(|_| "no answer in time".to_owned(), |failed| reason(failed.err()));
                let servers = shared.address.servers.list();
                tracing::warn!(target: "cache", servers, reason, "redis is away: reads go to the store until it is there");
                shared.lost.notify_one();
            }
        }
        let renewal = tokio::spawn(renew(Arc::clone(&shared)));
        Ok(Self { shared, renewal })
    }

    /// Sends a pipeline and waits for its answers.
    ///
    /// # Errors
    /// `Transient`, at once where Redis is known to be away.
    pub(super) async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T> {
        let (generation, connection) = {
            let state = self.shared.state.read();
            (state.generation, state.connection.clone())
        };
        let Some(mut connection) = connection else {
            self.shared.refusals.increment(1);
            return Err(Error::new(Kind::Transient, "redis is away"));
        };
        match tokio::time::timeout(CALL_TIME, pipeline.query_async(&mut connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if is_lost(&error) {
                    self.shared.lose(generation, &reason(Some(error.clone())));
                } else {
                    self.shared.failures.increment(1);
                }
                Err(Error::new(Kind::Transient, "redis failed").caused_by(error))
            }
            Err(_) => {
                self.shared.lose(generation, "no answer in time");
                Err(Error::new(Kind::Transient, format!("redis gave no answer within {CALL_TIME:?}")))
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Whether another connection may do better: the server is gone, is not the master, or is not ready.
fn is_lost(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::Parse
            | ErrorKind::AuthenticationFailed
            | ErrorKind::Server(
                ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown
            )
    )
}

/// What went wrong, without what a server may repeat of the login.
fn reason(error: Option<RedisError>) -> String {
    error.map_or_else(String::new, |error| match error.kind() {
        ErrorKind::AuthenticationFailed => error.category().to_owned(),
        _ => error.to_string(),
    })
}

/// Makes a connection whenever one was lost.
async fn renew(shared: Arc<Shared>) {
    loop {
        shared.lost.notified().await;
        let mut tries_count = 0_u32;
        let connection = loop {
            tries_count = tries_count.saturating_add(1);
            match tokio::time::timeout(TRY_TIME, shared.connect(tries_count)).await {
                Ok(Ok(connection)) => break connection,
                Ok(Err(error)) => {
                    let reason = reason(Some(error));
                    tracing::debug!(target: "cache", tries_count, reason, "redis is still away");
                }
                Err(_) => tracing::debug!(target: "cache", tries_count, "redis gives no answer"),
            }
            tokio::time::sleep(if tries_count < QUICK_TRIES_COUNT { PAUSE } else { PAUSE_LONG }).await;
        };
        let generation = {
            let mut state = shared.state.write();
            state.generation += 1;
            state.connection = Some(connection);
            state.generation
        };
        tracing::info!(target: "cache", generation, tries_count, "redis is there again");
    }
}

impl Shared {
    /// Takes a connection away, once.
    fn lose(&self, generation: u64, reason: &str) {
        let mut state = self.state.write();
        if state.generation != generation || state.connection.is_none() {
            return;
        }
        state.connection = None;
        drop(state);
        self.losses.increment(1);
        tracing::warn!(target: "cache", generation, reason, "redis is lost: reads go to the store until it is back");
        self.lost.notify_one();
    }

    /// Connects to the master, asking the sentinels first where there are any.
    async fn connect(&self, tries_count: u32) -> std::result::Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CALL_TIME))
            .set_response_timeout(Some(CALL_TIME));
        let mut connection = match &self.address.master {
            Some(master) => self.connect_by_sentinel(master, tries_count, &config).await?,
            None => self.client()?.get_multiplexed_async_connection_with_config(&config).await?,
        };
        // A sentinel may name a server that was the master a moment ago, and one without sentinels may follow another.
        let role: redis::Value = redis::cmd("ROLE").query_async(&mut connection).await?;
        let is_master = matches!(&role, redis::Value::Array(parts)
            if parts.first().is_some_and(|name| matches!(name, redis::Value::BulkString(name) if name == b"master")));
        if !is_master {
            return Err(RedisError::from((ErrorKind::Server(ServerErrorKind::ReadOnly), "it is no master")));
        }
        Ok(connection)
    }

    async fn connect_by_sentinel(
        &self,
        master: &str,
        tries_count: u32,
        config: &AsyncConnectionConfig,
    ) -> std::result::Result<MultiplexedConnection, RedisError> {
        let Address { servers, sentinel_password, database, .. } = &self.address;
        let mut sentinels: Vec<_> =
            servers.hosts.iter().map(|(host, port)| ConnectionAddr::Tcp(host.clone(), *port)).collect();
        // One that does not answer must not stand first each time.
        let first = tries_count as usize % sentinels.len().max(1);
        sentinels.rotate_left(first);
        let mut builder = SentinelClientBuilder::new(sentinels, master, SentinelServerType::Master)?
            .set_client_to_redis_db(*database);
        if let Some(user) = servers.user.as_deref().filter(|user| !user.is_empty()) {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &servers.password {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(password) = sentinel_password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        builder.build()?.get_async_connection_with_config(config).await
    }

    fn client(&self) -> std::result::Result<Client, RedisError> {
        let Address { servers, database, .. } = &self.address;
        let mut login = RedisConnectionInfo::default().set_db(*database);
        if let Some(user) = servers.user.as_deref().filter(|user| !user.is_empty()) {
            login = login.set_username(user);
        }
        if let Some(password) = &servers.password {
            login = login.set_password(password);
        }
        let (host, port) = servers.hosts.first().cloned().unwrap_or_default();
        Client::open(ConnectionAddr::Tcp(host, port).into_connection_info()?.set_redis_settings(login))
    }
}
