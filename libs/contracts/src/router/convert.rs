//! What the router's values are on the wire.

use protocol::{ConnectionId, Identifier as _, RoomId, ServerId};

use crate::convert::{close_code, device, present, room, rooms, server, servers, strings, user_if_any};
use crate::router::{
    Devices, Handle, Located, Registered, Registration, Replaced, Report, Route, Totals, Unregistration,
};
use crate::{Error, Result, wire};

fn texts(servers: Vec<ServerId>) -> Vec<String> {
    servers.into_iter().map(|server| server.to_string()).collect()
}

impl From<Registration> for wire::Registration {
    fn from(registration: Registration) -> Self {
        let Registration { server, number, handle, user, device, platform, key, connection } = registration;
        Self {
            server: server.to_string(),
            number,
            handle: handle.0,
            user: user.map(|user| user.to_string()),
            device: device.to_string(),
            platform,
            key,
            connection: connection.map(|connection| connection.0),
        }
    }
}

impl TryFrom<wire::Registration> for Registration {
    type Error = Error;

    fn try_from(registration: wire::Registration) -> Result<Self> {
        Ok(Self {
            server: server(registration.server),
            number: registration.number,
            handle: Handle(registration.handle),
            user: user_if_any(registration.user.as_deref())?,
            device: device(&registration.device)?,
            platform: registration.platform,
            key: registration.key,
            connection: registration.connection.map(ConnectionId),
        })
    }
}

impl From<Registered> for wire::Registered {
    fn from(registered: Registered) -> Self {
        let Registered { connection, key, replaced } = registered;
        Self { connection: connection.0, key, replaced: replaced.into_iter().map(Into::into).collect() }
    }
}

impl TryFrom<wire::Registered> for Registered {
    type Error = Error;

    fn try_from(registered: wire::Registered) -> Result<Self> {
        let wire::Registered { connection, key, replaced } = registered;
        let replaced = replaced.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
        Ok(Self { connection: ConnectionId(connection), key, replaced })
    }
}

impl From<Replaced> for wire::Replaced {
    fn from(replaced: Replaced) -> Self {
        Self { route: Some(replaced.route.into()), code: u32::from(replaced.code.number()) }
    }
}

impl TryFrom<wire::Replaced> for Replaced {
    type Error = Error;

    fn try_from(replaced: wire::Replaced) -> Result<Self> {
        let route = present("the route of a replaced connection", replaced.route)?.into();
        Ok(Self { route, code: close_code(replaced.code)? })
    }
}

impl From<Route> for wire::Route {
    fn from(route: Route) -> Self {
        let Route { server, connection, handle } = route;
        Self { server: server.to_string(), connection: connection.0, handle: handle.0 }
    }
}

impl From<wire::Route> for Route {
    fn from(route: wire::Route) -> Self {
        Self {
            server: server(route.server),
            connection: ConnectionId(route.connection),
            handle: Handle(route.handle),
        }
    }
}

impl From<Unregistration> for wire::Unregistration {
    fn from(unregistration: Unregistration) -> Self {
        let Unregistration { server, number, connection, user, key } = unregistration;
        Self {
            server: server.to_string(),
            number,
            connection: connection.0,
            user: user.map(|user| user.to_string()),
            key,
        }
    }
}

impl TryFrom<wire::Unregistration> for Unregistration {
    type Error = Error;

    fn try_from(unregistration: wire::Unregistration) -> Result<Self> {
        Ok(Self {
            server: server(unregistration.server),
            number: unregistration.number,
            connection: ConnectionId(unregistration.connection),
            user: user_if_any(unregistration.user.as_deref())?,
            key: unregistration.key,
        })
    }
}

impl From<Vec<Unregistration>> for wire::Unregistrations {
    fn from(unregistrations: Vec<Unregistration>) -> Self {
        Self { unregistrations: unregistrations.into_iter().map(Into::into).collect() }
    }
}

impl TryFrom<wire::Unregistrations> for Vec<Unregistration> {
    type Error = Error;

    fn try_from(unregistrations: wire::Unregistrations) -> Result<Self> {
        unregistrations.unregistrations.into_iter().map(TryInto::try_into).collect()
    }
}

impl From<Located> for wire::Located {
    fn from(located: Located) -> Self {
        let Located { routes, unannounced } = located;
        Self { routes: routes.into_iter().map(Into::into).collect(), unannounced: texts(unannounced) }
    }
}

impl From<wire::Located> for Located {
    fn from(located: wire::Located) -> Self {
        let wire::Located { routes, unannounced } = located;
        Self { routes: routes.into_iter().map(Into::into).collect(), unannounced: servers(unannounced) }
    }
}

impl From<Devices> for wire::DevicesOfUser {
    fn from(devices: Devices) -> Self {
        let Devices { devices, unannounced } = devices;
        Self { devices: strings(&devices), unannounced: texts(unannounced) }
    }
}

impl TryFrom<wire::DevicesOfUser> for Devices {
    type Error = Error;

    fn try_from(devices: wire::DevicesOfUser) -> Result<Self> {
        let wire::DevicesOfUser { devices, unannounced } = devices;
        let devices = devices.iter().map(|text| device(text)).collect::<Result<_>>()?;
        Ok(Self { devices, unannounced: servers(unannounced) })
    }
}

/// Rooms of a proxy as they cross.
pub(crate) fn rooms_of_server(server: &ServerId, number: u64, rooms: &[RoomId]) -> wire::RoomsOfServer {
    wire::RoomsOfServer { server: server.to_string(), number, rooms: strings(rooms) }
}

/// Rooms of a proxy that have crossed.
pub(crate) fn of_rooms_of_server(message: wire::RoomsOfServer) -> Result<(ServerId, u64, Vec<RoomId>)> {
    Ok((server(message.server), message.number, rooms(&message.rooms)?))
}

/// Counts of rooms as they cross.
pub(crate) fn room_counts(counts: Vec<(RoomId, u64)>) -> Vec<wire::RoomCount> {
    let count = |(room, count): (RoomId, u64)| wire::RoomCount { room: room.as_str().to_owned(), count };
    counts.into_iter().map(count).collect()
}

/// Counts of rooms that have crossed.
pub(crate) fn of_room_counts(counts: Vec<wire::RoomCount>) -> Result<Vec<(RoomId, u64)>> {
    counts.into_iter().map(|count| Ok((room(&count.room)?, count.count))).collect()
}

/// A proxy's report as it crosses.
pub(crate) fn report_of_server(server: &ServerId, report: Report) -> wire::ReportOfServer {
    let Report { rooms, wanted, connection_count, address_count } = report;
    wire::ReportOfServer {
        server: server.to_string(),
        rooms: room_counts(rooms),
        wanted: strings(&wanted),
        connection_count,
        address_count,
    }
}

/// A proxy's report that has crossed.
pub(crate) fn of_report_of_server(message: wire::ReportOfServer) -> Result<(ServerId, Report)> {
    let wire::ReportOfServer { server: from, rooms: counts, wanted, connection_count, address_count } =
        message;
    let report =
        Report { rooms: of_room_counts(counts)?, wanted: rooms(&wanted)?, connection_count, address_count };
    Ok((server(from), report))
}

impl From<Totals> for wire::TotalsReply {
    fn from(totals: Totals) -> Self {
        let Totals { connection_count, address_count } = totals;
        Self { connection_count, address_count }
    }
}

impl From<wire::TotalsReply> for Totals {
    fn from(totals: wire::TotalsReply) -> Self {
        let wire::TotalsReply { connection_count, address_count } = totals;
        Self { connection_count, address_count }
    }
}
