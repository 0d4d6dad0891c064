//! The server API: what the business's servers ask, one call a file.
//!
//! `/goim/*` is goim's own, word for word; `/v1/*` is Anser's. Both read their input with bounds and answer
//! every fault of the caller with its reason.

mod goim;
mod push;
mod query;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use contracts::push::Push;
use contracts::router::Router;
use contracts::{Error, Kind};

use crate::nodes::Nodes;
use crate::publish::Publisher;

/// Whom the calls ask.
pub(crate) struct State {
    pub(crate) router: Arc<dyn Router>,
    pub(crate) push: Arc<dyn Push>,
    pub(crate) publisher: Publisher,
    pub(crate) nodes: Nodes,
    /// The operation of a push that names none.
    pub(crate) operation: i32,
}

pub(crate) fn router(state: State) -> axum::Router {
    let state = Arc::new(state);
    axum::Router::new().merge(goim::router(Arc::clone(&state))).merge(push::router(state))
}

/// Why a body was not taken.
enum BodyError {
    /// It has more bytes than this.
    TooLarge(usize),
    /// The connection broke off.
    Incomplete,
}

/// Reads a body of at most `bytes_max` bytes; one that is larger is not read to its end.
async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, BodyError> {
    use std::error::Error as _;
    axum::body::to_bytes(body, bytes_max).await.map_err(|error| {
        // axum tells the limit apart only by the cause's text.
        match error.source() {
            Some(cause) if cause.to_string().contains("length limit exceeded") => {
                BodyError::TooLarge(bytes_max)
            }
            _ => BodyError::Incomplete,
        }
    })
}

/// Logs a failure of ours; a refusal is the caller's matter and is only answered.
fn log(call: &'static str, error: &Error) {
    match error.kind() {
        Kind::Refused(_) => {}
        Kind::Internal => tracing::error!(target: "logic", call, ?error, "a call of the server API failed"),
        Kind::Overloaded | Kind::Unavailable => {
            tracing::warn!(target: "logic", call, ?error, "a call of the server API failed");
        }
    }
}

fn count(target: &'static str) {
    metrics::counter!("anser_logic_pushes_total", "to" => target).increment(1);
}
