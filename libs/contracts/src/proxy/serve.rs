//! A proxy's contract, answered over gRPC.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use crate::convert::{decode, unreadable};
use crate::proxy::Proxy;
use crate::proxy::convert::{of_deliveries, of_room_deliveries};
use crate::proxy::remote::{BROADCAST, DELIVER, DELIVER_TO_ROOMS};
use crate::server::answer;
use crate::stream::{self, AnswerStream, Bulk, Order};
use crate::wire;
use crate::wire::proxy_server::ProxyServer;

type Reply<T> = Result<Response<T>, Status>;

/// The service of this proxy.
pub(crate) fn service(proxy: Arc<dyn Proxy>, closing: watch::Receiver<bool>) -> ProxyServer<Serve> {
    ProxyServer::new(Serve { proxy, closing })
}

pub(crate) struct Serve {
    proxy: Arc<dyn Proxy>,
    closing: watch::Receiver<bool>,
}

/// What goes through the stream.
struct Carried(Arc<dyn Proxy>);

#[async_trait]
impl Bulk for Carried {
    const NAME: &'static str = "proxy.stream";
    const ORDER: Order = Order::OneByOne;

    async fn call(&self, method: u32, bodies: Vec<Bytes>) -> crate::Result<Bytes> {
        match method {
            DELIVER => {
                let mut deliveries = Vec::with_capacity(bodies.len());
                bodies.into_iter().try_for_each(|body| of_deliveries(body, &mut deliveries))?;
                self.0.deliver(deliveries).await?;
            }
            DELIVER_TO_ROOMS => {
                let mut deliveries = Vec::with_capacity(bodies.len());
                bodies.into_iter().try_for_each(|body| of_room_deliveries(body, &mut deliveries))?;
                self.0.deliver_to_rooms(deliveries).await?;
            }
            BROADCAST => {
                for body in bodies {
                    let delivery: wire::BroadcastDelivery = decode("a broadcast", body)?;
                    self.0.broadcast(delivery.into()).await?;
                }
            }
            unknown => return Err(unreadable("a frame for a proxy", format!("method {unknown}"))),
        }
        Ok(Bytes::new())
    }
}

#[tonic::async_trait]
impl wire::proxy_server::Proxy for Serve {
    type StreamStream = AnswerStream;

    async fn stream(&self, request: Request<Streaming<wire::Frames>>) -> Reply<AnswerStream> {
        let carried = Arc::new(Carried(Arc::clone(&self.proxy)));
        Ok(Response::new(stream::answer(carried, request.into_inner(), self.closing.clone())))
    }

    async fn set_memberships(&self, request: Request<wire::MembershipChanges>) -> Reply<wire::Empty> {
        answer(request, "proxy.set_memberships", |message| async move {
            let changes = message.changes.into_iter().map(TryInto::try_into);
            self.proxy.set_memberships(changes.collect::<crate::Result<_>>()?).await?;
            Ok(wire::Empty {})
        })
        .await
    }

    async fn kick(&self, request: Request<wire::Kicks>) -> Reply<wire::Empty> {
        answer(request, "proxy.kick", |message| async move {
            let kicks = message.kicks.into_iter().map(TryInto::try_into);
            self.proxy.kick(kicks.collect::<crate::Result<_>>()?).await?;
            Ok(wire::Empty {})
        })
        .await
    }
}
