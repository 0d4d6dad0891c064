//! Agreed values of one process, each in a file: its version in 8 bytes, the greatest first, and the value.
//!
//! A file is written beside the one that is there, forced to the disk and put in its place, so that whatever ends the
//! process leaves the old value or the new one. One process has the folder at a time; the store's folder beside it
//! has the lock for that.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Agreed, name};
use crate::{Error, Kind, Result};

/// The folder of the files.
pub(super) struct AgreedFiles(PathBuf);

impl AgreedFiles {
    /// Opens a folder, and makes it where it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|error| failed("make the folder", folder, error))?;
        Ok(Self(folder.to_owned()))
    }

    /// What is agreed on under a name.
    pub(super) fn read(&self, name: &str) -> Result<Option<Agreed>> {
        let path = self.path(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, error)),
        };
        let version = bytes.first_chunk().map(|version| u64::from_be_bytes(*version));
        match version.filter(|version| *version > 0) {
            Some(version) => Ok(Some(Agreed { version, value: Bytes::from(bytes).slice(8..) })),
            None => {
                let message = format!("file {} holds no agreed value: restore or remove it", path.display());
                Err(Error::new(Kind::Corrupt, message))
            }
        }
    }

    /// Puts a value in the place of the one that is there; it is on the disk when this returns.
    pub(super) fn write(&self, name: &str, agreed: &Agreed) -> Result<()> {
        let path = self.path(name);
        // No escaped name begins with a dot.
        let beside = self.0.join(format!(".{}", name::escaped(name)));
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(&agreed.version.to_be_bytes())?;
            file.write_all(&agreed.value)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(&self.0)?.sync_all()
        });
        written.map_err(|error| failed("write", &path, error))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name::escaped(name))
    }
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Transient, format!("discovery cannot {what} {}", path.display())).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_and_what_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = AgreedFiles::open(&folder.path().join("a/b")).unwrap();
        assert_eq!(files.read("store/pair").unwrap(), None);
        for version in [1, 300] {
            let agreed = Agreed { version, value: Bytes::from(vec![7; version as usize]) };
            files.write("store/pair", &agreed).unwrap();
            assert_eq!(files.read("store/pair").unwrap(), Some(agreed));
        }
        fs::write(folder.path().join("a/b/torn"), [0; 8]).unwrap();
        assert_eq!(files.read("torn").unwrap_err().kind(), Kind::Corrupt);
    }
}
