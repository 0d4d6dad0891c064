//! What a client and Anser say to each other: frames, operations, codes, ids, limits and messages.
//!
//! In the seed's picture this is the line between the clients (Mars, JSSDK) and the proxy. It is public: the
//! Rust client, the proxy and any tool share it. It does no I/O and knows nothing of roles or backends.

pub mod client;
pub mod code;
pub mod codec;
pub mod frame;
pub mod ids;
mod json;
pub mod limits;
pub mod message;
pub mod operation;

pub use code::Code;
pub use ids::{ConnectionId, ConversationId, DeviceId, GroupId, Identifier, RoomId, ServerId, UserId};
