//! Whether there is disk to write to, before a commit finds that there is none.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Enough for the longest commit of a call, several times.
const BLOCKS: u64 = 16;
static BLOCK: [u8; 64 * 1024] = [0; 64 * 1024];

/// A file of the store in which nothing is kept.
pub(super) struct Room {
    file: File,
    directory: PathBuf,
}

impl Room {
    /// `file` is beside the store at `path`.
    pub(super) fn new(file: File, path: &Path) -> Self {
        let directory = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        Self { file, directory }
    }

    /// Takes what a few commits need, and gives it back before it reaches the disk.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut offsets = (0..BLOCKS).map(|block| block * BLOCK.len() as u64);
        let taken = offsets.try_for_each(|offset| self.file.write_all_at(&BLOCK, offset));
        let given_back = self.file.set_len(0);
        taken
            .and(given_back)
            .map_err(|error| format!("the disk of {}: {error}", self.directory.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_and_an_empty_one_is_left_empty() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let file = || File::create(&path).expect("made");
        assert_eq!(Room::new(file(), &path).check(), Ok(()));
        assert_eq!(file().metadata().expect("there").len(), 0);

        let full = File::options().write(true).open("/dev/full");
        let said = Room::new(full.expect("opens"), &path).check();
        let said = said.expect_err("full");
        let disk = format!("the disk of {}: No space left", directory.path().display());
        assert!(said.starts_with(&disk), "{said}");
    }
}
