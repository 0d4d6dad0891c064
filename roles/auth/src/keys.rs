//! The keys of a folder: `token-key` signs tokens, `api-key` opens the server API, and `peer-key` is what the processes
//! of one system show each other. Where a system has several processes, all of them have the same keys.
//!
//! Each is one line, 32 random bytes as URL-safe base64, made at first start and readable by its owner only.
//! The line as it stands is the secret: any JSON Web Token library signs with it as text.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The file of the key that signs tokens.
pub const TOKEN_KEY_FILE: &str = "token-key";
/// The file of the key that processes of one system show each other.
pub const PEER_KEY_FILE: &str = "peer-key";
/// The file of the key that opens the server API.
pub const API_KEY_FILE: &str = "api-key";

const KEY_BYTES: usize = 32;
/// A key file is one short line; whatever is longer is something else.
const FILE_BYTES_MAX: u64 = 1024;

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text as a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "no secret" } else { "a secret" })
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("{doing} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others than the owner may read it.
    #[error(
        "{path} can be read by others (mode {mode:04o}): run `chmod 600 {path}`, and make a new key if \
         somebody else may have read it",
        path = path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else than a key.
    #[error(
        "{path} is not a key (one line, {KEY_BYTES} bytes as url-safe base64): remove it and start again to \
         make a new one",
        path = path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The keys of a data folder.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Signs tokens.
    pub token_key: Secret,
    /// Opens the server API.
    pub api_key: Secret,
    /// Set where at least one was made just now.
    pub made: bool,
}

impl Keys {
    /// Reads both keys of a folder, making those that are not there. Two processes that do so at once end up
    /// with the same keys.
    ///
    /// # Errors
    /// [`KeyError`] where a key cannot be made, or one that is there must not be used.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let (token_key, token_key_made) = open(&folder.join(TOKEN_KEY_FILE))?;
        let (api_key, api_key_made) = open(&folder.join(API_KEY_FILE))?;
        Ok(Self { token_key, api_key, made: token_key_made || api_key_made })
    }
}

/// Reads the token key of a folder, which is left as it is.
///
/// # Errors
/// [`KeyError`] where it is not there or must not be used.
pub fn token_key(folder: &Path) -> Result<Secret, KeyError> {
    read(&folder.join(TOKEN_KEY_FILE))
}

/// Reads what the processes of a system show each other, making it where it is not there.
///
/// # Errors
/// As [`Keys::open`].
pub fn peer_key(folder: &Path) -> Result<Secret, KeyError> {
    Ok(open(&folder.join(PEER_KEY_FILE))?.0)
}

/// Reads a key, making it where it is not there; tells whether it was made.
fn open(path: &Path) -> Result<(Secret, bool), KeyError> {
    match read(path) {
        Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|source| KeyError::Io { doing: "make", path: path.to_owned(), source })?;
            Ok((read(path)?, true))
        }
        result => Ok((result?, false)),
    }
}

fn read(path: &Path) -> Result<Secret, KeyError> {
    let failed = |source| KeyError::Io { doing: "read", path: path.to_owned(), source };
    let malformed = || KeyError::Malformed { path: path.to_owned() };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(malformed());
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => malformed(),
        _ => failed(source),
    })?;
    let text = text.trim_end_matches(['\r', '\n']);
    match URL_SAFE_NO_PAD.decode(text) {
        Ok(bytes) if bytes.len() == KEY_BYTES => Ok(Secret::new(text)),
        _ => Err(malformed()),
    }
}

/// Makes a key under a name of its own, whole and durable, and then gives it its name unless that is taken.
fn make(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let text = URL_SAFE_NO_PAD.encode(rand::random::<[u8; KEY_BYTES]>());
    let unfinished = path.with_extension(format!("{:016x}", rand::random::<u64>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let written = file
        .write_all(format!("{text}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&unfinished, path));
    std::fs::remove_file(&unfinished)?;
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(folder)?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn keys_are_made_once_and_only_their_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::open(folder.path()).unwrap();
        assert!(first.made);
        assert_ne!(first.token_key, first.api_key);
        let second = Keys::open(folder.path()).unwrap();
        assert!(!second.made);
        assert_eq!(first.token_key, second.token_key);
        assert_eq!(first.api_key, second.api_key);
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
        names.sort_by_key(fs::DirEntry::file_name);
        assert_eq!(names.len(), 2, "{names:?}");
        for entry in names {
            assert_eq!(entry.metadata().unwrap().mode() & 0o7777, 0o600);
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Keys::open(folder.path()).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o602] {
            set_mode(&folder.path().join(TOKEN_KEY_FILE), mode);
            let error = Keys::open(folder.path()).unwrap_err();
            assert!(matches!(error, KeyError::Exposed { .. }), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(API_KEY_FILE);
        for text in [&b""[..], b"secret\n", b"\xff\xfe", &[b'A'; 5000], b"AAAA\nBBBB"] {
            fs::write(&path, text).unwrap();
            set_mode(&path, 0o600);
            let error = Keys::open(folder.path()).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
        }
    }

    #[test]
    fn many_who_start_at_once_agree_on_the_keys() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let start = std::sync::Barrier::new(8);
            let open = || {
                start.wait();
                Keys::open(folder.path()).unwrap().token_key
            };
            let keys: Vec<Secret> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(keys.iter().all(|other| *other == keys[0]));
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "a secret");
    }
}
