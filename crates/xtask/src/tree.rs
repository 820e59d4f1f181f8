//! The files of the repository.

use std::path::Path;
use std::process::Command;

use crate::context::Result;

/// The files that are or could be committed and fit one of these patterns of git, relative to `root`.
pub(crate) fn files(root: &Path, patterns: &[&str]) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others"])
        .args(["--exclude-standard", "--"])
        .args(patterns);
    let output = git.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let files = String::from_utf8(output.stdout)?;
    let files = files.split('\0').filter(|file| !file.is_empty());
    Ok(files.map(str::to_owned).collect())
}
