//! auth's contract, answered over gRPC.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::auth::Auth;
use crate::server::answer;
use crate::wire;
use crate::wire::auth_server::AuthServer;

/// The service of this auth.
pub(crate) fn service(auth: Arc<dyn Auth>) -> AuthServer<Serve> {
    AuthServer::new(Serve(auth))
}

pub(crate) struct Serve(Arc<dyn Auth>);

#[tonic::async_trait]
impl wire::auth_server::Auth for Serve {
    async fn check(&self, request: Request<wire::Credentials>) -> Result<Response<wire::Claims>, Status> {
        answer(request, "auth.check", |credentials| async move {
            self.0.check(credentials.try_into()?).await.map(Into::into)
        })
        .await
    }
}
