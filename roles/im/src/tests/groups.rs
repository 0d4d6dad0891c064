//! Groups: who may do what, what it changes, and whom it is told.

use backends::broker::Topic;
use backends::store::{GroupSettings, MemberChange, MemberChangeKind, Role, SuperChange};
use futures_util::future::join_all;
use protocol::client::{
    GroupAnswer, GroupDismiss, GroupInfo, GroupInvite, GroupJoin, GroupLeave, GroupMembers, GroupMute,
    GroupRemove, GroupRequests, GroupRole, GroupUpdate,
};
use protocol::codec::Event;
use protocol::limits::MUTED_FOREVER_MS;

use super::*;

fn invite(users: &[&str]) -> GroupInvite {
    GroupInvite { group: "g".to_owned(), users: names(users) }
}

fn remove(users: &[&str]) -> GroupRemove {
    GroupRemove { group: "g".to_owned(), users: names(users) }
}

fn role(users: &[&str], role: &str) -> GroupRole {
    GroupRole { group: "g".to_owned(), users: names(users), role: role.to_owned() }
}

fn mute(users: &[&str], muted: bool, duration_ms: u64) -> GroupMute {
    GroupMute { group: "g".to_owned(), users: names(users), muted, duration_ms }
}

fn update(change: impl FnOnce(&mut GroupUpdate)) -> GroupUpdate {
    let mut update = GroupUpdate { group: "g".to_owned(), ..GroupUpdate::default() };
    change(&mut update);
    update
}

fn join_rule(rule: &str) -> GroupUpdate {
    update(|update| update.join = Some(rule.to_owned()))
}

fn g<T: Default>(set: impl FnOnce(&mut T, String)) -> T {
    let mut request = T::default();
    set(&mut request, "g".to_owned());
    request
}

fn join(text: &str) -> GroupJoin {
    GroupJoin { group: "g".to_owned(), text: text.to_owned() }
}

fn leave() -> GroupLeave {
    GroupLeave { group: "g".to_owned() }
}

fn info() -> GroupInfo {
    GroupInfo { group: "g".to_owned() }
}

/// im with a group of alice, the owner, adam, an admin, bob and carol.
async fn with_group(backends: &Backends, push: &Arc<Remembering>) -> Running {
    let running = backends.start(unswept(), push);
    running.group("g", &["alice", "adam", "bob", "carol"], "").await;
    ask!(running, "alice", GroupRole, role(&["adam"], "admin")).unwrap();
    running
}

async fn members_of(running: &Running, asker: &str) -> Vec<(String, String)> {
    let request = GroupMembers { group: "g".to_owned(), ..GroupMembers::default() };
    let reply = ask!(running, asker, GroupMembers, request).unwrap();
    let mut members: Vec<(String, String)> =
        reply.members.into_iter().map(|member| (member.user, member.role)).collect();
    members.sort_unstable();
    members
}

#[tokio::test]
async fn a_group_is_made_with_its_members_and_each_is_told() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(unswept(), &push);
    let request = GroupCreate {
        name: "friends".to_owned(),
        members: names(&["bob", "alice", "bob", "carol"]),
        avatar: "https://pictures/1".to_owned(),
        announcement: "hello".to_owned(),
        ..GroupCreate::default()
    };
    let reply = ask!(running, "alice", GroupCreate, request).unwrap();
    assert!(reply.group.starts_with('g') && reply.group.len() > 5, "{}", reply.group);
    assert_eq!(reply.conversation, format!("group:{}", reply.group));

    let info = ask!(running, "bob", GroupInfo, GroupInfo { group: reply.group.clone() }).unwrap();
    assert_eq!((info.name.as_str(), info.kind.as_str(), info.owner.as_str()), ("friends", "group", "alice"));
    assert_eq!((info.member_count, info.role.as_str(), info.join.as_str()), (3, "member", "closed"));
    assert_eq!((info.announcement.as_str(), info.history.as_str()), ("hello", "joined"));

    let rows = backends.rows_of(&reply.group).await;
    let [(row, FanOut::OnWrite)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.kind.as_deref(), row.by.as_deref()), (Some("created"), Some("alice")));
    assert_eq!(row.users, names(&["alice", "bob", "carol"]));
    let is_of_group =
        |event: &Event| matches!(event, Event::Conversation(told) if told.conversation == reply.conversation);
    let mut told = Vec::new();
    while told.len() < 3 {
        told = push.until_told(is_of_group).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(told, names(&["alice", "bob", "carol"]));
}

