//! What logic's values are on the wire.

use std::net::IpAddr;

use protocol::ConnectionId;

use crate::convert::{device, present, server, unreadable, user_if_any};
use crate::logic::{ConnectRequest, Connected};
use crate::router::Handle;
use crate::{Error, Result, wire};

impl From<ConnectRequest> for wire::ConnectRequest {
    fn from(request: ConnectRequest) -> Self {
        let ConnectRequest { credentials, server, number, handle, device, key, platform, address } = request;
        Self {
            credentials: Some((&credentials).into()),
            server: server.to_string(),
            number,
            handle: handle.0,
            device: device.to_string(),
            key,
            platform,
            address: address.to_string(),
        }
    }
}

impl TryFrom<wire::ConnectRequest> for ConnectRequest {
    type Error = Error;

    fn try_from(request: wire::ConnectRequest) -> Result<Self> {
        let address: IpAddr =
            request.address.parse().map_err(|error| unreadable("a client's address", error))?;
        Ok(Self {
            credentials: present("credentials", request.credentials)?.try_into()?,
            server: server(request.server),
            number: request.number,
            handle: Handle(request.handle),
            device: device(&request.device)?,
            key: request.key,
            platform: request.platform,
            address,
        })
    }
}

impl From<Connected> for wire::Connected {
    fn from(connected: Connected) -> Self {
        let Connected { user, connection, key } = connected;
        Self { user: user.map(|user| user.to_string()), connection: connection.0, key }
    }
}

impl TryFrom<wire::Connected> for Connected {
    type Error = Error;

    fn try_from(connected: wire::Connected) -> Result<Self> {
        let wire::Connected { user, connection, key } = connected;
        Ok(Self { user: user_if_any(user.as_deref())?, connection: ConnectionId(connection), key })
    }
}
