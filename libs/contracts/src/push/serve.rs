//! push's contract, answered over gRPC.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use crate::convert::{unreadable, users};
use crate::push::convert::{of_event_pushes, of_stored_pushes};
use crate::push::remote::{EVENTS, STORED};
use crate::push::{Outcome, Push};
use crate::server::answer;
use crate::stream::{self, AnswerStream, Bulk, Order};
use crate::wire;
use crate::wire::push_server::PushServer;

type Reply<T> = Result<Response<T>, Status>;

/// The service of this push.
pub(crate) fn service(push: Arc<dyn Push>, closing: watch::Receiver<bool>) -> PushServer<Serve> {
    PushServer::new(Serve { push, closing })
}

pub(crate) struct Serve {
    push: Arc<dyn Push>,
    closing: watch::Receiver<bool>,
}

/// What goes through the stream.
struct Carried(Arc<dyn Push>);

#[async_trait]
impl Bulk for Carried {
    const NAME: &'static str = "push.stream";
    const ORDER: Order = Order::Overlapping;

    async fn call(&self, method: u32, bodies: Vec<Bytes>) -> crate::Result<Bytes> {
        for body in bodies {
            match method {
                STORED => self.0.push_stored(of_stored_pushes(body)?).await?,
                EVENTS => self.0.push_events(of_event_pushes(body)?).await?,
                unknown => return Err(unreadable("a frame for push", format!("method {unknown}"))),
            }
        }
        Ok(Bytes::new())
    }
}

fn outcomes(outcomes: Vec<Outcome>) -> wire::Outcomes {
    wire::Outcomes { outcomes: outcomes.into_iter().map(|one| wire::Outcome::from(one).into()).collect() }
}

#[tonic::async_trait]
impl wire::push_server::Push for Serve {
    type StreamStream = AnswerStream;

    async fn stream(&self, request: Request<Streaming<wire::Frames>>) -> Reply<AnswerStream> {
        let carried = Arc::new(Carried(Arc::clone(&self.push)));
        Ok(Response::new(stream::answer(carried, request.into_inner(), self.closing.clone())))
    }

    async fn set_memberships(&self, request: Request<wire::Memberships>) -> Reply<wire::Empty> {
        answer(request, "push.set_memberships", |message| async move {
            let memberships = message.memberships.into_iter().map(TryInto::try_into);
            self.push.set_memberships(memberships.collect::<crate::Result<_>>()?).await?;
            Ok(wire::Empty {})
        })
        .await
    }

    async fn where_are(&self, request: Request<wire::Ids>) -> Reply<wire::WhereaboutsReply> {
        answer(request, "push.whereabouts", |message| async move {
            let whereabouts = self.push.whereabouts(&users(&message.ids)?).await?;
            Ok(wire::WhereaboutsReply { whereabouts: whereabouts.into_iter().map(Into::into).collect() })
        })
        .await
    }

    async fn push_to_users(&self, request: Request<wire::OperationForMany>) -> Reply<wire::Outcomes> {
        answer(request, "push.push_to_users", |message| async move {
            let wire::OperationForMany { targets, operation, body } = message;
            self.push.push_to_users(users(&targets)?, operation, body).await.map(outcomes)
        })
        .await
    }

    async fn push_to_keys(&self, request: Request<wire::OperationForMany>) -> Reply<wire::Outcomes> {
        answer(request, "push.push_to_keys", |message| async move {
            let wire::OperationForMany { targets, operation, body } = message;
            self.push.push_to_keys(targets, operation, body).await.map(outcomes)
        })
        .await
    }
}
