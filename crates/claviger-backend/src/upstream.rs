//! What a vault's client reports, cut down to what may be passed on or logged.

use std::error::Error as StdError;
use std::time::Duration;

/// Longest pause that is passed on to a client.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Longest upstream message that is logged, in characters.
const MESSAGE_LEN_MAX: usize = 400;

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
    fn upstream_text_cannot_forge_a_log_line() {
        assert_eq!(plain("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(plain("a\r\nb\u{1b}[31m"), "a  b [31m");
        assert_eq!(plain(&"x".repeat(1000)).len(), MESSAGE_LEN_MAX);
    }
}