#[tokio::test]
async fn an_id_is_given_to_one_group() {
    let backends = Backends::open().await;
    let running = backends.start(unswept(), &Arc::new(Remembering::new()));
    running.group("g", &["alice", "bob"], "").await;
    let again = GroupCreate { group: "g".to_owned(), ..GroupCreate::default() };
    assert_eq!(code_of(ask!(running, "carol", GroupCreate, again.clone())), Code::AlreadyExists);
    assert_eq!(code_of(ask!(running, "alice", GroupCreate, again)), Code::AlreadyExists);
    let dismiss = GroupDismiss { group: "g".to_owned() };
    ask!(running, "alice", GroupDismiss, dismiss).unwrap();
    let again = GroupCreate { group: "g".to_owned(), ..GroupCreate::default() };
    assert_eq!(code_of(ask!(running, "alice", GroupCreate, again)), Code::AlreadyExists);
}

#[tokio::test]
async fn a_bad_group_is_refused() {
    let backends = Backends::open().await;
    let running = backends.start(unswept(), &Arc::new(Remembering::new()));
    let create = |change: fn(&mut GroupCreate)| {
        let mut request = GroupCreate { group: "g".to_owned(), ..GroupCreate::default() };
        change(&mut request);
        request
    };
    let refused = [
        (create(|request| request.name = "x".repeat(101)), Code::TooLarge),
        (create(|request| request.announcement = "x".repeat(5_001)), Code::TooLarge),
        (create(|request| request.avatar = "x".repeat(2_049)), Code::TooLarge),
        (create(|request| request.kind = "room".to_owned()), Code::InvalidArgument),
        (create(|request| request.join = "free".to_owned()), Code::InvalidArgument),
        (create(|request| request.history = "none".to_owned()), Code::InvalidArgument),
        (create(|request| request.group = "a\nb".to_owned()), Code::InvalidArgument),
        (create(|request| request.members = vec![String::new()]), Code::InvalidArgument),
        (
            create(|request| request.members = (0..1_001).map(|number| format!("u{number}")).collect()),
            Code::InvalidArgument,
        ),
    ];
    for (request, code) in refused {
        let shown = format!("{request:?}").chars().take(80).collect::<String>();
        assert_eq!(code_of(ask!(running, "alice", GroupCreate, request)), code, "{shown}");
    }
    assert_eq!(code_of(ask!(running, "alice", GroupInfo, info())), Code::NotFound);
}

#[tokio::test]
async fn a_message_is_stored_once_in_the_outbox_and_consumer_is_told() {
    let backends = Backends::open().await;
    let running = with_group(&backends, &Arc::new(Remembering::new())).await;
    let mut hints = backends.broker.subscribe(Topic::Fanout, "consumer").await.unwrap();
    let reply = running.say_in("g", "bob", "c-1").await.unwrap();
    assert_eq!((reply.conversation.as_str(), reply.seq, reply.inbox_seq), ("group:g", 3, None));
    assert_eq!(running.say_in("g", "bob", "c-1").await.unwrap(), reply, "the same id gets the first answer");

    let hint = hints.next(1).await.unwrap();
    assert_eq!((&hint[0].key[..], hint[0].value.len()), (&b"group:g"[..], 0));
    assert_eq!(backends.waiting_for_consumer().await, [1, 2, 3], "im leaves these intents to consumer");
    assert_eq!(backends.intents().await, []);
    assert_eq!(running.im().inbox_tops(&[user("bob"), user("carol")]).await.unwrap(), [0, 0]);
    backends.fan_out("g").await;
    let page = running.im().page(&user("carol"), 1, 0, 10).await.unwrap();
    let [role, message] = &page.messages[..] else { panic!("{page:?}") };
    assert_eq!((role.kind.as_deref(), role.role.as_deref()), (Some("role"), Some("admin")));
    assert_eq!((message.group.as_deref(), &message.to, message.seq), (Some("g"), &None, 3));
    assert_eq!(message.content, Some(Content::Text("hi".to_owned()).into()));
}

