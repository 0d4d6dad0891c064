//! A group for tests: it knows the version that it was changed to last.

use backends::store::{
    GroupChange, GroupChanged, GroupSettings, HistoryRule, Member, MemberChange, MemberChangeKind, Role,
    SuperChange,
};

use super::*;

pub(super) struct Club {
    pub(super) store: Arc<dyn Store>,
    pub(super) group: GroupId,
    pub(super) version: u64,
    /// The number of the last row that changed it.
    number: u64,
}

pub(super) fn join(name: &str) -> MemberChange {
    MemberChange { user: user(name), role: Role::Member, muted_until_ms: 0, kind: MemberChangeKind::Join }
}

pub(super) fn stay(name: &str, role: Role) -> MemberChange {
    MemberChange { role, kind: MemberChangeKind::Stay, ..join(name) }
}

pub(super) fn leave(name: &str) -> MemberChange {
    MemberChange { kind: MemberChangeKind::Leave, ..join(name) }
}

impl Club {
    /// Makes a group whose owner is the first of its members.
    pub(super) async fn make(store: &Arc<dyn Store>, name: &str, members: &[&str]) -> Self {
        Self::make_as(store, name, members, SuperChange::Stay, HistoryRule::Joined).await
    }

    pub(super) async fn make_super(store: &Arc<dyn Store>, name: &str, members: &[&str]) -> Self {
        Self::make_as(store, name, members, SuperChange::FromThisRow, HistoryRule::Joined).await
    }

    pub(super) async fn make_as(
        store: &Arc<dyn Store>,
        name: &str,
        members: &[&str],
        super_change: SuperChange,
        history: HistoryRule,
    ) -> Self {
        // Numbers of different groups must not meet.
        let number =
            1_000_000 + name.bytes().fold(0, |sum, byte| (sum * 31 + u64::from(byte)) % 9_973) * 1_000;
        let mut club = Self { store: Arc::clone(store), group: group_id(name), version: 0, number };
        let mut joins: Vec<MemberChange> = members.iter().map(|member| join(member)).collect();
        joins[0].role = Role::Owner;
        club.change(|change| {
            change.members = joins;
            change.super_change = super_change;
            change.settings.history = history;
        })
        .await;
        club
    }

    pub(super) fn conversation(&self) -> ConversationId {
        ConversationId::group(&self.group)
    }

    /// A change of nothing, decided on the version that is known.
    pub(super) async fn next(&mut self) -> GroupChange {
        self.number += 1;
        let known = self.store.groups(std::slice::from_ref(&self.group)).await.unwrap().remove(0);
        GroupChange {
            group: self.group.clone(),
            expected_version: self.version,
            settings: known.as_ref().map_or_else(GroupSettings::default, |known| known.settings.clone()),
            owner: known.as_ref().map_or_else(|| user("owner"), |known| known.owner.clone()),
            dismissed: known.is_some_and(|known| known.dismissed),
            super_change: SuperChange::Stay,
            members: Vec::new(),
            message_id: self.number,
            by: user("owner"),
            time_ms: time_of(0),
            content: Bytes::from(format!("change {}", self.number)),
        }
    }

    pub(super) async fn change(&mut self, make: impl FnOnce(&mut GroupChange)) -> GroupChanged {
        let mut change = self.next().await;
        make(&mut change);
        let changed = self.store.change_group(change).await.unwrap().expect("nobody else changes it");
        assert_eq!(changed.group.version, changed.seq);
        self.version = changed.seq;
        changed
    }

    pub(super) async fn members(&mut self, members: Vec<MemberChange>) -> u64 {
        self.change(|change| change.members = members).await.seq
    }

    /// Sends a message and answers its seq.
    pub(super) async fn send(&self, from: &str, number: u64) -> u64 {
        append(&self.store, self.message(from, number)).await.seq
    }

    pub(super) fn message(&self, from: &str, number: u64) -> Append {
        Append { conversation: self.conversation(), inboxes: Vec::new(), ..chat(from, from, number) }
    }

    pub(super) async fn receivers(&self, seq: u64) -> Vec<String> {
        let receivers = self.store.receivers(&self.conversation(), seq).await.unwrap();
        receivers.iter().map(ToString::to_string).collect()
    }

    pub(super) async fn all_members(&self) -> Vec<Member> {
        self.store.members_page(&self.group, None, usize::MAX).await.unwrap()
    }
}
