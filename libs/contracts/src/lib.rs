//! What one role asks of another, and what it may rely on.
//!
//! In the seed's picture these are the arrows between the boxes. A contract is a trait, its types, and what it
//! promises about order and atomicity. Each callee has a file. A role is given its outgoing arrows as trait
//! objects and does not know whether the other end is in this process; inside one process values are moved,
//! not serialized.

pub mod auth;
pub mod error;
pub mod im;
pub mod logic;
pub mod proxy;
pub mod push;
pub mod router;

pub use error::{Error, Kind, Result};
