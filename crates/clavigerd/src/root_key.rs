//! Where the root key is, and which others can get at it.
//!
//! SECURITY: a new key over an existing store would make every value in it unreadable for good, so
//! a key is only ever made for a store that does not exist yet.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use claviger_backend::private_file::{self, FileFault};
use claviger_core::SecretBytes;
use claviger_seal::{RootKey, hex, random_bytes};
use rustix::process::geteuid;

/// Name of the systemd credential that holds the root key.
pub(crate) const CREDENTIAL: &str = "claviger-root-key";

/// Where the root key is taken from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum RootKeySource {
    /// A file that systemd made for this service alone.
    Credential(PathBuf),
    /// A file of the daemon's own, made when there is no store yet.
    File(PathBuf),
    /// A fresh key that is never written down.
    Memory,
}

/// The holder of the root key. `Display` names it in one honest sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Custody {
    /// systemd.
    Credential(PathBuf),
    /// The file system.
    File {
        /// Path of the key file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// This process.
    Memory,
}

impl fmt::Display for Custody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(path) => write!(
                f,
                "root key: systemd credential {}, readable by this service and by root on this host",
                path.display()
            ),
            Self::File { path, uid } => write!(
                f,
                "root key: file {}, readable by whoever is uid {uid} or root on this host",
                path.display()
            ),
            Self::Memory => f.write_str("root key: memory only, gone when the daemon ends"),
        }
    }
}

/// Why there is no root key, and the remedy.
#[derive(Debug)]
pub(crate) struct RootKeyError(String);

impl fmt::Display for RootKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RootKeyError {}

/// Loads the root key. A key file that is not there is made, unless there is a store already.
///
/// # Errors
/// When the key cannot be read, is open to others, or is missing beside an existing store.
pub(crate) fn load_or_create(
    source: &RootKeySource,
    store_exists: bool,
) -> Result<(RootKey, Custody), RootKeyError> {
    match source {
        RootKeySource::Credential(path) => {
            let key = parse(private_file::read_handed_over(path), path)?;
            Ok((key, Custody::Credential(path.clone())))
        }
        RootKeySource::File(path) => {
            let key = match private_file::read(path) {
                Err(FileFault::Missing) if store_exists => {
                    return Err(refused(
                        path,
                        "does not exist, but the store that it opens does; put the key file back \
                        from its backup (a new key could open nothing), or start with an empty \
                        data directory",
                    ));
                }
                Err(FileFault::Missing) => create(path)?,
                text => parse(text, path)?,
            };
            let uid = geteuid().as_raw();
            let path = path.clone();
            Ok((key, Custody::File { path, uid }))
        }
        RootKeySource::Memory => Ok((RootKey::generate(), Custody::Memory)),
    }
}

fn parse(text: Result<SecretBytes, FileFault>, path: &Path) -> Result<RootKey, RootKeyError> {
    let text = text.map_err(|fault| unfit(path, &fault))?;
    RootKey::from_text(&text).map_err(|fault| refused(path, fault))
}

/// What makes a file unfit to hold the root key.
fn unfit(path: &Path, fault: &FileFault) -> RootKeyError {
    let why = match fault {
        FileFault::Unreadable(error) => return failed(path, "cannot be read", error),
        FileFault::Empty => "is empty; put the root key back from its backup",
        FileFault::TooLong | FileFault::Unusable(_) => {
            "is too long for a root key; correct the path, or put the key back from its backup"
        }
        FileFault::Foreign => {
            "belongs to another user; give it to the user that clavigerd runs as (chown)"
        }
        FileFault::Link => "is a symbolic link; name the file itself",
        FileFault::Missing => "does not exist",
        FileFault::NotRegular => "is not a regular file",
        FileFault::Open => {
            "is open to other users; close it (chmod 600), and replace the key if anybody read it"
        }
    };
    refused(path, why)
}

/// Makes a key and its file: under another name first, so that a crash leaves no half of one.
fn create(path: &Path) -> Result<RootKey, RootKeyError> {
    let cannot = |error: io::Error| failed(path, "cannot be created", &error);
    let dir = path.parent().unwrap_or(Path::new("/"));
    create_dir(dir).map_err(cannot)?;
    let draft = dir.join(format!(".root-key-{}", hex(&random_bytes::<8>())));
    let key = RootKey::generate();
    let linked = write(&draft, &key.to_text()).and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    match linked {
        // Another daemon with a store of its own was quicker: theirs is the key.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return match private_file::read(path) {
                Err(FileFault::Missing) => Err(cannot(error)),
                text => parse(text, path),
            };
        }
        linked => linked.and(removed).map_err(cannot)?,
    }
    sync(dir).map_err(cannot)?;
    Ok(key)
}

fn write(path: &Path, text: &SecretBytes) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.expose())?;
    file.sync_all()
}

/// Makes the directory and those missing above it, each for its owner only and durable.
fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create_dir(parent)?;
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        sync(parent)?;
    }
    Ok(())
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn refused(path: &Path, why: &str) -> RootKeyError {
    RootKeyError(format!("root key file {} {why}", path.display()))
}