#[tokio::test]
async fn who_is_not_in_a_group_cannot_write_or_tell_whether_it_exists() {
    let backends = Backends::open().await;
    let running = with_group(&backends, &Arc::new(Remembering::new())).await;
    let stranger = running.say_in("g", "mallory", "c-1").await.unwrap_err();
    let nothing = running.say_in("h", "mallory", "c-1").await.unwrap_err();
    assert_eq!(stranger.to_string().replace(" g ", " h "), nothing.to_string());
    assert_eq!(stranger.kind(), Kind::Refused(Code::NotFound));
    for code in [
        code_of(ask!(running, "mallory", GroupInfo, info())),
        code_of(ask!(running, "mallory", GroupJoin, join(""))),
        code_of(ask!(running, "mallory", GroupInvite, invite(&["mallory"]))),
        code_of(ask!(
            running,
            "mallory",
            GroupMembers,
            g(|request: &mut GroupMembers, group| request.group = group)
        )),
        code_of(ask!(running, "mallory", GroupLeave, leave())),
        code_of(ask!(
            running,
            "mallory",
            GroupRequests,
            g(|request: &mut GroupRequests, group| request.group = group)
        )),
    ] {
        assert_eq!(code, Code::NotFound);
    }
    ask!(running, "alice", GroupDismiss, GroupDismiss { group: "g".to_owned() }).unwrap();
    assert_eq!(code_of(running.say_in("g", "mallory", "c-2").await), Code::NotFound);
    assert_eq!(code_of(running.say_in("g", "bob", "c-2").await), Code::Dismissed);
}

#[tokio::test]
async fn who_was_removed_is_refused_at_once_and_may_be_invited_again() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = with_group(&backends, &push).await;
    let reply = ask!(running, "adam", GroupRemove, remove(&["bob", "nobody"])).unwrap();
    assert_eq!(reply.removed, ["bob"]);
    assert_eq!(code_of(running.say_in("g", "bob", "c-1").await), Code::NotAllowed);
    let told =
        push.until_told(|event| matches!(event, Event::Conversation(told) if told.left == Some(3))).await;
    assert_eq!(told, ["bob"]);
    assert_eq!(ask!(running, "adam", GroupRemove, remove(&["bob"])).unwrap().removed, names(&[]));
    assert_eq!(backends.kinds_of("g").await, ["created", "role", "removed"], "a no-op wrote a row");

    assert_eq!(ask!(running, "adam", GroupInvite, invite(&["bob", "carol"])).unwrap().invited, ["bob"]);
    assert_eq!(ask!(running, "adam", GroupInvite, invite(&["bob"])).unwrap().invited, names(&[]));
    assert_eq!(running.say_in("g", "bob", "c-2").await.unwrap().seq, 5);
    assert_eq!(ask!(running, "bob", GroupInfo, info()).unwrap().member_count, 4);
}

#[tokio::test]
async fn everybody_does_what_their_role_allows_and_no_more() {
    let backends = Backends::open().await;
    let running = with_group(&backends, &Arc::new(Remembering::new())).await;
    let rename = || update(|update| update.name = Some("other".to_owned()));
    let dismiss = || GroupDismiss { group: "g".to_owned() };
    let requests = || GroupRequests { group: "g".to_owned() };
    let refused = [
        code_of(ask!(running, "bob", GroupInvite, invite(&["dave"]))),
        code_of(ask!(running, "bob", GroupRemove, remove(&["carol"]))),
        code_of(ask!(running, "bob", GroupMute, mute(&["carol"], true, 0))),
        code_of(ask!(running, "bob", GroupMute, mute(&[], true, 0))),
        code_of(ask!(running, "bob", GroupUpdate, rename())),
        code_of(ask!(running, "bob", GroupRequests, requests())),
        code_of(ask!(running, "bob", GroupRole, role(&["bob"], "admin"))),
        code_of(ask!(running, "bob", GroupDismiss, dismiss())),
        code_of(ask!(running, "adam", GroupRemove, remove(&["bob", "alice"]))),
        code_of(ask!(running, "adam", GroupRemove, remove(&["adam"]))),
        code_of(ask!(running, "adam", GroupMute, mute(&["alice"], true, 0))),
        code_of(ask!(running, "adam", GroupRole, role(&["bob"], "admin"))),
        code_of(ask!(running, "adam", GroupUpdate, update(|update| update.kind = Some("super".to_owned())))),
        code_of(ask!(running, "adam", GroupDismiss, dismiss())),
        code_of(ask!(running, "alice", GroupLeave, leave())),
        code_of(ask!(running, "alice", GroupRemove, remove(&["alice"]))),
        code_of(ask!(running, "alice", GroupRole, role(&["alice"], "member"))),
    ];
    assert!(refused.iter().all(|code| *code == Code::NotAllowed), "{refused:?}");
    assert_eq!(backends.kinds_of("g").await, ["created", "role"], "what was refused wrote a row");

    ask!(running, "adam", GroupInvite, invite(&["dave"])).unwrap();
    ask!(running, "adam", GroupUpdate, rename()).unwrap();
    ask!(running, "adam", GroupUpdate, rename()).unwrap();
    ask!(running, "alice", GroupRole, role(&["bob"], "admin")).unwrap();
    assert_eq!(code_of(ask!(running, "adam", GroupRemove, remove(&["bob"]))), Code::NotAllowed);
    ask!(running, "alice", GroupRemove, remove(&["bob"])).unwrap();
    ask!(running, "carol", GroupLeave, leave()).unwrap();
    ask!(running, "carol", GroupLeave, leave()).unwrap();
    let kinds = ["created", "role", "invited", "updated", "role", "removed", "left"];
    assert_eq!(backends.kinds_of("g").await, kinds);
    assert_eq!(ask!(running, "dave", GroupInfo, info()).unwrap().name, "other");
    let members = [("adam", "admin"), ("alice", "owner"), ("dave", "member")];
    let members = members.map(|(user, role)| (user.to_owned(), role.to_owned()));
    assert_eq!(members_of(&running, "dave").await, members);
}

