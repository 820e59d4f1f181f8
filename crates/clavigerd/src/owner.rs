//! Who may change a file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// The bits of a mode by which others may write.
pub(crate) const OTHERS_WRITE: u32 = 0o022;

/// The uid that the daemon runs as.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// What is wrong with something that only this user and root are to change, and the remedy.
pub(crate) fn fault(metadata: &Metadata) -> Option<&'static str> {
    fault_of(metadata.uid(), metadata.mode(), own_uid())
}

/// The same of an owner and a mode.
pub(crate) fn fault_of(owner: u32, mode: u32, own_uid: u32) -> Option<&'static str> {
    if owner != own_uid && owner != 0 {
        Some("belongs to another user; give it to the user that clavigerd runs as (chown)")
    } else if mode & OTHERS_WRITE != 0 {
        Some("can be written by other users; close it (chmod go-w), once you know that nobody did")
    } else {
        None
    }
}
