//! The reports of a vault's client, cut down to the parts that may be passed on or logged.

use std::error::Error as StdError;
use std::time::Duration;

use claviger_core::{Detail, Error, Public, Reason};

/// Longest pause that is passed on to a client.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Longest upstream message that is logged, in characters.
const MESSAGE_LEN_MAX: usize = 400;

/// The error of a call that a vault refused, or did not answer. The remedy stands where the
/// reason's text has it, unless it is empty; only a vault that was not reached says when to come
/// back.
pub fn refusal(
    reason: Reason,
    remedy: impl Public,
    retry_after: Option<Duration>,
    cause: impl Into<Box<dyn StdError + Send + Sync>>,
) -> Error {
    let error = Error::new(reason).caused_by(cause);
    let error = if remedy.to_string().is_empty() {
        error
    } else if reason == Reason::LocationInvalid {
        error.violation("location", remedy)
    } else if reason == Reason::VaultCapabilityMissing {
        error.with(Detail::Capability, remedy)
    } else {
        error.with(Detail::Remedy, remedy)
    };
    match retry_after {
        Some(after) if reason == Reason::VaultUnreachable => error.retry_after(after),
        Some(_) | None => error,
    }
}

/// The first error of this type in a chain.
pub fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
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
        let pause = Some(Duration::from_secs(7));
        let remedy_of = |reason, remedy| {
            let error = refusal(reason, remedy, pause, "in the log");
            assert!(!error.to_string().contains("in the log"), "{error}");
            let violation = error.field_violation().map(|found| found.description);
            let details = [Detail::Remedy, Detail::Capability].map(|detail| error.detail(detail));
            let found = (details, violation);
            (format!("{found:?}"), error.retry_delay())
        };
        for (reason, remedy, found, after) in [
            (Reason::VaultUnreachable, "", "([None, None], None)", pause),
            (
                Reason::VaultAccessDenied,
                "do this",
                r#"([Some("do this"), None], None)"#,
                None,
            ),
            (
                Reason::VaultCapabilityMissing,
                "do that",
                r#"([None, Some("do that")], None)"#,
                None,
            ),
            (
                Reason::LocationInvalid,
                "is wrong",
                r#"([None, None], Some("is wrong"))"#,
                None,
            ),
        ] {
            assert_eq!(remedy_of(reason, remedy), (found.to_owned(), after));
        }
    }

    #[test]
    fn upstream_text_cannot_forge_a_log_line() {
        assert_eq!(plain("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(plain("a\r\nb\u{1b}[31m"), "a  b [31m");
        assert_eq!(plain(&"x".repeat(1000)).len(), MESSAGE_LEN_MAX);
    }
}
