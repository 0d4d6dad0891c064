//! The commands that make one request as a user and print its answer: groups, conversations, people.
//!
//! Each is its arguments and the request they make ([`Question`]); connecting, printing and what to do next are here
//! once for all. A request is made once: what is unanswered may have been carried out.

mod conversations;
mod groups;
mod people;
mod table;

use std::time::Duration;

use anser_client::{Connection, Encoding, Endpoint, Error, ReplyKind, RequestKind};
use clap::{Args, Subcommand};
use protocol::client::{self, Reply};
use protocol::code::Code;
use protocol::{ConversationId, GroupId, Identifier as _, UserId};
use tokio::time::timeout;

use super::failure::Failure;
use super::output::{line, note, until_the_reader_leaves};

/// How long connecting and the answer may take, each.
const WAIT: Duration = Duration::from_secs(20);
/// Above the top of any inbox, so that nothing is replayed; exact in JSON.
const PAST_THE_TOP: u64 = (1 << 53) - 1;

/// The commands of this family.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a group, and changes and shows groups and their members.
    #[command(after_help = "Example: anser group create Friends bob carol --as alice --id friends")]
    Group(As<groups::Group>),
    /// Lists the conversations of a user: what is unread, what was said last.
    #[command(after_help = "Example: anser conversations --as alice")]
    Conversations(As<conversations::Conversations>),
    /// Prints what was said in a conversation, the last messages by default.
    #[command(after_help = "Example: anser history --as alice --group friends --limit 20")]
    History(As<conversations::History>),
    /// Says that a conversation was read up to a message.
    #[command(after_help = "Example: anser read 7 --as alice --with bob")]
    Read(As<conversations::Read>),
    /// Lists who has read a message.
    #[command(after_help = "Example: anser readers 7 --as alice --group friends")]
    Readers(As<conversations::Readers>),
    /// Takes back what was said: the sender for a while, owner and admins of a group at any time.
    #[command(after_help = "Example: anser recall 7 --as alice --with bob")]
    Recall(As<conversations::Recall>),
    /// Says who is there, and on which devices.
    #[command(after_help = "Example: anser presence bob carol --as alice")]
    Presence(As<people::Presence>),
    /// Takes no more messages from a user.
    #[command(after_help = "Example: anser block bob --as alice")]
    Block(As<people::Block>),
    /// Takes messages from a user again.
    #[command(after_help = "Example: anser unblock bob --as alice")]
    Unblock(As<people::Unblock>),
    /// Lists whom a user has blocked.
    #[command(after_help = "Example: anser blocks --as alice")]
    Blocks(As<people::Blocks>),
}

/// Arguments that make a request.
trait Question: Args {
    /// The request, as this user makes it.
    fn request(self, user: &str) -> Result<RequestKind, Failure>;
}

/// A question, and who asks it.
#[derive(Debug, Args)]
pub(crate) struct As<T: Args> {
    #[command(flatten)]
    question: T,
    #[command(flatten)]
    who: Who,
}

/// Who asks, and where.
#[derive(Debug, Args)]
struct Who {
    /// Who you are. A server without --dev takes it from the token.
    #[arg(long = "as", value_name = "USER", global = true)]
    asker: Option<String>,
    /// The server: ws://HOST:PORT/sub or tcp://HOST:PORT.
    #[arg(long, global = true, default_value = "ws://127.0.0.1:3102/sub")]
    url: String,
    /// A token, as `anser token new` gives it.
    #[arg(long, global = true, env = "ANSER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The name of this device.
    #[arg(long, global = true, default_value = "command")]
    device: String,
    /// Prints the answer as JSON, as it is on the wire.
    #[arg(long, global = true)]
    json: bool,
}

/// Which conversation is meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Where {
    /// The chat with this user.
    #[arg(long, value_name = "USER")]
    with: Option<String>,
    /// The chat of this group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The conversation of this id, as `anser conversations` shows it.
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
}

impl Where {
    fn conversation(&self, user: &str) -> Result<String, Failure> {
        let usage = |error: protocol::ids::IdError| Failure::usage(error.to_string());
        let id = match (&self.with, &self.group, &self.conversation) {
            (Some(peer), ..) => {
                ConversationId::single(&UserId::new(user).map_err(usage)?, &UserId::new(peer).map_err(usage)?)
            }
            (_, Some(group), _) => ConversationId::group(&GroupId::new(group).map_err(usage)?),
            (.., id) => return Ok(id.clone().unwrap_or_default()),
        };
        Ok(id.as_str().to_owned())
    }
}

