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
/// Bytes of a url, name or hash of a picture, sound, film or file, and of the words of a place.
pub const MEDIA_FIELD_BYTES_MAX: usize = 2_048;
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
/// Users named in one request: their members' rows are written in one commit.
pub const USERS_PER_REQUEST_MAX: usize = 1_000;
/// Users that a message may name; each costs a row when it is sent.
pub const MENTIONS_MAX: usize = 100;
/// Members of a group that becomes a super group beyond it, by default: each message to it costs as many rows.
pub const GROUP_MEMBERS_MAX: u64 = 500;
/// Characters of a group's name.
pub const GROUP_NAME_CHARACTERS_MAX: usize = 100;
/// Characters of a group's announcement.
pub const GROUP_ANNOUNCEMENT_CHARACTERS_MAX: usize = 5_000;
/// Characters of what somebody says who asks to be let into a group.
pub const GROUP_REQUEST_CHARACTERS_MAX: usize = 200;
/// Who may ask to be let into one group at the same time.
pub const GROUP_REQUESTS_MAX: usize = 1_000;
/// Members of one page.
pub const MEMBERS_PAGE_MAX: u32 = 1_000;
/// Members of one page where the client names no limit.
pub const MEMBERS_PAGE_DEFAULT: u32 = 100;
/// Conversations of one page.
pub const CONVERSATIONS_PAGE_MAX: u32 = 1_000;
/// Conversations of one page where the client names no limit.
pub const CONVERSATIONS_PAGE_DEFAULT: u32 = 100;
/// Super groups in one page of tops, and positions in one request for their messages.
pub const GROUP_TOPS_PAGE_MAX: u32 = 500;
/// Super groups in the auth reply, and in a page where the client names no limit.
pub const GROUP_TOPS_PAGE_DEFAULT: u32 = 200;
/// Super groups that one user may be in: each is a room of each of the user's connections.
pub const SUPER_GROUPS_PER_USER_MAX: usize = 2_000;
/// Users that one connection may watch.
pub const WATCHED_USERS_MAX: usize = 1_000;
/// Users that one user may block.
pub const BLOCKED_USERS_MAX: usize = 1_000;
/// A mute that lasts until it is taken back: the largest whole number that JavaScript has.
pub const MUTED_FOREVER_MS: u64 = (1 << 53) - 1;
