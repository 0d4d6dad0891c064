//! Who takes part in a measurement, each on a connection of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anser_client::{Connection, Encoding, Endpoint, Error, Push};
use clap::Parser;
use protocol::client;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::failure::Failure;

/// How long one person may take to connect.
const CONNECT_WAIT: Duration = Duration::from_secs(20);
/// Connections that are made at the same time.
const CONNECTING_MAX: usize = 64;
/// Above the top of any inbox, so that nothing is replayed; exact in JSON.
const PAST_THE_TOP: u64 = (1 << 53) - 1;

/// Where the server is and who is there.
#[derive(Debug, Clone, Parser)]
pub(super) struct People {
    /// The server: tcp://HOST:PORT or ws://HOST:PORT/sub. TCP costs the generator least.
    #[arg(long, default_value = "tcp://127.0.0.1:3101")]
    pub(super) url: String,
    /// Speaks protobuf instead of JSON over WebSocket; TCP always does.
    #[arg(long)]
    pub(super) protobuf: bool,
    /// Users with their tokens, one `user token` a line. Without it they are named by number, and a server believes
    /// that under --dev.
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) user: String,
    token: String,
}

impl People {
    /// So many people, named after the measurement.
    pub(super) fn list(&self, name: &str, count: usize) -> Result<Vec<Person>, Failure> {
        let Some(path) = &self.token_file else {
            let person = |number| Person { user: format!("{name}-{number}"), token: String::new() };
            return Ok((1..=count).map(person).collect());
        };
        let mut people = read_tokens(path)?;
        if people.len() < count {
            let found = people.len();
            return Err(Failure::usage(format!("{} has {found} users; {count} are needed", path.display())));
        }
        people.truncate(count);
        Ok(people)
    }

    /// Connects them all, in their order; what is pushed to them from then on reaches them as it is sent.
    pub(super) async fn connect(&self, people: &[Person]) -> Result<Vec<Connection>, Failure> {
        let encoding = if self.protobuf { Encoding::Protobuf } else { Encoding::Json };
        let endpoint = Endpoint::new(&self.url, encoding)?;
        let mut connected = Vec::with_capacity(people.len());
        for people in people.chunks(CONNECTING_MAX) {
            let mut attempts = JoinSet::new();
            for (index, person) in people.iter().cloned().enumerate() {
                let endpoint = endpoint.clone();
                attempts.spawn(async move { (index, connect(&endpoint, person).await) });
            }
            let mut batch = Vec::with_capacity(people.len());
            while let Some(attempt) = attempts.join_next().await {
                let (index, result) = attempt.map_err(|error| Failure::failed(error.to_string()))?;
                let connection = result.map_err(|error| {
                    let user = &people[index].user;
                    Failure::from(error).next(&format!(
                        "This was said to {user}. Start a server with `anser serve --dev`, or give the users of one \
                         with --token-file; --url says where it is."
                    ))
                })?;
                batch.push((index, connection));
            }
            batch.sort_unstable_by_key(|(index, _)| *index);
            connected.extend(batch.into_iter().map(|(_, connection)| connection));
        }
        Ok(connected)
    }

    /// Connects one of them.
    pub(super) async fn connect_one(&self, person: &Person) -> Result<Connection, Failure> {
        let mut connections = self.connect(std::slice::from_ref(person)).await?;
        connections.pop().ok_or_else(|| Failure::failed("nobody was connected"))
    }
}

async fn connect(endpoint: &Endpoint, person: Person) -> Result<Connection, Error> {
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
        connection.auth(auth).await?;
        // Until then what is pushed only says that there is more to be replayed.
        while !matches!(connection.next_push().await?, Push::SyncDone(_)) {}
        Ok(connection)
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
