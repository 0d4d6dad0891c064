//! Groups: made, changed, converted, left.

use backends::store::{JoinRequest, JoinRule, Position, Role, SuperChange};
use protocol::DeviceId;

use super::club::{Club, join, leave, stay};
use super::*;
use crate::within;

fn names(members: &[backends::store::Member]) -> Vec<String> {
    members.iter().map(|member| member.user.to_string()).collect()
}

async fn super_groups(store: &Arc<dyn Store>, name: &str) -> Vec<String> {
    let found = store.super_groups(&user(name), None, usize::MAX).await.unwrap();
    found.into_iter().map(|(here, _)| here.group_id().unwrap().to_string()).collect()
}

pub(crate) async fn a_group_is_made_whole(mut fixture: impl StoreFixture) {
    let mut club = Club::make(&fixture.store(), "club", &["alice", "bob", "carol"]).await;
    let here = club.conversation();
    drop(club.store);
    fixture.reopen().await;

    let store = fixture.store();
    club.store = Arc::clone(&store);
    let found = store.groups(&[group_id("none"), group_id("club")]).await.unwrap();
    assert_eq!(found[0], None);
    let made = found[1].clone().unwrap();
    assert_eq!((made.member_count, made.version, made.super_from, made.dismissed), (3, 1, 0, false));
    assert_eq!(made.created_ms, time_of(0));

    let members = store.members(&club.group, &[user("bob"), user("dave"), user("alice")]).await.unwrap();
    assert_eq!(members[0].as_ref().map(|bob| (bob.role, bob.joined, bob.left)), Some((Role::Member, 1, 0)));
    assert_eq!(members[1], None);
    assert_eq!(members[2].as_ref().map(|alice| alice.role), Some(Role::Owner));
    assert_eq!(names(&club.all_members().await), ["alice", "bob", "carol"]);

    let rows = whole_outbox(&store, &here).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].counted, rows[0].fan_out, rows[0].membership_seq), (false, FanOut::OnWrite, 1));
    assert!(store.intents(IntentLane::Push, u64::MAX, 10).await.unwrap().is_empty());
    let intents = store.intents(IntentLane::FanOut, u64::MAX, 10).await.unwrap();
    assert_eq!(intents.into_iter().map(|intent| intent.message).collect::<Vec<_>>(), rows);
    for name in ["alice", "carol"] {
        let standing =
            store.standings(&user(name), std::slice::from_ref(&here)).await.unwrap().remove(0).unwrap();
        assert_eq!((standing.joined, standing.left, standing.top), (1, 0, 1));
    }
}

pub(crate) async fn a_change_decided_on_another_version_changes_nothing(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob"]).await;
    for expected_version in [0, 2, 99] {
        let mut change = club.next().await;
        change.expected_version = expected_version;
        change.members = vec![join("carol"), leave("bob")];
        change.settings.name = "another".to_owned();
        assert_eq!(store.change_group(change).await.unwrap(), None);
    }
    assert_eq!(names(&club.all_members().await), ["alice", "bob"]);
    let here = club.conversation();
    assert_eq!(store.outbox_tops(std::slice::from_ref(&here)).await.unwrap(), [1]);
    assert_eq!(store.standings(&user("carol"), &[here]).await.unwrap(), [None]);
    assert_eq!(store.groups(&[club.group]).await.unwrap()[0].as_ref().unwrap().settings.name, "");

    let mut other = Club::make(&store, "other", &["alice"]).await;
    other.version = 1;
    let mut change = other.next().await;
    change.group = group_id("never-made");
    assert_eq!(store.change_group(change).await.unwrap(), None);
}

pub(crate) async fn of_many_who_change_a_group_at_once_one_wins(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice"]).await;
    let mut tasks = Vec::new();
    for number in 0..16 {
        let mut change = club.next().await;
        change.members = vec![join(&format!("user-{number}"))];
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move { store.change_group(change).await.unwrap() }));
    }
    let mut won = 0;
    for task in tasks {
        won += usize::from(within(task).await.unwrap().is_some());
    }
    assert_eq!((won, club.all_members().await.len()), (1, 2));
}