#[tokio::test]
async fn a_group_is_handed_over() {
    let backends = Backends::open().await;
    let running = with_group(&backends, &Arc::new(Remembering::new())).await;
    let bad = [
        code_of(ask!(running, "alice", GroupRole, role(&["bob", "carol"], "owner"))),
        code_of(ask!(running, "alice", GroupRole, role(&["mallory"], "owner"))),
        code_of(ask!(running, "alice", GroupRole, role(&["bob"], "king"))),
        code_of(ask!(running, "alice", GroupRole, role(&[], "admin"))),
    ];
    assert!(bad.iter().all(|code| *code == Code::InvalidArgument), "{bad:?}");
    ask!(running, "alice", GroupRole, role(&["bob"], "owner")).unwrap();
    let rows = backends.rows_of("g").await;
    let (row, _) = rows.last().unwrap();
    assert_eq!((row.kind.as_deref(), &row.users), (Some("transferred"), &names(&["bob"])));
    let members = [("adam", "admin"), ("alice", "member"), ("bob", "owner"), ("carol", "member")];
    let members = members.map(|(user, role)| (user.to_owned(), role.to_owned()));
    assert_eq!(members_of(&running, "carol").await, members);
    assert_eq!(ask!(running, "carol", GroupInfo, info()).unwrap().owner, "bob");
    ask!(running, "alice", GroupLeave, leave()).unwrap();
    assert_eq!(code_of(ask!(running, "bob", GroupLeave, leave())), Code::NotAllowed);
}

#[tokio::test]
async fn a_muted_member_writes_no_more_until_it_is_taken_back() {
    let backends = Backends::open().await;
    let running = with_group(&backends, &Arc::new(Remembering::new())).await;
    ask!(running, "adam", GroupMute, mute(&["bob"], true, 0)).unwrap();
    ask!(running, "adam", GroupMute, mute(&["bob"], true, 0)).unwrap();
    assert_eq!(code_of(running.say_in("g", "bob", "c-1").await), Code::Muted);
    running.say_in("g", "carol", "c-1").await.unwrap();
    let request = GroupMembers { group: "g".to_owned(), ..GroupMembers::default() };
    let members = ask!(running, "carol", GroupMembers, request).unwrap().members;
    let muted: Vec<(&str, u64)> = members
        .iter()
        .filter(|member| member.muted_until_ms > 0)
        .map(|member| (member.user.as_str(), member.muted_until_ms))
        .collect();
    assert_eq!(muted, [("bob", MUTED_FOREVER_MS)]);

    // To leave and to come back does not help.
    ask!(running, "alice", GroupUpdate, join_rule("open")).unwrap();
    ask!(running, "bob", GroupLeave, leave()).unwrap();
    ask!(running, "bob", GroupJoin, join("")).unwrap();
    assert_eq!(code_of(running.say_in("g", "bob", "c-1").await), Code::Muted);
    ask!(running, "alice", GroupMute, mute(&["bob"], false, 0)).unwrap();
    running.say_in("g", "bob", "c-1").await.unwrap();

    ask!(running, "adam", GroupMute, mute(&["bob"], true, 1)).unwrap();
    let kinds = ["created", "role", "muted", "", "updated", "left", "joined", "unmuted", "", "muted"];
    assert_eq!(backends.kinds_of("g").await, kinds);
    while now_ms() < backends.rows_of("g").await.last().unwrap().0.time_ms + 2 {
        tokio::task::yield_now().await;
    }
    running.say_in("g", "bob", "c-2").await.unwrap();
}

