//! What one role asks of another, and what it may rely on.
//!
//! In the seed's picture these are the arrows between the boxes. A contract is a trait, its types, and what it
//! promises about order and atomicity. Each callee has a folder. A role is given its outgoing arrows as trait
//! objects and does not know whether the other end is in this process; inside one process values are moved,
//! not serialized.
//!
//! Between processes the same traits are answered over gRPC: a callee's `remote.rs` is the client, `serve.rs` the
//! service, `convert.rs` what its values are on the wire. [`channel`] holds the connections to one process,
//! [`peers`] follows all processes of a role, [`server`] answers for the roles of this process.

pub mod admission;
pub mod auth;
pub mod channel;
pub mod error;
pub mod im;
pub mod logic;
pub mod peers;
pub mod proxy;
pub mod push;
pub mod router;
pub mod server;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trace;

mod convert;
mod status;
mod stream;
mod wire;

pub use error::{Error, Kind, Result};

#[cfg(test)]
mod tests;
