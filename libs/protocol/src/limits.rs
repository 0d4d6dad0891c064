//! The bounds of what a client may say, each beside its reason.

/// Bytes of an id of a user, device, group or room: fits a database key and a log line.
pub const ID_BYTES_MAX: usize = 64;
/// Bytes of a client message id: a UUID with a prefix fits.
pub const CLIENT_MESSAGE_ID_BYTES_MAX: usize = 64;
/// Bytes of a platform's name.
pub const PLATFORM_BYTES_MAX: usize = 32;
/// Bytes of a token: a JWT with a page of claims.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a frame's body from a client, by default. goim's own bound is [`FRAME_BODY_BYTES_FLOOR`].
pub const FRAME_BODY_BYTES_MAX: usize = 64 * 1024;
/// What the bound of a frame's body is never set below, since stock goim clients rely on it.
pub const FRAME_BODY_BYTES_FLOOR: usize = 4096;
/// Characters of a text message.
pub const TEXT_CHARACTERS_MAX: usize = 5_000;
/// Bytes of an image's url, name or hash.
pub const IMAGE_FIELD_BYTES_MAX: usize = 2_048;
/// Bytes of a custom message's body.
pub const CUSTOM_BODY_BYTES_MAX: usize = 32 * 1024;
/// Rooms of one connection: joining costs memory in three roles.
pub const ROOMS_PER_CONNECTION_MAX: usize = 128;
/// Operations that one connection may accept.
pub const ACCEPTS_MAX: usize = 128;
/// Messages replayed when a device connects; what is beyond it is paged with sync.
pub const REPLAY_MESSAGES_MAX: u64 = 300;
/// Messages of one page of sync.
pub const SYNC_MESSAGES_MAX: u32 = 500;
/// Messages of one page of sync where the client names no limit.
pub const SYNC_MESSAGES_DEFAULT: u32 = 100;
/// Users, keys or rooms named in one call of the server API.
pub const TARGETS_PER_CALL_MAX: usize = 10_000;
/// Bytes of a body pushed through the server API.
pub const PUSH_BODY_BYTES_MAX: usize = 1024 * 1024;
