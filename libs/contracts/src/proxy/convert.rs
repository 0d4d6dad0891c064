//! What a proxy's values are on the wire.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use protocol::ConnectionId;

use crate::convert::{close_code, decode, decode_event, encode_event, group, present, room, unreadable};
use crate::proxy::{
    BroadcastDelivery, Delivery, Kick, MembershipChange, Payload, Receiver, RoomDelivery, RoomPayload,
};
use crate::router::Handle;
use crate::{Error, Result, wire};

/// Numbers of one receiver.
const RECEIVER_NUMBERS: usize = 3;

/// A delivery to some of its receivers, as it crosses.
pub(crate) fn delivery(receivers: &[Receiver], payload: &Payload) -> wire::Delivery {
    let numbers =
        receivers.iter().flat_map(|receiver| [receiver.handle.0, receiver.connection.0, receiver.inbox_seq]);
    let payload = match payload {
        Payload::Stored(message) => wire::delivery::Payload::Stored(message.encode_to_vec().into()),
        Payload::Event(event) => wire::delivery::Payload::Event(encode_event(event)),
        Payload::Operation { operation, body } => wire::delivery::Payload::Operation(wire::OperationBody {
            operation: *operation,
            body: body.clone(),
        }),
    };
    wire::Delivery { receivers: numbers.collect(), payload: Some(payload) }
}

/// Deliveries that have crossed, behind those that are there.
pub(crate) fn of_deliveries(body: Bytes, deliveries: &mut Vec<Delivery>) -> Result<()> {
    for delivery in decode::<wire::Deliveries>("deliveries", body)?.deliveries {
        let numbers = delivery.receivers.chunks_exact(RECEIVER_NUMBERS);
        if !numbers.remainder().is_empty() {
            return Err(unreadable("receivers", "numbers are missing"));
        }
        let receiver = |numbers: &[u64]| Receiver {
            handle: Handle(numbers[0]),
            connection: ConnectionId(numbers[1]),
            inbox_seq: numbers[2],
        };
        let receivers = numbers.map(receiver).collect();
        let payload = match present("a payload", delivery.payload)? {
            wire::delivery::Payload::Stored(bytes) => Payload::Stored(Arc::new(decode("a message", bytes)?)),
            wire::delivery::Payload::Event(bytes) => Payload::Event(Arc::new(decode_event(bytes)?)),
            wire::delivery::Payload::Operation(wire::OperationBody { operation, body }) => {
                Payload::Operation { operation, body }
            }
        };
        deliveries.push(Delivery { receivers, payload });
    }
    Ok(())
}

impl From<RoomDelivery> for wire::RoomDelivery {
    fn from(delivery: RoomDelivery) -> Self {
        use wire::room_delivery::Payload;

        let RoomDelivery { room, payload, position: (partition, offset) } = delivery;
        let payload = match payload {
            RoomPayload::Message(message) => Payload::Message(message.encode_to_vec().into()),
            RoomPayload::Row(row) => Payload::Row(row.encode_to_vec().into()),
            RoomPayload::Event(event) => Payload::Event(encode_event(&event)),
            RoomPayload::Operation { operation, body } => {
                Payload::Operation(wire::OperationBody { operation, body })
            }
        };
        let room = protocol::Identifier::as_str(&room).to_owned();
        Self { room, partition, offset, payload: Some(payload) }
    }
}

/// Deliveries to rooms that have crossed, behind those that are there.
pub(crate) fn of_room_deliveries(body: Bytes, deliveries: &mut Vec<RoomDelivery>) -> Result<()> {
    use wire::room_delivery::Payload;

    for delivery in decode::<wire::RoomDeliveries>("deliveries to rooms", body)?.deliveries {
        let payload = match present("a payload for a room", delivery.payload)? {
            Payload::Message(bytes) => RoomPayload::Message(Arc::new(decode("a message of a room", bytes)?)),
            Payload::Row(bytes) => RoomPayload::Row(Arc::new(decode("a row", bytes)?)),
            Payload::Event(bytes) => RoomPayload::Event(Arc::new(decode_event(bytes)?)),
            Payload::Operation(wire::OperationBody { operation, body }) => {
                RoomPayload::Operation { operation, body }
            }
        };
        let position = (delivery.partition, delivery.offset);
        deliveries.push(RoomDelivery { room: room(&delivery.room)?, payload, position });
    }
    Ok(())
}

impl From<BroadcastDelivery> for wire::BroadcastDelivery {
    fn from(delivery: BroadcastDelivery) -> Self {
        let BroadcastDelivery { operation, body, speed, position: (partition, offset) } = delivery;
        Self { operation, body, speed, partition, offset }
    }
}

impl From<wire::BroadcastDelivery> for BroadcastDelivery {
    fn from(delivery: wire::BroadcastDelivery) -> Self {
        let wire::BroadcastDelivery { operation, body, speed, partition, offset } = delivery;
        Self { operation, body, speed, position: (partition, offset) }
    }
}

impl From<MembershipChange> for wire::MembershipChange {
    fn from(change: MembershipChange) -> Self {
        let MembershipChange { handle, connection, group, version, member } = change;
        Self { handle: handle.0, connection: connection.0, group: group.to_string(), version, member }
    }
}

impl TryFrom<wire::MembershipChange> for MembershipChange {
    type Error = Error;

    fn try_from(change: wire::MembershipChange) -> Result<Self> {
        Ok(Self {
            handle: Handle(change.handle),
            connection: ConnectionId(change.connection),
            group: group(&change.group)?,
            version: change.version,
            member: change.member,
        })
    }
}

impl From<Kick> for wire::Kick {
    fn from(kick: Kick) -> Self {
        let Kick { handle, connection, code } = kick;
        Self { handle: handle.0, connection: connection.0, code: u32::from(code.number()) }
    }
}

impl TryFrom<wire::Kick> for Kick {
    type Error = Error;

    fn try_from(kick: wire::Kick) -> Result<Self> {
        Ok(Self {
            handle: Handle(kick.handle),
            connection: ConnectionId(kick.connection),
            code: close_code(kick.code)?,
        })
    }
}
