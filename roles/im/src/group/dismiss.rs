//! `groupDismiss`: a group ends. Its members stay, so that they can read what was said; nobody writes any more.

use backends::store::Role;
use contracts::Result;
use contracts::im::Asker;
use protocol::UserId;
use protocol::client::{GroupDismiss, GroupDismissReply};
use protocol::message::kind;

use super::deed::{Deed, Draft, Stands, Step};
use super::{Groups, field};

struct Dismiss;

impl Deed for Dismiss {
    type Reply = ();

    fn users(&self) -> &[UserId] {
        &[]
    }

    fn decide(&self, stands: &Stands) -> Result<Step<()>> {
        if stands.group.dismissed && stands.group.owner == stands.by {
            return Ok(Step::Nothing(()));
        }
        stands.role_at_least(Role::Owner)?;
        let draft = Draft { dismissed: true, ..Draft::of(&stands.group, kind::DISMISSED) };
        Ok(Step::Change(draft, ()))
    }
}

impl Groups {
    /// Ends a group; one that has ended stays so.
    pub(crate) async fn dismiss(&self, asker: &Asker, request: GroupDismiss) -> Result<GroupDismissReply> {
        let group = field::group(&request.group)?;
        self.carry_out(asker, &group, &Dismiss).await?;
        Ok(GroupDismissReply {})
    }
}
