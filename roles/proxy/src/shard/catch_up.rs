//! Stored messages: straight out to who is live, by pages to who is behind (see [`crate::inbox`]).

use std::time::Duration;

use contracts::Result;
use contracts::im::{Page, Position};
use contracts::proxy::Payload;
use protocol::client;
use protocol::codec::Event;

use super::Shard;
use super::write::Sent;
use crate::connection::{ConnectionRef, Phase};
use crate::inbox::{Inbox, PageRequest, Progress};
use crate::send_queue::Class;
use crate::transport::EncodedPayload;

/// How long to wait before a page that could not be read is asked for again.
const PAGE_RETRY: Duration = Duration::from_secs(1);

impl Shard {
    pub(crate) fn inbox_mut(&mut self, place: ConnectionRef) -> Option<&mut Inbox> {
        let session = self.connection_mut(place)?.session.as_mut()?;
        Some(&mut session.inbox)
    }

    /// Goes on reading pages for a connection that is behind, as its queue has room.
    pub(crate) fn catch_up(&mut self, place: ConnectionRef) {
        let queue_bytes_max = self.hub.config.send_queue_bytes_max;
        let Some(connection) = self.connection_mut(place) else { return };
        if connection.phase != Phase::Open || connection.queued_bytes() > queue_bytes_max / 2 {
            return;
        }
        let dialect = connection.dialect();
        let Some(session) = &mut connection.session else { return };
        if !session.inbox.is_behind() || session.inbox.fetching {
            return;
        }
        let event = match session.inbox.progress() {
            Progress::Page(request) => return self.fetch(place, request),
            Progress::Done { inbox_seq } => Event::SyncDone(client::SyncDone { inbox_seq }),
            Progress::Gap { begin, end } => Event::Gap(client::Gap { begin, end }),
        };
        if let Some(bytes) = dialect.event(event) {
            self.send(place, bytes, Class::Reply);
        }
    }

    fn fetch(&mut self, place: ConnectionRef, request: PageRequest) {
        let im = self.calls().im;
        let Some(session) = self.connection_mut(place).and_then(|connection| connection.session.as_mut())
        else {
            return;
        };
        let Some(user) = session.user.clone() else { return };
        session.inbox.fetching = true;
        let page = async move { im.page(&user, request.begin, request.end, request.limit).await };
        self.later(page, move |shard, outcome| shard.fetched(place, request, outcome));
    }

    fn fetched(&mut self, place: ConnectionRef, request: PageRequest, outcome: Result<Page>) {
        match outcome {
            Ok(page) => {
                // Sending may find the queue drained, which asks for the next page: not before this one is sent.
                let top = page.top;
                if top < request.begin {
                    tracing::warn!(target: "proxy", top, begin = request.begin, "an inbox is behind what was pushed");
                    return self.fetch_again(place);
                }
                self.replay(place, request, page);
                if let Some(inbox) = self.inbox_mut(place) {
                    inbox.fetching = false;
                }
                self.catch_up(place);
            }
            Err(error) => {
                tracing::warn!(target: "proxy", %error, "a page of an inbox could not be read");
                self.fetch_again(place);
            }
        }
    }

    /// Goes on catching up after a while.
    fn fetch_again(&mut self, place: ConnectionRef) {
        self.later(tokio::time::sleep(PAGE_RETRY), move |shard, ()| {
            if let Some(inbox) = shard.inbox_mut(place) {
                inbox.fetching = false;
            }
            shard.catch_up(place);
        });
    }

    fn replay(&mut self, place: ConnectionRef, request: PageRequest, page: Page) {
        let queue_bytes_max = self.hub.config.send_queue_bytes_max;
        let chat_operation = self.hub.config.chat_operation;
        for mut message in page.messages {
            let Some(inbox_seq) = message.inbox_seq.take() else { continue };
            let Some(connection) = self.connection(place) else { return };
            if connection.queued_bytes() > queue_bytes_max / 2 && connection.blocked_since.is_some() {
                return;
            }
            let dialect = connection.dialect();
            let payload = Payload::Stored(message.into());
            let bytes = EncodedPayload::new(&payload, chat_operation).for_receiver(dialect, inbox_seq);
            if self.send(place, bytes, Class::Stored) != Sent::Taken {
                return;
            }
            self.hub.metrics.pushed.increment(1);
            if let Some(inbox) = self.inbox_mut(place) {
                inbox.replayed(inbox_seq);
            }
        }
        let covered = if page.next == 0 { page.top } else { page.next - 1 };
        if let Some(inbox) = self.inbox_mut(place) {
            inbox.covered(covered.min(request.end));
        }
    }

    /// A stock goim client acks nothing: its position moves when the bytes are written.
    pub(super) fn note_goim_position(&mut self, place: ConnectionRef) {
        let im = self.calls().im;
        let Some(connection) = self.connection_mut(place) else { return };
        let goim = connection.phase == Phase::Open && connection.dialect().is_goim();
        let Some(session) = connection.session.as_mut().filter(|_| goim) else { return };
        let Some(user) = &session.user else { return };
        let inbox_seq = session.inbox.sent_without_gap();
        if inbox_seq <= session.inbox.acked {
            return;
        }
        session.inbox.acked = inbox_seq;
        let position = Position { user: user.clone(), device: session.device.clone(), inbox_seq };
        self.later(async move { im.ack(vec![position]).await }, |_, outcome| {
            if let Err(error) = outcome {
                tracing::warn!(target: "proxy", %error, "a position could not be recorded");
            }
        });
    }

    /// A stock goim client finds no holes either: at its heartbeat the server looks for it.
    pub(crate) fn look_for_missed(&mut self, place: ConnectionRef) {
        let im = self.calls().im;
        let session = self.connection_mut(place).and_then(|connection| connection.session.as_mut());
        let Some(session) = session.filter(|session| session.dialect.is_goim()) else { return };
        let Some(user) = session.user.clone() else { return };
        if std::mem::replace(&mut session.inbox.looking, true) {
            return;
        }
        self.later(async move { im.inbox_tops(&[user]).await }, move |shard, outcome| {
            let Some(inbox) = shard.inbox_mut(place) else { return };
            inbox.looking = false;
            let Ok(tops) = outcome else { return };
            let top = tops.first().copied().unwrap_or(0);
            if !inbox.is_behind() && top > inbox.sent() {
                inbox.fall_behind(top);
                shard.catch_up(place);
            }
        });
    }
}