pub(crate) async fn members_come_change_and_go(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob", "carol"]).await;
    let left = club.members(vec![leave("bob"), join("dave"), stay("carol", Role::Admin)]).await;
    let mut change = club.next().await;
    change.members = vec![stay("dave", Role::Member)];
    change.members[0].muted_until_ms = 77;
    change.settings.join = JoinRule::Open;
    change.owner = user("carol");
    let changed = store.change_group(change).await.unwrap().unwrap();
    assert_eq!((changed.group.member_count, changed.group.settings.join), (3, JoinRule::Open));
    assert_eq!(changed.group.owner, user("carol"));

    let found = club.all_members().await;
    assert_eq!(names(&found), ["alice", "carol", "dave"]);
    assert_eq!((found[1].role, found[1].joined), (Role::Admin, 1));
    assert_eq!((found[2].muted_until_ms, found[2].joined, found[2].joined_ms), (77, left, time_of(0)));
    let bob = store.members(&club.group, &[user("bob")]).await.unwrap().remove(0).unwrap();
    assert_eq!((bob.joined, bob.left), (1, left));
    let rows = whole_outbox(&store, &club.conversation()).await;
    let membership: Vec<u64> = rows.iter().map(|row| row.membership_seq).collect();
    assert_eq!(membership, [1, 2, 2], "who is a member has changed with the second row last");
}

pub(crate) async fn members_are_paged(fixture: impl StoreFixture) {
    let store = fixture.store();
    let all: Vec<String> =
        (0..25).map(|number| format!("user-{}", "x".repeat(number % 5 + number))).collect();
    let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
    let club = Club::make(&store, "club", &all).await;
    Club::make(&store, "clu", &["zoe"]).await;
    let mut found = Vec::new();
    loop {
        let after = found.last().map(|name: &String| user(name));
        let page = store.members_page(&club.group, after.as_ref(), 7).await.unwrap();
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        found.extend(names(&page));
    }
    found.sort_unstable();
    all.sort_unstable();
    assert_eq!(found, all);
}

pub(crate) async fn a_super_group_stands_in_the_outbox_alone(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make_super(&store, "club", &["alice", "bob"]).await;
    Club::make(&store, "small", &["alice", "bob"]).await;
    let joined = club.members(vec![join("carol"), leave("bob")]).await;
    let sent = append(&store, club.message("alice", 1)).await;
    assert_eq!((sent.fan_out, sent.seq), (FanOut::OnRead, joined + 1));
    let here = club.conversation();
    assert!(whole_outbox(&store, &here).await.iter().all(|row| row.fan_out == FanOut::OnRead));
    let intents = store.intents(IntentLane::Push, u64::MAX, 10).await.unwrap();
    assert_eq!(intents.len(), 3, "its rows are not the consumer's work");
    drop((store, club));
    fixture.reopen().await;

    let store = fixture.store();
    assert_eq!(super_groups(&store, "alice").await, ["club"]);
    assert!(super_groups(&store, "bob").await.is_empty());
    let carol = store.super_groups(&user("carol"), None, 10).await.unwrap();
    assert_eq!(carol.len(), 1);
    let (found, standing) = &carol[0];
    assert_eq!((found, standing.joined, standing.top, standing.super_from), (&here, joined, joined + 1, 1));
}

pub(crate) async fn super_groups_are_paged_in_the_order_of_their_conversations(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut all: Vec<String> = (0..12).map(|number| format!("g{}", "b".repeat(number) + "a")).collect();
    for name in &all {
        Club::make_super(&store, name, &["alice"]).await;
    }
    Club::make_super(&store, "another", &["alic", "alicea"]).await;
    all.sort_unstable();
    let mut found: Vec<ConversationId> = Vec::new();
    loop {
        let page = store.super_groups(&user("alice"), found.last(), 5).await.unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|(here, _)| here));
    }
    let found: Vec<String> = found.into_iter().map(|here| here.group_id().unwrap().to_string()).collect();
    assert_eq!(found, all);
}

pub(crate) async fn a_conversion_is_the_last_row_that_is_fanned_out(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob", "carol"]).await;
    club.members(vec![leave("carol")]).await;
    assert_eq!(append(&store, club.message("bob", 1)).await.fan_out, FanOut::OnWrite);
    let converted = club
        .change(|change| {
            change.super_change = SuperChange::AfterThisRow;
            change.members = vec![join("dave"), leave("bob"), join("erin")];
        })
        .await;
    assert_eq!((converted.fan_out, converted.group.super_from), (FanOut::OnWrite, converted.seq + 1));
    for name in ["alice", "dave", "erin"] {
        assert_eq!(super_groups(&store, name).await, ["club"], "{name}");
    }
    for name in ["bob", "carol"] {
        assert!(super_groups(&store, name).await.is_empty(), "{name}");
    }
    let next = append(&store, club.message("alice", 2)).await;
    assert_eq!((next.seq, next.fan_out), (converted.seq + 1, FanOut::OnRead));
    let later = club.members(vec![join("bob")]).await;
    assert_eq!(super_groups(&store, "bob").await, ["club"]);
    let group = store.groups(std::slice::from_ref(&club.group)).await.unwrap().remove(0).unwrap();
    assert_eq!((group.super_from, group.member_count), (converted.seq + 1, 4), "it is never undone");
    assert_eq!(club.receivers(converted.seq).await, ["alice"]);
    assert_eq!(later, next.seq + 1);
}

