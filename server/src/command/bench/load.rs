//! The load: people on connections, each of whom reads all the time, and some of whom send in a closed loop.
//!
//! A sender has one message outstanding and sends the next when it was answered, at once or at its pace. Messages
//! carry the run's name, the sender's number, a number of their own and when they were sent, so that a reader knows
//! each of them, and what was lost or came twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anser_client::{Connection, Error, FromServer, Push, ReplyKind, RequestKind, To};
use protocol::client::{self, Message, message, send};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, sleep_until};

use super::super::failure::Failure;
use super::rounds::Faults;
use super::{Times, times};

/// An answer that takes longer than this is counted as an error, and ends its sender.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// How long the last messages may be on their way.
const ARRIVAL_WAIT: Duration = Duration::from_secs(5);

/// What everybody in a round shares.
pub(super) struct Run {
    /// Tells this run's messages from those of others.
    name: String,
    pub(super) began: Instant,
    until: Instant,
    answered_count: AtomicU64,
    received_count: AtomicU64,
    /// Bounds how far senders are ahead of a reader who gives back a permit for each message.
    pub(super) window: Option<Arc<Semaphore>>,
}

/// To whom a sender writes.
#[derive(Clone)]
pub(super) enum Target {
    /// To so many of these users, one after another: they lie evenly behind the sender's own place.
    Users { users: Arc<[String]>, partners: usize },
    /// To a group.
    Group(String),
}

/// What a person does beside reading.
#[derive(Clone)]
pub(super) enum Role {
    /// Reads only.
    Read,
    /// Reads, and gives senders leave to go on for each message.
    Pace,
    /// Sends, at once or once in so long.
    Send { number: usize, target: Target, every: Option<Duration> },
}

/// What one person, or all of them, saw.
pub(super) struct Seen {
    pub(super) answer_times: Times,
    pub(super) delivery_times: Times,
    pub(super) faults: Faults,
    /// When the last message arrived, in nanoseconds since the run began.
    pub(super) last_arrival: u64,
}

impl Seen {
    fn new() -> Result<Self, Failure> {
        let (answer_times, delivery_times) = (times()?, times()?);
        Ok(Self { answer_times, delivery_times, faults: Faults::default(), last_arrival: 0 })
    }

    fn add(&mut self, other: Self) {
        self.answer_times += other.answer_times;
        self.delivery_times += other.delivery_times;
        self.last_arrival = self.last_arrival.max(other.last_arrival);
        self.faults.add(&other.faults);
    }
}

impl Run {
    /// A run that begins now.
    pub(super) fn new(seconds: u64, window: Option<usize>) -> Arc<Self> {
        let began = Instant::now();
        Arc::new(Self {
            name: format!("bench-{:08x}", rand::random::<u32>()),
            began,
            until: began + Duration::from_secs(seconds),
            answered_count: AtomicU64::new(0),
            received_count: AtomicU64::new(0),
            window: window.map(|window| Arc::new(Semaphore::new(window))),
        })
    }

    /// Runs until the time is over and what was answered has arrived `copies` times; gives what all saw and how many
    /// seconds were sent.
    pub(super) async fn carry_out(
        self: Arc<Self>,
        people: Vec<(Connection, Role)>,
        copies: u64,
    ) -> Result<(Seen, f64), Failure> {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::with_capacity(people.len());
        for (connection, role) in people {
            let person = Person {
                run: Arc::clone(&self),
                connection,
                seen: Seen::new()?,
                last_numbers: HashMap::new(),
                paces: matches!(role, Role::Pace),
            };
            tasks.push(tokio::spawn(person.live(role, stopped.clone())));
        }
        sleep(self.until.saturating_duration_since(Instant::now())).await;
        let seconds = self.began.elapsed().as_secs_f64();
        self.wait_for_arrivals(copies).await;
        stop.send_replace(true);
        let mut all = Seen::new()?;
        for task in tasks {
            all.add(task.await.map_err(|error| Failure::failed(error.to_string()))?);
        }
        let expected = all.answer_times.len() * copies;
        all.faults.missing_count += expected.saturating_sub(all.delivery_times.len());
        Ok((all, seconds))
    }

    /// Waits for the last messages, but not long for those that will not come.
    async fn wait_for_arrivals(&self, copies: u64) {
        let until = Instant::now() + ARRIVAL_WAIT;
        loop {
            // A send that is outstanding when the time is over is answered a moment later.
            sleep(Duration::from_millis(20)).await;
            let wanted = self.answered_count.load(Ordering::Relaxed) * copies;
            if self.received_count.load(Ordering::Relaxed) >= wanted || Instant::now() >= until {
                return;
            }
        }
    }

    fn nanoseconds(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// The sender's number, the message's number and when it was sent; `None` where it is not of this run.
    fn parse(&self, message: &Message) -> Option<(usize, u64, u64)> {
        let Some(message::Content::Text(text)) = &message.content else { return None };
        let mut words = text.strip_prefix(self.name.as_str())?.trim_start().splitn(3, ' ');
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    }
}

struct Person {
    run: Arc<Run>,
    connection: Connection,
    seen: Seen,
    /// Of each sender: its messages come in its order, so a number that is not above the last one came before.
    last_numbers: HashMap<usize, u64>,
    paces: bool,
}

impl Person {
    async fn live(mut self, role: Role, mut stop: watch::Receiver<bool>) -> Seen {
        if let Role::Send { number, target, every } = role
            && let Err(error) = self.send_until_the_end(number, &target, every).await
        {
            self.seen.faults.error(error);
        }
        let reading = async {
            loop {
                match self.connection.next().await {
                    Ok(item) => self.take(item),
                    Err(error) => return self.seen.faults.error(format!("a connection: {error}")),
                }
            }
        };
        tokio::select! {
            () = reading => {}
            _ = stop.changed() => {}
        }
        self.seen
    }

