//! `anser chat`: a person at a terminal, or a program that pipes lines in, talks to a user, in a group or in a room.

mod typed;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{BufRead, IsTerminal};
use std::pin::Pin;
use std::time::Duration;

use anser_client::{Client, Draft, Error, Event, Events, State, To, new_client_message_id};
use clap::Parser;
use protocol::client::{Message, ReadReply, RecallReply, Receipt, SendReply};
use protocol::{ConversationId, GroupId, Identifier as _, UserId};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use self::typed::{Typed, Words};
use super::connection_notes::ConnectionNotes;
use super::event_text;
use super::failure::Failure;
use super::output::{line, note, printable, until_the_reader_leaves};

/// How long to wait for the end of what was missed before lines are read.
const REPLAY_WAIT: Duration = Duration::from_secs(10);
/// Own messages that are known, should they come back.
const OWN_MAX: usize = 256;

/// Chats: lines typed or piped in are sent, what arrives is printed; what was missed comes first.
///
/// Lines are sent one after another, each when the one before was answered. With a pipe the command ends
/// when every line was answered; the exit code is 1 when one was refused. What arrives from whom is talked to
/// counts as read. A line that begins with a slash is a command: /help says which there are.
#[derive(Debug, Parser)]
#[command(group = clap::ArgGroup::new("receiver").required(true))]
#[command(
    after_help = "Example: anser chat --as alice --to bob\n         anser chat --as alice --group team"
)]
pub(crate) struct Args {
    /// Who you are. A server without --dev takes it from the token.
    #[arg(long = "as", value_name = "USER")]
    user: String,
    /// Whom to talk to.
    #[arg(long, value_name = "USER", group = "receiver")]
    to: Option<String>,
    /// A group to talk in; `anser group create` makes one.
    #[arg(long, value_name = "GROUP", group = "receiver")]
    group: Option<String>,
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
    /// Prints JSON, one object a line: what arrives as on the wire ({"message":…}, {"recalled":…}, {"typing":…}),
    /// and {"sent":…}, {"recall":…}, {"failed":…}.
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
    let mut chat = Chat {
        user: args.user.clone(),
        args,
        client,
        events,
        notes,
        own: VecDeque::new(),
        last_sent: None,
        shown_up_to: 0,
        read_up_to: 0,
        reading: None,
        failed_count: 0,
    };
    let result = chat.talk().await;
    chat.client.close().await;
    until_the_reader_leaves(result)
}

/// What a line came to.
enum Answer {
    Sent(String, Result<SendReply, Error>),
    Recalled(u64, Result<RecallReply, Error>),
}
type Asking = Pin<Box<dyn Future<Output = Answer>>>;
type Reading = Pin<Box<dyn Future<Output = Result<ReadReply, Error>>>>;

struct Chat {
    args: Args,
    /// Who this is, as the server has it.
    user: String,
    client: Client,
    events: Events,
    notes: ConnectionNotes,
    /// Client message ids of what was sent here.
    own: VecDeque<String>,
    last_sent: Option<u64>,
    /// Up to where the conversation was shown, and up to where the server was told so.
    shown_up_to: u64,
    read_up_to: u64,
    reading: Option<Reading>,
    failed_count: usize,
}

