//! One connection to a proxy: nothing is repeated, nothing is sent that was not asked for.
//!
//! The level of tests and load generators, and what [`Client`](crate::Client) stands on. Requests may be
//! pipelined: [`Connection::send`] gives the seq by which [`Connection::reply`] finds the answer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use protocol::client;
use protocol::codec::{FromServer, ReplyKind, RequestKind};

use crate::reply::{Answer, expect};
use crate::transport::Link;
use crate::{Endpoint, Error, Push};

/// Things read while waiting for something else; beyond it the oldest is dropped and counted.
const BACKLOG_MAX: usize = 4096;

/// One connection. Dropping it closes the socket.
pub struct Connection {
    link: Link,
    seq: i32,
    unflushed: bool,
    write_failed: Option<Error>,
    ended: Option<Error>,
    kicked: Option<client::Kicked>,
    backlog: VecDeque<FromServer>,
    dropped_count: u64,
}

impl Connection {
    /// Connects; the first request has to be auth. There is no time limit: wrap it in one.
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers, [`Error::Refused`] when the handshake is refused.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, Error> {
        Ok(Self {
            link: Link::open(endpoint).await?,
            seq: 0,
            unflushed: false,
            write_failed: None,
            ended: None,
            kicked: None,
            backlog: VecDeque::new(),
            dropped_count: 0,
        })
    }

    /// Sends a request and gives its seq; what arrives meanwhile is kept for later.
    ///
    /// # Errors
    /// Why the connection ended.
    pub async fn send(&mut self, request: RequestKind) -> Result<u64, Error> {
        let seq = self.queue(request);
        poll_fn(|context| {
            loop {
                if self.poll_flush(context).is_ready() {
                    return Poll::Ready(());
                }
                match self.poll_read(context) {
                    Poll::Ready(Ok(item)) => self.keep(item),
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
        match self.ended.as_ref().or(self.write_failed.as_ref()) {
            Some(error) => Err(error.clone()),
            None => Ok(seq),
        }
    }

    /// Waits for the reply to the request of this seq; what else arrives is kept for later.
    ///
    /// # Errors
    /// Why the connection ended. A refusal is a reply and no error here.
    pub async fn reply(&mut self, seq: u64) -> Result<ReplyKind, Error> {
        let found = |item: &FromServer| matches!(item, FromServer::Reply(other, _) if *other == seq);
        let mut item = match self.backlog.iter().position(found) {
            Some(index) => self.backlog.remove(index),
            None => None,
        };
        loop {
            match item {
                Some(FromServer::Reply(other, reply)) if other == seq => return Ok(reply),
                Some(item) => self.keep(item),
                None => {}
            }
            item = Some(self.read().await?);
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// Why the connection ended, or the server's refusal.
    pub async fn request<T: Answer>(&mut self, request: RequestKind) -> Result<T, Error> {
        let seq = self.send(request).await?;
        expect(self.reply(seq).await?)
    }

    /// Waits for the next push; replies that arrive are kept for later.
    ///
    /// # Errors
    /// Why the connection ended.
    pub async fn next_push(&mut self) -> Result<Push, Error> {
        let found = |item: &FromServer| matches!(item, FromServer::Push(_));
        let mut item = match self.backlog.iter().position(found) {
            Some(index) => self.backlog.remove(index),
            None => None,
        };
        loop {
            match item {
                Some(FromServer::Push(push)) => return Ok(push),
                Some(item) => self.keep(item),
                None => {}
            }
            item = Some(self.read().await?);
        }
    }

    /// Waits for whatever the server says next. Safe to drop and call again.
    ///
    /// # Errors
    /// Why the connection ended: by a close code if the server gave one.
    pub async fn next(&mut self) -> Result<FromServer, Error> {
        match self.backlog.pop_front() {
            Some(item) => Ok(item),
            None => self.read().await,
        }
    }

    /// Says who is there; the first request.
    ///
    /// # Errors
    /// Why the connection ended, or the server's refusal.
    pub async fn auth(&mut self, auth: client::Auth) -> Result<client::AuthReply, Error> {
        self.request(RequestKind::Auth(auth)).await
    }

    /// How many things were dropped because nobody asked for them and too many were kept.
    #[must_use]
    pub fn dropped_count(&self) -> u64 {
        self.dropped_count
    }

    /// Says goodbye and closes.
    pub async fn close(mut self) {
        self.link.close().await;
    }

    /// Takes a request to be written while [`Self::next`] is waited for, and gives its seq.
    pub(crate) fn queue(&mut self, request: RequestKind) -> u64 {
        self.seq = if self.seq == i32::MAX { 1 } else { self.seq + 1 };
        self.link.queue(self.seq, request);
        self.unflushed = true;
        u64::from(self.seq.cast_unsigned())
    }

    async fn read(&mut self) -> Result<FromServer, Error> {
        poll_fn(|context| {
            // What could not be written is told by the reading side, which knows the server's reason.
            let _ = self.poll_flush(context);
            self.poll_read(context)
        })
        .await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.unflushed || self.write_failed.is_some() {
            return Poll::Ready(());
        }
        self.link.poll_flush(context).map(|result| {
            self.unflushed = false;
            self.write_failed = result.err();
        })
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<FromServer, Error>> {
        if let Some(error) = &self.ended {
            return Poll::Ready(Err(error.clone()));
        }
        let item = std::task::ready!(self.link.poll_read(context));
        Poll::Ready(match item {
            Ok(FromServer::Push(Push::Kicked(kicked))) => {
                self.kicked = Some(kicked.clone());
                Ok(FromServer::Push(Push::Kicked(kicked)))
            }
            Ok(item) => Ok(item),
            Err(error) => {
                // The server's reason, if it gave one before the end, says more than the end.
                let error = self.kicked.take().map_or(error, Error::Closed);
                self.ended = Some(error.clone());
                Err(error)
            }
        })
    }

    fn keep(&mut self, item: FromServer) {
        if self.backlog.len() == BACKLOG_MAX {
            self.backlog.pop_front();
            self.dropped_count += 1;
        }
        self.backlog.push_back(item);
    }
}
