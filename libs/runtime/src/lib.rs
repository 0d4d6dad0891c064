//! What every role of a process stands on: the clock, orderly stopping, logs and metrics, configuration.
//!
//! It knows nothing of messages, roles or backends.

pub mod clock;
pub mod config;
pub mod lifecycle;
pub mod telemetry;
