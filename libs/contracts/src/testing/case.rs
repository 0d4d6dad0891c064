//! Calls of every contract with whatever they may carry, and the answers to them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use proptest::option;
use proptest::prelude::*;

use crate::auth::{Auth, Claims, Credentials, Wire};
use crate::im::{Asker, Im, Page, Position, Resumed, SendRequest, SuperGroup};
use crate::logic::{ConnectRequest, Connected, Logic};
use crate::proxy::Proxy;
use crate::push::Push;
use crate::router::Router;
use crate::testing::fake::Fake;
use crate::testing::value as v;
use crate::{Error, Result};

/// A callee of each contract.
#[derive(Clone)]
pub struct Callees {
    /// auth.
    pub auth: Arc<dyn Auth>,
    /// logic.
    pub logic: Arc<dyn Logic>,
    /// The router.
    pub router: Arc<dyn Router>,
    /// push.
    pub push: Arc<dyn Push>,
    /// im.
    pub im: Arc<dyn Im>,
    /// A proxy.
    pub proxy: Arc<dyn Proxy>,
}

type Running = Pin<Box<dyn Future<Output = String> + Send>>;

/// One call, and the answer that the callee is to give.
#[derive(Clone)]
pub struct Case {
    words: String,
    script: Arc<dyn Fn(&Fake) + Send + Sync>,
    run: Arc<dyn Fn(Callees) -> Running + Send + Sync>,
}

impl Case {
    /// Tells the callee what to answer.
    pub fn script(&self, fake: &Fake) {
        (self.script)(fake);
    }

    /// Makes the call; answers what came of it, in words.
    pub async fn run(&self, callees: Callees) -> String {
        (self.run)(callees).await
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words)
    }
}

/// Cases of one call: what it carries, and its answers, where it does not fail.
fn case<A, T, S, F>(
    name: &'static str,
    carried: S,
    run: impl Fn(Callees, A) -> F + Clone + Send + Sync + 'static,
) -> BoxedStrategy<Case>
where
    A: fmt::Debug + Clone + Send + Sync + 'static,
    T: fmt::Debug + Clone + Send + Sync + 'static,
    S: Strategy<Value = (A, T)> + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let answered = (carried, option::weighted(0.3, v::error()));
    let case = move |((carried, answer), failure): ((A, T), Option<Error>)| {
        let answer = failure.map_or(Ok(answer), Err);
        let words = format!("{name} {carried:?} answered {answer:?}");
        let run = run.clone();
        Case {
            words,
            script: Arc::new(move |fake| fake.will_answer::<T>(answer.clone())),
            run: Arc::new(move |callees| {
                let call = run(callees, carried.clone());
                Box::pin(async move { format!("{:?}", call.await) })
            }),
        }
    };
    answered.prop_map(case).boxed()
}

/// What is carried, and one answer for each of it.
fn each<A: fmt::Debug + Clone + 'static, T: Strategy + Clone + 'static>(
    asked: impl Strategy<Value = Vec<A>> + 'static,
    answer: T,
) -> impl Strategy<Value = (Vec<A>, Vec<T::Value>)> {
    asked.prop_flat_map(move |asked| {
        let count = asked.len();
        (Just(asked), proptest::collection::vec(answer.clone(), count))
    })
}

fn credentials() -> impl Strategy<Value = (bool, String, Option<protocol::UserId>)> {
    (any::<bool>(), v::text(), option::of(v::user()))
}

fn credentials_of((goim, token, claimed): (bool, String, Option<protocol::UserId>)) -> Credentials {
    Credentials { wire: if goim { Wire::Goim } else { Wire::Anser }, token, claimed }
}

/// Calls of every method of every contract.
pub fn cases() -> impl Strategy<Value = Case> {
    prop_oneof![auth_and_logic(), router(), push(), im(), proxy()]
}

