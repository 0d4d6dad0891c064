//! consumer on the embedded store and broker, with a push that remembers what it was given.

mod failing;
mod fanning_out;
mod fixture;
mod racing;
mod sweeping;
