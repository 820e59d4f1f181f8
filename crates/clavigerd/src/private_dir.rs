use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use crate::stop::Stop;

/// Makes a directory of this user's own, if it is not there, and refuses one that others may
/// write to.
pub(crate) fn make_private_dir(dir: &Path) -> Result<(), Stop> {
    let refused = |what: &str| Stop::refused(format!("{}: {what}", dir.display()));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| refused(&format!("cannot be created: {error}")))?;
    let metadata = fs::metadata(dir).map_err(|error| refused(&format!("unreadable: {error}")))?;
    if metadata.uid() != own_uid() {
        return Err(refused(
            "belongs to another user; name a directory of this user's own",
        ));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(refused("others may write here; chmod go-w it"));
    }
    Ok(())
}

/// The uid that the daemon runs as.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