fn failed(path: &Path, what: &str, error: &io::Error) -> RootKeyError {
    RootKeyError(format!("root key file {} {what}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn in_new_dir() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/for/root.key");
        (dir, path)
    }

    fn load(path: &Path, store_exists: bool) -> Result<String, String> {
        load_or_create(&RootKeySource::File(path.to_path_buf()), store_exists)
            .map(|(key, _)| String::from_utf8(key.to_text().into_exposed()).unwrap())
            .map_err(|error| error.to_string())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_closed_to_others() {
        let (_dir, path) = in_new_dir();
        let first = load(&path, false).unwrap();
        assert_eq!(load(&path, true).unwrap(), first);
        assert_eq!(load(&path, false).unwrap(), first);
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let names = fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 1, "no draft is left behind");
    }

    #[test]
    fn no_key_is_made_over_an_existing_store() {
        let (_dir, path) = in_new_dir();
        let error = load(&path, true).unwrap_err();
        assert!(
            error.contains("put the key file back from its backup"),
            "{error}"
        );
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }

    #[test]
    fn a_key_file_open_to_others_is_refused() {
        let (_dir, path) = in_new_dir();
        let key = load(&path, false).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = load(&path, true).unwrap_err();
        assert!(error.contains("chmod 600"), "{error}");
        assert!(!error.contains(&key), "{error}");
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(load(&path, true).unwrap(), key);
    }

    #[test]
    fn a_link_is_refused_even_to_nothing() {
        let (dir, path) = in_new_dir();
        load(&path, false).unwrap();
        let (link, dangling) = (dir.path().join("link"), dir.path().join("dangling"));
        symlink(&path, &link).unwrap();
        symlink(dir.path().join("nothing"), &dangling).unwrap();
        assert!(load(&link, true).unwrap_err().contains("symbolic link"));
        let refused = load(&dangling, false).unwrap_err();
        assert!(refused.contains("symbolic link"), "{refused}");
        assert!(load(dir.path(), true).unwrap_err().contains("regular file"));
    }

    #[test]
    fn what_is_not_a_key_is_refused_and_not_quoted() {
        let (dir, _) = in_new_dir();
        let path = dir.path().join("root.key");
        for (text, fault) in [
            ("", "is empty"),
            ("canary", "does not hold a root key"),
            (&"canary".repeat(1000), "does not hold a root key"),
            (&"canary".repeat(100_000), "is too long"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let error = load(&path, false).unwrap_err();
            assert!(error.contains(fault), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn what_became_of_a_key_on_its_way_is_named_and_white_space_around_it_is_not_minded() {
        let (dir, path) = in_new_dir();
        let key = load(&path, false).unwrap();
        let line = key.trim_end();
        let (start, digits) = line.rsplit_once(':').unwrap();
        let (half, rest) = digits.split_at(32);
        let credential = dir.path().join(CREDENTIAL);
        let source = RootKeySource::Credential(credential.clone());
        for text in [
            format!("{line}\r\n"),
            format!("{line}\n\n"),
            format!("\r\n {line}\t"),
        ] {
            fs::write(&credential, &text).unwrap();
            let (read, _) = load_or_create(&source, true).unwrap();
            assert_eq!(read.to_text().expose(), key.as_bytes(), "{text:?}");
        }
        for (text, fault) in [
            (format!("\u{feff}{key}"), "byte-order mark"),
            (format!("\"{line}\""), "quotes"),
            (key.to_uppercase(), "upper case"),
            // Not all digits are letters.
            (format!("{start}:{}", "0A".repeat(32)), "upper-case digits"),
            (format!("{start}:\n\n{digits}"), "line break inside"),
            (format!("{start}:{half}\r\n{rest}"), "line break inside"),
            (format!("{start}: {digits}"), "space"),
            (format!("{start}:{half}"), "fewer than 64"),
            (format!("{line}00"), "more than 64"),
            (
                format!("{start}:{half}{}", "g".repeat(32)),
                "no hexadecimal",
            ),
            (
                format!("{}2:{digits}", "claviger-root-key-"),
                "does not know",
            ),
            (digits.to_owned(), "digits of a root key alone"),
            ("hunter2".to_owned(), "does not hold a root key"),
        ] {
            fs::write(&credential, &text).unwrap();
            let error = load_or_create(&source, true)
                .map(drop)
                .unwrap_err()
                .to_string();
            assert!(error.contains(fault), "{fault}: {error}");
            assert!(
                !error.contains(half) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_credential_is_used_as_systemd_hands_it_over() {
        let (dir, path) = in_new_dir();
        let text = load(&path, false).unwrap();
        let credential = dir.path().join(CREDENTIAL);
        let source = RootKeySource::Credential(credential.clone());
        assert!(load_or_create(&source, false).is_err(), "none is ever made");
        fs::write(&credential, &text).unwrap();
        let (key, custody) = load_or_create(&source, true).unwrap();
        assert_eq!(key.to_text().expose(), text.as_bytes());
        assert_eq!(custody, Custody::Credential(credential));
    }

    #[test]
    fn custody_is_told_as_it_is() {
        let (_, custody) = load_or_create(&RootKeySource::Memory, false).unwrap();
        assert_eq!(
            custody.to_string(),
            "root key: memory only, gone when the daemon ends"
        );
        let custody = Custody::File {
            path: PathBuf::from("/k"),
            uid: 7,
        };
        assert_eq!(
            custody.to_string(),
            "root key: file /k, readable by whoever is uid 7 or root on this host"
        );
    }
}
