//! The reports of a vault's client, cut down to the parts that may be passed on or logged.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use claviger_core::{Cause, Detail, Error, Public, Reason};

/// Longest pause that is passed on to a client.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Longest upstream message that is logged, in characters.
const MESSAGE_LEN_MAX: usize = 400;

/// The error of a call that a vault refused. The remedy stands where the reason's text has it, unless
/// it is empty.
pub fn refusal(
    reason: Reason,
    remedy: impl Public,
    source: impl Into<Box<dyn StdError + Send + Sync>>,
) -> Error {
    let error = Error::new(reason).caused_by(source);
    if remedy.to_string().is_empty() {
        error
    } else if reason == Reason::LocationInvalid {
        error.violation("location", remedy)
    } else if reason == Reason::VaultCapabilityMissing {
        error.with(Detail::Capability, remedy)
    } else {
        error.with(Detail::Remedy, remedy)
    }
}

/// The error of a call that a vault was not reached with.
pub fn unreachable(
    cause: Cause,
    retry_after: Option<Duration>,
    source: impl Into<Box<dyn StdError + Send + Sync>>,
) -> Error {
    let error = Error::unreachable(cause).caused_by(source);
    match retry_after {
        Some(after) => error.retry_after(after),
        None => error,
    }
}

/// Why a connection did not come about, or broke. Three errors of libraries can be told by their own,
/// constant text only; tests with sockets hold those.
pub fn cause_of(error: &(dyn StdError + 'static)) -> Cause {
    links(error)
        .find_map(cause_of_link)
        .unwrap_or(Cause::Connection)
}

fn cause_of_link(link: &(dyn StdError + 'static)) -> Option<Cause> {
    match link.to_string().as_str() {
        "dns error" => return Some(Cause::Dns),
        "tls handshake eof" => return Some(Cause::Tls),
        text if text.starts_with("tunnel error") => return Some(Cause::Proxy),
        _ => {}
    }
    let kind = link.downcast_ref::<io::Error>()?.kind();
    // Only TLS looks into what goes by.
    let is_tls = kind == io::ErrorKind::InvalidData;
    let is_late = kind == io::ErrorKind::TimedOut;
    is_tls
        .then_some(Cause::Tls)
        .or(is_late.then_some(Cause::Timeout))
}

/// The cause of an answer with this status that the vault's own codes say nothing about.
pub fn cause_of_status(status: u16) -> Cause {
    match status {
        429 => Cause::Throttled,
        408 | 504 => Cause::Timeout,
        // Not the vault's, which would have said why.
        300..500 => Cause::Proxy,
        _ => Cause::ServerError,
    }
}

/// An error, and all below it, also what an I/O error is made of.
fn links<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let io = error.downcast_ref::<io::Error>();
        match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

/// The first error of this type in a chain.
pub fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    links(error).find_map(|link| link.downcast_ref())
}

/// The chain's texts. SECURITY: never `Debug`, which would print the body of a response.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    plain(&text)
}

/// Upstream text that cannot forge a log line or fill the disk.
pub fn plain(text: &str) -> String {
    let letters = text.chars().take(MESSAGE_LEN_MAX);
    letters
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_stands_where_its_reason_has_it() {
        let remedy_of = |reason, remedy| {
            let error = refusal(reason, remedy, "in the log");
            assert!(!error.to_string().contains("in the log"), "{error}");
            let violation = error.field_violation().map(|found| found.description);
            let details = [Detail::Remedy, Detail::Capability].map(|detail| error.detail(detail));
            format!("{:?}", (details, violation))
        };
        for (reason, remedy, found) in [
            (Reason::SecretNotFound, "", "([None, None], None)"),
            (
                Reason::VaultAccessDenied,
                "do this",
                r#"([Some("do this"), None], None)"#,
            ),
            (
                Reason::VaultCapabilityMissing,
                "do that",
                r#"([None, Some("do that")], None)"#,
            ),
            (
                Reason::LocationInvalid,
                "is wrong",
                r#"([None, None], Some("is wrong"))"#,
            ),
        ] {
            assert_eq!(remedy_of(reason, remedy), found);
        }
    }

    #[test]
    fn a_vault_that_was_not_reached_says_why_and_when_to_come_back() {
        for pause in [None, Some(Duration::from_secs(7))] {
            let error = unreachable(Cause::Throttled, pause, "in the log");
            assert!(!error.to_string().contains("in the log"), "{error}");
            assert_eq!(error.detail(Detail::Cause), Some("THROTTLED"));
            assert_eq!(error.retry_delay(), pause);
        }
    }

    #[test]
    fn the_cause_is_found_however_deep_it_lies() {
        let wrapped = |kind| io::Error::other(io::Error::new(kind, "inner"));
        for (error, cause) in [
            (io::Error::other("something"), Cause::Connection),
            (wrapped(io::ErrorKind::ConnectionRefused), Cause::Connection),
            (wrapped(io::ErrorKind::InvalidData), Cause::Tls),
            (wrapped(io::ErrorKind::TimedOut), Cause::Timeout),
            (io::Error::other("dns error"), Cause::Dns),
            (io::Error::other("tls handshake eof"), Cause::Tls),
            (io::Error::other("tunnel error: unsuccessful"), Cause::Proxy),
        ] {
            assert_eq!(cause_of(&error), cause, "{error}");
        }
        for (status, cause) in [
            (200, Cause::ServerError),
            (302, Cause::Proxy),
            (403, Cause::Proxy),
            (407, Cause::Proxy),
            (408, Cause::Timeout),
            (429, Cause::Throttled),
            (500, Cause::ServerError),
            (503, Cause::ServerError),
            (504, Cause::Timeout),
        ] {
            assert_eq!(cause_of_status(status), cause, "{status}");
        }
    }

    #[test]
    fn upstream_text_cannot_forge_a_log_line() {
        assert_eq!(plain("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(plain("a\r\nb\u{1b}[31m"), "a  b [31m");
        assert_eq!(plain(&"x".repeat(1000)).len(), MESSAGE_LEN_MAX);
    }
}
