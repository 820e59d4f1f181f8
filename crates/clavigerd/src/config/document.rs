//! Reads a TOML text table by table and collects everything that is wrong with it.
//!
//! SECURITY: messages are written here or by the reader of a key, and name keys, never values: a
//! secret pasted into the wrong place must not end up in a log. The TOML library's own texts quote
//! the document, so they are not used.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger_core::{Id, List};
use toml::de::{DeTable, DeValue};

/// Where a setting was made.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Path of the key (`listen.tcp`), option (`--listen`) or variable (`CLAVIGER_LOG`).
    pub(crate) key: String,
    /// Line of the file, if it was made there.
    pub(crate) line: Option<usize>,
}

impl Place {
    /// A place outside of the file.
    pub(crate) fn outside(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            line: None,
        }
    }
}

/// A setting and the place where it was made.
#[derive(Clone, Debug)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// One thing that is wrong, and what to do about it.
#[derive(Debug)]
struct Problem {
    place: Place,
    message: String,
}

/// Everything that is wrong with a configuration. `Display` gives each its own line:
/// `file:line: key: message`.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    file: Option<PathBuf>,
    list: Vec<Problem>,
}

impl Problems {
    /// None so far, with the file that lines refer to.
    pub(crate) fn new(file: Option<&Path>) -> Self {
        Self {
            file: file.map(Path::to_path_buf),
            list: Vec::new(),
        }
    }

    /// Adds one. `message` goes on from the key: "is missing; …".
    pub(crate) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.list.push(Problem {
            place,
            message: message.into(),
        });
    }

    /// Whether one was found with this key.
    pub(crate) fn concern(&self, key: &str) -> bool {
        self.list.iter().any(|problem| problem.place.key == key)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Puts them in the order of the file, those outside of it first.
    pub(crate) fn sorted(mut self) -> Self {
        self.list.sort_by_key(|problem| problem.place.line);
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { place, message }) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            if let (Some(file), Some(line)) = (&self.file, place.line) {
                write!(f, "{}:{line}: ", file.display())?;
            }
            if !place.key.is_empty() {
                write!(f, "{}: ", place.key)?;
            }
            f.write_str(message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Reads `text` with `read`, or says where it is not TOML.
pub(crate) fn read_document<R>(
    text: &str,
    problems: &mut Problems,
    read: impl FnOnce(&mut Table<'_>) -> R,
) -> Option<R> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let start = error.span().map_or(0, |span| span.start);
        let message = if error.message().starts_with("duplicate key") {
            "has a key or table that was given before; keep one of them"
        } else {
            "is not valid TOML"
        };
        let before = text.get(..start).unwrap_or(text);
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let place = Place {
            key: String::new(),
            line: Some(line(text, start)),
        };
        problems.add(place, format!("column {column} {message}"));
    }
    if !errors.is_empty() {
        return None;
    }
    let root = Table {
        text,
        entries: Some(root.get_ref()),
        place: Place {
            key: String::new(),
            line: Some(1),
        },
        known: Vec::new(),
        problems,
    };
    Some(root.read(read))
}

/// One table of a document: what is asked for is known, and what is left over is a problem.
pub(crate) struct Table<'a> {
    text: &'a str,
    /// `None` if the document does not have the table.
    entries: Option<&'a DeTable<'a>>,
    place: Place,
    known: Vec<String>,
    problems: &'a mut Problems,
}

