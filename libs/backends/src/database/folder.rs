//! A folder that belongs to one process.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, Kind, Result};

/// The file whose lock says that the folder is taken; it names the process that took it.
const LOCK_FILE: &str = "lock";

/// A folder that no other process has open; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    // Held for its lock, which the system takes back with the last handle, kill -9 included.
    _lock: File,
}

impl Folder {
    /// Takes a folder, creating it (0700) where it is not there.
    ///
    /// # Errors
    /// `Conflict` where another process, or another part of this one, has it; `Transient` where the file
    /// system refuses.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let refused = |what: &str, error: std::io::Error| {
            Error::new(Kind::Transient, format!("folder {} cannot be {what}: {error}", path.display()))
                .caused_by(error)
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| refused("created", e))?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK_FILE))
            .map_err(|error| refused("locked", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(refused("locked", error)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .map_err(|error| refused("locked", error))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes the names in a folder survive loss of power.
pub(crate) fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

fn held(path: &Path, lock: &mut File) -> Error {
    let mut owner = String::new();
    // Whose it is helps a person; that it is held is certain without it.
    let _ = lock.take(16).read_to_string(&mut owner);
    let owner = match owner.parse::<u32>() {
        Ok(id) => format!("process {id}"),
        Err(_) => "another process".to_owned(),
    };
    let message = format!("folder {} is in use by {owner}: it belongs to one process", path.display());
    Error::new(Kind::Conflict, message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_for_its_owner_alone_and_belongs_to_one() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data/store");
        let first = Folder::take(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);

        let error = Folder::take(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        let message = error.to_string();
        assert!(message.contains(&path.display().to_string()), "{message}");
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");

        drop(first);
        Folder::take(&path).unwrap();
    }
}