fn auth_and_logic() -> BoxedStrategy<Case> {
    let claims = (option::of(v::user()), option::of(any::<u64>()))
        .prop_map(|(user, expires_at_ms)| Claims { user, expires_at_ms });
    let connected = (option::of(v::user()), v::connection(), v::text())
        .prop_map(|(user, connection, key)| Connected { user, connection, key });
    let place = (v::server(), any::<u64>(), v::handle(), v::device(), v::address());
    let rooms = || (v::server(), any::<u64>(), v::some(v::room()));
    let reported = (v::server(), v::report());
    let numbers = v::list(any::<u64>());
    prop_oneof![
        case("auth.check", (credentials(), claims), |callees, carried| async move {
            callees.auth.check(credentials_of(carried)).await
        }),
        case(
            "logic.connect",
            ((credentials(), place, v::text(), v::text()), connected),
            |callees, (credentials, place, key, platform)| async move {
                let (server, number, handle, device, address) = place;
                let credentials = credentials_of(credentials);
                let request =
                    ConnectRequest { credentials, server, number, handle, device, key, platform, address };
                callees.logic.connect(request).await
            }
        ),
        case("logic.disconnect", (v::some(v::unregistration()), Just(())), |callees, carried| async move {
            callees.logic.disconnect(carried).await
        }),
        case("logic.enter_rooms", (rooms(), Just(())), |callees, (server, number, rooms)| async move {
            callees.logic.enter_rooms(&server, number, rooms).await
        }),
        case("logic.leave_rooms", (rooms(), Just(())), |callees, (server, number, rooms)| async move {
            callees.logic.leave_rooms(&server, number, rooms).await
        }),
        case("logic.report", (reported, numbers), |callees, (server, report)| async move {
            callees.logic.report(&server, report).await
        }),
    ]
    .boxed()
}

fn router() -> BoxedStrategy<Case> {
    let rooms = || (v::server(), any::<u64>(), v::some(v::room()));
    let numbers = || v::list(any::<u64>());
    let names = || v::list(v::server());
    prop_oneof![
        case(
            "router.register",
            (v::list(v::registration()), v::list(v::registered())),
            |callees, carried| async move { callees.router.register(carried).await }
        ),
        case("router.unregister", (v::list(v::unregistration()), Just(())), |callees, carried| async move {
            callees.router.unregister(carried).await
        }),
        case(
            "router.locate_users",
            (v::list(v::user()), v::list(v::located())),
            |callees, users| async move { callees.router.locate_users(&users).await }
        ),
        case("router.devices", (v::list(v::user()), v::list(v::devices())), |callees, users| async move {
            callees.router.devices(&users).await
        }),
        case("router.locate_keys", (v::list(v::text()), v::list(v::located())), |callees, keys| async move {
            callees.router.locate_keys(&keys).await
        }),
        case("router.enter_rooms", (rooms(), Just(())), |callees, (server, number, rooms)| async move {
            callees.router.enter_rooms(&server, number, rooms).await
        }),
        case("router.leave_rooms", (rooms(), Just(())), |callees, (server, number, rooms)| async move {
            callees.router.leave_rooms(&server, number, rooms).await
        }),
        case("router.room_proxies", (v::list(v::room()), v::list(names())), |callees, rooms| async move {
            callees.router.room_proxies(&rooms).await
        }),
        case(
            "router.report",
            ((v::server(), v::report()), numbers()),
            |callees, (server, report)| async move { callees.router.report(&server, report).await }
        ),
        case("router.room_counts", (v::list(v::room()), numbers()), |callees, rooms| async move {
            callees.router.room_counts(&rooms).await
        }),
        case(
            "router.rooms_top",
            ((v::text(), any::<usize>()), v::list((v::room(), any::<u64>()))),
            |callees, (room_type, limit)| async move { callees.router.rooms_top(&room_type, limit).await }
        ),
        case(
            "router.totals",
            (Just(()), v::totals()),
            |callees, ()| async move { callees.router.totals().await }
        ),
    ]
    .boxed()
}

