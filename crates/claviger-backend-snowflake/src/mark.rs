//! What the comment of a secret says, for whoever looks at it: whose it is and what stored its
//! value. A comment that was there before goes on in front of it.

use claviger_core::Uid;
use serde::{Deserialize, Serialize};

use crate::sql::Literal;

/// What our part of a comment begins with.
const START: &str = r#"{"claviger":"#;

/// Our part of a comment. Nothing in it is secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Mark {
    /// Which store the secret belongs to.
    pub(crate) store: Uid,
    /// Which definition of that store.
    pub(crate) definition: Uid,
    /// Which write stored the value.
    pub(crate) write: Uid,
    /// When, in seconds since 1970.
    pub(crate) time: u64,
    /// A keyed digest of the value, which tells whether somebody else has replaced it: Snowflake
    /// does not.
    pub(crate) mac: String,
    /// Whether the value is bytes, written as base64.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) base64: bool,
}

#[derive(Deserialize, Serialize)]
struct Outer {
    claviger: Mark,
}

/// A comment taken apart.
#[derive(Debug, Default)]
pub(crate) struct Comment {
    /// What others wrote.
    pub(crate) note: String,
    /// What we wrote.
    pub(crate) mark: Option<Mark>,
}

impl Comment {
    pub(crate) fn parse(text: &str) -> Self {
        let note = |text: &str| text.trim_end().to_owned();
        let parts = text.rfind(START).and_then(|at| text.split_at_checked(at));
        let Some((before, ours)) = parts else {
            return Self {
                note: note(text),
                mark: None,
            };
        };
        Self {
            note: note(before),
            mark: serde_json::from_str(ours)
                .ok()
                .map(|outer: Outer| outer.claviger),
        }
    }

    /// The same comment with another mark, as it stands in a statement.
    pub(crate) fn literal(&self, mark: &Mark) -> Result<String, serde_json::Error> {
        let outer = Outer {
            claviger: mark.clone(),
        };
        let ours = serde_json::to_string(&outer)?;
        let text = match self.note.as_str() {
            "" => ours,
            note => format!("{note}\n{ours}"),
        };
        Ok(Literal(&text).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_of_others_goes_on_in_front_of_ours() {
        let mark = Mark {
            store: Uid::random(),
            definition: Uid::random(),
            write: Uid::random(),
            time: 7,
            mac: "ab".to_owned(),
            base64: true,
        };
        for note in ["", "for the nightly job", r#"{"claviger":"no mark"}"#] {
            let before = Comment::parse(note);
            assert_eq!((before.note.as_str(), &before.mark), (note_of(note), &None));
            let literal = before.literal(&mark).expect("text");
            let text = literal.trim_matches('\'');
            let after = Comment::parse(text);
            assert_eq!(
                (after.note.as_str(), after.mark),
                (note_of(note), Some(mark.clone()))
            );
        }
    }

    /// What looks like ours and is not is ours to replace.
    fn note_of(text: &str) -> &str {
        if text.starts_with(START) { "" } else { text }
    }
}