/// Asks once and prints the answer.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    until_the_reader_leaves(match command {
        Command::Group(asked) => ask(asked).await,
        Command::Conversations(asked) => ask(asked).await,
        Command::History(asked) => ask(asked).await,
        Command::Read(asked) => ask(asked).await,
        Command::Readers(asked) => ask(asked).await,
        Command::Recall(asked) => ask(asked).await,
        Command::Presence(asked) => ask(asked).await,
        Command::Block(asked) => ask(asked).await,
        Command::Unblock(asked) => ask(asked).await,
        Command::Blocks(asked) => ask(asked).await,
    })
}

async fn ask(As { question, who }: As<impl Question>) -> Result<(), Failure> {
    if who.asker.is_none() && who.token.is_none() {
        return Err(Failure::usage(
            "who asks is not said: give --as USER, or --token where the server needs one",
        ));
    }
    let (mut connection, user) = connect(&who).await?;
    let request = question.request(&user)?;
    let name = protocol::codec::request_name(&request);
    let answer = timeout(WAIT, connection.request::<ReplyKind>(request)).await;
    let answer = answer.unwrap_or_else(|_| Err(Error::Timeout { what: name.to_owned(), after: WAIT }));
    let reply = answer.map_err(|error| explain(error, &user))?;
    connection.close().await;
    if who.json {
        return line(&in_json(reply, name));
    }
    let shown = table::of(&reply, &user);
    for text in shown.lines {
        line(&text)?;
    }
    if let Some(text) = shown.note {
        note(&text);
    }
    Ok(())
}

async fn connect(who: &Who) -> Result<(Connection, String), Failure> {
    let endpoint = Endpoint::new(&who.url, Encoding::Json)?;
    let user = who.asker.clone().unwrap_or_default();
    let auth = client::Auth {
        token: who.token.clone().unwrap_or_default(),
        user: user.clone(),
        device: who.device.clone(),
        platform: "cli".to_owned(),
        inbox_seq: Some(PAST_THE_TOP),
        ..client::Auth::default()
    };
    let attempt = async {
        let mut connection = Connection::open(&endpoint).await?;
        let reply = connection.auth(auth).await?;
        Ok((connection, reply.user))
    };
    let late = || Error::Timeout { what: format!("connecting to {}", who.url), after: WAIT };
    timeout(WAIT, attempt).await.unwrap_or_else(|_| Err(late())).map_err(|error| explain(error, &user))
}

/// The reply without the seq and the name around it.
fn in_json(reply: ReplyKind, name: &str) -> String {
    let whole = serde_json::to_value(Reply { seq: 0, reply: Some(reply) }).unwrap_or_default();
    whole.get(name).map_or_else(|| "{}".to_owned(), ToString::to_string)
}

