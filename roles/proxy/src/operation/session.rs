//! What both protocols' auth have in common: logic is asked, the session is made, the client's rooms and those of the
//! user's super groups are entered, and only then inbox and tops are looked at, so that no message can slip between.

use std::time::Instant;

use contracts::auth::Credentials;
use contracts::im::Resumed;
use contracts::logic::{ConnectRequest, Connected};
use protocol::operation::Operation;
use protocol::{DeviceId, RoomId, UserId};
use smallvec::SmallVec;

use crate::announce::Entered;
use crate::connection::{ConnectionRef, Early, Phase, Session};
use crate::inbox::Inbox;
use crate::shard::Shard;
use crate::transport::Dialect;

/// What a client has said in its auth.
pub(super) struct Greeting {
    pub(super) credentials: Credentials,
    pub(super) device: DeviceId,
    pub(super) key: String,
    pub(super) platform: String,
    pub(super) rooms: Vec<RoomId>,
    pub(super) accepts: Option<Box<[Operation]>>,
    pub(super) held_up_to: Option<u64>,
    pub(super) goim: bool,
}

/// What a client that is in is told.
pub(super) struct Welcome {
    pub(super) connected: Connected,
    pub(super) resumed: Resumed,
}

/// Lets a client in, or not; `then` answers it. The connection is open when `then` is called with `Ok`.
pub(super) fn begin(
    shard: &mut Shard,
    place: ConnectionRef,
    greeting: Greeting,
    then: impl FnOnce(&mut Shard, contracts::Result<Welcome>) + 'static,
) {
    let Some(connection) = shard.connection(place) else { return };
    let request = ConnectRequest {
        credentials: greeting.credentials,
        server: shard.hub.server.clone(),
        number: shard.hub.next_number(),
        handle: place.handle(shard.index),
        device: greeting.device.clone(),
        key: greeting.key,
        platform: greeting.platform,
        address: connection.admission.address,
    };
    let entrance = Entrance {
        device: greeting.device,
        rooms: greeting.rooms,
        accepts: greeting.accepts,
        held_up_to: greeting.held_up_to,
        goim: greeting.goim,
    };
    let logic = shard.calls().logic;
    shard.later(async move { logic.connect(request).await }, move |shard, outcome| match outcome {
        Ok(connected) => make_session(shard, place, connected, entrance, then),
        Err(error) => then(shard, Err(error)),
    });
}

struct Entrance {
    device: DeviceId,
    rooms: Vec<RoomId>,
    accepts: Option<Box<[Operation]>>,
    held_up_to: Option<u64>,
    goim: bool,
}

fn make_session(
    shard: &mut Shard,
    place: ConnectionRef,
    connected: Connected,
    entrance: Entrance,
    then: impl FnOnce(&mut Shard, contracts::Result<Welcome>) + 'static,
) {
    let Some(connection) =
        shard.connection_mut(place).filter(|connection| connection.phase != Phase::Closing)
    else {
        return shard.never_came(connected);
    };
    let early = connection.early.take().map_or_else(Early::default, |early| *early);
    connection.session = Some(Box::new(Session {
        connection: connected.connection,
        dialect: Dialect::of(connection.carrier, entrance.goim),
        user: connected.user.clone(),
        device: entrance.device.clone(),
        key: connected.key.clone(),
        accepts: entrance.accepts,
        rooms: SmallVec::new(),
        own_rooms: None,
        inbox: Inbox::new(),
    }));
    shard.hub.session_began();
    shard.hub.metrics.sessions.increment(1.0);
    if let Some((connection, code)) = early.kick
        && connection == connected.connection
    {
        return shard.close(place, code, Instant::now());
    }
    let mut commanded = Vec::new();
    for change in early.changes.iter().filter(|change| change.connection == connected.connection) {
        commanded.extend(shard.change_membership(place, &change.group, change.version, change.member));
    }
    let arrival =
        Arrival { place, connected, device: entrance.device, held_up_to: entrance.held_up_to, commanded };
    shard.enter_rooms(place, &entrance.rooms, move |shard, outcome| match outcome {
        Ok(()) => enter_groups(shard, arrival, then),
        Err(error) => then(shard, Err(error)),
    });
}

/// A connection that has its session and is not open yet.
struct Arrival {
    place: ConnectionRef,
    connected: Connected,
    device: DeviceId,
    held_up_to: Option<u64>,
    /// Super groups' rooms that it was put into before it was looked which there are.
    commanded: Vec<Entered>,
}

fn enter_groups(
    shard: &mut Shard,
    mut arrival: Arrival,
    then: impl FnOnce(&mut Shard, contracts::Result<Welcome>) + 'static,
) {
    let place = arrival.place;
    let Some(user) = arrival.connected.user.clone() else {
        open(shard, place);
        let welcome = Welcome { connected: arrival.connected, resumed: Resumed::default() };
        return then(shard, Ok(welcome));
    };
    let im = shard.calls().im;
    let asked = user.clone();
    shard.later(async move { im.super_groups(&asked).await }, move |shard, outcome| {
        let groups = match outcome {
            Ok(groups) => groups,
            Err(error) => return then(shard, Err(error)),
        };
        let mut entered = std::mem::take(&mut arrival.commanded);
        for listed in groups {
            entered.extend(shard.change_membership(place, &listed.group, listed.version, true));
        }
        shard.announce(entered, move |shard, _, outcome| match outcome {
            Ok(()) => look_at_tops(shard, arrival, user, then),
            Err(error) => then(shard, Err(error)),
        });
    });
}

fn look_at_tops(
    shard: &mut Shard,
    arrival: Arrival,
    user: UserId,
    then: impl FnOnce(&mut Shard, contracts::Result<Welcome>) + 'static,
) {
    let Arrival { place, connected, device, held_up_to, .. } = arrival;
    let im = shard.calls().im;
    let resume = async move { im.resume(&user, &device, held_up_to).await };
    shard.later(resume, move |shard, outcome| match outcome {
        Ok(mut resumed) => {
            if let Some(inbox) = shard.inbox_mut(place) {
                inbox.start(resumed.held_up_to, resumed.inbox_top, resumed.acked_up_to);
            }
            shard.greet(place, &mut resumed.groups);
            open(shard, place);
            then(shard, Ok(Welcome { connected, resumed }));
        }
        Err(error) => then(shard, Err(error)),
    });
}

fn open(shard: &mut Shard, place: ConnectionRef) {
    let heard_by = Instant::now() + shard.hub.config.idle_time_limit;
    if let Some(connection) =
        shard.connection_mut(place).filter(|connection| connection.phase != Phase::Closing)
    {
        connection.phase = Phase::Open;
        connection.heard_by = heard_by;
    }
}
