//! Whom users have blocked.

use protocol::{Identifier, UserId};

use super::keys::{self, BLOCKS};
use crate::Result;
use crate::database::draft::Draft;
use crate::database::{View, corrupt};

pub(super) fn set_blocked(
    draft: &mut Draft,
    user: &UserId,
    other: &UserId,
    blocked: bool,
    limit: usize,
) -> Result<bool> {
    let key = keys::block(user, other);
    if !blocked {
        draft.remove(BLOCKS, key);
        return Ok(true);
    }
    let beginning = keys::of_user(BLOCKS, user);
    let known = draft.range(BLOCKS, &beginning, &keys::end_of(&beginning))?;
    if known.contains_key(&*key) {
        return Ok(true);
    }
    if known.len() >= limit {
        return Ok(false);
    }
    draft.put(BLOCKS, key, []);
    Ok(true)
}

pub(super) fn blocked(view: &View<'_>, user: &UserId) -> Result<Vec<UserId>> {
    let beginning = keys::of_user(BLOCKS, user);
    view.range(BLOCKS, &beginning, &keys::end_of(&beginning))
        .map(|row| {
            let (key, _) = row?;
            let other = keys::last_text(&beginning, &key).and_then(|other| UserId::new(other).ok());
            other.ok_or_else(|| corrupt(BLOCKS, &key))
        })
        .collect()
}

pub(super) fn has_blocked(view: &View<'_>, user: &UserId, other: &UserId) -> Result<bool> {
    Ok(view.get(BLOCKS, &keys::block(user, other))?.is_some())
}