#[tokio::test]
async fn when_all_are_muted_those_with_a_role_write() {
    let backends = Backends::open().await;
    let running = with_group(&backends, &Arc::new(Remembering::new())).await;
    assert_eq!(code_of(ask!(running, "adam", GroupMute, mute(&[], true, 5))), Code::InvalidArgument);
    ask!(running, "adam", GroupMute, mute(&[], true, 0)).unwrap();
    ask!(running, "adam", GroupMute, mute(&[], true, 0)).unwrap();
    assert_eq!(code_of(running.say_in("g", "bob", "c-1").await), Code::Muted);
    running.say_in("g", "adam", "c-1").await.unwrap();
    running.say_in("g", "alice", "c-1").await.unwrap();
    assert!(ask!(running, "bob", GroupInfo, info()).unwrap().all_muted);
    ask!(running, "alice", GroupMute, mute(&[], false, 0)).unwrap();
    running.say_in("g", "bob", "c-1").await.unwrap();
    let kinds = ["created", "role", "allMuted", "", "", "allUnmuted", ""];
    assert_eq!(backends.kinds_of("g").await, kinds);
}

#[tokio::test]
async fn a_dismissed_group_is_read_and_left_and_nothing_else() {
    let backends = Backends::open().await;
    let running = with_group(&backends, &Arc::new(Remembering::new())).await;
    ask!(running, "alice", GroupDismiss, GroupDismiss { group: "g".to_owned() }).unwrap();
    ask!(running, "alice", GroupDismiss, GroupDismiss { group: "g".to_owned() }).unwrap();
    let refused = [
        code_of(running.say_in("g", "alice", "c-1").await),
        code_of(ask!(running, "alice", GroupInvite, invite(&["dave"]))),
        code_of(ask!(running, "alice", GroupUpdate, join_rule("open"))),
    ];
    assert!(refused.iter().all(|code| *code == Code::Dismissed), "{refused:?}");
    assert!(ask!(running, "bob", GroupInfo, info()).unwrap().dismissed);
    assert_eq!(members_of(&running, "bob").await.len(), 4);
    // Members can put it behind them, its owner too.
    ask!(running, "bob", GroupLeave, leave()).unwrap();
    ask!(running, "alice", GroupLeave, leave()).unwrap();
    assert_eq!(backends.kinds_of("g").await, ["created", "role", "dismissed", "left", "left"]);
}

#[tokio::test]
async fn who_asks_is_let_in_by_owner_or_admin() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = with_group(&backends, &push).await;
    ask!(running, "alice", GroupUpdate, join_rule("approval")).unwrap();
    let info_of_stranger = ask!(running, "dave", GroupInfo, info()).unwrap();
    assert_eq!((info_of_stranger.role.as_str(), info_of_stranger.announcement.as_str()), ("", ""));

    assert!(!ask!(running, "dave", GroupJoin, join("it is me")).unwrap().joined);
    assert!(!ask!(running, "erin", GroupJoin, join("")).unwrap().joined);
    let is_dave = |event: &Event| matches!(event, Event::GroupRequest(asks) if asks.user == "dave" && asks.text == "it is me");
    assert_eq!(push.until_told(is_dave).await, ["adam", "alice"]);
    let requests = || GroupRequests { group: "g".to_owned() };
    let asking = ask!(running, "adam", GroupRequests, requests()).unwrap().requests;
    let mut asking: Vec<&str> = asking.iter().map(|request| request.user.as_str()).collect();
    asking.sort_unstable();
    assert_eq!(asking, ["dave", "erin"]);

    let answer = |user: &str, accept| GroupAnswer { group: "g".to_owned(), user: user.to_owned(), accept };
    assert_eq!(code_of(ask!(running, "bob", GroupAnswer, answer("dave", true))), Code::NotAllowed);
    assert_eq!(code_of(running.say_in("g", "dave", "c-1").await), Code::NotFound);
    ask!(running, "adam", GroupAnswer, answer("dave", true)).unwrap();
    running.say_in("g", "dave", "c-1").await.unwrap();
    assert_eq!(code_of(ask!(running, "adam", GroupAnswer, answer("dave", true))), Code::NotFound);
    ask!(running, "adam", GroupAnswer, answer("erin", false)).unwrap();
    assert_eq!(code_of(running.say_in("g", "erin", "c-1").await), Code::NotFound);
    assert_eq!(ask!(running, "adam", GroupRequests, requests()).unwrap().requests, []);

    // Who is invited meanwhile asks no more.
    ask!(running, "erin", GroupJoin, join("")).unwrap();
    ask!(running, "alice", GroupInvite, invite(&["erin"])).unwrap();
    assert_eq!(ask!(running, "adam", GroupRequests, requests()).unwrap().requests, []);
    assert!(ask!(running, "erin", GroupJoin, join("")).unwrap().joined);
    let kinds = ["created", "role", "updated", "invited", "", "invited"];
    assert_eq!(backends.kinds_of("g").await, kinds);
    assert_eq!(code_of(ask!(running, "zoe", GroupJoin, join(&"x".repeat(201)))), Code::TooLarge);
}

