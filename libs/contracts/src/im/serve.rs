//! im's contract, answered over gRPC.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use protocol::client;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use crate::convert::{conversation, decode, device, unreadable, user, users};
use crate::im::Im;
use crate::im::convert::of_ask_request;
use crate::im::remote::SEND;
use crate::server::answer;
use crate::stream::{self, AnswerStream, Bulk, Order};
use crate::wire;
use crate::wire::im_server::ImServer;

type Reply<T> = Result<Response<T>, Status>;

/// The service of this im.
pub(crate) fn service(im: Arc<dyn Im>, closing: watch::Receiver<bool>) -> ImServer<Serve> {
    ImServer::new(Serve { im, closing })
}

pub(crate) struct Serve {
    im: Arc<dyn Im>,
    closing: watch::Receiver<bool>,
}

/// What goes through the stream.
struct Carried(Arc<dyn Im>);

#[async_trait]
impl Bulk for Carried {
    const NAME: &'static str = "im.send";
    const ORDER: Order = Order::Overlapping;

    async fn call(&self, method: u32, bodies: Vec<Bytes>) -> crate::Result<Bytes> {
        let mut reply = Bytes::new();
        for body in bodies {
            let SEND = method else {
                return Err(unreadable("a frame for im", format!("method {method}")));
            };
            let request: wire::SendRequest = decode("a message to be sent", body)?;
            reply = self.0.send(request.try_into()?).await?.encode_to_vec().into();
        }
        Ok(reply)
    }
}

#[tonic::async_trait]
impl wire::im_server::Im for Serve {
    type StreamStream = AnswerStream;

    async fn stream(&self, request: Request<Streaming<wire::Frames>>) -> Reply<AnswerStream> {
        let carried = Arc::new(Carried(Arc::clone(&self.im)));
        Ok(Response::new(stream::answer(carried, request.into_inner(), self.closing.clone())))
    }

    async fn ask(&self, request: Request<wire::AskRequest>) -> Reply<client::Reply> {
        answer(request, "im.ask", |message| async move {
            let (asker, request) = of_ask_request(message)?;
            let reply = self.im.ask(asker, request).await?;
            Ok(client::Reply { seq: 0, reply: Some(reply) })
        })
        .await
    }

    async fn super_groups(&self, request: Request<wire::UserOnly>) -> Reply<wire::SuperGroupsReply> {
        answer(request, "im.super_groups", |message| async move {
            let groups = self.im.super_groups(&user(&message.user)?).await?;
            Ok(wire::SuperGroupsReply { groups: groups.into_iter().map(Into::into).collect() })
        })
        .await
    }

    async fn group_tops(&self, request: Request<wire::Ids>) -> Reply<wire::Numbers> {
        answer(request, "im.group_tops", |message| async move {
            let conversations = message.ids.iter().map(|text| conversation(text));
            let conversations = conversations.collect::<crate::Result<Vec<_>>>()?;
            Ok(wire::Numbers { numbers: self.im.group_tops(&conversations).await? })
        })
        .await
    }

    async fn resume(&self, request: Request<wire::ResumeRequest>) -> Reply<wire::Resumed> {
        answer(request, "im.resume", |message| async move {
            let (user, device) = (user(&message.user)?, device(&message.device)?);
            self.im.resume(&user, &device, message.held_up_to).await.map(Into::into)
        })
        .await
    }

    async fn page(&self, request: Request<wire::PageRequest>) -> Reply<wire::PageReply> {
        answer(request, "im.page", |message| async move {
            let wire::PageRequest { user: whose, begin, end, limit } = message;
            self.im.page(&user(&whose)?, begin, end, limit).await.map(Into::into)
        })
        .await
    }

    async fn ack(&self, request: Request<wire::Positions>) -> Reply<wire::Empty> {
        answer(request, "im.ack", |message| async move {
            let positions = message.positions.into_iter().map(TryInto::try_into);
            self.im.ack(positions.collect::<crate::Result<_>>()?).await?;
            Ok(wire::Empty {})
        })
        .await
    }

    async fn inbox_tops(&self, request: Request<wire::Ids>) -> Reply<wire::Numbers> {
        answer(request, "im.inbox_tops", |message| async move {
            Ok(wire::Numbers { numbers: self.im.inbox_tops(&users(&message.ids)?).await? })
        })
        .await
    }
}
