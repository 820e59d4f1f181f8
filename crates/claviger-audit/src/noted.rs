//! Intents as they lie in the store, and which of them the log lacks at a start.
//!
//! A note is text: its form, a record that is before the intent in the log, and the time; then, on a
//! line of its own, the fields of each of its records, which have no line feed in them.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::str;

use serde::Deserialize;

use crate::lines::Lines;
use crate::segments;

const FORM: &str = "1";

/// An intent that was noted.
#[derive(Debug)]
pub(crate) struct Noted {
    call: String,
    after: u64,
    pub(crate) time: String,
    /// The fields of its records.
    pub(crate) lines: Vec<String>,
}

/// What a start finds in the store.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// The latest commit of those.
    pub(crate) revision: u64,
    /// What the log lacks of them.
    pub(crate) lacking: Vec<Noted>,
}

/// What tells one record from another here.
#[derive(Deserialize)]
struct Told {
    seq: u64,
    call: Option<String>,
    phase: Option<String>,
}

impl Told {
    /// The call, if it is an intent.
    fn intent(self) -> Option<String> {
        self.call
            .filter(|_| self.phase.as_deref() == Some("INTENT"))
    }
}

/// The note of these records.
pub(crate) fn write(after: u64, time: &str, lines: &Lines) -> Vec<u8> {
    let mut note = format!("{FORM} {after} {time}").into_bytes();
    for line in lines.iter() {
        note.push(b'\n');
        note.extend(line.fields.concat());
    }
    note
}

fn read(note: &[u8]) -> Option<Noted> {
    let mut lines = str::from_utf8(note).ok()?.split('\n');
    let mut head = lines.next()?.split(' ');
    let (form, after, time) = (head.next()?, head.next()?, head.next()?);
    let lines: Vec<_> = lines.map(str::to_owned).collect();
    let first = format!(r#"{{"seq":0{}}}"#, lines.first()?);
    let told: Told = serde_json::from_str(&first).ok()?;
    (form == FORM).then_some(Noted {
        call: told.intent()?,
        after: after.parse().ok()?,
        time: time.to_owned(),
        lines,
    })
}

/// What each record of an intent has in it.
const INTENT: &[u8] = br#""phase":"INTENT""#;

/// What the log at `path` lacks of these notes, each with the revision of its commit.
///
/// INVARIANT: the records of an intent are in the log in their order, and behind the record that
/// its note names. So the log lacks as many of the last as it has too few there.
pub(crate) fn backlog(path: &Path, notes: &[(u64, Vec<u8>)]) -> io::Result<Backlog> {
    let mut lacking = Vec::with_capacity(notes.len());
    for (revision, note) in notes {
        lacking.push(read(note).ok_or_else(|| unread(*revision))?);
    }
    let Some(after) = lacking.iter().map(|noted| noted.after).min() else {
        return Ok(Backlog::default());
    };
    let calls = lacking.iter().map(|noted| (noted.call.clone(), Vec::new()));
    let mut found: HashMap<_, Vec<u64>> = calls.collect();
    segments::read_after(path, after, |line| {
        // Most lines are of reads.
        if !line.windows(INTENT.len()).any(|part| part == INTENT) {
            return;
        }
        let told = serde_json::from_slice::<Told>(line).ok();
        if let Some((seq, call)) = told.and_then(|told| Some((told.seq, told.intent()?)))
            && let Some(found) = found.get_mut(&call)
        {
            found.push(seq);
        }
    })?;
    for noted in &mut lacking {
        let found = found.get(&noted.call).into_iter().flatten();
        let count = found.filter(|seq| **seq > noted.after).count();
        noted.lines.drain(..count.min(noted.lines.len()));
    }
    lacking.retain(|noted| !noted.lines.is_empty());
    let revisions = notes.iter().map(|(revision, _)| *revision);
    Ok(Backlog {
        revision: revisions.max().unwrap_or(0),
        lacking,
    })
}

fn unread(revision: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "the store holds an intent, of revision {revision}, which this program does not read; \
            start the version that wrote it and stop it in good order"
        ),
    )
}