pub(crate) async fn a_group_of_many_is_made_and_converted_in_one_commit(fixture: impl StoreFixture) {
    let store = fixture.store();
    let all: Vec<String> = (0..600).map(|number| format!("user-{number:03}")).collect();
    let names: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut club = Club::make(&store, "club", &names).await;
    club.change(|change| change.super_change = SuperChange::AfterThisRow).await;
    assert_eq!(club.receivers(2).await, all);
    for name in ["user-000", "user-311", "user-599"] {
        assert_eq!(super_groups(&store, name).await, ["club"]);
    }
}

pub(crate) async fn a_change_of_who_is_not_there_changes_nobody(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob"]).await;
    let seq = club.members(vec![leave("nobody"), stay("nobody", Role::Admin), join("bob")]).await;
    let members = club.all_members().await;
    assert_eq!(names(&members), ["alice", "bob"]);
    assert_eq!(members[1].joined, 1, "who is in stays so");
    let row = whole_outbox(&store, &club.conversation()).await.pop().unwrap();
    assert_eq!((row.seq, row.membership_seq), (seq, 1));
}

fn request(name: &str, text: &str) -> JoinRequest {
    JoinRequest { user: user(name), text: text.to_owned(), time_ms: 5 }
}

pub(crate) async fn requests_to_join_are_kept_within_their_bound(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let (here, other) = (group_id("club"), group_id("clubb"));
    assert!(store.put_join_request(&here, request("bob", "first"), 2).await.unwrap());
    assert!(store.put_join_request(&here, request("alice", ""), 2).await.unwrap());
    assert!(!store.put_join_request(&here, request("carol", ""), 2).await.unwrap());
    assert!(store.put_join_request(&here, request("bob", "again"), 2).await.unwrap());
    assert!(store.put_join_request(&other, request("carol", ""), 2).await.unwrap());
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    let mut found = store.join_requests(&here).await.unwrap();
    found.sort_unstable_by(|one, other| one.user.cmp(&other.user));
    assert_eq!(found, [request("alice", ""), request("bob", "again")]);
    assert!(store.remove_join_request(&here, &user("bob")).await.unwrap());
    assert!(!store.remove_join_request(&here, &user("bob")).await.unwrap());
    assert!(store.put_join_request(&here, request("carol", ""), 2).await.unwrap());
    assert_eq!(store.join_requests(&other).await.unwrap(), [request("carol", "")]);
}

/// Names that a collation for people takes for one another.
const ALIKE: [&str; 6] = ["caf\u{e9}", "Caf\u{e9}", "cafe", "cafe\u{301}", "cafe ", " cafe"];

pub(crate) async fn ids_of_groups_members_and_devices_are_compared_bytewise(fixture: impl StoreFixture) {
    let store = fixture.store();
    for (name, number) in ALIKE.into_iter().zip(1..) {
        let mut club = Club::make_super(&store, name, &["alice"]).await;
        club.members(vec![join(name)]).await;
        store.set_blocked(&user("alice"), &user(name), true, ALIKE.len()).await.unwrap();
        let device = DeviceId::new(name).unwrap();
        let position = Position { user: user("alice"), device, inbox_seq: number };
        store.set_positions(vec![position]).await.unwrap();
        store.set_last_seen(vec![(user(name), number)]).await.unwrap();
        assert!(store.put_join_request(&group_id("club"), request(name, name), ALIKE.len()).await.unwrap());
    }
    let mut sorted = ALIKE.map(str::to_owned);
    sorted.sort_unstable();
    assert_eq!(super_groups(&store, "alice").await, sorted);
    let blocked = store.blocked(&user("alice")).await.unwrap();
    assert_eq!(blocked.iter().map(ToString::to_string).collect::<Vec<_>>(), sorted);
    assert_eq!(store.join_requests(&group_id("club")).await.unwrap().len(), ALIKE.len());
    for (name, number) in ALIKE.into_iter().zip(1..) {
        assert_eq!(super_groups(&store, name).await, [name]);
        let members = store.members_page(&group_id(name), None, 10).await.unwrap();
        let mut expected = ["alice".to_owned(), name.to_owned()];
        expected.sort_unstable();
        assert_eq!(names(&members), expected);
        let device = DeviceId::new(name).unwrap();
        assert_eq!(store.position(&user("alice"), &device).await.unwrap(), Some(number));
        assert_eq!(store.last_seen(&[user(name)]).await.unwrap(), [number]);
    }
}
