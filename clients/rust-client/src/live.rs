//! One connection of a session while it lives: what is asked on it, and when.

use std::collections::HashMap;
use std::time::Duration;

use protocol::client;
use protocol::codec::{self, FromServer, ReplyKind, RequestKind};
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::Command;
use crate::event::Event;
use crate::session::{Moved, Session};
use crate::{Connection, Error, Push};

/// The bounds of the server's wish for heartbeats.
const HEARTBEAT_RANGE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3600));
/// The longest wait that a server may ask for before the next connection.
const MOVE_WAIT_MAX: Duration = Duration::from_secs(300);
/// How long saying goodbye may take.
const GOODBYE_WAIT: Duration = Duration::from_secs(1);

/// On whose behalf something was asked.
enum Asked {
    Application(u64),
    Heartbeat,
    Ack { before: u64 },
    Sync,
    GroupTops,
    SyncGroups,
    Watch,
}

/// A connection with what is owed on it.
pub(crate) struct Live {
    connection: Connection,
    asked: HashMap<u64, Asked>,
    heartbeat_every: Duration,
    last_sent: Instant,
    /// Since when an answer is owed and nothing was heard.
    unheard_since: Option<Instant>,
    ack_at: Option<Instant>,
}

impl Live {
    fn new(connection: Connection, reply: &client::AuthReply) -> Self {
        let (shortest, longest) = HEARTBEAT_RANGE;
        Self {
            connection,
            asked: HashMap::new(),
            heartbeat_every: Duration::from_millis(reply.heartbeat_ms).clamp(shortest, longest),
            last_sent: Instant::now(),
            unheard_since: None,
            ack_at: None,
        }
    }

    fn ask(&mut self, asked: Asked, request: RequestKind) {
        let seq = self.connection.queue(request);
        self.asked.insert(seq, asked);
        self.last_sent = Instant::now();
        self.unheard_since.get_or_insert(self.last_sent);
    }

    fn heard(&mut self) {
        self.unheard_since = (!self.asked.is_empty()).then(Instant::now);
    }
}

impl Session {
    /// Works on a connection until it ends; gives the reason.
    pub(crate) async fn live(&mut self, connection: Connection, reply: &client::AuthReply) -> Error {
        let mut live = Live::new(connection, reply);
        self.acked_up_to = reply.acked_up_to;
        if self.inbox.position().is_some_and(|position| position > reply.inbox_top) {
            // Past the top is a wish for no replay, not a claim to have received what is there.
            self.acked_up_to = reply.inbox_top;
        }
        let now = Instant::now();
        self.inbox.connected(reply, now);
        self.super_groups.connected(reply, now);
        if !self.watched.is_empty() {
            let users = self.watched.iter().cloned().collect();
            live.ask(Asked::Watch, RequestKind::Watch(client::Watch { users }));
        }
        for (id, request) in self.pending.unanswered() {
            live.ask(Asked::Application(id), request);
        }
        loop {
            let due = match self.act(&mut live) {
                Ok(due) => due,
                Err(error) => return error,
            };
            tokio::select! {
                item = live.connection.next() => {
                    if let Err(error) = item.and_then(|item| self.take(&mut live, item)) {
                        return error;
                    }
                }
                command = self.commands.recv() => match command {
                    Some(Command::Request(request)) => {
                        let kind = request.request.clone();
                        let id = self.pending.add(*request);
                        live.ask(Asked::Application(id), kind);
                    }
                    Some(Command::Close) | None => {
                        // What takes longer than this is not worth waiting for.
                        let _ = timeout(GOODBYE_WAIT, self.say_goodbye(live)).await;
                        return Error::Stopped;
                    }
                },
                () = self.queue.taken() => {}
                () = sleep_until(due) => {}
            }
        }
    }