fn push() -> BoxedStrategy<Case> {
    let operation = || (any::<i32>(), v::bytes());
    let to = |targets, operation: (i32, bytes::Bytes)| (targets, operation);
    let many = (each(v::some(v::user()).boxed(), v::outcome().boxed()), operation());
    let keys = (each(v::some(v::text()).boxed(), v::outcome().boxed()), operation());
    prop_oneof![
        case("push.push_stored", (v::some(v::stored_push()), Just(())), |callees, carried| async move {
            callees.push.push_stored(carried).await
        }),
        case("push.push_events", (v::some(v::event_push()), Just(())), |callees, carried| async move {
            callees.push.push_events(carried).await
        }),
        case("push.set_memberships", (v::some(v::membership()), Just(())), |callees, carried| async move {
            callees.push.set_memberships(carried).await
        }),
        case("push.whereabouts", (v::list(v::user()), v::list(v::whereabouts())), |callees, users| {
            async move { callees.push.whereabouts(&users).await }
        }),
        case(
            "push.push_to_users",
            many.prop_map(move |((users, outcomes), operation)| (to(users, operation), outcomes)),
            |callees, (users, (operation, body))| async move {
                callees.push.push_to_users(users, operation, body).await
            }
        ),
        case(
            "push.push_to_keys",
            keys.prop_map(|((keys, outcomes), operation)| ((keys, operation), outcomes)),
            |callees, (keys, (operation, body))| async move {
                callees.push.push_to_keys(keys, operation, body).await
            }
        ),
    ]
    .boxed()
}

fn im() -> BoxedStrategy<Case> {
    let super_group = (v::group(), any::<u64>()).prop_map(|(group, version)| SuperGroup { group, version });
    let resumed = ((any::<u64>(), any::<u64>(), any::<u64>()), v::list(v::group_top()), v::text()).prop_map(
        |((inbox_top, acked_up_to, held_up_to), groups, groups_next)| Resumed {
            inbox_top,
            acked_up_to,
            held_up_to,
            groups,
            groups_next,
        },
    );
    let page = (v::list(v::message_in_inbox()), any::<u64>(), any::<u64>())
        .prop_map(|(messages, top, next)| Page { messages, top, next });
    let position = (v::user(), v::device(), any::<u64>()).prop_map(|(user, device, inbox_seq)| Position {
        user,
        device,
        inbox_seq,
    });
    let asker = (v::user(), option::of(v::device()), option::of(v::connection()))
        .prop_map(|(user, device, connection)| Asker { user, device, connection });
    let sent = (v::user(), v::connection(), v::send()).prop_map(|(sender, connection, send)| SendRequest {
        sender,
        connection,
        send,
    });
    prop_oneof![
        case("im.send", (sent, v::send_reply()), |callees, request| async move {
            callees.im.send(request).await
        }),
        case("im.ask", ((asker, v::request()), v::reply()), |callees, (asker, request)| async move {
            callees.im.ask(asker, request).await
        }),
        case("im.super_groups", (v::user(), v::list(super_group)), |callees, user| async move {
            callees.im.super_groups(&user).await
        }),
        case(
            "im.group_tops",
            (v::list(v::conversation()), v::list(any::<u64>())),
            |callees, conversations| async move { callees.im.group_tops(&conversations).await }
        ),
        case(
            "im.resume",
            ((v::user(), v::device(), option::of(any::<u64>())), resumed),
            |callees, (user, device, held)| async move { callees.im.resume(&user, &device, held).await }
        ),
        case(
            "im.page",
            ((v::user(), any::<(u64, u64, u32)>()), page),
            |callees, (user, (begin, end, limit))| async move {
                callees.im.page(&user, begin, end, limit).await
            }
        ),
        case("im.ack", (v::some(position), Just(())), |callees, positions| async move {
            callees.im.ack(positions).await
        }),
        case(
            "im.inbox_tops",
            each(v::some(v::user()).boxed(), any::<u64>().boxed()),
            |callees, users| async move { callees.im.inbox_tops(&users).await }
        ),
    ]
    .boxed()
}

fn proxy() -> BoxedStrategy<Case> {
    prop_oneof![
        case("proxy.deliver", (v::some(v::delivery()), Just(())), |callees, carried| async move {
            callees.proxy.deliver(carried).await
        }),
        case("proxy.deliver_to_rooms", (v::some(v::room_delivery()), Just(())), |callees, carried| {
            async move { callees.proxy.deliver_to_rooms(carried).await }
        }),
        case("proxy.broadcast", (v::broadcast(), Just(())), |callees, carried| async move {
            callees.proxy.broadcast(carried).await
        }),
        case(
            "proxy.set_memberships",
            (v::list(v::membership_change()), Just(())),
            |callees, carried| async move { callees.proxy.set_memberships(carried).await }
        ),
        case("proxy.kick", (v::list(v::kick()), Just(())), |callees, carried| async move {
            callees.proxy.kick(carried).await
        }),
    ]
    .boxed()
}
