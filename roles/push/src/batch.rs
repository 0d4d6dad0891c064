//! Records of topic `push` that are worked on together, read and put in order.
//!
//! A record that cannot be read is counted, logged and skipped: the next one is not its fault.

use std::sync::Arc;

use backends::broker::Delivered;
use contracts::proxy::{BroadcastDelivery, RoomDelivery, RoomPayload};
use contracts::push::Record;
use prost::Message as _;
use protocol::RoomId;
use protocol::client::Push;

/// What a batch of records asks for, in their order.
#[derive(Default)]
pub(crate) struct Batch {
    /// For rooms.
    pub(crate) rooms: Vec<RoomDelivery>,
    /// For everybody; `speed` is over all proxies.
    pub(crate) broadcasts: Vec<BroadcastDelivery>,
    /// How many records could not be read.
    pub(crate) bad_count: u64,
}

impl Batch {
    /// Reads records.
    pub(crate) fn read(records: Vec<Delivered>) -> Self {
        let mut batch = Self::default();
        for record in records {
            let position = (record.partition, record.offset);
            if let Err(reason) = batch.add(record) {
                let (partition, offset) = position;
                batch.bad_count += 1;
                tracing::warn!(target: "push", partition, offset, reason, "a record was skipped");
            }
        }
        batch
    }

    /// Each room that the batch names, once.
    pub(crate) fn distinct_rooms(&self) -> Vec<RoomId> {
        let mut rooms: Vec<RoomId> = self.rooms.iter().map(|delivery| delivery.room.clone()).collect();
        rooms.sort_unstable();
        rooms.dedup();
        rooms
    }

    fn add(&mut self, delivered: Delivered) -> Result<(), String> {
        let position = (delivered.partition, delivered.offset);
        let record = Record::decode(delivered.value).map_err(|error| error.to_string())?;
        let Record { room, message, operation, body, speed, row, event } = record;
        if room.is_empty() {
            if message.is_some() || row.is_some() || event.is_some() {
                return Err("what is for a room alone names no room".to_owned());
            }
            self.broadcasts.push(BroadcastDelivery { operation, body, speed, position });
            return Ok(());
        }
        let room = RoomId::from_record(&room).map_err(|error| error.to_string())?;
        let payload = match (message, row, event) {
            (Some(message), _, _) => RoomPayload::Message(Arc::new(message)),
            (None, Some(row), _) => RoomPayload::Row(Arc::new(row)),
            (None, None, Some(Push { event: Some(event) })) => RoomPayload::Event(Arc::new(event)),
            (None, None, Some(Push { event: None })) => {
                return Err("the event is none that is known".to_owned());
            }
            (None, None, None) => RoomPayload::Operation { operation, body },
        };
        self.rooms.push(RoomDelivery { room, payload, position });
        Ok(())
    }
}
