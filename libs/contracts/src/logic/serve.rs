//! logic's contract, answered over gRPC.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::logic::Logic;
use crate::router::convert::{of_report_of_server, of_rooms_of_server};
use crate::server::answer;
use crate::wire;
use crate::wire::logic_server::LogicServer;

type Reply<T> = Result<Response<T>, Status>;

/// The service of this logic.
pub(crate) fn service(logic: Arc<dyn Logic>) -> LogicServer<Serve> {
    LogicServer::new(Serve(logic))
}

pub(crate) struct Serve(Arc<dyn Logic>);

#[tonic::async_trait]
impl wire::logic_server::Logic for Serve {
    async fn connect(&self, request: Request<wire::ConnectRequest>) -> Reply<wire::Connected> {
        answer(request, "logic.connect", |message| async move {
            self.0.connect(message.try_into()?).await.map(Into::into)
        })
        .await
    }

    async fn disconnect(&self, request: Request<wire::Unregistrations>) -> Reply<wire::Empty> {
        answer(request, "logic.disconnect", |message| async move {
            self.0.disconnect(message.try_into()?).await?;
            Ok(wire::Empty {})
        })
        .await
    }

    async fn enter_rooms(&self, request: Request<wire::RoomsOfServer>) -> Reply<wire::Empty> {
        answer(request, "logic.enter_rooms", |message| async move {
            let (server, number, rooms) = of_rooms_of_server(message)?;
            self.0.enter_rooms(&server, number, rooms).await?;
            Ok(wire::Empty {})
        })
        .await
    }

    async fn leave_rooms(&self, request: Request<wire::RoomsOfServer>) -> Reply<wire::Empty> {
        answer(request, "logic.leave_rooms", |message| async move {
            let (server, number, rooms) = of_rooms_of_server(message)?;
            self.0.leave_rooms(&server, number, rooms).await?;
            Ok(wire::Empty {})
        })
        .await
    }

    async fn report(&self, request: Request<wire::ReportOfServer>) -> Reply<wire::Numbers> {
        answer(request, "logic.report", |message| async move {
            let (server, report) = of_report_of_server(message)?;
            Ok(wire::Numbers { numbers: self.0.report(&server, report).await? })
        })
        .await
    }
}