impl<'a> Table<'a> {
    /// Reads the table under `key` as if it were empty when it is not there.
    pub(crate) fn table<R>(&mut self, key: &str, read: impl FnOnce(&mut Table<'_>) -> R) -> R {
        let found = self.find(key);
        let mut place = Place {
            key: self.key_path(key),
            line: self.place.line,
        };
        let mut entries = None;
        if let Some((at, value)) = found {
            entries = value.as_table();
            if entries.is_none() {
                let message = format!("is of type {}; write a table", value.type_str());
                self.problems.add(at.clone(), message);
            }
            place = at;
        }
        let table = Table {
            text: self.text,
            entries,
            place,
            known: Vec::new(),
            problems: self.problems,
        };
        table.read(read)
    }

    /// The keys of this table where any id is one.
    pub(crate) fn ids(&mut self) -> Vec<Id> {
        let mut ids = Vec::new();
        for (name, _) in self.entries.into_iter().flatten() {
            let text = name.get_ref();
            self.known.push(text.to_string());
            match Id::parse("id", text) {
                Ok(id) if id.as_str() == text => ids.push(id),
                Ok(_) | Err(_) => {
                    let place = self.place_of(text, name.span().start);
                    let remedy = "is not an id; use 1 to 128 of the characters 0-9 A-Z a-z _ ( ) -";
                    self.problems.add(place, remedy);
                }
            }
        }
        ids
    }

    /// The text under `key`, as far as `parse` takes it. What `parse` fails with goes on from the
    /// key and must not quote the text.
    pub(crate) fn parsed<T, E: Into<String>>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Given<T>> {
        let (place, value) = self.find(key)?;
        let Some(text) = value.as_str() else {
            let message = format!("is of type {}; write text in quotes", value.type_str());
            self.problems.add(place, message);
            return None;
        };
        match parse(text) {
            Ok(value) => Some(Given { value, place }),
            Err(message) => {
                self.problems.add(place, message);
                None
            }
        }
    }

    /// The tables listed under `key`, read one by one. `None` if there is no list.
    pub(crate) fn tables<R>(
        &mut self,
        key: &str,
        mut read: impl FnMut(&mut Table<'_>) -> R,
    ) -> Option<Vec<R>> {
        let items = self.list(key, "list tables: [{ … }, { … }]")?;
        let tables = items.into_iter().filter_map(|(place, value)| {
            let Some(entries) = value.as_table() else {
                let message = format!("is of type {}; write a table", value.type_str());
                self.problems.add(place, message);
                return None;
            };
            let table = Table {
                text: self.text,
                entries: Some(entries),
                place,
                known: Vec::new(),
                problems: self.problems,
            };
            Some(table.read(&mut read))
        });
        Some(tables.collect())
    }

    /// The texts listed under `key`, as far as `parse` takes them. `None` if there is no list.
    pub(crate) fn texts<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<Vec<T>> {
        let items = self.list(key, "list texts: [\"…\", \"…\"]")?;
        let texts = items.into_iter().filter_map(|(place, value)| {
            let wrong = match value.as_str().map(&parse) {
                Some(Ok(text)) => return Some(text),
                Some(Err(message)) => message.to_owned(),
                None => format!("is of type {}; write text in quotes", value.type_str()),
            };
            self.problems.add(place, wrong);
            None
        });
        Some(texts.collect())
    }

    /// The table of texts under `key`, where any key is one.
    pub(crate) fn map(&mut self, key: &str) -> BTreeMap<String, String> {
        self.table(key, |table| {
            let keys = table.entries.into_iter().flatten();
            let keys: Vec<String> = keys.map(|(name, _)| name.get_ref().to_string()).collect();
            let texts = keys.into_iter().filter_map(|key| {
                let text = table.text(&key)?;
                Some((key, text))
            });
            texts.collect()
        })
    }

    /// The text under `key`, whatever it is.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        let given = self.parsed(key, |text| Ok::<_, String>(text.to_owned()));
        given.map(|given| given.value)
    }

    /// The duration under `key`, or `default`.
    pub(crate) fn duration(
        &mut self,
        key: &str,
        allowed: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let given = self.parsed(key, |text| {
            let duration = humantime::parse_duration(text).map_err(|_| {
                "is not a duration; write a number with its unit, such as \"30s\" or \"5m\""
                    .to_owned()
            })?;
            if allowed.contains(&duration) {
                return Ok(duration);
            }
            let bound = humantime::format_duration;
            let (from, to) = (bound(*allowed.start()), bound(*allowed.end()));
            Err(format!("is out of bounds; write {from} to {to}"))
        });
        given.map_or(default, |given| given.value)
    }

    /// Whether `key` is there and true.
    pub(crate) fn flag(&mut self, key: &str) -> bool {
        let Some((place, value)) = self.find(key) else {
            return false;
        };
        value.as_bool().unwrap_or_else(|| {
            self.problems.add(place, "is neither true nor false");
            false
        })
    }

    /// The whole number under `key`.
    pub(crate) fn number(&mut self, key: &str, allowed: RangeInclusive<u32>) -> Option<u32> {
        let (place, value) = self.find(key)?;
        let number = value.as_integer().and_then(|number| {
            let digits = number.as_str().replace('_', "");
            u32::from_str_radix(&digits, number.radix()).ok()
        });
        let number = number.filter(|number| allowed.contains(number));
        if number.is_none() {
            let (from, to) = (allowed.start(), allowed.end());
            let remedy = format!("is not a whole number from {from} to {to}");
            self.problems.add(place, remedy);
        }
        number
    }

    /// The absolute path under `key`.
    pub(crate) fn path(&mut self, key: &str) -> Option<Given<PathBuf>> {
        self.parsed(key, |text| {
            let path = PathBuf::from(text);
            if path.is_relative() {
                Err("is not an absolute path; write it out, `~` and variables are not expanded")
            } else if path.components().any(|part| part.as_os_str() == "..") {
                Err("has `..` in it; write the path out")
            } else {
                Ok(path)
            }
        })
    }

    /// Whether there is anything under `key`, right or wrong.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries
            .is_some_and(|entries| entries.contains_key(key))
    }

