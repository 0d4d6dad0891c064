//! `groupUpdate`: a group gets another name, picture, announcement or rule, or is made a super group.

use backends::store::{GroupSettings, HistoryRule, JoinRule, Role};
use contracts::Result;
use contracts::im::Asker;
use protocol::UserId;
use protocol::client::{GroupUpdate, GroupUpdateReply};
use protocol::message::kind;

use super::deed::{Deed, Draft, Stands, Step};
use super::{Groups, field};

/// What is absent stays.
struct Update {
    name: Option<String>,
    avatar: Option<String>,
    announcement: Option<String>,
    join: Option<JoinRule>,
    history: Option<HistoryRule>,
    is_super: Option<bool>,
}

impl Deed for Update {
    type Reply = ();

    fn users(&self) -> &[UserId] {
        &[]
    }

    fn decide(&self, stands: &Stands) -> Result<Step<()>> {
        let group = &stands.group;
        let converts = self.is_super == Some(true) && !group.is_super();
        stands.role_at_least(if converts { Role::Owner } else { Role::Admin })?;
        if self.is_super == Some(false) && group.is_super() {
            let message = format!("group {} is a super group, which is never undone", group.group);
            return Err(field::invalid(message));
        }
        let was = &group.settings;
        let settings = GroupSettings {
            name: self.name.clone().unwrap_or_else(|| was.name.clone()),
            avatar: self.avatar.clone().unwrap_or_else(|| was.avatar.clone()),
            announcement: self.announcement.clone().unwrap_or_else(|| was.announcement.clone()),
            join: self.join.unwrap_or(was.join),
            history: self.history.unwrap_or(was.history),
            all_muted: was.all_muted,
        };
        if settings != *was {
            let draft = Draft { settings, ..Draft::of(group, kind::UPDATED) };
            return Ok(if converts { Step::ChangeFirst(draft) } else { Step::Change(draft, ()) });
        }
        Ok(if converts { Step::Change(stands.conversion(), ()) } else { Step::Nothing(()) })
    }
}

impl Groups {
    /// Changes what is given; what is as given already writes no row.
    pub(crate) async fn update(&self, asker: &Asker, request: GroupUpdate) -> Result<GroupUpdateReply> {
        let group = field::group(&request.group)?;
        let deed = Update {
            name: request.name.as_deref().map(field::name).transpose()?,
            avatar: request.avatar.as_deref().map(field::avatar).transpose()?,
            announcement: request.announcement.as_deref().map(field::announcement).transpose()?,
            join: request.join.as_deref().map(field::join).transpose()?,
            history: request.history.as_deref().map(field::history).transpose()?,
            is_super: request.kind.as_deref().map(field::is_super).transpose()?,
        };
        self.carry_out(asker, &group, &deed).await?;
        Ok(GroupUpdateReply {})
    }
}
