//! How the fields of a change are written.

use std::time::{Duration, SystemTime};

use claviger_access::{Edit, Word};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

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

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.contains(|c: char| c.is_ascii_control()) {
            false => serializer.serialize_str(self.0),
            true => serializer
                .serialize_str(&self.0.replace(|c: char| c.is_ascii_control(), "\u{fffd}")),
        }
    }
}

/// The fields of a change, as they were or as they are now.
#[derive(Clone, Copy, Default)]
pub(crate) struct Side<'a> {
    edits: &'a [Edit],
    is_now: bool,
}

impl<'a> Side<'a> {
    pub(crate) fn was(edits: &'a [Edit]) -> Self {
        let is_now = false;
        Self { edits, is_now }
    }

    pub(crate) fn now(edits: &'a [Edit]) -> Self {
        let is_now = true;
        Self { edits, is_now }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words().next().is_none()
    }

    fn words(self) -> impl Iterator<Item = (&'a str, &'a Word)> {
        self.edits.iter().filter_map(move |edit| {
            let word = match self.is_now {
                true => edit.now.as_ref(),
                false => edit.was.as_ref(),
            };
            Some((edit.field.as_str(), word?))
        })
    }
}

impl Serialize for Side<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, word) in self.words() {
            match word {
                Word::Private(_) => map.serialize_entry(field, PRIVATE)?,
                Word::Text(text) => map.serialize_entry(field, &Plain(text))?,
                Word::Time(time) => map.serialize_entry(field, &rfc3339(*time))?,
            }
        }
        map.end()
    }
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
