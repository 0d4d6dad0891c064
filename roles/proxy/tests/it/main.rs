//! A real proxy on real sockets, with logic and im replaced by what the tests can look into.

mod fakes;
mod rooms;
mod stored;
