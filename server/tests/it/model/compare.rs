//! What a device holds, or the server answers, against what must be so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::device::{Device, Held};
use super::row::Row;
use super::world::{Chat, Listed, Who, World};

/// Where rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The server has just been asked.
    Server,
    /// A device has gathered them: what was recalled may have come before it was.
    Device,
}

/// A whole inbox: every row that must be there, once, in the order of its conversation, and nothing before what was
/// there earlier.
pub(crate) fn inbox(world: &World, who: Who, rows: &BTreeMap<u64, Row>, source: Source) {
    let user = world.user(who);
    let mut expected = world.inbox(who);
    let length = rows.len() as u64;
    assert!(rows.keys().copied().eq(1..=length), "{user}: {source:?}: holes between {:?}", rows.keys());
    let named: BTreeMap<String, Chat> =
        expected.keys().map(|&chat| (world.conversation(chat), chat)).collect();
    let mut next: BTreeMap<Chat, usize> = BTreeMap::new();
    let mut born_before = 0;
    for (inbox_seq, row) in rows {
        let chat = named.get(&row.conversation).copied();
        let chat = chat.unwrap_or_else(|| panic!("{user}: {source:?}: nobody wrote {row:?}"));
        let at = next.entry(chat).or_default();
        let must = expected.get(&chat).and_then(|seqs| seqs.get(*at));
        let Some(&(seq, born)) = must else { panic!("{user}: {source:?}: inbox seq {inbox_seq} is {row:?}") };
        assert_eq!(
            row.seq, seq,
            "{user}: {source:?}: inbox seq {inbox_seq} is not the next row of {}",
            row.conversation
        );
        is_row(world, who, row, chat, source);
        let settled = world.settled(who, chat, born);
        assert!(
            born_before <= settled,
            "{user}: {source:?}: inbox seq {inbox_seq} was there after step {settled}, and stands behind a row of \
             step {born_before}: {row:?}"
        );
        born_before = born_before.max(born);
        *at += 1;
    }
    expected.retain(|chat, seqs| next.get(chat).copied().unwrap_or(0) < seqs.len());
    assert!(
        expected.is_empty(),
        "{user}: {source:?}: the inbox has {length} rows and lacks some of {expected:?}"
    );
}

fn is_row(world: &World, who: Who, row: &Row, chat: Chat, source: Source) {
    let expected = world.row(chat, row.seq);
    let recalled_since = source == Source::Device && row.emptied().is(&expected);
    assert!(
        row.is(&expected) || recalled_since,
        "{}: {source:?}\n  has       {row:?}\n  must have {expected:?}",
        world.user(who)
    );
}

/// The rows of super groups that a device holds outside its inbox.
pub(crate) fn super_groups(world: &World, who: Who, groups: &BTreeMap<String, Held>) {
    let user = world.user(who);
    for (number, _) in world.groups.iter().enumerate() {
        let chat = Chat::Group(number);
        let name = world.conversation(chat);
        let (must, may) = world.outside_inboxes(who, number);
        let nothing = BTreeMap::new();
        let rows = groups.get(&name).map_or(&nothing, |held| &held.rows);
        let held: BTreeSet<u64> = rows.keys().copied().collect();
        let missing: Vec<&u64> = must.difference(&held).collect();
        assert!(missing.is_empty(), "{user}: misses {missing:?} of {name}, has {held:?}");
        // Rows of its time as a small group may come by both ways.
        let strange: Vec<&u64> = held
            .difference(&may)
            .filter(|&&seq| seq >= world.groups[number].super_from || !world.is_for(who, number, seq))
            .collect();
        assert!(strange.is_empty(), "{user}: has {strange:?} of {name}, which are not for this user");
        for row in rows.values() {
            is_row(world, who, row, chat, Source::Device);
        }
    }
}

/// The super groups that auth or groupTops has told.
pub(crate) fn told_groups(world: &World, who: Who, told: &[Value]) {
    let mut expected: Vec<Value> = Vec::new();
    for (group, joined) in world.super_groups(who) {
        let chat = Chat::Group(group);
        expected.push(serde_json::json!({
            "conversation": world.conversation(chat),
            "top": world.top(chat),
            "readUpTo": world.own(who, chat).read,
            "joined": joined,
        }));
    }
    assert_eq!(told, expected, "{}: the super groups that the server tells", world.user(who));
}

/// The list of conversations as the server answers it.
pub(crate) fn list(world: &World, who: Who, conversations: &BTreeMap<String, Value>) {
    let chats = world.chats(who);
    let names: BTreeSet<String> = chats.iter().map(|&chat| world.conversation(chat)).collect();
    let found: BTreeSet<String> = conversations.keys().cloned().collect();
    assert_eq!(found, names, "{}: the conversations", world.user(who));
    for chat in chats {
        let found = &conversations[&world.conversation(chat)];
        let expected = world.listed(who, chat).unwrap();
        let seen = listed(found);
        let last_is = match (&seen.last, &expected.last) {
            (Some(seen), Some(expected)) => seen.is(expected),
            (seen, expected) => seen.is_none() && expected.is_none(),
        };
        let expected = Listed { last: if last_is { seen.last.clone() } else { expected.last }, ..expected };
        assert_eq!(seen, expected, "{}: {}", world.user(who), world.conversation(chat));
    }
}

