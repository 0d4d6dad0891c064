//! Who takes part in a measurement: as many senders as receivers, each on a connection of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anser_client::{Connection, Encoding, Endpoint, Error};
use clap::Parser;
use protocol::client;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::failure::Failure;

/// How long one person may take to connect.
const CONNECT_WAIT: Duration = Duration::from_secs(20);
/// Above the top of any inbox, so that nothing is replayed; exact in JSON.
const PAST_THE_TOP: u64 = (1 << 53) - 1;

/// Where the server is and who is there.
#[derive(Debug, Clone, Parser)]
pub(crate) struct People {
    /// How many senders; there are as many receivers.
    #[arg(long, default_value_t = 64)]
    pub(crate) senders: usize,
    /// The server: ws://HOST:PORT/sub or tcp://HOST:PORT.
    #[arg(long, default_value = "ws://127.0.0.1:3102/sub")]
    pub(crate) url: String,
    /// Speaks protobuf instead of JSON over WebSocket; TCP always does.
    #[arg(long)]
    pub(crate) protobuf: bool,
    /// Users with their tokens, one `user token` a line: first the senders, then the receivers. Without it
    /// they are bench-1, bench-2, …, whom a server believes under --dev.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) user: String,
    token: String,
}

/// A person's connection, and how often to send a heartbeat on it.
pub(crate) struct Connected {
    pub(crate) connection: Connection,
    pub(crate) heartbeat_every: Duration,
}

impl People {
    /// The senders, and as many receivers.
    pub(crate) fn list(&self) -> Result<(Vec<Person>, Vec<Person>), Failure> {
        if self.senders == 0 {
            return Err(Failure::usage("--senders is 0: there is nothing to measure"));
        }
        let mut senders = match &self.token_file {
            Some(path) => read_tokens(path)?,
            None => (1..=2 * self.senders)
                .map(|number| Person { user: format!("bench-{number}"), token: String::new() })
                .collect(),
        };
        if senders.len() < 2 * self.senders {
            let (wanted, found) = (2 * self.senders, senders.len());
            return Err(Failure::usage(format!(
                "the token file has {found} users; {wanted} are needed for {} senders and as many receivers",
                self.senders
            )));
        }
        senders.truncate(2 * self.senders);
        let receivers = senders.split_off(self.senders);
        Ok((senders, receivers))
    }

    /// Connects them all, in their order.
    pub(crate) async fn connect(&self, people: &[Person]) -> Result<Vec<Connected>, Failure> {
        let encoding = if self.protobuf { Encoding::Protobuf } else { Encoding::Json };
        let endpoint = Endpoint::new(&self.url, encoding)?;
        let mut attempts = JoinSet::new();
        for (index, person) in people.iter().cloned().enumerate() {
            let endpoint = endpoint.clone();
            attempts.spawn(async move { (index, connect(&endpoint, person).await) });
        }
        let mut connected = Vec::with_capacity(people.len());
        while let Some(attempt) = attempts.join_next().await {
            let (index, result) = attempt.map_err(|error| Failure::failed(error.to_string()))?;
            let connection = result.map_err(|error| {
                let advice = "Is the server running, under --dev or with the users of --token-file?";
                let user = &people[index].user;
                Failure::from(error).next(&format!("This was said to {user}. {advice}"))
            })?;
            connected.push((index, connection));
        }
        connected.sort_unstable_by_key(|(index, _)| *index);
        Ok(connected.into_iter().map(|(_, connection)| connection).collect())
    }
}

async fn connect(endpoint: &Endpoint, person: Person) -> Result<Connected, Error> {
    let auth = client::Auth {
        token: person.token,
        user: person.user,
        device: "bench".to_owned(),
        platform: "bench".to_owned(),
        inbox_seq: Some(PAST_THE_TOP),
        ..client::Auth::default()
    };
    let attempt = async {
        let mut connection = Connection::open(endpoint).await?;
        let reply = connection.auth(auth).await?;
        // Half of what the server asks for, since it is not looked at all the time.
        let heartbeat_every = Duration::from_millis((reply.heartbeat_ms / 2).max(1000));
        Ok(Connected { connection, heartbeat_every })
    };
    let late = |_| Err(Error::Timeout { what: "connecting".to_owned(), after: CONNECT_WAIT });
    timeout(CONNECT_WAIT, attempt).await.unwrap_or_else(late)
}

fn read_tokens(path: &Path) -> Result<Vec<Person>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    parse_tokens(&text)
        .map_err(|line| Failure::usage(format!("{} line {line} is not `user token`", path.display())))
}

/// The people in the text of a token file, or the number of the line that names none.
fn parse_tokens(text: &str) -> Result<Vec<Person>, usize> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let (user, token) = line.trim().rsplit_once(char::is_whitespace).ok_or(index + 1)?;
            Ok(Person { user: user.trim_end().to_owned(), token: token.to_owned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_has_a_user_and_a_token_a_line() {
        let people = parse_tokens("alice  abc.def\n\nbob lee x\n").unwrap();
        let expected = [("alice", "abc.def"), ("bob lee", "x")]
            .map(|(user, token)| Person { user: user.to_owned(), token: token.to_owned() });
        assert_eq!(people, expected);
        assert_eq!(parse_tokens("alice x\nbob\n"), Err(2));
    }
}
