//! Rendered records on their way into the log, and what becomes of them.

use std::ops::Range;

use crate::record::Record;
use crate::unnoted::{Talk, Who};

/// Records of several calls, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The fields of all of them.
    bytes: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    fields: Range<usize>,
    unnoted_at: usize,
    who: Option<Who>,
    talk: Option<Talk>,
    is_intent: bool,
    is_last: bool,
}

/// One of them.
pub(crate) struct Line<'a> {
    /// Its fields before and after those that tell what was only counted before it.
    pub(crate) fields: [&'a [u8]; 2],
    pub(crate) who: Option<&'a Who>,
    pub(crate) talk: Option<&'a Talk>,
    /// Whether the daemon ends with it.
    pub(crate) is_last: bool,
}

impl Lines {
    pub(crate) fn add(&mut self, record: Record<'_>) {
        let start = self.bytes.len();
        let unnoted_at = record.write(&mut self.bytes);
        self.places.push(Place {
            fields: start..self.bytes.len(),
            unnoted_at,
            who: record.tail.who.clone(),
            talk: record.talk,
            is_intent: record.is_intent,
            is_last: record.is_last,
        });
    }

    /// Adds others. A side effect waits for them or not, whatever was said of them before.
    pub(crate) fn append(&mut self, others: &Self, is_intent: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&others.bytes);
        self.places.extend(others.places.iter().map(|place| Place {
            fields: start + place.fields.start..start + place.fields.end,
            unnoted_at: start + place.unnoted_at,
            who: place.who.clone(),
            talk: None,
            is_intent,
            is_last: false,
        }));
    }

    /// Forgets them, but keeps their memory for others.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        self.places.iter().map(|place| {
            let Range { start, end } = place.fields;
            let fields = [start..place.unnoted_at, place.unnoted_at..end];
            Line {
                fields: fields.map(|range| self.bytes.get(range).unwrap_or_default()),
                who: place.who.as_ref(),
                talk: place.talk.as_ref(),
                is_last: place.is_last,
            }
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a side effect waits until one of these has reached the disk.
    pub(crate) fn has_intent(&self, lines: Range<usize>) -> bool {
        let places = self.places.get(lines).unwrap_or_default();
        places.iter().any(|place| place.is_intent)
    }
}

/// What became of a record; of several together, the worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fate {
    /// It is not in the log.
    Lost,
    /// It is one of many denials, and only counted.
    Counted,
    /// It is in the log.
    Written,
}

/// What became of all lines that were written together.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// None is in the log.
    Lost,
    /// All are, but for these, which are only counted.
    Written {
        counted: Vec<usize>,
        /// The last record of the log by then.
        seq: u64,
        /// Whether so much waits for a sync that one should begin.
        is_much: bool,
    },
}

impl Verdict {
    /// What became of some of the lines.
    pub(crate) fn fate(&self, lines: &Range<usize>) -> Fate {
        match self {
            Self::Lost => Fate::Lost,
            Self::Written { counted, .. } if counted.iter().any(|index| lines.contains(index)) => {
                Fate::Counted
            }
            Self::Written { .. } => Fate::Written,
        }
    }
}
