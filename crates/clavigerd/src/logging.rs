use std::io::{self, IsTerminal};

use claviger_core::Id;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// Sends the process's log to standard error.
///
/// # Errors
/// When it was called before.
pub(crate) fn init(format: LogFormat, filter: Targets) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(|event| {
            may_be_logged(event.target(), *event.level())
        }));
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Json => registry.with(layer.json()).try_init(),
        LogFormat::Text => {
            let layer = layer.with_ansi(io::stderr().is_terminal());
            registry.with(layer).try_init()
        }
    }
}

/// How the modules of the vaults' own libraries begin.
const VAULT_LIBRARIES: &[&str] = &["aws_", "azure_", "reqwest", "snowflake_", "typespec_"];

/// SECURITY: below `info` only our own crates, whatever the filter says: libraries that carry values
/// to and from vaults print whole requests there, and their own whole answers at any level. The
/// causes of failures are in our errors.
fn may_be_logged(module: &str, level: Level) -> bool {
    let is_ours = module.starts_with("claviger");
    let is_vaults = VAULT_LIBRARIES.iter().any(|name| module.starts_with(name));
    is_ours || (level <= Level::INFO && !is_vaults)
}

/// Reads a filter such as `info` or `warn,claviger_broker=debug`.
///
/// The library's own parser takes a mistyped level for the name of a module and then logs next to
/// nothing; this one refuses it.
///
/// # Errors
/// The remedy.
pub(crate) fn parse_filter(text: &str) -> Result<Targets, &'static str> {
    const REMEDY: &str = "is not a log filter; write a level (off, error, warn, info, debug or \
        trace), then module=level pairs, all with commas between: warn,claviger_broker=debug";
    let mut targets = Targets::new();
    for directive in text.split(',') {
        let (module, level) = match directive.rsplit_once('=') {
            Some((module, level)) => (Some(module.trim()), level),
            None => (None, directive),
        };
        let level = level_from(level.trim()).ok_or(REMEDY)?;
        targets = match module {
            None => targets.with_default(level),
            Some(module) if module.split("::").all(|part| Id::parse("", part).is_ok()) => {
                targets.with_target(module, level)
            }
            Some(_) => return Err(REMEDY),
        };
    }
    Ok(targets)
}

fn level_from(name: &str) -> Option<LevelFilter> {
    match name {
        "off" => Some(LevelFilter::OFF),
        "error" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::*;

    #[test]
    fn a_filter_is_a_level_and_exceptions() {
        let filter = parse_filter("warn, claviger_broker::writes=debug").unwrap();
        assert_eq!(filter.default_level(), Some(LevelFilter::WARN));
        assert!(filter.would_enable("claviger_broker::writes", &tracing::Level::DEBUG));
        assert!(!filter.would_enable("claviger_broker", &tracing::Level::DEBUG));
    }

    #[test]
    fn a_mistyped_level_is_not_taken_for_a_module() {
        for text in ["", "inof", "info,", "claviger=loud", "=info", "a b=info"] {
            assert!(parse_filter(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_our_own_modules_say_more_than_info() {
        for module in ["hyper", "h2", "tonic::transport"] {
            assert!(may_be_logged(module, Level::INFO), "{module}");
            assert!(!may_be_logged(module, Level::DEBUG), "{module}");
            assert!(!may_be_logged(module, Level::TRACE), "{module}");
        }
        assert!(may_be_logged("claviger_backend_aws", Level::TRACE));
        for module in [
            "aws_smithy_runtime::client",
            "aws_config",
            "azure_core",
            "reqwest",
        ] {
            assert!(!may_be_logged(module, Level::ERROR), "{module}");
        }
    }

    #[test]
    fn a_second_start_of_the_log_is_refused() {
        let filter = parse_filter("off").unwrap();
        assert!(init(LogFormat::Json, filter.clone()).is_ok());
        assert!(init(LogFormat::Text, filter).is_err());
    }
}
