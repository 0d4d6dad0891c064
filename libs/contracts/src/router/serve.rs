//! The router's contract, answered over gRPC.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::convert::{rooms, users};
use crate::router::Router;
use crate::router::convert::{of_report_of_server, of_rooms_of_server, room_counts};
use crate::server::answer;
use crate::wire;
use crate::wire::router_server::RouterServer;

type Reply<T> = Result<Response<T>, Status>;

/// The service of this router.
pub(crate) fn service(router: Arc<dyn Router>) -> RouterServer<Serve> {
    RouterServer::new(Serve(router))
}

pub(crate) struct Serve(Arc<dyn Router>);

#[tonic::async_trait]
impl wire::router_server::Router for Serve {
    async fn register(&self, request: Request<wire::Registrations>) -> Reply<wire::RegisterReply> {
        answer(request, "router.register", |message| async move {
            let registrations = message.registrations.into_iter().map(TryInto::try_into);
            let registered = self.0.register(registrations.collect::<crate::Result<_>>()?).await?;
            Ok(wire::RegisterReply { registered: registered.into_iter().map(Into::into).collect() })
        })
        .await
    }

    async fn unregister(&self, request: Request<wire::Unregistrations>) -> Reply<wire::Empty> {
        answer(request, "router.unregister", |message| async move {
            self.0.unregister(message.try_into()?).await?;
            Ok(wire::Empty {})
        })
        .await
    }

    async fn locate_users(&self, request: Request<wire::Ids>) -> Reply<wire::LocateReply> {
        answer(request, "router.locate_users", |message| async move {
            let located = self.0.locate_users(&users(&message.ids)?).await?;
            Ok(wire::LocateReply { located: located.into_iter().map(Into::into).collect() })
        })
        .await
    }

    async fn devices(&self, request: Request<wire::Ids>) -> Reply<wire::DevicesReply> {
        answer(request, "router.devices", |message| async move {
            let devices = self.0.devices(&users(&message.ids)?).await?;
            Ok(wire::DevicesReply { devices: devices.into_iter().map(Into::into).collect() })
        })
        .await
    }

    async fn locate_keys(&self, request: Request<wire::Ids>) -> Reply<wire::LocateReply> {
        answer(request, "router.locate_keys", |message| async move {
            let located = self.0.locate_keys(&message.ids).await?;
            Ok(wire::LocateReply { located: located.into_iter().map(Into::into).collect() })
        })
        .await
    }

    async fn enter_rooms(&self, request: Request<wire::RoomsOfServer>) -> Reply<wire::Empty> {
        answer(request, "router.enter_rooms", |message| async move {
            let (server, number, rooms) = of_rooms_of_server(message)?;
            self.0.enter_rooms(&server, number, rooms).await?;
            Ok(wire::Empty {})
        })
        .await
    }

    async fn leave_rooms(&self, request: Request<wire::RoomsOfServer>) -> Reply<wire::Empty> {
        answer(request, "router.leave_rooms", |message| async move {
            let (server, number, rooms) = of_rooms_of_server(message)?;
            self.0.leave_rooms(&server, number, rooms).await?;
            Ok(wire::Empty {})
        })
        .await
    }

    async fn room_proxies(&self, request: Request<wire::Ids>) -> Reply<wire::RoomProxiesReply> {
        answer(request, "router.room_proxies", |message| async move {
            let proxies = self.0.room_proxies(&rooms(&message.ids)?).await?;
            let names = |servers: Vec<protocol::ServerId>| wire::Ids {
                ids: servers.into_iter().map(|server| server.to_string()).collect(),
            };
            Ok(wire::RoomProxiesReply { proxies: proxies.into_iter().map(names).collect() })
        })
        .await
    }

    async fn report(&self, request: Request<wire::ReportOfServer>) -> Reply<wire::Numbers> {
        answer(request, "router.report", |message| async move {
            let (server, report) = of_report_of_server(message)?;
            Ok(wire::Numbers { numbers: self.0.report(&server, report).await? })
        })
        .await
    }

    async fn room_counts(&self, request: Request<wire::Ids>) -> Reply<wire::Numbers> {
        answer(request, "router.room_counts", |message| async move {
            Ok(wire::Numbers { numbers: self.0.room_counts(&rooms(&message.ids)?).await? })
        })
        .await
    }

    async fn rooms_top(&self, request: Request<wire::RoomsTopRequest>) -> Reply<wire::RoomsTopReply> {
        answer(request, "router.rooms_top", |message| async move {
            let limit = usize::try_from(message.limit).unwrap_or(usize::MAX);
            let rooms = self.0.rooms_top(&message.room_type, limit).await?;
            Ok(wire::RoomsTopReply { rooms: room_counts(rooms) })
        })
        .await
    }

    async fn totals(&self, request: Request<wire::Empty>) -> Reply<wire::TotalsReply> {
        answer(request, "router.totals", |_| async move { self.0.totals().await.map(Into::into) }).await
    }
}
