//! The trace that a call belongs to, seen by its callee.

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::*;
use crate::Result;
use crate::auth::{self, Auth, Claims, Credentials, Wire};
use crate::push::{self, EventPush, Membership, Outcome, Push, StoredPush, Whereabouts};
use crate::server::Server;
use crate::trace::Context;

/// A callee that looks in which context it is called.
#[derive(Default)]
struct Looking {
    seen: Mutex<Vec<Option<u128>>>,
}

impl Looking {
    fn look(&self) {
        self.seen.lock().push(Context::current().map(|context| context.trace_id));
    }
}

#[async_trait]
impl Auth for Looking {
    async fn check(&self, _: Credentials) -> Result<Claims> {
        self.look();
        Ok(Claims { user: None, expires_at_ms: None })
    }
}

#[async_trait]
impl Push for Looking {
    async fn push_stored(&self, _: Vec<StoredPush>) -> Result<()> {
        self.look();
        Ok(())
    }

    async fn push_events(&self, _: Vec<EventPush>) -> Result<()> {
        Ok(())
    }

    async fn set_memberships(&self, _: Vec<Membership>) -> Result<()> {
        Ok(())
    }

    async fn whereabouts(&self, _: &[UserId]) -> Result<Vec<Whereabouts>> {
        Ok(Vec::new())
    }

    async fn push_to_users(&self, _: Vec<UserId>, _: i32, _: bytes::Bytes) -> Result<Vec<Outcome>> {
        Ok(Vec::new())
    }

    async fn push_to_keys(&self, _: Vec<String>, _: i32, _: bytes::Bytes) -> Result<Vec<Outcome>> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_trace_goes_on_in_the_callee_by_call_and_by_stream() {
    let looking = Arc::new(Looking::default());
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (_, addresses) = watch::channel([(server("all-1"), listener.address().to_string())].into());
    Server::new(server("all-1"), Admission::default())
        .auth(looking.clone())
        .push(looking.clone())
        .serve(listener, std::future::pending());
    let auth = auth::Remote::follow(settings(), addresses.clone());
    let push = push::Remote::follow(settings(), addresses);
    let call = async || {
        let credentials = Credentials { wire: Wire::Goim, token: String::new(), claimed: None };
        auth.check(credentials).await.unwrap();
        let message = Arc::new(protocol::client::Message::default());
        let stored = StoredPush { user: user("alice"), inbox_seq: 1, message, except: None };
        push.push_stored(vec![stored]).await.unwrap();
    };
    let context = Context { trace_id: 0x1234_5678, span_id: 5, sampled: true };
    context.scope("test", call()).await;
    call().await;
    assert_eq!(*looking.seen.lock(), [Some(0x1234_5678), Some(0x1234_5678), None, None]);
}
