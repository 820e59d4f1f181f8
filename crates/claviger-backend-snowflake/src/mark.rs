//! The comment of a secret, for anyone who looks at it: its definition, and the write that stored
//! its value. A comment that was there before goes on in front of it.
//!
//! SECURITY: anyone who may alter a secret writes its comment, and can copy that of another. A mark
//! counts only with the tag that [`Marker`] made for this very secret; else it is not there.

use std::sync::Arc;

use claviger_backend::Address;
use claviger_core::{Id, Uid};
use claviger_seal::{Keyring, hex};
use serde::{Deserialize, Serialize};

use crate::sql::Literal;

/// The start of our part of a comment.
const START: &str = r#"{"claviger":"#;

/// How many bytes of a keyed digest are kept.
const TAG_LEN: usize = 16;

/// Our part of a comment. Nothing in it is secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Mark {
    /// Which store the secret belongs to.
    pub(crate) store: Uid,
    /// Which project of that store; marks of before told the definition only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<Id>,
    /// Which definition has stored the value; for people, where there is a project.
    pub(crate) definition: Uid,
    /// Which write stored the value.
    pub(crate) write: Uid,
    /// When, in seconds since 1970.
    pub(crate) time: u64,
    /// A keyed digest of all the rest and where it stands, so that nobody else makes or moves one.
    pub(crate) tag: String,
    /// The same with the value, which tells whether somebody else has replaced it: Snowflake does
    /// not.
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
    /// The part of others.
    pub(crate) note: String,
    /// Our part.
    pub(crate) mark: Option<Mark>,
}

impl Mark {
    /// Whether a secret with this mark, made by this store, is the project's.
    pub(crate) fn is_of(&self, address: &Address) -> bool {
        match &self.project {
            Some(project) => *project == address.project,
            None => self.definition == address.owner,
        }
    }
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

/// Makes the marks of a schema, and tells them from those of others.
pub(crate) struct Marker {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) vault: Id,
    /// Quoted, with its database.
    pub(crate) schema: String,
}

impl Marker {
    /// The mark with its digests.
    pub(crate) fn sign(&self, secret: &str, mark: &Mark, value: &[u8]) -> Mark {
        Mark {
            tag: self.tag(secret, mark, None),
            mac: self.tag(secret, mark, Some(value)),
            ..mark.clone()
        }
    }

