//! The roles that a process can hold.

use std::collections::BTreeSet;

use crate::command::failure::Failure;

/// The names of all roles, as they stand everywhere.
pub(crate) const NAMES: [&str; 7] = ["auth", "router", "proxy", "push", "logic", "im", "consumer"];

/// The roles of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles(BTreeSet<&'static str>);

impl Roles {
    /// Reads what `--roles` names: `all`, or names joined by commas.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text == "all" {
            return Ok(Self(NAMES.into()));
        }
        let role = |name: &str| {
            let name = name.trim();
            NAMES.into_iter().find(|role| *role == name).ok_or_else(|| {
                Failure::usage(format!("unknown role {name:?}: there are {}, or all", NAMES.join(", ")))
            })
        };
        Ok(Self(text.split(',').map(role).collect::<Result<_, _>>()?))
    }

    /// Tells whether this process holds a role.
    pub(crate) fn has(&self, role: &str) -> bool {
        self.0.contains(role)
    }

    /// Tells whether this process holds one of these roles.
    pub(crate) fn has_any(&self, roles: &[&str]) -> bool {
        roles.iter().any(|role| self.has(role))
    }

    /// Tells whether this process holds all roles.
    pub(crate) fn are_all(&self) -> bool {
        self.0.len() == NAMES.len()
    }

    /// Their names, ascending.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_some_and_one_role_are_taken_and_unknown_ones_are_named() {
        assert!(Roles::parse("all").unwrap().are_all());
        assert!(Roles::parse("auth,router,proxy,push,logic,im, consumer").unwrap().are_all());
        let some = Roles::parse("push,im,push").unwrap();
        assert_eq!(some.names().collect::<Vec<_>>(), ["im", "push"]);
        assert!(some.has_any(&["logic", "im"]) && !some.has("logic") && !some.are_all());
        assert!(Roles::parse("comet").unwrap_err().to_string().contains("unknown role \"comet\""));
        assert!(Roles::parse("").is_err());
    }
}
