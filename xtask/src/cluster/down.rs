//! `cluster down`: ends all of it in the reverse order of its start, and removes its state where that is asked for.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::folder::Folder;
use super::picture::START_ORDER;
use super::product::PRODUCTS;
use super::program::{self, Program};
use crate::process::{Done, Failure, say};

/// How long the processes of a role may take for their orderly end: longer than their own limit for clients that are
/// told to go elsewhere.
const END_MAX: Duration = Duration::from_secs(20);

/// Ends the cluster.
///
/// # Errors
/// There is none, something cannot be ended, or the state cannot be removed.
pub(crate) fn run(root: &Path, named: &Path, remove: bool) -> Done {
    let folder = Folder::open(named)?;
    let lock = folder.lock()?;
    let record = folder.record()?;
    for role in START_ORDER.iter().rev() {
        let of_role = record.processes.iter().filter(|process| process.role == *role);
        let programs: Vec<Program> = of_role.map(|process| folder.program(&process.name)).collect();
        if programs.iter().all(|program| program.pid().is_none()) {
            continue;
        }
        say(&format!("ending {role}"));
        for name in program::end_all(&programs, END_MAX)? {
            say(&format!("{name} did not end within {} s and was killed", END_MAX.as_secs()));
        }
    }
    products(root, &folder)?;
    if remove {
        fs::remove_dir_all(&folder.path)
            .map_err(|error| Failure(format!("{} cannot be removed: {error}", folder.path.display())))?;
        say(&format!("the cluster is ended and {} is removed", folder.path.display()));
    } else {
        say(&format!("the cluster is ended; {} keeps what is stored", folder.path.display()));
    }
    drop(lock);
    Ok(())
}

fn products(root: &Path, folder: &Folder) -> Done {
    let mut scripts = Vec::new();
    for product in PRODUCTS {
        let parts = product.parts(&folder.path);
        if parts.iter().any(|part| part.program.pid().is_some()) {
            say(&format!("ending {}", product.name));
            scripts.push((product, product.script(root, &folder.path, "stop", &[])?));
        }
    }
    let ended: Vec<Done> =
        scripts.into_iter().map(|(product, script)| product.finish("ended", script)).collect();
    ended.into_iter().collect()
}