    /// The mark of a secret's comment, if this store made it for this secret.
    pub(crate) fn own<'c>(&self, secret: &str, comment: &'c Comment) -> Option<&'c Mark> {
        let is_own = |mark: &&Mark| {
            mark.store == self.keyring.store_id() && mark.tag == self.tag(secret, mark, None)
        };
        comment.mark.as_ref().filter(is_own)
    }

    /// Whether it is this value that was stored with the mark.
    pub(crate) fn covers(&self, secret: &str, mark: &Mark, value: &[u8]) -> bool {
        mark.mac == self.tag(secret, mark, Some(value))
    }

    /// Tells a value without a mark from another one.
    pub(crate) fn digest(&self, secret: &str, value: &[u8]) -> String {
        self.mac("snowflake secret value", &[secret.as_bytes(), value])
    }

    fn tag(&self, secret: &str, mark: &Mark, value: Option<&[u8]>) -> String {
        let texts = [mark.store, mark.definition, mark.write].map(|id| id.to_string());
        let [store, definition, write] = texts.each_ref().map(String::as_bytes);
        let time = mark.time.to_be_bytes();
        let base64 = [u8::from(mark.base64)];
        let mut parts = vec![
            secret.as_bytes(),
            store,
            definition,
            write,
            &time,
            &base64,
            value.unwrap_or_default(),
        ];
        parts.extend(
            mark.project
                .iter()
                .map(|project| project.as_str().as_bytes()),
        );
        let context = match value {
            Some(_) => "snowflake secret mark and value",
            None => "snowflake secret mark",
        };
        self.mac(context, &parts)
    }

    fn mac(&self, context: &'static str, parts: &[&[u8]]) -> String {
        let place = [self.vault.as_str().as_bytes(), self.schema.as_bytes()];
        let mac = self.keyring.mac(context, &[&place, parts].concat());
        hex(mac.get(..TAG_LEN).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marks lie in Snowflake for good, so a field that is renamed here must not change one.
    #[test]
    fn a_mark_is_written_as_it_always_was() {
        for project in ["", r#""project":"acme","#] {
            let text = format!(
                r#"{{"claviger":{{"store":"4b6e9131-b0c4-4941-b50f-b6f6c7ac2d7e",{project}"definition":"0c7a6f0e-63a5-4d5c-9f3b-6a1f2f1c9a11","write":"9d2f4c55-8a77-4a0e-8f0a-2b7c1e5d3344","time":7,"tag":"cd","mac":"ab","base64":true}}}}"#
            );
            let comment = Comment::parse(&text);
            let mark = comment.mark.as_ref().expect("ours");
            assert_eq!(comment.literal(mark).expect("text"), format!("'{text}'"));
        }
    }

    #[test]
    fn a_mark_without_a_project_is_its_definitions_own() {
        let address = Address {
            project: Id::from_static("acme"),
            owner: Uid::random(),
            secret: "s".to_owned(),
        };
        for (project, definition, is_own) in [
            (None, address.owner, true),
            (None, Uid::random(), false),
            (Some("acme"), Uid::random(), true),
            (Some("others"), address.owner, false),
        ] {
            let mark = Mark {
                project: project.map(Id::from_static),
                definition,
                ..mark()
            };
            assert_eq!(mark.is_of(&address), is_own, "{project:?}");
        }
    }

    #[test]
    fn comment_of_others_goes_on_in_front_of_ours() {
        let mark = mark();
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

    fn mark() -> Mark {
        Mark {
            store: Uid::random(),
            project: Some(Id::from_static("acme")),
            definition: Uid::random(),
            write: Uid::random(),
            time: 7,
            tag: "cd".to_owned(),
            mac: "ab".to_owned(),
            base64: true,
        }
    }

    /// A part that looks like ours and is not is ours to replace.
    fn note_of(text: &str) -> &str {
        if text.starts_with(START) { "" } else { text }
    }

    #[test]
    fn mark_that_was_changed_or_moved_is_none_of_ours() {
        let keyring = Keyring::generate(&claviger_seal::RootKey::generate());
        let marker = Marker {
            keyring: Arc::new(keyring.expect("a keyring").0),
            vault: Id::from_static("snow"),
            schema: "\"A\".\"B\"".to_owned(),
        };
        let plain = Mark {
            store: marker.keyring.store_id(),
            base64: false,
            ..mark()
        };
        let signed = marker.sign("s", &plain, b"v");
        let is_own = |marker: &Marker, secret: &str, mark: &Mark| {
            let comment = Comment {
                note: String::new(),
                mark: Some(mark.clone()),
            };
            marker.own(secret, &comment).is_some()
        };
        assert!(is_own(&marker, "s", &signed));
        assert!(marker.covers("s", &signed, b"v"));
        assert!(!marker.covers("s", &signed, b"w"));
        assert!(!is_own(&marker, "other", &signed));
        let change = |change: fn(&mut Mark)| {
            let mut mark = signed.clone();
            change(&mut mark);
            mark
        };
        for forged in [
            change(|mark| mark.store = Uid::random()),
            change(|mark| mark.project = None),
            change(|mark| mark.project = Some(Id::from_static("others"))),
            change(|mark| mark.definition = Uid::random()),
            change(|mark| mark.write = Uid::random()),
            change(|mark| mark.time = 8),
            change(|mark| mark.base64 = true),
            change(|mark| mark.tag = mark.mac.clone()),
            change(|mark| mark.tag = String::new()),
        ] {
            assert!(!is_own(&marker, "s", &forged), "{forged:?}");
        }
        for (vault, schema) in [("snow", "\"A\".\"C\""), ("rain", "\"A\".\"B\"")] {
            let other = Marker {
                keyring: Arc::clone(&marker.keyring),
                vault: Id::from_static(vault),
                schema: schema.to_owned(),
            };
            assert!(!is_own(&other, "s", &signed), "{vault} {schema}");
        }
    }
}
