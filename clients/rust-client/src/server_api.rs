//! The server API as a business calls it: pushes to users, connections, rooms and everybody.
//!
//! Calls are blocking underneath and run on tokio's blocking threads, one request each.

use std::time::Duration;

use protocol::client;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;

use crate::Error;

/// How long one call may take.
const CALL_TIME_MAX: Duration = Duration::from_secs(30);
/// How much of an unexpected answer is shown.
const EXCERPT_CHARACTERS: usize = 200;

/// Whom a push is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushTo {
    /// These users, on all their devices.
    Users(Vec<String>),
    /// These connections, by key.
    Connections(Vec<String>),
    /// Everybody in a room.
    Room(String),
    /// Everybody.
    All {
        /// Connections reached per second; `None`: as fast as the server allows.
        speed: Option<u32>,
    },
}

/// What became of a push to one user or connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushResult {
    /// The user or the connection's key.
    pub name: String,
    /// What became of it.
    pub status: PushStatus,
}

/// What the server knows of a push when it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushStatus {
    /// It is on its way to at least one connection.
    Queued,
    /// There is no connection to push to.
    Offline,
    /// The server cannot tell where the connections are now.
    #[serde(other)]
    Unknown,
}

impl PushStatus {
    /// The name that the server API has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
        }
    }
}

/// A caller of the server API.
#[derive(Clone)]
pub struct ServerApi {
    agent: Agent,
    base: String,
    key: Option<String>,
}

