//! Whom users have blocked.

use protocol::{Identifier, UserId};

use super::keys::{self, BLOCKS};
use crate::Result;
use crate::database::draft::Draft;
use crate::database::{View, corrupt};
use crate::generations::Generations;

/// Users who are kept in memory as having blocked nobody, as almost all have; twice that many at most.
const KEPT_COUNT_MAX: usize = 64 * 1024;

/// What the writing thread knows of blocks.
pub(super) struct Blocks {
    /// Whether a user is known to have blocked nobody.
    nobody: Generations<UserId, bool>,
}

impl Blocks {
    pub(super) fn new() -> Self {
        Self { nobody: Generations::new(KEPT_COUNT_MAX) }
    }

    /// Tells whether a user has blocked another, with what is in the draft.
    pub(super) fn have(&mut self, draft: &Draft, user: &UserId, other: &UserId) -> Result<bool> {
        if self.nobody.get(user) == Some(&true) {
            return Ok(false);
        }
        let beginning = keys::of_user(BLOCKS, user);
        let blocked = draft.range(BLOCKS, &beginning, &keys::end_of(&beginning))?;
        self.nobody.insert(user.clone(), blocked.is_empty());
        Ok(blocked.contains_key(&*keys::block(user, other)))
    }

    pub(super) fn abandoned(&mut self) {
        self.nobody.clear();
    }

    pub(super) fn set(
        &mut self,
        draft: &mut Draft,
        user: &UserId,
        other: &UserId,
        blocked: bool,
        limit: usize,
    ) -> Result<bool> {
        self.nobody.insert(user.clone(), false);
        set_blocked(draft, user, other, blocked, limit)
    }
}

fn set_blocked(
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
