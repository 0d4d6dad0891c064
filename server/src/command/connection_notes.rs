//! What people are told about a client's connection while a command runs.

use anser_client::{Error, State};

use super::failure::Failure;
use super::output::note;

/// Follows a client's states.
pub(crate) struct ConnectionNotes {
    url: String,
    user: String,
    was_live: bool,
    is_offline: bool,
}

impl ConnectionNotes {
    pub(crate) fn new(url: &str, user: &str) -> Self {
        Self { url: url.to_owned(), user: user.to_owned(), was_live: false, is_offline: false }
    }

    /// Tells people what changed. A server that was never reached, and an end for good, are failures.
    pub(crate) fn state(&mut self, state: &State) -> Result<(), Failure> {
        match state {
            State::Connecting => {}
            State::Live(reply) => {
                if self.is_offline {
                    note("online again");
                } else if !self.was_live {
                    note(&format!("connected as {}, connection {}", reply.user, reply.connection));
                }
                self.was_live = true;
                self.is_offline = false;
            }
            State::Waiting { cause, .. } if !self.was_live => {
                let advice = "Is the server running? `anser serve --dev` starts one; --url says where it is.";
                return Err(Failure::from(cause.clone()).next(advice));
            }
            State::Waiting { retry_in, cause } => {
                if !self.is_offline {
                    note(&format!("offline: {cause}; trying again in {:.1} s", retry_in.as_secs_f64()));
                }
                self.is_offline = true;
            }
            State::Closed(cause) => return Err(self.closed(cause)),
        }
        Ok(())
    }

    fn closed(&self, cause: &Error) -> Failure {
        let failure = Failure::from(cause.clone());
        if cause.is_token_refusal() {
            let user = &self.user;
            return failure.next(&format!(
                "Get a token with `anser token new --user {user}` and give it with --token or ANSER_TOKEN; \
                 a server under --dev needs none."
            ));
        }
        match cause {
            Error::Closed(kicked) if kicked.number == 4503 => {
                failure.next("Give each of them a --device of its own to use them side by side.")
            }
            Error::Refused(refusal) if refusal.code == "handshake_refused" => {
                failure.next(&format!("{} is no address of Anser's; its path is /sub.", self.url))
            }
            _ => failure,
        }
    }
}
