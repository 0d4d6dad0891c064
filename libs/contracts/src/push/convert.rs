//! What push's values are on the wire.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use protocol::ConnectionId;
use protocol::client::Message;

use crate::convert::{decode, decode_event, device, encode_event, group, strings, unreadable, user, users};
use crate::push::{EventPush, Membership, Outcome, StoredPush, Whereabouts};
use crate::{Error, Result, wire};

/// Bytes of a push beside its message, about.
const PUSH_BYTES: usize = 96;

/// Stored pushes as they cross, in frames of at most this many bytes where they can be divided. A message that is
/// for several users stands once in a frame.
pub(crate) fn stored_pushes(pushes: &[&StoredPush], frame_bytes_max: usize) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut frame = wire::StoredPushes::default();
    let mut frame_bytes = 0;
    // The address is a message's identity: the pushes keep it alive.
    let mut places: HashMap<*const Message, u32> = HashMap::new();
    for push in pushes {
        let message = Arc::as_ptr(&push.message);
        let known = places.get(&message).copied();
        let bytes = PUSH_BYTES + if known.is_some() { 0 } else { push.message.encoded_len() };
        let mut place = known;
        if frame_bytes > 0 && frame_bytes + bytes > frame_bytes_max {
            frames.push(std::mem::take(&mut frame).encode_to_vec().into());
            places.clear();
            frame_bytes = 0;
            place = None;
        }
        let place = place.unwrap_or_else(|| {
            let place = u32::try_from(frame.messages.len()).unwrap_or(u32::MAX);
            frame.messages.push(push.message.encode_to_vec().into());
            places.insert(message, place);
            place
        });
        frame_bytes += bytes;
        frame.pushes.push(wire::StoredPush {
            user: push.user.to_string(),
            inbox_seq: push.inbox_seq,
            message: place,
            except: push.except.map(|connection| connection.0),
        });
    }
    frames.push(frame.encode_to_vec().into());
    frames
}

/// Stored pushes that have crossed; those that stood together share their message again.
pub(crate) fn of_stored_pushes(body: Bytes) -> Result<Vec<StoredPush>> {
    let wire::StoredPushes { messages, pushes } = decode("stored pushes", body)?;
    let messages = messages.into_iter().map(|bytes| decode("a stored message", bytes).map(Arc::new));
    let messages = messages.collect::<Result<Vec<Arc<Message>>>>()?;
    let push = |push: wire::StoredPush| {
        let place = usize::try_from(push.message).unwrap_or(usize::MAX);
        let message =
            messages.get(place).ok_or_else(|| unreadable("a stored push", "its message is missing"))?;
        Ok(StoredPush {
            user: user(&push.user)?,
            inbox_seq: push.inbox_seq,
            message: Arc::clone(message),
            except: push.except.map(ConnectionId),
        })
    };
    pushes.into_iter().map(push).collect()
}

/// Events as they cross: those given, each with some of its users.
pub(crate) fn event_pushes<'a>(parts: impl IntoIterator<Item = (&'a EventPush, Vec<String>)>) -> Bytes {
    let push = |(push, users): (&EventPush, Vec<String>)| wire::EventPush {
        users,
        event: encode_event(&push.event),
        except: push.except.map(|connection| connection.0),
    };
    let pushes = parts.into_iter().map(push).collect();
    wire::EventPushes { pushes }.encode_to_vec().into()
}

/// Events that have crossed.
pub(crate) fn of_event_pushes(body: Bytes) -> Result<Vec<EventPush>> {
    let push = |push: wire::EventPush| {
        Ok(EventPush {
            users: users(&push.users)?,
            event: Arc::new(decode_event(push.event)?),
            except: push.except.map(ConnectionId),
        })
    };
    decode::<wire::EventPushes>("events", body)?.pushes.into_iter().map(push).collect()
}

impl From<&Membership> for wire::Membership {
    fn from(membership: &Membership) -> Self {
        Self {
            user: membership.user.to_string(),
            group: membership.group.to_string(),
            version: membership.version,
            member: membership.member,
        }
    }
}

impl TryFrom<wire::Membership> for Membership {
    type Error = Error;

    fn try_from(membership: wire::Membership) -> Result<Self> {
        Ok(Self {
            user: user(&membership.user)?,
            group: group(&membership.group)?,
            version: membership.version,
            member: membership.member,
        })
    }
}

impl From<Whereabouts> for wire::Whereabouts {
    fn from(whereabouts: Whereabouts) -> Self {
        let (state, devices) = match whereabouts {
            Whereabouts::Online(devices) => (wire::whereabouts::State::Online, strings(&devices)),
            Whereabouts::Offline => (wire::whereabouts::State::Offline, Vec::new()),
            Whereabouts::Unknown => (wire::whereabouts::State::Unknown, Vec::new()),
        };
        Self { state: state.into(), devices }
    }
}

impl TryFrom<wire::Whereabouts> for Whereabouts {
    type Error = Error;

    fn try_from(whereabouts: wire::Whereabouts) -> Result<Self> {
        Ok(match whereabouts.state() {
            wire::whereabouts::State::Online => {
                let devices = whereabouts.devices.iter().map(|text| device(text));
                Self::Online(devices.collect::<Result<_>>()?)
            }
            wire::whereabouts::State::Offline => Self::Offline,
            wire::whereabouts::State::Unknown => Self::Unknown,
        })
    }
}

impl From<Outcome> for wire::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Queued => Self::Queued,
            Outcome::Offline => Self::Offline,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

impl From<wire::Outcome> for Outcome {
    fn from(outcome: wire::Outcome) -> Self {
        match outcome {
            wire::Outcome::Queued => Self::Queued,
            wire::Outcome::Offline => Self::Offline,
            wire::Outcome::Unknown => Self::Unknown,
        }
    }
}
