//! `anser chat`: a person at a terminal, or a program that pipes lines in, talks to a user or in a room.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{BufRead, IsTerminal};
use std::pin::Pin;
use std::time::Duration;

use anser_client::{Client, Content, Event, Events, To, new_client_message_id};
use clap::Parser;
use protocol::client::SendReply;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection_notes::ConnectionNotes;
use super::event_text;
use super::failure::Failure;
use super::output::{line, note, until_the_reader_leaves};

/// How long to wait for the end of what was missed before lines are read.
const REPLAY_WAIT: Duration = Duration::from_secs(10);
/// Own messages that are known, should they come back after a reconnect.
const OWN_MAX: usize = 256;

/// Chats: lines typed or piped in are sent, what arrives is printed; what was missed comes first.
///
/// Lines are sent one after another, each when the one before was answered. With a pipe the command ends
/// when every line was answered; the exit code is 1 when one was refused.
#[derive(Debug, Parser)]
#[command(group = clap::ArgGroup::new("receiver").required(true))]
pub(crate) struct Args {
    /// Who you are. A server without --dev takes it from the token.
    #[arg(long = "as", value_name = "USER")]
    user: String,
    /// Whom to talk to.
    #[arg(long, value_name = "USER", group = "receiver")]
    to: Option<String>,
    /// A room to talk in, such as live://1.
    #[arg(long, value_name = "ROOM", group = "receiver")]
    room: Option<String>,
    /// The server: ws://HOST:PORT/sub or tcp://HOST:PORT.
    #[arg(long, default_value = "ws://127.0.0.1:3102/sub")]
    url: String,
    /// A token, as `anser token new` gives it.
    #[arg(long, env = "ANSER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The name of this device; the server keeps for each how far it received.
    #[arg(long, default_value = "cli")]
    device: String,
    /// Seconds to stay after the last line was sent.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// Prints JSON, one object a line: {"message":…}, {"room":…}, {"sent":…}, {"failed":…}.
    #[arg(long)]
    json: bool,
}

/// Runs until the input ends, the user interrupts or the server ends it.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let builder = Client::builder(&args.url)
        .user(&args.user)
        .device(&args.device)
        .platform("cli")
        .token(args.token.clone().unwrap_or_default())
        .rooms(args.room.clone());
    let (client, events) = builder.start()?;
    let notes = ConnectionNotes::new(&args.url, &args.user);
    let mut chat = Chat { args, client, events, notes, own: VecDeque::new(), failed_count: 0 };
    let result = chat.talk().await;
    chat.client.close().await;
    until_the_reader_leaves(result)
}

type Answer = Result<SendReply, anser_client::Error>;
type Sending = Pin<Box<dyn Future<Output = (String, Answer)>>>;

struct Chat {
    args: Args,
    client: Client,
    events: Events,
    notes: ConnectionNotes,
    /// Client message ids of what was sent here.
    own: VecDeque<String>,
    failed_count: usize,
}

impl Chat {
    async fn talk(&mut self) -> Result<(), Failure> {
        if let Ok(result) = timeout(REPLAY_WAIT, self.show_missed()).await {
            result?;
        }
        if std::io::stdin().is_terminal() {
            note("type a line and press enter; control-D ends");
        }
        let mut lines = Some(read_lines());
        let mut sending: Option<Sending> = None;
        let mut leave_at = None;
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            if lines.is_none() && sending.is_none() {
                leave_at.get_or_insert_with(|| Instant::now() + Duration::from_secs(self.args.wait));
            }
            tokio::select! {
                text = next_line(&mut lines), if sending.is_none() && lines.is_some() => match text {
                    Some(text) if text.trim().is_empty() => {}
                    Some(text) => sending = Some(self.send(text)),
                    None => lines = None,
                },
                (id, answer) = wait_for(&mut sending), if sending.is_some() => {
                    sending = None;
                    self.show_answer(&id, answer)?;
                }
                event = self.events.next() => match event {
                    Some(event) => self.show(&event)?,
                    None => return Ok(()),
                },
                () = sleep_until(leave_at.unwrap_or_else(Instant::now)), if leave_at.is_some() => break,
                _ = &mut interrupted => break,
            }
        }
        match self.failed_count {
            0 => Ok(()),
            count => Err(Failure::failed(format!("{count} of the lines were not sent"))),
        }
    }

    /// Prints what came while this device was away.
    async fn show_missed(&mut self) -> Result<(), Failure> {
        while let Some(event) = self.events.next().await {
            self.show(&event)?;
            if matches!(event, Event::SyncDone(_)) {
                break;
            }
        }
        Ok(())
    }

    fn send(&mut self, text: String) -> Sending {
        let id = new_client_message_id();
        if self.own.len() == OWN_MAX {
            self.own.pop_front();
        }
        self.own.push_back(id.clone());
        let to = match (&self.args.to, &self.args.room) {
            (Some(user), _) => To::user(user),
            (None, room) => To::room(room.clone().unwrap_or_default()),
        };
        let client = self.client.clone();
        Box::pin(async move {
            let answer = client.send_as(id.clone(), to, Content::Text(text)).await;
            (id, answer)
        })
    }

    fn show_answer(&mut self, id: &str, answer: Answer) -> Result<(), Failure> {
        match answer {
            Ok(reply) if self.args.json => {
                let mut sent = json!({ "sent": reply });
                sent["sent"]["clientMessageId"] = id.into();
                line(&sent.to_string())
            }
            Ok(reply) if reply.seq == 0 => {
                note("  sent");
                Ok(())
            }
            Ok(reply) => {
                note(&format!("  sent, number {} of this chat", reply.seq));
                Ok(())
            }
            Err(error) => {
                self.failed_count += 1;
                if self.args.json {
                    let failed = json!({ "clientMessageId": id, "message": error.to_string(), "retryable": error.is_retryable() });
                    line(&json!({ "failed": failed }).to_string())?;
                }
                let advice = if error.is_retryable() { "; send it again" } else { "" };
                note(&format!("  not sent: {error}{advice}"));
                Ok(())
            }
        }
    }

    fn show(&mut self, event: &Event) -> Result<(), Failure> {
        let is_own = |id: &str| self.own.iter().any(|own| own == id);
        match event {
            Event::State(state) => self.notes.state(state),
            Event::Message(message) if is_own(&message.client_message_id) => Ok(()),
            Event::Room(message) if message.client_message_id.as_deref().is_some_and(is_own) => Ok(()),
            event if self.args.json => event_text::json(event).map_or(Ok(()), |text| line(&text)),
            Event::Message(message) => {
                line(&event_text::message(message, &self.args.user, self.args.to.as_deref()))
            }
            Event::Room(message) => line(&event_text::room_message(message)),
            Event::Push(push) => line(&format!("push {}: {}", push.op, event_text::bytes(&push.body))),
            Event::SyncDone(_) | Event::Gap(_) | Event::Kicked(_) => Ok(()),
        }
    }
}

async fn next_line(lines: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => None,
    }
}

async fn wait_for(sending: &mut Option<Sending>) -> (String, Answer) {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

/// The lines of standard input, read by a thread of their own: a read cannot be interrupted, and must not
/// keep the process from ending.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for text in std::io::stdin().lock().lines() {
            match text {
                Ok(text) => {
                    if sender.blocking_send(text).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    note(&format!("the input ends here: {error}"));
                    break;
                }
            }
        }
    });
    receiver
}