    /// Does what is due and gives the time at which something will be.
    fn act(&mut self, live: &mut Live) -> Result<Instant, Error> {
        let now = Instant::now();
        let silent_at = live.unheard_since.map(|since| since + self.config.timing.silence);
        if silent_at.is_some_and(|at| now >= at) {
            return Err(Error::Timeout { what: "a request".to_owned(), after: self.config.timing.silence });
        }
        let moved_at = self.moved.as_ref().map(|moved| moved.at);
        if moved_at.is_some_and(|at| now >= at) {
            return Err(Error::Lost("the server asked to connect again".to_owned()));
        }
        if let Some(sync) = self.inbox.ask(&self.queue, now) {
            live.ask(Asked::Sync, RequestKind::Sync(sync));
        }
        self.ask_for_super_groups(live, now);
        self.ack(live, now);
        if now >= live.last_sent + live.heartbeat_every {
            live.ask(Asked::Heartbeat, RequestKind::Heartbeat(client::Heartbeat {}));
        }
        let heartbeat_at = live.last_sent + live.heartbeat_every;
        let silent_at = live.unheard_since.map(|since| since + self.config.timing.silence);
        let inbox_at = self.inbox.ask_at(&self.queue);
        let groups_at = self.super_groups.ask_at(self.queue.has_room());
        let others = [silent_at, moved_at, live.ack_at, inbox_at, groups_at];
        Ok(others.into_iter().flatten().fold(heartbeat_at, Instant::min))
    }

    /// Tells and asks what is due of super groups, once the inbox, in which their rows from before a conversion lie,
    /// is up to date.
    fn ask_for_super_groups(&mut self, live: &mut Live, now: Instant) {
        for (conversation, seq) in self.inbox.take_converted() {
            self.super_groups.converted(&conversation, seq, now);
        }
        if self.inbox.is_live() {
            let rows = self.super_groups.open(self.queue.has_room(), now);
            self.tell_rows(rows);
        }
        if let Some(tops) = self.super_groups.ask_tops(now) {
            live.ask(Asked::GroupTops, RequestKind::GroupTops(tops));
        }
        if let Some(sync) = self.super_groups.ask(self.queue.has_room(), now) {
            live.ask(Asked::SyncGroups, RequestKind::SyncGroups(sync));
        }
        if let Some(positions) = self.super_groups.take_done() {
            self.queue.put_notice(Event::SuperGroupsDone(positions));
        }
    }

    fn tell_rows(&mut self, rows: Vec<client::Message>) {
        for row in rows {
            self.inbox.tell(row, &self.queue);
        }
    }

    /// Acks what the application took, not too often.
    fn ack(&mut self, live: &mut Live, now: Instant) {
        let Some(inbox_seq) = self.to_ack() else { return };
        let at = *live.ack_at.get_or_insert(now + self.config.timing.ack);
        if now >= at {
            live.ack_at = None;
            let before = std::mem::replace(&mut self.acked_up_to, inbox_seq);
            live.ask(Asked::Ack { before }, RequestKind::Ack(client::Ack { inbox_seq }));
        }
    }

    fn to_ack(&self) -> Option<u64> {
        let position = self.inbox.position().filter(|_| self.config.auto_ack)?;
        self.queue.taken_up_to(position).filter(|inbox_seq| *inbox_seq > self.acked_up_to)
    }

    /// Takes what the server said.
    fn take(&mut self, live: &mut Live, item: FromServer) -> Result<(), Error> {
        let result = match item {
            FromServer::Reply(seq, reply) => {
                self.take_reply(live.asked.remove(&seq), reply);
                Ok(())
            }
            FromServer::Push(push) => self.take_push(push),
            FromServer::Other(_) => Ok(()),
        };
        live.heard();
        result
    }

    fn take_reply(&mut self, asked: Option<Asked>, reply: ReplyKind) {
        let now = Instant::now();
        match (asked, reply) {
            (Some(Asked::Application(id)), reply) => self.take_answer(id, reply, now),
            (Some(Asked::Sync), ReplyKind::Sync(page)) => self.inbox.page(page, &self.queue, now),
            (Some(Asked::Sync), _) => self.inbox.page_failed(now),
            // It is said again with the next wait.
            (Some(Asked::Ack { before }), ReplyKind::Error(_)) => self.acked_up_to = before,
            (Some(Asked::Heartbeat), ReplyKind::Heartbeat(reply)) => self.take_tops(&reply, now),
            (Some(Asked::GroupTops), ReplyKind::GroupTops(page)) => self.super_groups.tops_page(&page, now),
            (Some(Asked::GroupTops), _) => self.super_groups.tops_failed(now),
            (Some(Asked::SyncGroups), ReplyKind::SyncGroups(reply)) => {
                let rows = self.super_groups.page(reply, self.queue.has_room(), now);
                self.tell_rows(rows);
            }
            (Some(Asked::SyncGroups), ReplyKind::Error(refusal)) => {
                self.super_groups.page_failed(Some(&refusal), now);
            }
            (Some(Asked::SyncGroups), _) => self.super_groups.page_failed(None, now),
            (Some(Asked::Watch), ReplyKind::Watch(reply)) => self.tell_presence(reply),
            _ => {}
        }
    }

