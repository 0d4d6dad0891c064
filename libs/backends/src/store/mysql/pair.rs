//! Which of the servers is written to.
//!
//! It is the first one that lets us in and is not read-only. Where servers replicate to each other, whoever operates
//! them keeps all but one read-only; a transaction on a server that has become read-only fails, and its session is
//! made again on the one that is not.

use super::connect::{Servers, Session};
use crate::{Error, Kind, Result};

/// Connects to the server that is written to.
pub(super) async fn writer(servers: &Servers) -> Result<Session> {
    let mut first_error = None;
    for server in servers.address().servers() {
        match servers.connect_to(server).await {
            Ok((session, false)) => return Ok(session),
            Ok((session, true)) => {
                let message = format!("{} is read-only", session.place());
                first_error.get_or_insert(Error::new(Kind::Transient, message));
            }
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| Error::new(Kind::Missing, "url of the store names no server")))
}
