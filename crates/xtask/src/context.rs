//! Shared by the commands: the workspace they work on, and how they run other programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Metadata, MetadataCommand};

/// The outcome of a command; an error is one text for the developer.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The workspace as every step sees it, and the tests counted so far.
pub(crate) struct Context {
    pub(crate) metadata: Metadata,
    /// Arguments after the command's name, for the commands that hand them on.
    pub(crate) extra: Vec<String>,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Context {
    pub(crate) fn new(extra: Vec<String>) -> Result<Self> {
        Ok(Self {
            metadata: MetadataCommand::new().exec()?,
            extra,
            passed: 0,
            failed: 0,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.metadata.target_directory.clone().into_std_path_buf()
    }

    /// Whether the workspace has a package of this name.
    pub(crate) fn has_package(&self, name: &str) -> bool {
        let mut packages = self.metadata.workspace_packages().into_iter();
        packages.any(|package| package.name.as_str() == name)
    }

    /// `cargo` with these arguments, at the root of the workspace.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(self.root()).args(arguments);
        command
    }
}

/// Runs a program to its end; anything but success is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{program}: {status}").into())
    }
}
