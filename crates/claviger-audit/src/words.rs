//! How the fields of a change are written.

use std::fmt;
use std::time::{Duration, SystemTime};

use claviger_access::{Edit, Word};

/// What is told of a text for people that is another one now.
const PRIVATE: &str = "(text)";

/// The last second that the format of times has; a later end is as good as none.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// A text that others wrote, without the characters that JSON writes with six bytes: what a line
/// may take can be said beforehand.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl Plain<'_> {
    pub(crate) fn bytes_max(self) -> usize {
        let is_doubled = |byte: &u8| matches!(byte, b'"' | b'\\');
        // A control character becomes a mark of three bytes.
        let is_control = |byte: &u8| byte.is_ascii_control();
        let bytes = self.0.as_bytes();
        let doubled = bytes.iter().filter(|byte| is_doubled(byte)).count();
        let controls = bytes.iter().filter(|byte| is_control(byte)).count();
        bytes.len() + doubled + 2 * controls + r#""":"","#.len()
    }
}

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.contains(|c: char| c.is_ascii_control()) {
            false => f.write_str(self.0),
            true => f.write_str(&self.0.replace(|c: char| c.is_ascii_control(), "\u{fffd}")),
        }
    }
}

/// A word as it is written.
pub(crate) struct Written<'a>(&'a Word);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Word::Private(_) => f.write_str(PRIVATE),
            Word::Text(text) => Plain(text).fmt(f),
            Word::Time(time) => f.write_str(&rfc3339(*time)),
        }
    }
}

/// The fields of a change as they were.
pub(crate) fn was(edits: &[Edit]) -> impl Iterator<Item = (&str, Written<'_>)> {
    side(edits, |edit| edit.was.as_ref())
}

/// The fields of a change as they are now.
pub(crate) fn now(edits: &[Edit]) -> impl Iterator<Item = (&str, Written<'_>)> {
    side(edits, |edit| edit.now.as_ref())
}

fn side(
    edits: &[Edit],
    word: impl Fn(&Edit) -> Option<&Word>,
) -> impl Iterator<Item = (&str, Written<'_>)> {
    edits
        .iter()
        .filter_map(move |edit| Some((edit.field.as_str(), Written(word(edit)?))))
}

/// Most bytes that a word takes in a line, with what stands around it.
pub(crate) fn bytes_max(word: &Word) -> usize {
    match word {
        Word::Private(_) => Plain(PRIVATE).bytes_max(),
        Word::Text(text) => Plain(text).bytes_max(),
        Word::Time(_) => 40,
    }
}

fn rfc3339(time: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + LAST_SECOND;
    humantime::format_rfc3339(time.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}
