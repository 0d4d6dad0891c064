//! What tests of several roles need: a callee that remembers what it was asked, and a comparison of a callee in this
//! process with the same one behind a real connection.
//!
//! It is built with the feature `testing` alone.

mod case;
mod fake;
mod loopback;
mod value;

pub use case::{Callees, Case, cases};
pub use fake::Fake;
pub use loopback::{Loopback, compare};
