//! Hands what is for a room or for everybody to topic `push`.

use std::sync::Arc;

use backends::broker::{Broker, Topic};
use bytes::Bytes;
use contracts::push::Record;
use contracts::{Error, Kind, Result};
use prost::Message as _;
use protocol::RoomId;

pub(crate) struct Publisher {
    pub(crate) broker: Arc<dyn Broker>,
}

impl Publisher {
    /// For everybody in a room.
    pub(crate) async fn to_room(&self, room: &RoomId, operation: i32, body: Bytes) -> Result<()> {
        use protocol::Identifier as _;
        let record = Record { room: room.as_str().to_owned(), operation, body, ..Record::default() };
        self.publish(record).await
    }

    /// For everybody, at most `speed` connections per second in all; 0 as fast as it can.
    pub(crate) async fn to_all(&self, operation: i32, body: Bytes, speed: u32) -> Result<()> {
        self.publish(Record { operation, body, speed, ..Record::default() }).await
    }

    async fn publish(&self, record: Record) -> Result<()> {
        let value = Bytes::from(record.encode_to_vec());
        let key = Bytes::from(record.room);
        let record = backends::broker::Record { key, value };
        self.broker.publish(Topic::Push, vec![record]).await.map_err(|error| {
            let kind = match error.kind() {
                backends::Kind::Full => Kind::Overloaded,
                backends::Kind::Transient => Kind::Unavailable,
                _ => Kind::Internal,
            };
            Error::new(kind, "topic push did not take the message").caused_by(error)
        })
    }
}
