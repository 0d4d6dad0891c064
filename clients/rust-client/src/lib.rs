//! The client of Anser for Rust: the people's side of the seed's line between the clients and the proxy.
//!
//! [`Client`] keeps one device of one user connected. It promises the application every stored message
//! once and in the order of the user's inbox, those of super groups in the order of each group, whatever happens to
//! connections and servers in between, and that a send is repeated under the same client message id until it is
//! answered. Room messages, pushes, receipts, typing and presence are not stored: they arrive at most once, and those
//! that found no room here are counted.
//!
//! [`Connection`] is the level below it, one connection and nothing repeated, for tests and load generators
//! that decide each step themselves. [`ServerApi`] is the business's side: pushes through the server API.
//!
//! ```no_run
//! # async fn example() -> Result<(), anser_client::Error> {
//! use anser_client::{Client, Event, To};
//!
//! let (client, mut events) = Client::builder("ws://127.0.0.1:3102/sub").user("alice").connect().await?;
//! client.send_text(To::user("bob"), "hi").await?;
//! while let Some(event) = events.next().await {
//!     if let Event::Message(message) = event {
//!         assert!(!message.sender.is_empty());
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod back_off;
mod builder;
mod client;
mod connection;
mod endpoint;
mod error;
mod event;
mod inbox;
mod live;
mod pending;
mod reply;
#[cfg(test)]
mod scripted;
mod seen;
mod server_api;
mod session;
mod super_groups;
mod transport;

pub use builder::ClientBuilder;
pub use client::{Client, Draft, To, new_client_message_id};
pub use connection::Connection;
pub use endpoint::Endpoint;
pub use error::Error;
pub use event::{Event, Events, State};
pub use protocol::codec::{Encoding, FromServer, ReplyKind, RequestKind};
pub use protocol::message::Content;
pub use reply::Answer;
pub use server_api::{PushResult, PushStatus, PushTo, ServerApi};

/// What the wire says as a push, below [`Event`].
pub type Push = protocol::codec::Event;
