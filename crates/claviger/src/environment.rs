//! The one place that reads environment variables.

use std::path::PathBuf;

/// The surroundings of the process; empty in most tests.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `CLAVIGER_ADDRESS`.
    pub address: Option<String>,
    /// `CLAVIGER_TOKEN_FILE`.
    pub token_file: Option<PathBuf>,
    /// `CLAVIGER_PROJECT`.
    pub project: Option<String>,
    /// `CLAVIGER_ENVIRONMENT`.
    pub environment: Option<String>,
    /// `CLAVIGER_CONTEXTS_FILE`.
    pub config_file: Option<PathBuf>,
    /// `CLAVIGER_CONTEXT`.
    pub context: Option<String>,
    /// Where this user's file with contexts is by default.
    pub default_config_file: Option<PathBuf>,
    /// Where a daemon of this user listens by default.
    pub default_socket: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment of this process. An empty variable counts as unset.
    pub fn from_process() -> Self {
        let home = |below| Some(directory("HOME")?.join(below));
        let state_home = directory("XDG_STATE_HOME").or_else(|| home(".local/state"));
        let config_home = directory("XDG_CONFIG_HOME").or_else(|| home(".config"));
        let runtime_dir = directory("XDG_RUNTIME_DIR");
        Self {
            address: text("CLAVIGER_ADDRESS"),
            token_file: path("CLAVIGER_TOKEN_FILE"),
            project: text("CLAVIGER_PROJECT"),
            environment: text("CLAVIGER_ENVIRONMENT"),
            config_file: path("CLAVIGER_CONTEXTS_FILE"),
            context: text("CLAVIGER_CONTEXT"),
            default_config_file: config_home.map(|home| home.join("claviger/claviger.toml")),
            default_socket: claviger_client::default_socket(
                runtime_dir.as_deref(),
                state_home.as_deref(),
            ),
        }
    }
}

fn text(name: &str) -> Option<String> {
    path(name).map(|text| text.to_string_lossy().into_owned())
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
