//! The roles that a process can hold.

use crate::command::failure::Failure;

/// The names of all roles, as they stand everywhere.
pub(crate) const NAMES: [&str; 7] = ["auth", "router", "proxy", "push", "logic", "im", "consumer"];

/// Checks what `--roles` names: this version holds all roles in one process.
pub(crate) fn check(roles: &str) -> Result<(), Failure> {
    if roles == "all" {
        return Ok(());
    }
    let mut named: Vec<&str> = roles.split(',').map(str::trim).collect();
    if let Some(unknown) = named.iter().find(|name| !NAMES.contains(name)) {
        return Err(Failure::usage(format!("unknown role {unknown:?}: there are {}", NAMES.join(", "))));
    }
    named.sort_unstable();
    named.dedup();
    if named.len() == NAMES.len() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--roles {roles}: this version holds all roles in one process; leave --roles out, or say --roles all"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_roles_together_are_taken() {
        assert!(check("all").is_ok());
        assert!(check("auth,router,proxy,push,logic,im, consumer").is_ok());
        assert!(check("proxy").unwrap_err().to_string().contains("all roles in one process"));
        assert!(check("comet").unwrap_err().to_string().contains("unknown role \"comet\""));
        assert!(check("").is_err());
    }
}