impl ServerApi {
    /// The API at `http://host:port`, with its key; a server in `--dev` may not ask for one.
    #[must_use]
    pub fn new(base: &str, key: Option<String>) -> Self {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(CALL_TIME_MAX)).build();
        Self { agent: config.into(), base: base.trim_end_matches('/').to_owned(), key }
    }

    /// Pushes bytes under an operation. The results name users and connections in the order given; there are
    /// none for a room or for everybody.
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers, [`Error::Refused`] with the server's refusal.
    pub async fn push(&self, to: PushTo, operation: i32, body: &[u8]) -> Result<Vec<PushResult>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            results: Vec<Item>,
        }
        #[derive(Deserialize)]
        struct Item {
            user: Option<String>,
            connection: Option<String>,
            status: PushStatus,
        }
        let request = push_json(to, operation, body);
        let text = self.call("/v1/push".to_owned(), Vec::new(), request.to_string().into_bytes()).await?;
        let answer: Answer = serde_json::from_str(&text).map_err(|error| unexpected(&error, &text))?;
        let result = |item: Item| PushResult {
            name: item.user.or(item.connection).unwrap_or_default(),
            status: item.status,
        };
        Ok(answer.results.into_iter().map(result).collect())
    }

    /// goim's push by connection keys: unknown keys are skipped.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn push_goim_keys(&self, operation: i32, keys: &[String], body: &[u8]) -> Result<(), Error> {
        let keys = keys.iter().map(|key| ("keys", key.clone()));
        self.push_goim("keys", operation, keys.collect(), body).await
    }

    /// goim's push by user numbers: those offline are skipped.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn push_goim_mids(&self, operation: i32, mids: &[i64], body: &[u8]) -> Result<(), Error> {
        let mids = mids.iter().map(|mid| ("mids", mid.to_string()));
        self.push_goim("mids", operation, mids.collect(), body).await
    }

    /// goim's push to the room `type://room`.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn push_goim_room(
        &self,
        operation: i32,
        room_type: &str,
        room: &str,
        body: &[u8],
    ) -> Result<(), Error> {
        let query = vec![("type", room_type.to_owned()), ("room", room.to_owned())];
        self.push_goim("room", operation, query, body).await
    }

    /// goim's push to everybody.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn push_goim_all(&self, operation: i32, speed: Option<u32>, body: &[u8]) -> Result<(), Error> {
        let speed = speed.map(|speed| ("speed", speed.to_string()));
        self.push_goim("all", operation, speed.into_iter().collect(), body).await
    }

    /// Tells whether the server is ready to be used.
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers, [`Error::Refused`] while it is not ready.
    pub async fn ready(&self) -> Result<(), Error> {
        let (agent, url) = (self.agent.clone(), format!("{}/readyz", self.base));
        blocking(move || answer(&url, agent.get(&url).call())).await.map(drop)
    }

    /// The server's figures, in Prometheus' text format.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn metrics(&self) -> Result<String, Error> {
        let (agent, key, url) = (self.agent.clone(), self.key.clone(), format!("{}/metrics", self.base));
        blocking(move || {
            let mut request = agent.get(&url);
            if let Some(key) = key {
                request = request.header("authorization", format!("Bearer {key}"));
            }
            answer(&url, request.call())
        })
        .await
    }

    async fn push_goim(
        &self,
        kind: &str,
        operation: i32,
        mut query: Vec<(&'static str, String)>,
        body: &[u8],
    ) -> Result<(), Error> {
        query.push(("operation", operation.to_string()));
        self.call(format!("/goim/push/{kind}"), query, body.to_vec()).await.map(drop)
    }

    async fn call(
        &self,
        path: String,
        query: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> Result<String, Error> {
        let (agent, key) = (self.agent.clone(), self.key.clone());
        let url = format!("{}{path}", self.base);
        blocking(move || {
            let mut request = agent.post(&url);
            for (name, value) in query {
                request = request.query(name, value);
            }
            if let Some(key) = key {
                request = request.header("authorization", format!("Bearer {key}"));
            }
            answer(&url, request.send(&body[..]))
        })
        .await
    }
}

async fn blocking(call: impl FnOnce() -> Result<String, Error> + Send + 'static) -> Result<String, Error> {
    tokio::task::spawn_blocking(call).await.unwrap_or_else(|error| Err(Error::Lost(error.to_string())))
}

fn push_json(to: PushTo, operation: i32, body: &[u8]) -> Value {
    let mut request = match to {
        PushTo::Users(users) => json!({ "to": { "users": users } }),
        PushTo::Connections(keys) => json!({ "to": { "connections": keys } }),
        PushTo::Room(room) => json!({ "to": { "room": room } }),
        PushTo::All { speed: None } => json!({ "to": { "all": true } }),
        PushTo::All { speed: Some(speed) } => json!({ "to": { "all": true }, "speed": speed }),
    };
    request["op"] = operation.into();
    match std::str::from_utf8(body) {
        Ok(text) => request["text"] = text.into(),
        Err(_) => request["body"] = base64_of(body).into(),
    }
    request
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}

/// The text of an answer that says yes.
fn answer(
    url: &str,
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<String, Error> {
    let failed = |error: ureq::Error| match error {
        ureq::Error::Timeout(_) => Error::Timeout { what: url.to_owned(), after: CALL_TIME_MAX },
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::TlsRequired => {
            Error::Address { url: url.to_owned(), reason: error.to_string() }
        }
        error => Error::Connect { address: url.to_owned(), reason: error.to_string() },
    };
    let mut response = response.map_err(failed)?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().map_err(failed)?;
    let refusal = refusal(status, &text);
    refusal.map_or(Ok(text), |refusal| Err(Error::Refused(refusal)))
}

/// The refusal in an answer: Anser's shape, or goim's, whose status is 200 also when its code is not 0.
fn refusal(status: u16, text: &str) -> Option<client::Error> {
    #[derive(Deserialize)]
    struct Goim {
        code: i64,
        message: String,
    }
    if status >= 400
        && let Ok(refusal) = serde_json::from_str::<client::Error>(text)
    {
        return Some(refusal);
    }
    let goim = serde_json::from_str::<Goim>(text).ok();
    match goim {
        Some(goim) if goim.code != 0 => Some(client::Error {
            code: format!("goim_{}", goim.code),
            number: u32::try_from(goim.code.unsigned_abs() * 100).unwrap_or(0),
            message: goim.message,
            retryable: goim.code == -500,
        }),
        _ if status >= 400 => Some(client::Error {
            code: "http".to_owned(),
            number: u32::from(status) * 100,
            message: format!("HTTP status {status}: {}", excerpt(text)),
            retryable: status >= 500 || status == 429,
        }),
        _ => None,
    }
}

fn unexpected(error: &serde_json::Error, text: &str) -> Error {
    Error::Protocol(format!("{error}: {}", excerpt(text)))
}

fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_CHARACTERS).collect()
}

#[cfg(test)]
mod tests;