#[tokio::test]
async fn an_open_group_is_joined_and_every_member_may_invite() {
    let backends = Backends::open().await;
    let running = with_group(&backends, &Arc::new(Remembering::new())).await;
    ask!(running, "alice", GroupUpdate, join_rule("open")).unwrap();
    assert!(ask!(running, "dave", GroupJoin, join("")).unwrap().joined);
    assert!(ask!(running, "dave", GroupJoin, join("")).unwrap().joined);
    assert_eq!(ask!(running, "dave", GroupInvite, invite(&["erin"])).unwrap().invited, ["erin"]);
    assert_eq!(backends.kinds_of("g").await, ["created", "role", "updated", "joined", "invited"]);
    ask!(running, "alice", GroupUpdate, join_rule("closed")).unwrap();
    ask!(running, "dave", GroupLeave, leave()).unwrap();
    assert_eq!(code_of(ask!(running, "dave", GroupJoin, join(""))), Code::NotAllowed);
}

#[tokio::test]
async fn members_come_page_by_page_each_once() {
    let backends = Backends::open().await;
    let running = backends.start(unswept(), &Arc::new(Remembering::new()));
    let members: Vec<String> = (0..25).map(|number| format!("u{number:02}")).collect();
    running.group("g", &members.iter().map(String::as_str).collect::<Vec<&str>>(), "").await;
    let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = GroupMembers { group: "g".to_owned(), cursor, limit: 10 };
        let reply = ask!(running, "u07", GroupMembers, request).unwrap();
        found.extend(reply.members.into_iter().map(|member| member.user));
        pages += 1;
        cursor = reply.next;
        if cursor.is_empty() {
            break;
        }
    }
    found.sort_unstable();
    assert_eq!((found, pages), (members, 3));
}

#[tokio::test]
async fn changes_that_race_happen_one_after_the_other() {
    let backends = Backends::open().await;
    let running = with_group(&backends, &Arc::new(Remembering::new())).await;
    // A second process on the same store, which knows nothing of the first one's locks.
    let other = backends.start(unswept(), &Arc::new(Remembering::new()));
    let users: Vec<String> = (0..20).map(|number| format!("u{number:02}")).collect();
    let invites = users.iter().enumerate().map(async |(index, name)| {
        let process = if index % 2 == 0 { &running } else { &other };
        ask!(process, "adam", GroupInvite, invite(&["same", name])).unwrap().invited
    });
    let invited = join_all(invites).await;
    let same_count = invited.iter().filter(|users| users.contains(&"same".to_owned())).count();
    assert_eq!((same_count, invited.concat().len()), (1, 21), "{invited:?}");
    assert_eq!(ask!(running, "adam", GroupInfo, info()).unwrap().member_count, 25);
    assert_eq!(backends.kinds_of("g").await.len(), 22);
}

#[tokio::test]
async fn a_change_decided_on_an_old_state_is_not_committed() {
    let backends = Backends::open().await;
    let running = with_group(&backends, &Arc::new(Remembering::new())).await;
    let change = backends::store::GroupChange {
        group: GroupId::new("g").unwrap(),
        expected_version: 1,
        settings: GroupSettings::default(),
        owner: user("mallory"),
        dismissed: false,
        super_change: SuperChange::Stay,
        members: vec![MemberChange {
            user: user("mallory"),
            role: Role::Owner,
            muted_until_ms: 0,
            kind: MemberChangeKind::Join,
        }],
        message_id: 1,
        by: user("mallory"),
        time_ms: now_ms(),
        content: Bytes::new(),
    };
    assert_eq!(backends.store.change_group(change).await.unwrap(), None);
    assert_eq!(ask!(running, "alice", GroupInfo, info()).unwrap().owner, "alice");
}
