//! `groupMute`: members may not write for a time, or everybody without a role.

use backends::store::{GroupSettings, MemberChange, Role};
use contracts::Result;
use contracts::im::Asker;
use protocol::UserId;
use protocol::client::{GroupMute, GroupMuteReply};
use protocol::limits::MUTED_FOREVER_MS;
use protocol::message::kind;

use super::deed::{Deed, Draft, Stands, Step, stays};
use super::{Groups, field};

struct MuteAll {
    muted: bool,
}

impl Deed for MuteAll {
    type Reply = ();

    fn users(&self) -> &[UserId] {
        &[]
    }

    fn decide(&self, stands: &Stands) -> Result<Step<()>> {
        stands.role_at_least(Role::Admin)?;
        let was = &stands.group.settings;
        if was.all_muted == self.muted {
            return Ok(Step::Nothing(()));
        }
        let kind = if self.muted { kind::ALL_MUTED } else { kind::ALL_UNMUTED };
        let settings = GroupSettings { all_muted: self.muted, ..was.clone() };
        Ok(Step::Change(Draft { settings, ..Draft::of(&stands.group, kind) }, ()))
    }
}

struct Mute {
    users: Vec<UserId>,
    muted: bool,
    /// 0: until it is taken back.
    duration_ms: u64,
}

impl Deed for Mute {
    type Reply = ();

    fn users(&self) -> &[UserId] {
        &self.users
    }

    fn decide(&self, stands: &Stands) -> Result<Step<()>> {
        let role = stands.role_at_least(Role::Admin)?;
        let now_ms = stands.now_ms;
        let muted_until_ms = match (self.muted, self.duration_ms) {
            (false, _) => 0,
            (true, 0) => MUTED_FOREVER_MS,
            (true, duration_ms) => now_ms.saturating_add(duration_ms).min(MUTED_FOREVER_MS),
        };
        let mut members = Vec::new();
        for member in stands.members() {
            stands.check_acts_on(role, member)?;
            // One whose time is over may write, whatever stands there still.
            let was = if member.muted_until_ms > now_ms { member.muted_until_ms } else { 0 };
            if was != muted_until_ms {
                members.push(MemberChange { muted_until_ms, ..stays(member) });
            }
        }
        if members.is_empty() {
            return Ok(Step::Nothing(()));
        }
        let kind = if self.muted { kind::MUTED } else { kind::UNMUTED };
        let draft = Draft { members, ..Draft::of(&stands.group, kind) }.naming_members();
        Ok(Step::Change(draft, ()))
    }
}

impl Groups {
    /// Mutes members or everybody, or takes it back; who is no member is skipped.
    pub(crate) async fn mute(&self, asker: &Asker, request: GroupMute) -> Result<GroupMuteReply> {
        let group = field::group(&request.group)?;
        let GroupMute { muted, duration_ms, .. } = request;
        let users = field::users("users", &request.users)?;
        if users.is_empty() {
            if duration_ms > 0 {
                let message = "durationMs without users: everybody is muted until it is taken back";
                return Err(field::invalid(message));
            }
            self.carry_out(asker, &group, &MuteAll { muted }).await?;
        } else {
            self.carry_out(asker, &group, &Mute { users, muted, duration_ms }).await?;
        }
        Ok(GroupMuteReply {})
    }
}