    async fn send_until_the_end(
        &mut self,
        number: usize,
        target: &Target,
        every: Option<Duration>,
    ) -> Result<(), String> {
        let mut due = tokio::time::Instant::from_std(self.run.began);
        let mut count = 0;
        while Instant::now() < self.run.until {
            if let Some(every) = every {
                // The first ones are spread over a step, so that senders do not all begin at once.
                due += if count == 0 { every.mul_f64(rand::random::<f64>()) } else { every };
                self.read_until(due.min(tokio::time::Instant::from_std(self.run.until))).await?;
            }
            self.take_leave().await?;
            if Instant::now() >= self.run.until {
                break;
            }
            count += 1;
            self.send(number, count, target).await?;
        }
        Ok(())
    }

    /// Waits for leave to send, where there is a window, and reads meanwhile.
    async fn take_leave(&mut self) -> Result<(), String> {
        let Some(window) = self.run.window.clone() else { return Ok(()) };
        let mut leave = std::pin::pin!(window.acquire_owned());
        let until = tokio::time::Instant::from_std(self.run.until);
        loop {
            tokio::select! {
                permit = &mut leave => {
                    permit.map_err(|error| error.to_string())?.forget();
                    return Ok(());
                }
                item = self.connection.next() => {
                    let item = item.map_err(|error| error.to_string())?;
                    self.take(item);
                }
                () = sleep_until(until) => return Ok(()),
            }
        }
    }

    async fn read_until(&mut self, due: tokio::time::Instant) -> Result<(), String> {
        let mut waiting = std::pin::pin!(sleep_until(due));
        loop {
            tokio::select! {
                () = &mut waiting => return Ok(()),
                item = self.connection.next() => {
                    let item = item.map_err(|error| error.to_string())?;
                    self.take(item);
                }
            }
        }
    }

    /// Sends one message and reads until it is answered.
    async fn send(&mut self, sender: usize, count: u64, target: &Target) -> Result<(), String> {
        let to = match target {
            Target::Users { users, partners } => {
                let user = partner(sender, count as usize, users.len(), *partners);
                To::user(users[user].as_str())
            }
            Target::Group(group) => To::group(group.as_str()),
        };
        let run = Arc::clone(&self.run);
        let sent_at = run.nanoseconds();
        let request = RequestKind::Send(client::Send {
            to: Some(to.into()),
            client_message_id: format!("{}-{sender}-{count}", run.name),
            content: Some(send::Content::Text(format!("{} {sender} {count} {sent_at}", run.name))),
            ..client::Send::default()
        });
        let seq = self.connection.send(request).await.map_err(|error| error.to_string())?;
        let late_at = tokio::time::Instant::now() + ANSWER_WAIT;
        let mut late = std::pin::pin!(sleep_until(late_at));
        loop {
            let item = tokio::select! {
                biased;
                item = self.connection.next() => item.map_err(|error| error.to_string())?,
                () = &mut late => return Err(format!("no answer within {ANSWER_WAIT:?}")),
            };
            match item {
                FromServer::Reply(other, ReplyKind::Send(_)) if other == seq => break,
                FromServer::Reply(other, reply) if other == seq => return Err(refused(reply)),
                item => self.take(item),
            }
        }
        self.seen.answer_times.saturating_record(run.nanoseconds().saturating_sub(sent_at));
        run.answered_count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn take(&mut self, item: FromServer) {
        let FromServer::Push(Push::Message(message)) = item else { return };
        let Some((sender, number, sent_at)) = self.run.parse(&message) else { return };
        let last = self.last_numbers.entry(sender).or_default();
        if number <= *last {
            self.seen.faults.double_count += 1;
            return;
        }
        *last = number;
        let now = self.run.nanoseconds();
        self.seen.delivery_times.saturating_record(now.saturating_sub(sent_at));
        self.seen.last_arrival = now;
        self.run.received_count.fetch_add(1, Ordering::Relaxed);
        if self.paces
            && let Some(window) = &self.run.window
        {
            window.add_permits(1);
        }
    }
}

/// To whom of so many users the sender's next message goes; `partners` is below their number.
fn partner(sender: usize, count: usize, users: usize, partners: usize) -> usize {
    let stride = (users - 1) / partners;
    (sender + 1 + count % partners * stride) % users
}

fn refused(reply: ReplyKind) -> String {
    match reply {
        ReplyKind::Error(refusal) => Error::Refused(refusal).to_string(),
        _ => "the reply is not of its request's kind".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_sender_writes_to_as_many_others_as_it_has_partners_and_never_to_itself() {
        for (users, partners) in [(2, 1), (100, 99), (1_000, 99), (1_000, 999), (50, 7)] {
            let mut everybody = HashSet::new();
            for sender in 0..users.min(64) {
                let of_sender: HashSet<usize> =
                    (1..=5_000).map(|count| partner(sender, count, users, partners)).collect();
                assert_eq!(of_sender.len(), partners, "{users} users");
                assert!(!of_sender.contains(&sender));
                everybody.extend(of_sender);
            }
            assert!(everybody.len() * 10 >= users * 9, "{} of {users} users are written to", everybody.len());
        }
    }

    #[test]
    fn a_message_of_another_run_is_not_counted() {
        let run = Run::new(1, None);
        let message =
            |text: String| Message { content: Some(message::Content::Text(text)), ..Message::default() };
        assert_eq!(run.parse(&message(format!("{} 3 7 900", run.name))), Some((3, 7, 900)));
        assert_eq!(run.parse(&message("bench-other 3 7 900".to_owned())), None);
        assert_eq!(run.parse(&message("hi".to_owned())), None);
    }
}
