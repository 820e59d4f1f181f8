//! Files that hold a credential: judged before they are read, read whole into memory that is wiped,
//! and never shown.

use std::error::Error as StdError;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use claviger_core::SecretBytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Longer than any key with its chain of certificates.
const LEN_MAX: usize = 64 * 1024;

/// The permissions of all but the owner.
const OTHERS: u32 = 0o077;

/// Why a file cannot be used. Nothing of its content is in it.
#[derive(Debug)]
pub enum FileFault {
    /// There is nothing in it.
    Empty,
    /// It belongs to another user.
    Foreign,
    /// It is a symbolic link.
    Link,
    /// There is no such file.
    Missing,
    /// It is a directory, a pipe or a device.
    NotRegular,
    /// Other users may read or write it.
    Open,
    /// It is longer than any credential.
    TooLong,
    /// It cannot be opened or read.
    Unreadable(io::Error),
    /// Its content is of another sort; says so after the name of a setting, with the remedy.
    Unusable(&'static str),
}

impl FileFault {
    /// The fault, to follow the name of the setting that has the path, and the remedy.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Empty => "names an empty file; put the credential into it",
            Self::Foreign => {
                "names a file of another user; give it to the user that the daemon runs as (chown)"
            }
            Self::Link => "names a symbolic link; name the file itself",
            Self::Missing => "names a file that does not exist; correct the path",
            Self::NotRegular => "names something that is not a regular file; correct the path",
            Self::Open => {
                "names a file that other users may read or write; close it (chmod 600), and replace \
                 the credential if anybody read it"
            }
            Self::TooLong => "names a file that is too long for a credential; correct the path",
            Self::Unreadable(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "names a file that the daemon's user may not read; give it to that user (chown)"
            }
            Self::Unreadable(_) => "names a file that cannot be read; see what it is, and its disk",
            Self::Unusable(remedy) => remedy,
        }
    }
}

impl From<io::Error> for FileFault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing
        } else if Errno::from_io_error(&error) == Some(Errno::LOOP) {
            Self::Link
        } else {
            Self::Unreadable(error)
        }
    }
}

impl From<&'static str> for FileFault {
    fn from(remedy: &'static str) -> Self {
        Self::Unusable(remedy)
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the credential's setting {}", self.remedy())
    }
}

impl StdError for FileFault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        if let Self::Unreadable(error) = self {
            Some(error)
        } else {
            None
        }
    }
}

/// Reads a secret of long life, trimmed. The file is the daemon's own, and nobody else's to read.
///
/// # Errors
/// The fault of the file.
pub fn read(path: &Path) -> Result<SecretBytes, FileFault> {
    let file = open(path, OFlags::NOFOLLOW)?;
    let metadata = file.metadata()?;
    match exposure(metadata.mode(), metadata.uid(), geteuid().as_raw()) {
        Some(fault) => Err(fault),
        None => read_trimmed(file),
    }
}

/// Reads a secret that the platform hands over, trimmed: it is closed to others as the platform
/// does that, and may be a link to a directory that is replaced as a whole.
///
/// # Errors
/// The fault of the file.
pub fn read_handed_over(path: &Path) -> Result<SecretBytes, FileFault> {
    read_trimmed(open(path, OFlags::empty())?)
}

fn open(path: &Path, flags: OFlags) -> Result<File, FileFault> {
    // Without NONBLOCK a named pipe in this place would wait for a writer.
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    let file = File::from(file);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(FileFault::NotRegular),
    }
}

/// The fault of a file with this mode and owner.
fn exposure(mode: u32, owner: u32, own_uid: u32) -> Option<FileFault> {
    if owner != own_uid {
        Some(FileFault::Foreign)
    } else if mode & OTHERS != 0 {
        Some(FileFault::Open)
    } else {
        None
    }
}

fn read_trimmed(file: File) -> Result<SecretBytes, FileFault> {
    // With room for all of it, so that growing leaves no copy behind.
    let mut content = Vec::with_capacity(LEN_MAX + 1);
    let outcome = file.take(LEN_MAX as u64 + 1).read_to_end(&mut content);
    let content = SecretBytes::new(content);
    outcome?;
    if content.len() > LEN_MAX {
        return Err(FileFault::TooLong);
    }
    match content.expose().trim_ascii() {
        [] => Err(FileFault::Empty),
        trimmed => Ok(SecretBytes::new(trimmed.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use super::*;

    const CANARY: &str = "canary";

    fn write(dir: &Path, text: &str, mode: u32) -> PathBuf {
        let path = dir.join("file");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
        path
    }

    fn said(read: Result<SecretBytes, FileFault>) -> String {
        match read {
            Ok(content) => String::from_utf8(content.into_exposed()).expect("text"),
            Err(fault) => {
                let said = format!("{fault}");
                assert!(!said.contains(CANARY), "{said}");
                assert_eq!(said, format!("the credential's setting {}", fault.remedy()));
                said
            }
        }
    }

    #[test]
    fn only_the_owner_may_be_let_in() {
        let dir = tempfile::tempdir().expect("a directory");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601] {
            let path = write(dir.path(), CANARY, mode);
            assert!(said(read(&path)).contains("chmod 600"), "{mode:o}");
            assert_eq!(said(read_handed_over(&path)), CANARY, "{mode:o}");
        }
        for mode in [0o600, 0o400] {
            assert_eq!(said(read(&write(dir.path(), CANARY, mode))), CANARY);
        }
        assert!(exposure(0o100_600, 7, 7).is_none());
        for owner in [0, 8] {
            let fault = exposure(0o100_600, owner, 7).expect("foreign");
            assert!(fault.remedy().contains("chown"), "{owner}");
        }
    }

    #[test]
    fn what_is_not_the_file_itself_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = write(dir.path(), CANARY, 0o600);
        let (link, pipe) = (dir.path().join("link"), dir.path().join("pipe"));
        symlink(&path, &link).expect("linked");
        assert!(said(read(&link)).contains("symbolic link"));
        assert_eq!(said(read_handed_over(&link)), CANARY);

        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR).expect("made");
        let missing = dir.path().join("missing");
        for read in [read, read_handed_over] {
            assert!(said(read(dir.path())).contains("regular file"));
            assert!(said(read(&pipe)).contains("regular file"));
            assert!(said(read(&missing)).contains("does not exist"));
        }
    }

    #[test]
    fn content_is_trimmed_and_bounded() {
        let dir = tempfile::tempdir().expect("a directory");
        let longest = CANARY.repeat(LEN_MAX / CANARY.len());
        for (text, expected) in [
            (format!(" {CANARY}\n"), CANARY),
            (longest.clone(), longest.as_str()),
        ] {
            assert_eq!(said(read(&write(dir.path(), &text, 0o600))), expected);
        }
        for (text, word) in [
            ("", "empty"),
            (" \n", "empty"),
            (&CANARY.repeat(LEN_MAX / CANARY.len() + 1), "too long"),
        ] {
            let path = write(dir.path(), text, 0o600);
            assert!(said(read(&path)).contains(word), "{word}");
        }
    }
}
