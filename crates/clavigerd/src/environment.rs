//! The one place that reads environment variables.
//!
//! Nothing secret of Claviger's comes in this way: other processes of the same user can read a
//! process's environment. The variables that the SDK of a vault looks for are its own affair.

use std::path::PathBuf;

/// The two halves of AWS credentials in the environment.
pub(crate) const AWS_KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// The surroundings of the process; empty in most tests.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `CREDENTIALS_DIRECTORY`, set by systemd.
    pub credentials_directory: Option<PathBuf>,
    /// `CLAVIGER_CONFIG`: the configuration file, if the command line names none.
    pub config: Option<PathBuf>,
    /// Those of `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` that are set; the SDK reads them.
    pub aws_keys: Vec<&'static str>,
    /// `CLAVIGER_LOG`: a log filter, in place of `log.filter`.
    pub log_filter: Option<String>,
}

impl Environment {
    /// Reads the environment of this process. An empty variable counts as unset.
    pub fn from_process() -> Self {
        Self {
            home: directory("HOME"),
            xdg_state_home: directory("XDG_STATE_HOME"),
            xdg_config_home: directory("XDG_CONFIG_HOME"),
            xdg_runtime_dir: directory("XDG_RUNTIME_DIR"),
            credentials_directory: directory("CREDENTIALS_DIRECTORY"),
            config: path("CLAVIGER_CONFIG"),
            aws_keys: AWS_KEYS
                .into_iter()
                .filter(|name| path(name).is_some())
                .collect(),
            log_filter: path("CLAVIGER_LOG").map(|text| text.to_string_lossy().into_owned()),
        }
    }

    /// Where this user's programs keep their state.
    pub(crate) fn state_home(&self) -> Option<PathBuf> {
        let of_home = || Some(self.home.as_ref()?.join(".local/state"));
        self.xdg_state_home.clone().or_else(of_home)
    }

    /// Where this user's programs keep their configuration.
    pub(crate) fn config_home(&self) -> Option<PathBuf> {
        let of_home = || Some(self.home.as_ref()?.join(".config"));
        self.xdg_config_home.clone().or_else(of_home)
    }
}

/// A relative one is ignored, as the XDG base directory specification demands.
fn directory(name: &str) -> Option<PathBuf> {
    path(name).filter(|path| path.is_absolute())
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