/// The error with what to do about it.
fn explain(error: Error, user: &str) -> Failure {
    let advice = match &error {
        Error::Connect { .. } => {
            "Is the server running? `anser serve --dev` starts one; --url says where it is.".to_owned()
        }
        error if error.is_token_refusal() => format!(
            "Get a token with `anser token new --user {user}` and give it with --token or ANSER_TOKEN; a server \
             under --dev needs none."
        ),
        Error::Refused(refusal) => match refusal.number {
            number if number == Code::NotFound.number() => {
                format!("`anser conversations --as {user}` lists what this user can see.")
            }
            number if number == Code::NotAllowed.number() => {
                format!("`anser group info GROUP --as {user}` says what this user is in a group.")
            }
            number if number == Code::AlreadyExists.number() => "Choose another id.".to_owned(),
            number if number == Code::TooLate.number() => {
                "The time limit is im.recall_time_limit; owner and admins of a group have none.".to_owned()
            }
            _ if refusal.retryable => "Try again.".to_owned(),
            _ => return error.into(),
        },
        Error::Timeout { .. } | Error::Lost(_) => {
            "It may have been carried out: look before you ask again.".to_owned()
        }
        _ => return error.into(),
    };
    Failure::from(error).next(&advice)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    /// The request that a command line makes, in JSON.
    fn asked(text: &str) -> String {
        let cli = Cli::try_parse_from(std::iter::once("anser").chain(text.split(' '))).unwrap();
        let request = match cli.command {
            Command::Group(asked) => asked.question.request("alice"),
            Command::Conversations(asked) => asked.question.request("alice"),
            Command::History(asked) => asked.question.request("alice"),
            Command::Read(asked) => asked.question.request("alice"),
            Command::Readers(asked) => asked.question.request("alice"),
            Command::Recall(asked) => asked.question.request("alice"),
            Command::Presence(asked) => asked.question.request("alice"),
            Command::Block(asked) => asked.question.request("alice"),
            Command::Unblock(asked) => asked.question.request("alice"),
            Command::Blocks(asked) => asked.question.request("alice"),
        };
        protocol::codec::encode_request_json(1, request.unwrap())
    }

    #[test]
    fn a_command_line_is_one_request() {
        for (text, wanted) in [
            (
                "group create Friends bob carol --as alice --id f",
                r#""groupCreate":{"name":"Friends","members":["bob","carol"],"kind":"group","group":"f","#,
            ),
            ("group --as alice invite f bob", r#""groupInvite":{"group":"f","users":["bob"]}"#),
            ("group join f --text hello", r#""groupJoin":{"group":"f","text":"hello"}"#),
            ("group leave f", r#""groupLeave":{"group":"f"}"#),
            ("group remove f bob", r#""groupRemove":{"group":"f","users":["bob"]}"#),
            ("group dismiss f", r#""groupDismiss":{"group":"f"}"#),
            ("group update f --name New", r#""groupUpdate":{"group":"f","name":"New"}"#),
            ("group role f admin bob", r#""groupRole":{"group":"f","users":["bob"],"role":"admin"}"#),
            (
                "group mute f bob --for 10m",
                r#""groupMute":{"group":"f","users":["bob"],"muted":true,"durationMs":600000}"#,
            ),
            ("group mute f --off", r#""groupMute":{"group":"f","users":[],"muted":false,"durationMs":0}"#),
            ("group info f", r#""groupInfo":{"group":"f"}"#),
            ("group members f --limit 5", r#""groupMembers":{"group":"f","cursor":"","limit":5}"#),
            ("group requests f", r#""groupRequests":{"group":"f"}"#),
            ("group answer f bob --refuse", r#""groupAnswer":{"group":"f","user":"bob","accept":false}"#),
            ("conversations", r#""conversations":{"version":0,"limit":0}"#),
            (
                "history --with bob --before 9",
                r#""history":{"conversation":"single:5:alice:bob","before":9,"limit":0}"#,
            ),
            ("read 7 --group f", r#""read":{"conversation":"group:f","seq":7}"#),
            ("readers 7 --group f", r#""readers":{"conversation":"group:f","seq":7}"#),
            ("recall 7 --conversation group:f", r#""recall":{"conversation":"group:f","seq":7}"#),
            ("presence bob", r#""presence":{"users":["bob"]}"#),
            ("block bob", r#""block":{"user":"bob"}"#),
            ("unblock bob", r#""unblock":{"user":"bob"}"#),
            ("blocks", r#""blocks":{}"#),
        ] {
            let json = asked(text);
            assert!(json.contains(wanted), "{text}: {json}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_is_asked() {
        for text in ["history", "read 7", "group answer f bob", "group role f king bob", "group update f"] {
            let line = std::iter::once("anser").chain(text.split(' '));
            assert!(Cli::try_parse_from(line).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_in_json_is_what_the_wire_has() {
        let reply = ReplyKind::Recall(client::RecallReply { seq: 9 });
        assert_eq!(in_json(reply, "recall"), r#"{"seq":9}"#);
    }

    #[test]
    fn an_error_says_what_to_do() {
        let said = explain(Error::Refused(Code::NotFound.with("no such group")), "alice").to_string();
        assert!(said.contains("no such group") && said.contains("anser conversations --as alice"), "{said}");
        let failure = explain(Error::Refused(Code::Unauthenticated.with("no token")), "alice");
        assert!(failure.to_string().contains("anser token new --user alice"), "{failure}");
        assert_eq!(failure.exit_code(), 5);
    }
}