impl Chat {
    async fn talk(&mut self) -> Result<(), Failure> {
        if let Ok(result) = timeout(REPLAY_WAIT, self.show_missed()).await {
            result?;
        }
        if std::io::stdin().is_terminal() {
            note("type a line and press enter; /help says what else there is, control-D ends");
        }
        let mut lines = Some(read_lines());
        let mut asking: Option<Asking> = None;
        let mut leave_at = None;
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            if lines.is_none() && asking.is_none() && self.reading.is_none() {
                leave_at.get_or_insert_with(|| Instant::now() + Duration::from_secs(self.args.wait));
            }
            tokio::select! {
                text = next_line(&mut lines), if asking.is_none() && lines.is_some() => match text {
                    Some(text) => asking = self.take_line(&text),
                    None => lines = None,
                },
                answer = wait_for(&mut asking), if asking.is_some() => {
                    asking = None;
                    self.show_answer(answer)?;
                }
                read = wait_for(&mut self.reading), if self.reading.is_some() => {
                    self.reading = None;
                    if let Err(error) = read {
                        note(&format!("  the server does not know what was read: {error}"));
                    }
                    self.tell_read();
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
            count => Err(Failure::failed(format!("{count} of the lines were not carried out"))),
        }
    }

    /// Prints what came while this device was away.
    async fn show_missed(&mut self) -> Result<(), Failure> {
        while let Some(event) = self.events.next().await {
            self.show(&event)?;
            if matches!(event, Event::SuperGroupsDone(_)) {
                break;
            }
        }
        Ok(())
    }

    fn take_line(&mut self, text: &str) -> Option<Asking> {
        match typed::read(text)? {
            Typed::Send(words) => Some(self.send(words)),
            Typed::Recall(seq) => {
                let (Some(seq), Some(conversation)) = (seq.or(self.last_sent), self.conversation()) else {
                    self.refuse("there is nothing here to recall: a message of a room is not stored");
                    return None;
                };
                let client = self.client.clone();
                Some(Box::pin(async move { Answer::Recalled(seq, client.recall(conversation, seq).await) }))
            }
            Typed::Help => {
                note(typed::HELP);
                None
            }
            Typed::Unknown(what) => {
                self.refuse(&what);
                None
            }
        }
    }

    fn refuse(&mut self, what: &str) {
        self.failed_count += 1;
        note(&format!("  {what}"));
    }

    fn send(&mut self, words: Words) -> Asking {
        let id = new_client_message_id();
        if self.own.len() == OWN_MAX {
            self.own.pop_front();
        }
        self.own.push_back(id.clone());
        let mut draft =
            Draft::text(self.receiver(), words.text).client_message_id(id.clone()).reply_to(words.reply_to);
        for user in words.mentions {
            draft = draft.mention(user);
        }
        if words.mention_all {
            draft = draft.mention_all();
        }
        let client = self.client.clone();
        Box::pin(async move { Answer::Sent(id, client.send_draft(draft).await) })
    }

    fn receiver(&self) -> To {
        match (&self.args.to, &self.args.group, &self.args.room) {
            (Some(user), ..) => To::user(user),
            (_, Some(group), _) => To::group(group),
            (.., room) => To::room(room.clone().unwrap_or_default()),
        }
    }

    /// What is talked in; a room has none.
    fn conversation(&self) -> Option<String> {
        let id = match (&self.args.to, &self.args.group) {
            (Some(peer), _) => {
                ConversationId::single(&UserId::new(&self.user).ok()?, &UserId::new(peer).ok()?)
            }
            (None, group) => ConversationId::group(&GroupId::new(group.as_deref()?).ok()?),
        };
        Some(id.as_str().to_owned())
    }

    fn show_answer(&mut self, answer: Answer) -> Result<(), Failure> {
        match answer {
            Answer::Sent(id, Ok(reply)) => self.show_sent(&id, &reply),
            Answer::Recalled(seq, Ok(reply)) if self.args.json => {
                line(&json!({ "recall": { "target": seq, "seq": reply.seq } }).to_string())
            }
            Answer::Recalled(seq, Ok(_)) => {
                note(&format!("  recalled {seq}"));
                Ok(())
            }
            Answer::Sent(id, Err(error)) => {
                self.show_refusal("sent", &error, json!({ "clientMessageId": id }))
            }
            Answer::Recalled(seq, Err(error)) => {
                self.show_refusal("recalled", &error, json!({ "target": seq }))
            }
        }
    }

    fn show_sent(&mut self, id: &str, reply: &SendReply) -> Result<(), Failure> {
        if reply.seq > 0 {
            self.last_sent = Some(reply.seq);
        }
        if self.args.json {
            let mut sent = json!({ "sent": reply });
            sent["sent"]["clientMessageId"] = id.into();
            return line(&sent.to_string());
        }
        match reply.seq {
            0 => note("  sent"),
            seq => note(&format!("  ✓ sent [{seq}]")),
        }
        Ok(())
    }

    fn show_refusal(
        &mut self,
        what: &str,
        error: &Error,
        mut failed: serde_json::Value,
    ) -> Result<(), Failure> {
        self.failed_count += 1;
        if self.args.json {
            failed["message"] = error.to_string().into();
            failed["retryable"] = error.is_retryable().into();
            line(&json!({ "failed": failed }).to_string())?;
        }
        let advice = if error.is_retryable() { "; try again" } else { "" };
        note(&format!("  not {what}: {error}{advice}"));
        Ok(())
    }

    fn show(&mut self, event: &Event) -> Result<(), Failure> {
        let is_own = |id: &str| self.own.iter().any(|own| own == id);
        match event {
            Event::State(state) => {
                if let State::Live(reply) = state {
                    self.user.clone_from(&reply.user);
                }
                self.notes.state(state)
            }
            Event::Message(message) if is_own(&message.client_message_id) => Ok(()),
            Event::Room(message) if message.client_message_id.as_deref().is_some_and(is_own) => Ok(()),
            event => {
                if let Event::Message(message) = event {
                    self.mark_read(message);
                }
                match event_text::json(event) {
                    Some(text) if self.args.json => line(&text),
                    Some(_) => self.show_to_people(event),
                    None => Ok(()),
                }
            }
        }
    }

    fn show_to_people(&self, event: &Event) -> Result<(), Failure> {
        let with = self.args.to.as_deref().or(self.args.group.as_deref());
        match event {
            Event::Message(message) => line(&event_text::row(message, &self.user, with)),
            Event::Recalled(_) | Event::GroupEvent(_) => {
                event_text::control(event, with).map_or(Ok(()), |text| line(&text))
            }
            Event::Room(message) => line(&event_text::room_message(message)),
            Event::Receipt(receipt) => {
                self.show_receipt(receipt);
                Ok(())
            }
            Event::Typing(typing) => {
                if self.conversation().as_deref() == Some(typing.conversation.as_str()) {
                    note(&format!("  {} is writing …", printable(&typing.user)));
                }
                Ok(())
            }
            // It tells other devices what this one has done.
            Event::Conversation(_) => Ok(()),
            event => event_text::line(event, &self.user).map_or(Ok(()), |text| line(&text)),
        }
    }

    fn show_receipt(&self, receipt: &Receipt) {
        if self.conversation().as_deref() != Some(receipt.conversation.as_str()) {
            return;
        }
        let by = if self.args.group.is_some() {
            format!(" by {}", printable(&receipt.user))
        } else {
            String::new()
        };
        match (receipt.delivered, receipt.read) {
            (_, Some(seq)) => note(&format!("  ✓✓ read{by} up to [{seq}]")),
            (Some(seq), None) => note(&format!("  ✓✓ received{by} up to [{seq}]")),
            (None, None) => {}
        }
    }

    /// Takes a message for read, since it is shown.
    fn mark_read(&mut self, message: &Message) {
        let is_here = self.conversation().as_deref() == Some(message.conversation.as_str());
        if is_here && message.sender != self.user {
            self.shown_up_to = self.shown_up_to.max(message.seq);
            self.tell_read();
        }
    }

    /// Tells the server what was read; what is shown meanwhile is told afterwards.
    fn tell_read(&mut self) {
        let Some(conversation) = self.conversation() else { return };
        if self.shown_up_to > self.read_up_to && self.reading.is_none() {
            let (client, seq) = (self.client.clone(), self.shown_up_to);
            self.read_up_to = seq;
            self.reading = Some(Box::pin(async move { client.read(conversation, seq).await }));
        }
    }
}

async fn next_line(lines: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => None,
    }
}

async fn wait_for<T>(asking: &mut Option<Pin<Box<dyn Future<Output = T>>>>) -> T {
    match asking {
        Some(asking) => asking.await,
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
