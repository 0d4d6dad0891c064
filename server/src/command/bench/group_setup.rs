//! Making the groups that are measured.

use anser_client::{Connection, RequestKind};
use protocol::client;
use protocol::limits::USERS_PER_REQUEST_MAX;

use super::super::failure::Failure;
use super::super::output::note;

/// Makes a group of these users, the first of whom is the owner and has this connection; gives its id.
pub(super) async fn make(
    owner: &mut Connection,
    users: &[String],
    kind: &'static str,
) -> Result<String, Failure> {
    let group = format!("bench-{:08x}", rand::random::<u32>());
    let mut others = users.iter().skip(1).cloned().collect::<Vec<String>>();
    let later = others.split_off(others.len().min(USERS_PER_REQUEST_MAX));
    let create = client::GroupCreate {
        name: format!("{} members", users.len()),
        members: others,
        kind: kind.to_owned(),
        group: group.clone(),
        ..client::GroupCreate::default()
    };
    owner.request::<client::GroupCreateReply>(RequestKind::GroupCreate(create)).await?;
    for (number, users) in later.chunks(USERS_PER_REQUEST_MAX).enumerate() {
        let invite = client::GroupInvite { group: group.clone(), users: users.to_vec() };
        owner.request::<client::GroupInviteReply>(RequestKind::GroupInvite(invite)).await?;
        if number % 20 == 19 {
            note(&format!("  {} members are in", (number + 2) * USERS_PER_REQUEST_MAX));
        }
    }
    let info = client::GroupInfo { group: group.clone() };
    let info: client::GroupInfoReply = owner.request(RequestKind::GroupInfo(info)).await?;
    if info.kind != kind || info.member_count != users.len() as u64 {
        let (made, count) = (info.kind, info.member_count);
        let advice = "Give a larger im.group_members_max to the server, or fewer --members.";
        return Err(Failure::failed(format!("the group became a {made} of {count} members")).next(advice));
    }
    Ok(group)
}

/// Ends a group, so that nothing is left to be done for it.
pub(super) async fn dismiss(owner: &mut Connection, group: String) -> Result<(), Failure> {
    let dismiss = RequestKind::GroupDismiss(client::GroupDismiss { group });
    owner.request::<client::GroupDismissReply>(dismiss).await?;
    Ok(())
}

/// A counter in Prometheus' text, its series added up; `None` where it is not there.
pub(super) fn counter(metrics: &str, name: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_whole = rest.starts_with(' ') || rest.starts_with('{');
        is_whole.then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).flatten()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_the_sum_of_its_series() {
        let text = "# TYPE rows counter\nrows{a=\"1\"} 3\nrows{a=\"2\"} 4\nrows_total 9\nplain 2\n";
        assert_eq!(counter(text, "rows"), Some(7.0));
        assert_eq!(counter(text, "plain"), Some(2.0));
        assert_eq!(counter(text, "none"), None);
    }
}
