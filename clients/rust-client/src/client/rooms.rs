//! Rooms: being in them. Their messages come as events and are not stored.

use super::requests;

requests! {
    /// Joins rooms, and again after every reconnect.
    join(rooms: Vec<String>) => Join -> JoinReply;
    /// Leaves rooms.
    leave(rooms: Vec<String>) => Leave -> LeaveReply;
}
