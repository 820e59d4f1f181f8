//! Files that hold a credential: read whole, into memory that is wiped, and never shown.

use std::error::Error as StdError;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use claviger_core::SecretBytes;
use rustix::fs::OFlags;

use crate::error::LoginFailure;

/// Longer than any key with its chain of certificates.
const LEN_MAX: usize = 64 * 1024;

/// What others than owner and group may do with a file.
const OTHERS: u32 = 0o007;

/// For a secret that has to be text.
pub(crate) const NOT_TEXT: &str =
    "names a file that is not UTF-8 text; put the credential into it as it was shown";

/// A file that cannot be used. `remedy` is for operators; nothing of the content is in it.
#[derive(Debug)]
pub(crate) struct FileProblem {
    pub(crate) remedy: &'static str,
    cause: Option<io::Error>,
}

impl From<&'static str> for FileProblem {
    fn from(remedy: &'static str) -> Self {
        Self {
            remedy,
            cause: None,
        }
    }
}

impl From<io::Error> for FileProblem {
    fn from(error: io::Error) -> Self {
        let remedy = if error.kind() == io::ErrorKind::NotFound {
            "names a file that does not exist; correct the path"
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            "names a file that the daemon's user may not read; give it to that user (chown)"
        } else {
            "names a file that cannot be read; see what it is, and its disk"
        };
        Self {
            remedy,
            cause: Some(error),
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the credential's file {}", self.remedy)
    }
}

impl StdError for FileProblem {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.cause.as_ref()?)
    }
}

/// Reads a secret of long life, trimmed. It may not be open to everybody.
pub(crate) fn read_private(path: &Path) -> Result<SecretBytes, FileProblem> {
    let file = open(path)?;
    if file.metadata()?.mode() & OTHERS != 0 {
        return Err(
            "names a file that every user may read or write; close it (chmod o-rwx), and \
                    replace the credential if anybody read it"
                .into(),
        );
    }
    read(file)
}

/// Reads a token of short life, trimmed: Kubernetes makes its file readable for everybody in the
/// pod.
pub(crate) fn read_token(path: &Path) -> Result<SecretBytes, FileProblem> {
    read(open(path)?)
}

fn open(path: &Path) -> Result<File, FileProblem> {
    // Opening a named pipe would wait for a writer. Links are followed: mounted secrets are links
    // to what is replaced as a whole.
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err("names something that is no regular file; correct the path".into());
    }
    Ok(file)
}

fn read(file: File) -> Result<SecretBytes, FileProblem> {
    // With room for all of it, so that growing leaves no copy behind.
    let mut content = Vec::with_capacity(LEN_MAX + 1);
    let outcome = file.take(LEN_MAX as u64 + 1).read_to_end(&mut content);
    let content = SecretBytes::new(content);
    outcome?;
    if content.len() > LEN_MAX {
        return Err("names a file that is too long for a credential; correct the path".into());
    }
    match content.expose().trim_ascii() {
        [] => Err("names an empty file; put the credential into it".into()),
        trimmed => Ok(SecretBytes::new(trimmed.to_vec())),
    }
}

/// Runs a read of a file where waiting for a slow disk holds nobody up.
pub(crate) async fn in_background(
    read: impl FnOnce() -> Result<SecretBytes, FileProblem> + Send + 'static,
) -> azure_core::Result<SecretBytes> {
    let content = tokio::task::spawn_blocking(read).await;
    let content = content.unwrap_or_else(|_| Err("could not be read".into()));
    content.map_err(|problem| LoginFailure::from(problem).into())
}