    fn take_tops(&mut self, reply: &client::HeartbeatReply, now: Instant) {
        self.inbox.top(reply.inbox_top, now);
        self.super_groups.heartbeat(&reply.groups, now);
    }

    /// Tells who came or went while nobody could say so.
    fn tell_presence(&self, reply: client::WatchReply) {
        for user in reply.users {
            let client::UserPresence { user, online: Some(online), last_seen_ms, .. } = user else {
                continue;
            };
            self.queue.put_unstored(Event::Presence(client::PresencePush { user, online, last_seen_ms }));
        }
    }

    /// Takes the answer to a request of the application, and what this device learns from it.
    fn take_answer(&mut self, id: u64, reply: ReplyKind, now: Instant) {
        let Some(request) = self.pending.answered(id) else { return };
        match (&request.request, &reply) {
            (_, ReplyKind::Send(reply)) => {
                self.inbox.own(reply, &self.queue, now);
                self.super_groups.own(&reply.conversation, reply.seq, now);
            }
            (_, ReplyKind::Heartbeat(reply)) => self.take_tops(reply, now),
            (_, ReplyKind::Ack(reply)) => self.acked_up_to = self.acked_up_to.max(reply.acked_up_to),
            (RequestKind::Join(join), ReplyKind::Join(_)) => self.rooms.extend(join.rooms.iter().cloned()),
            (RequestKind::Leave(leave), ReplyKind::Leave(_)) => {
                for room in &leave.rooms {
                    self.rooms.remove(room);
                }
            }
            (RequestKind::Watch(watch), ReplyKind::Watch(_)) => {
                self.watched.extend(watch.users.iter().cloned());
            }
            (RequestKind::Unwatch(unwatch), ReplyKind::Unwatch(_)) => {
                let users = &unwatch.users;
                self.watched.retain(|user| !users.is_empty() && !users.contains(user));
            }
            _ => {}
        }
        request.finish(reply);
    }

    fn take_push(&mut self, push: Push) -> Result<(), Error> {
        let now = Instant::now();
        match push {
            Push::Message(_) | Push::Recalled(_) | Push::GroupEvent(_) => self.take_row(push, now),
            Push::Receipt(receipt) => self.queue.put_unstored(Event::Receipt(receipt)),
            Push::Typing(typing) => self.queue.put_unstored(Event::Typing(typing)),
            Push::Presence(presence) => self.queue.put_unstored(Event::Presence(presence)),
            Push::GroupRequest(request) => self.queue.put_unstored(Event::GroupRequest(request)),
            Push::Conversation(conversation) => {
                self.super_groups.conversation(&conversation, now);
                self.queue.put_unstored(Event::Conversation(conversation));
            }
            Push::Room(message) => self.queue.put_unstored(Event::Room(message)),
            Push::Push(push) => self.queue.put_unstored(Event::Push(push)),
            Push::SyncDone(done) => self.inbox.sync_done(done.inbox_seq, &self.queue, now),
            Push::Gap(gap) => self.inbox.gap(gap, &self.queue, now),
            Push::Kicked(kicked) => return Err(Error::Closed(kicked)),
            Push::Reconnect(reconnect) => {
                let wait = Duration::from_millis(reconnect.after_ms).min(MOVE_WAIT_MAX);
                self.moved = Some(Moved { at: now + wait, url: reconnect.url });
            }
        }
        Ok(())
    }

    /// Takes a stored row: those of super groups are in no inbox.
    fn take_row(&mut self, push: Push, now: Instant) {
        let Some(row) = codec::row_of_event(push) else { return };
        if row.inbox_seq.is_some() {
            self.inbox.message(row, &self.queue, now);
        } else {
            let rows = self.super_groups.row(row, self.queue.has_room(), now);
            self.tell_rows(rows);
        }
    }

    /// Acks what was taken so far, so that it is not replayed the next time, and closes.
    async fn say_goodbye(&mut self, mut live: Live) {
        if let Some(inbox_seq) = self.to_ack() {
            live.ask(Asked::Ack { before: 0 }, RequestKind::Ack(client::Ack { inbox_seq }));
            while live.asked.values().any(|asked| matches!(asked, Asked::Ack { .. })) {
                match live.connection.next().await {
                    Ok(FromServer::Reply(seq, _)) => {
                        live.asked.remove(&seq);
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        }
        live.connection.close().await;
    }
}
