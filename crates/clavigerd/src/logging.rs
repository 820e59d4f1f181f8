use std::io::{self, IsTerminal};
use std::sync::Arc;

use claviger_core::{Clock, Id, SystemClock};
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::log_limit::LogLimit;

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
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let clock = Arc::new(SystemClock);
    match format {
        LogFormat::Json => filtered(filter, clock).with(lines.json()).try_init(),
        LogFormat::Text => {
            let lines = lines.with_ansi(io::stderr().is_terminal());
            filtered(filter, clock).with(lines).try_init()
        }
    }
}

/// What passes all that decides about a line.
fn filtered(
    filter: Targets,
    clock: Arc<dyn Clock>,
) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync {
    tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(|event| {
            may_be_logged(event.target(), *event.level())
        }))
        .with(LogLimit::new(clock, faces_strangers))
}

/// How the modules begin of the libraries that serve connections and tasks.
const LIBRARIES: &[&str] = &["h2", "hyper", "rustls", "tokio", "tonic", "tower"];

/// SECURITY: of other people's crates only these, and only their errors, whatever the filter says.
/// Those that carry values to and from vaults print whole requests and answers; those that serve
/// connections warn as often as a stranger likes. The causes of failures are in our errors.
fn may_be_logged(module: &str, level: Level) -> bool {
    let crate_name = module.split("::").next().unwrap_or_default();
    let is_listed = LIBRARIES.contains(&crate_name.split('_').next().unwrap_or_default());
    module.starts_with("claviger") || (level <= Level::ERROR && is_listed)
}

/// Whether whoever reaches a listener can make this module log.
fn faces_strangers(module: &str) -> bool {
    !module.starts_with("claviger") || module.starts_with("claviger_api")
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
    use std::time::Duration;

    use claviger_core::ManualClock;
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
    fn of_libraries_only_those_that_serve_are_heard_and_only_their_errors() {
        for module in ["hyper::proto", "hyper_util", "h2", "tonic::transport"] {
            assert!(may_be_logged(module, Level::ERROR), "{module}");
            for level in [Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
                assert!(!may_be_logged(module, level), "{module} {level}");
            }
        }
        assert!(may_be_logged("claviger_backend_aws", Level::TRACE));
        for module in ["", "aws_config", "azure_core", "h2o", "log", "reqwest"] {
            assert!(!may_be_logged(module, Level::ERROR), "{module}");
        }
    }

    /// In one test, because the process has one log.
    #[test]
    fn a_flood_of_lines_is_cut_and_counted_and_the_log_starts_once() {
        let clock = Arc::new(ManualClock::at(Duration::from_secs(1000)));
        let log = tempfile::NamedTempFile::new().unwrap();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(Arc::new(log.reopen().unwrap()));
        let filter = parse_filter("off,claviger_api::flood=info,h2::flood=info,clavigerd=info");
        let filtered = filtered(filter.unwrap(), Arc::clone(&clock) as _);
        filtered.with(lines).try_init().unwrap();
        let count = |text: &str| {
            let log = std::fs::read_to_string(log.path()).unwrap();
            log.lines().filter(|line| line.contains(text)).count()
        };
        let flood = || tracing::info!(target: "claviger_api::flood", "one more");
        for _ in 0..1000 {
            flood();
            tracing::error!(target: "h2::flood", "broken");
            tracing::warn!(target: "h2::flood", "from a stranger");
            tracing::info!(target: "clavigerd::started", "of our own");
        }
        tracing::info!(target: "claviger_api::flood", "another place");
        assert_eq!((count("one more"), count("broken")), (10, 10));
        assert_eq!((count("from a stranger"), count("of our own")), (0, 1000));
        assert_eq!((count("another place"), count("held back")), (1, 0));

        clock.advance(Duration::from_secs(1));
        flood();
        assert_eq!((count("one more"), count("held back")), (11, 2));
        assert_eq!(count("module=\"claviger_api::flood\""), 1);
        assert_eq!((count("lines=990"), count("lines=991")), (2, 0));
        clock.advance(Duration::from_secs(1));
        flood();
        assert_eq!((count("one more"), count("held back")), (12, 2));

        let filter = parse_filter("off").unwrap();
        assert!(init(LogFormat::Json, filter.clone()).is_err());
        assert!(init(LogFormat::Text, filter).is_err());
    }
}