    /// Adds the problem that `key` is not there.
    pub(crate) fn missing(&mut self, key: &str, remedy: impl fmt::Display) {
        let place = Place {
            key: self.key_path(key),
            line: self.place.line,
        };
        self.problems.add(place, format!("is missing; {remedy}"));
    }

    /// Adds what is wrong with `key`, at its place if it has one.
    pub(crate) fn wrong(&mut self, key: &str, remedy: &'static str) {
        let place = match self.find(key) {
            Some((place, _)) => place,
            None => Place {
                key: self.key_path(key),
                line: self.place.line,
            },
        };
        self.problems.add(place, remedy);
    }

    /// Adds what is wrong with `key` of the table under `table`, whose keys were read before.
    pub(crate) fn wrong_in(&mut self, table: &str, key: &str, remedy: &'static str) {
        let Some((place, value)) = self.find(table) else {
            return self.wrong(table, remedy);
        };
        let mut inner = Table {
            text: self.text,
            entries: value.as_table(),
            place,
            known: Vec::new(),
            problems: self.problems,
        };
        inner.wrong(key, remedy);
    }

    /// Takes whatever is under `key` for right.
    pub(crate) fn skip(&mut self, key: &str) {
        self.known.push(key.to_owned());
    }

    fn read<R>(mut self, read: impl FnOnce(&mut Table<'_>) -> R) -> R {
        let result = read(&mut self);
        self.report_unknown();
        result
    }

    fn report_unknown(&mut self) {
        self.known.sort();
        self.known.dedup();
        for (name, _) in self.entries.into_iter().flatten() {
            let text = name.get_ref();
            if self.known.iter().any(|known| known == text) {
                continue;
            }
            let ids: Vec<Id> = self
                .known
                .iter()
                .flat_map(|key| Id::parse("", key))
                .collect();
            let near =
                Id::parse("", text).map_or(List(Vec::new()), |id| id.near_misses(ids.iter()));
            let hint = if near.0.is_empty() {
                String::new()
            } else {
                format!("; did you mean {near}?")
            };
            let message = format!("is not a key{hint} (keys here: {})", List(ids));
            let place = self.place_of(text, name.span().start);
            self.problems.add(place, message);
        }
    }

    fn find(&mut self, key: &str) -> Option<(Place, &'a DeValue<'a>)> {
        self.known.push(key.to_owned());
        let (name, value) = self.entries?.get_key_value(key)?;
        Some((self.place_of(key, name.span().start), value.get_ref()))
    }

    /// What is listed under `key`, each with its place.
    fn list(&mut self, key: &str, remedy: &'static str) -> Option<Vec<(Place, &'a DeValue<'a>)>> {
        let (place, value) = self.find(key)?;
        let Some(items) = value.as_array() else {
            let message = format!("is of type {}; {remedy}", value.type_str());
            self.problems.add(place, message);
            return None;
        };
        let items = items.iter().enumerate().map(|(index, item)| {
            let place = Place {
                key: format!("{}[{index}]", place.key),
                line: Some(line(self.text, item.span().start)),
            };
            (place, item.get_ref())
        });
        Some(items.collect())
    }

    fn place_of(&self, key: &str, start: usize) -> Place {
        Place {
            key: self.key_path(key),
            line: Some(line(self.text, start)),
        }
    }

    fn key_path(&self, key: &str) -> String {
        // Quoted, so that an odd key cannot forge lines of a log.
        let key = match Id::parse("", key) {
            Ok(id) if id.as_str() == key => key.to_owned(),
            Ok(_) | Err(_) => format!("{key:?}"),
        };
        if self.place.key.is_empty() {
            key
        } else {
            format!("{}.{key}", self.place.key)
        }
    }
}

fn line(text: &str, start: usize) -> usize {
    text.bytes()
        .take(start)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}