/// The list that a device has kept up since a version: what a super group's messages change is not in it.
pub(crate) fn kept_list(world: &World, who: Who, conversations: &BTreeMap<String, Value>) {
    let mut current = conversations.clone();
    for chat in world.chats(who) {
        let Chat::Group(group) = chat else { continue };
        let name = world.conversation(chat);
        let Some(kept) = current.get_mut(&name).filter(|_| world.groups[group].is_super()) else { continue };
        let (seen, expected) = (listed(kept), world.listed(who, chat).unwrap());
        // Who has left is not told what becomes of the group.
        let kind = |listed: &Listed| listed.left.is_none().then_some(listed.kind);
        let standing = |listed: &Listed| {
            (kind(listed), listed.read, listed.pinned, listed.muted, listed.joined, listed.left)
        };
        assert_eq!(standing(&seen), standing(&expected), "{}: {name} as it was kept", world.user(who));
        current.remove(&name);
    }
    let others = world.chats(who).into_iter().filter(|&chat| match chat {
        Chat::Group(group) => !world.groups[group].is_super(),
        Chat::Single(..) => true,
    });
    let names: BTreeSet<String> = others.map(|chat| world.conversation(chat)).collect();
    assert_eq!(current.keys().cloned().collect::<BTreeSet<_>>(), names, "{}: kept", world.user(who));
    for chat in world.chats(who) {
        let Some(kept) = current.get(&world.conversation(chat)) else { continue };
        let (seen, expected) = (listed(kept), world.listed(who, chat).unwrap());
        assert_eq!(
            (seen.top, seen.read, seen.unread, seen.mentioned),
            (expected.top, expected.read, expected.unread, expected.mentioned),
            "{}: {} as it was kept",
            world.user(who),
            world.conversation(chat)
        );
    }
}

fn listed(value: &Value) -> Listed {
    let number = |name: &str| value[name].as_u64().unwrap_or(0);
    Listed {
        kind: match value["kind"].as_str() {
            Some("single") => "single",
            Some("group") => "group",
            Some("super") => "super",
            other => panic!("a conversation of the kind {other:?}: {value}"),
        },
        name: value["name"].as_str().unwrap_or_default().to_owned(),
        top: number("top"),
        read: number("readUpTo"),
        unread: number("unread"),
        mentioned: value["mentioned"] == true,
        last: value.get("last").map(Row::of_page),
        pinned: value["pinned"] == true,
        muted: value["muted"] == true,
        joined: number("joined"),
        left: value["left"].as_u64(),
        peer_read: value["peerReadUpTo"].as_u64(),
    }
}

/// What a device that heals itself has not got yet.
pub(crate) fn lack(world: &World, who: Who, device: &Device) -> Option<String> {
    let (length, position) = (world.inbox_length(who), device.position);
    if position < length {
        return Some(format!("seqs {} to {length} of the inbox", position + 1));
    }
    (0..world.groups.len()).find_map(|group| {
        let name = world.conversation(Chat::Group(group));
        let (must, _) = world.outside_inboxes(who, group);
        let held = device.groups.get(&name);
        let missing: Vec<u64> =
            must.into_iter().filter(|seq| held.is_none_or(|held| !held.rows.contains_key(seq))).collect();
        (!missing.is_empty()).then(|| format!("{missing:?} of {name}"))
    })
}

/// All that a device holds.
pub(crate) fn device(world: &World, who: Who, device: &Device) {
    inbox(world, who, &device.inbox, Source::Device);
    super_groups(world, who, &device.groups);
    kept_list(world, who, &device.conversations);
}

/// The members of a group, in any order.
pub(crate) fn members(world: &World, group: usize, found: &[Value]) {
    let expected: BTreeSet<(String, &str, bool)> = world.groups[group]
        .members
        .iter()
        .map(|(&who, member)| (world.user(who), member.role.name(), member.muted))
        .collect();
    let told: Vec<(String, &str, bool)> = found
        .iter()
        .map(|member| {
            let user = member["user"].as_str().unwrap().to_owned();
            (user, member["role"].as_str().unwrap(), member["mutedUntilMs"] != 0)
        })
        .collect();
    assert_eq!(
        told.len(),
        expected.len(),
        "a member is told twice, or one is missing: {told:?}, {expected:?}"
    );
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), expected, "members of {}", world.group_name(group));
}

/// A conversation read from one end to the other.
pub(crate) fn history(world: &World, who: Who, chat: Chat, rows: &[Row]) {
    let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(
        seqs,
        world.readable(who, chat),
        "{}: history of {}",
        world.user(who),
        world.conversation(chat)
    );
    for row in rows {
        is_row(world, who, row, chat, Source::Server);
    }
}
