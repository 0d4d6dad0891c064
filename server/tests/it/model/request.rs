//! Each act as the request that asks for it, and how to see whether it has been carried out.

use serde_json::{Value, json};

use super::device::{Device, list};
use super::plan::{Act, Say};
use super::world::{Chat, Role, Who, World};

/// The request to send a message, in the world before it.
pub(crate) fn send(world: &World, by: Who, say: &Say) -> Value {
    let to = match say.chat {
        Chat::Single(one, other) => json!({"user": world.user(if one == by { other } else { one })}),
        Chat::Group(group) => json!({"group": world.group_name(group)}),
    };
    json!({
        "to": to,
        "clientMessageId": say.id,
        "text": say.id,
        "mentions": names(world, &say.mentions),
        "mentionAll": say.all,
        "replyTo": world.answered_by(by, say),
    })
}

/// The name and the fields of any other request.
pub(crate) fn of(world: &World, act: &Act) -> (&'static str, Value) {
    let group = |group: &usize| world.group_name(*group);
    match act {
        Act::Say(say) => unreachable!("{say:?} is asked for by send"),
        Act::Recall { chat, seq } => {
            ("recall", json!({"conversation": world.conversation(*chat), "seq": seq}))
        }
        Act::Read { chat, seq } => ("read", json!({"conversation": world.conversation(*chat), "seq": seq})),
        Act::Pin { chat, pinned, muted } => {
            let conversation = world.conversation(*chat);
            ("conversationUpdate", json!({"conversation": conversation, "pinned": pinned, "muted": muted}))
        }
        Act::Block { whom, blocked } => {
            (if *blocked { "block" } else { "unblock" }, json!({"user": world.user(*whom)}))
        }
        Act::Create { group: number, members, is_super, join, all_history } => (
            "groupCreate",
            json!({
                "group": group(number),
                "name": format!("group {number}"),
                "members": names(world, members),
                "kind": if *is_super { "super" } else { "group" },
                "join": join,
                "history": if *all_history { "all" } else { "joined" },
            }),
        ),
        Act::Invite { group: number, users } => {
            ("groupInvite", json!({"group": group(number), "users": names(world, users)}))
        }
        Act::Join { group: number } => ("groupJoin", json!({"group": group(number), "text": "please"})),
        Act::Answer { group: number, user, accept } => {
            ("groupAnswer", json!({"group": group(number), "user": world.user(*user), "accept": accept}))
        }
        Act::Leave { group: number } => ("groupLeave", json!({"group": group(number)})),
        Act::Remove { group: number, users } => {
            ("groupRemove", json!({"group": group(number), "users": names(world, users)}))
        }
        Act::Rename { group: number, name } => ("groupUpdate", json!({"group": group(number), "name": name})),
        Act::SetRole { group: number, user, role } => {
            let users = [world.user(*user)];
            ("groupRole", json!({"group": group(number), "users": users, "role": role.name()}))
        }
        Act::Mute { group: number, user, muted } => {
            let users = [world.user(*user)];
            ("groupMute", json!({"group": group(number), "users": users, "muted": muted}))
        }
        Act::MuteAll { group: number, muted } => {
            ("groupMute", json!({"group": group(number), "muted": muted}))
        }
        Act::Convert { group: number } => ("groupUpdate", json!({"group": group(number), "kind": "super"})),
        Act::Dismiss { group: number } => ("groupDismiss", json!({"group": group(number)})),
    }
}

fn names(world: &World, users: &[Who]) -> Vec<String> {
    users.iter().map(|&who| world.user(who)).collect()
}

/// Looks whether an act whose answer was lost has been carried out: false also where doing it again changes
/// nothing. The world is the one before it.
pub(crate) async fn is_done(world: &World, device: &mut Device, act: &Act) -> bool {
    match act {
        Act::Say(_) | Act::Recall { .. } | Act::Read { .. } | Act::Pin { .. } | Act::Block { .. } => false,
        Act::Answer { .. } => false,
        Act::Create { group, .. } => info(world, device, *group).await.is_some(),
        Act::Invite { group, users } => {
            let is_outside = |who: &&Who| world.groups[*group].role(**who).is_none();
            match users.iter().find(is_outside) {
                Some(&who) => member(world, device, *group, who).await.is_some(),
                None => false,
            }
        }
        Act::Join { group } => {
            info(world, device, *group).await.is_some_and(|info| info["role"].as_str() != Some(""))
        }
        Act::Leave { group } => {
            info(world, device, *group).await.is_none_or(|info| info["role"].as_str() == Some(""))
        }
        Act::Remove { group, users } => {
            let is_inside = |who: &&Who| world.groups[*group].role(**who).is_some();
            match users.iter().find(is_inside) {
                Some(&who) => member(world, device, *group, who).await.is_none(),
                None => false,
            }
        }
        Act::Rename { group, name } => is(world, device, *group, "name", json!(name)).await,
        Act::SetRole { group, user, role: Role::Owner } => {
            is(world, device, *group, "owner", json!(world.user(*user))).await
        }
        Act::SetRole { group, user, role } => {
            let found = member(world, device, *group, *user).await;
            found.is_some_and(|member| member["role"] == role.name())
        }
        Act::Mute { group, user, muted } => {
            let found = member(world, device, *group, *user).await;
            found.is_some_and(|member| (member["mutedUntilMs"] != 0) == *muted)
        }
        Act::MuteAll { group, muted } => is(world, device, *group, "allMuted", json!(muted)).await,
        Act::Convert { group } => is(world, device, *group, "kind", json!("super")).await,
        Act::Dismiss { group } => is(world, device, *group, "dismissed", json!(true)).await,
    }
}

async fn info(world: &World, device: &mut Device, group: usize) -> Option<Value> {
    device.ask("groupInfo", json!({"group": world.group_name(group)})).await.ok()
}

async fn is(world: &World, device: &mut Device, group: usize, field: &str, expected: Value) -> bool {
    info(world, device, group).await.is_some_and(|info| info[field] == expected)
}

/// The members of a group, page by page.
pub(crate) async fn members(world: &World, device: &mut Device, group: usize) -> Vec<Value> {
    let (mut members, mut cursor) = (Vec::new(), String::new());
    loop {
        let request = json!({"group": world.group_name(group), "cursor": cursor, "limit": 3});
        let mut page = device.ask("groupMembers", request).await.unwrap_or_default();
        members.extend(list(page["members"].take()));
        cursor = page["next"].as_str().unwrap_or_default().to_owned();
        if cursor.is_empty() {
            return members;
        }
    }
}

async fn member(world: &World, device: &mut Device, group: usize, who: Who) -> Option<Value> {
    let user = world.user(who);
    members(world, device, group).await.into_iter().find(|member| member["user"] == user)
}
