//! Rooms and broadcasts over all shards.

use bytes::Bytes;
use contracts::proxy::{BroadcastDelivery, RoomDelivery, RoomPayload};
use protocol::codec::Event;
use protocol::{Identifier, RoomId, UserId};
use proxy::Config;

use crate::fakes::{Client, Running};

#[tokio::test]
async fn a_room_message_reaches_all_members_in_order_and_nobody_else() {
    let running = Running::start(Config::default()).await;
    let room = RoomId::new("live://1").unwrap();
    let mut members = Vec::new();
    for number in 1..=20 {
        let user = UserId::new(&format!("member-{number}")).unwrap();
        let mut client = Client::login(&running, &user, Some(0)).await;
        if number > 1 {
            client.join("live://1").await;
        }
        members.push(client);
    }
    let mut outsider = members.remove(0);
    let delivery = |number: u64| RoomDelivery {
        room: room.clone(),
        payload: RoomPayload::Operation { operation: 1000, body: Bytes::from(number.to_string()) },
        position: (0, number),
    };
    running.contract.deliver_to_rooms((1..=50).map(delivery).collect()).await.unwrap();
    // What comes twice is taken once.
    running.contract.deliver_to_rooms((1..=51).map(delivery).collect()).await.unwrap();
    for client in &mut members {
        for number in 1..=51_u64 {
            let body = loop {
                match client.next_push().await {
                    Event::Room(message) => break message.body.unwrap(),
                    _ => continue,
                }
            };
            assert_eq!(body, number.to_string());
        }
    }
    let everybody =
        BroadcastDelivery { operation: 7, body: Bytes::from_static(b"to all"), speed: 0, position: (0, 52) };
    running.contract.broadcast(everybody).await.unwrap();
    members.push(outsider);
    for client in &mut members {
        loop {
            match client.next_push().await {
                Event::Push(push) => break assert_eq!((push.op, push.body.as_ref()), (7, &b"to all"[..])),
                Event::SyncDone(_) => {}
                other => panic!("{other:?} in place of the broadcast"),
            }
        }
    }
    outsider = members.remove(0);
    drop(outsider);
}
