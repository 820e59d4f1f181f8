//! Tables of a document, and the values in them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use claviger_core::{Id, List};
use toml::de::{DeTable, DeValue};

use crate::{Place, Problems, SettingsProblem};

/// Reads `text` with `read`, or says where it is not TOML.
pub fn read_document<R>(
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

/// One table of a document: keys asked for are known, and those left over are problems.
pub struct Table<'a> {
    text: &'a str,
    /// `None` if the document does not have the table.
    entries: Option<&'a DeTable<'a>>,
    place: Place,
    known: Vec<String>,
    problems: &'a mut Problems,
}

impl<'a> Table<'a> {
    /// Reads the table under `key` as if it were empty when it is not there.
    pub fn table<R>(&mut self, key: &str, read: impl FnOnce(&mut Table<'_>) -> R) -> R {
        let place = self.place_of([key]);
        let value = self.value(key);
        let entries = value.and_then(|value| self.entries_of(&place, value));
        self.inner(entries, place).read(read)
    }

    /// The tables listed under `key`, read one by one. `None` if there is no list.
    pub fn tables<R>(
        &mut self,
        key: &str,
        mut read: impl FnMut(&mut Table<'_>) -> R,
    ) -> Option<Vec<R>> {
        let items = self.list(key, "list tables: [{ … }, { … }]")?;
        let tables = items.into_iter().filter_map(|(place, value)| {
            let entries = self.entries_of(&place, value)?;
            Some(self.inner(Some(entries), place).read(&mut read))
        });
        Some(tables.collect())
    }

    /// The text under `key`, as far as `parse` takes it. The error of `parse` goes on from the
    /// key and must not quote the text.
    pub fn parsed<T, E: Into<String>>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.value(key)?;
        self.parse(self.place_of([key]), value, parse)
    }

    /// The texts listed under `key`, as far as `parse` takes them. `None` if there is no list.
    pub fn texts<T, E: Into<String>>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let items = self.list(key, "list texts: [\"…\", \"…\"]")?;
        let texts = items.into_iter();
        let texts = texts.filter_map(|(place, value)| self.parse(place, value, &parse));
        Some(texts.collect())
    }

    /// The text under `key`, whatever it is.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.parsed(key, |text| Ok::<_, String>(text.to_owned()))
    }

    /// The table of texts under `key`, where any key is one.
    pub fn map(&mut self, key: &str) -> BTreeMap<String, String> {
        self.table(key, |table| {
            let keys = table.entries.into_iter().flatten();
            let texts = keys.filter_map(|(name, _)| {
                let text = table.text(name.get_ref())?;
                Some((name.get_ref().to_string(), text))
            });
            texts.collect()
        })
    }

    /// The keys of this table where any id is one.
    pub fn ids(&mut self) -> Vec<Id> {
        let mut ids = Vec::new();
        for (name, _) in self.entries.into_iter().flatten() {
            let text = name.get_ref();
            self.known.push(text.to_string());
            match Id::parse("id", text) {
                Ok(id) if id.as_str() == text => ids.push(id),
                Ok(_) | Err(_) => {
                    let remedy = "is not an id; use 1 to 128 of the characters 0-9 A-Z a-z _ ( ) -";
                    self.problems.add(self.place_of([&**text]), remedy);
                }
            }
        }
        ids
    }

    /// The duration under `key`, or `default`.
    pub fn duration(
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
        given.unwrap_or(default)
    }

    /// Whether `key` is there and true.
    pub fn flag(&mut self, key: &str) -> bool {
        let Some(value) = self.value(key) else {
            return false;
        };
        value.as_bool().unwrap_or_else(|| {
            self.wrong(key, "is neither true nor false");
            false
        })
    }

    /// The whole number under `key`.
    pub fn number(&mut self, key: &str, allowed: RangeInclusive<u32>) -> Option<u32> {
        let number = self.value(key)?.as_integer().and_then(|number| {
            let digits = number.as_str().replace('_', "");
            u32::from_str_radix(&digits, number.radix()).ok()
        });
        let number = number.filter(|number| allowed.contains(number));
        if number.is_none() {
            let (from, to) = (allowed.start(), allowed.end());
            self.wrong(key, format!("is not a whole number from {from} to {to}"));
        }
        number
    }

    /// The absolute path under `key`.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
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
    pub fn has(&mut self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Adds the problem that there is nothing under `key`, right or wrong.
    pub fn require(&mut self, key: &str, remedy: impl fmt::Display) {
        if !self.has(key) {
            self.wrong(key, format!("is missing; {remedy}"));
        }
    }

    /// Takes whatever is under these keys for right.
    pub fn skip(&mut self, keys: &[&str]) {
        self.known.extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// Adds a problem with a key, at its place as far as it has one. A dot leads into a table.
    pub fn wrong(&mut self, key: &str, message: impl Into<String>) {
        let place = self.place(key);
        self.problems.add(place, message);
    }

    /// Adds the problems that rules find, but none with a key that has one already: a value that
    /// could not be read is not judged.
    pub fn report(&mut self, problems: Vec<SettingsProblem>) {
        let problems = problems.into_iter();
        let placed = problems.map(|problem| (self.place(problem.key), problem.remedy));
        let fresh = placed.filter(|(place, _)| !self.problems.concern(&place.key));
        for (place, remedy) in fresh.collect::<Vec<_>>() {
            self.problems.add(place, remedy);
        }
    }

    /// Where a key is, or would be. A dot leads into a table.
    pub fn place(&self, key: &str) -> Place {
        self.place_of(key.split('.'))
    }

    fn read<R>(mut self, read: impl FnOnce(&mut Table<'_>) -> R) -> R {
        let result = read(&mut self);
        self.report_unknown();
        result
    }

    fn report_unknown(&mut self) {
        self.known.sort();
        self.known.dedup();
        let known = self.known.iter();
        let ids: Vec<Id> = known.flat_map(|key| Id::parse("", key)).collect();
        for (name, _) in self.entries.into_iter().flatten() {
            let text = name.get_ref();
            if self.known.iter().any(|known| known == text) {
                continue;
            }
            let near =
                Id::parse("", text).map_or(List(Vec::new()), |id| id.near_misses(ids.iter()));
            let hint = if near.0.is_empty() {
                String::new()
            } else {
                format!("; did you mean {near}?")
            };
            let message = format!("is not a key{hint} (keys here: {})", List(ids.clone()));
            self.problems.add(self.place_of([&**text]), message);
        }
    }

    /// The value under `key`, which is known from now on.
    fn value(&mut self, key: &str) -> Option<&'a DeValue<'a>> {
        self.known.push(key.to_owned());
        Some(self.entries?.get(key)?.get_ref())
    }

    /// The values listed under `key`, each with its place.
    fn list(&mut self, key: &str, remedy: &str) -> Option<Vec<(Place, &'a DeValue<'a>)>> {
        let value = self.value(key)?;
        let place = self.place_of([key]);
        let Some(items) = value.as_array() else {
            self.wrong_type(place, value, remedy);
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

    fn parse<T, E: Into<String>>(
        &mut self,
        place: Place,
        value: &DeValue<'_>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match value.as_str().map(parse) {
            Some(Ok(parsed)) => return Some(parsed),
            Some(Err(message)) => self.problems.add(place, message),
            None => self.wrong_type(place, value, "write text in quotes"),
        }
        None
    }

    fn entries_of(&mut self, place: &Place, value: &'a DeValue<'a>) -> Option<&'a DeTable<'a>> {
        let entries = value.as_table();
        if entries.is_none() {
            self.wrong_type(place.clone(), value, "write a table");
        }
        entries
    }

    fn wrong_type(&mut self, place: Place, value: &DeValue<'_>, remedy: &str) {
        let message = format!("is of type {}; {remedy}", value.type_str());
        self.problems.add(place, message);
    }

    fn inner<'t>(&'t mut self, entries: Option<&'t DeTable<'t>>, place: Place) -> Table<'t> {
        Table {
            text: self.text,
            entries,
            place,
            known: Vec::new(),
            problems: self.problems,
        }
    }

    fn place_of<'k>(&self, path: impl IntoIterator<Item = &'k str>) -> Place {
        let mut place = self.place.clone();
        let mut entries = self.entries;
        for key in path {
            let found = entries.and_then(|entries| entries.get_key_value(key));
            if let Some((name, _)) = found {
                place.line = Some(line(self.text, name.span().start));
            }
            place.key = key_path(&place.key, key);
            entries = found.and_then(|(_, value)| value.get_ref().as_table());
        }
        place
    }
}

fn key_path(table: &str, key: &str) -> String {
    // Quoted, so that an odd key cannot forge lines of a log.
    let key = match Id::parse("", key) {
        Ok(id) if id.as_str() == key => key.to_owned(),
        Ok(_) | Err(_) => format!("{key:?}"),
    };
    match table {
        "" => key,
        table => format!("{table}.{key}"),
    }
}

fn line(text: &str, start: usize) -> usize {
    let before = text.bytes().take(start);
    before.filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems of a text.
    fn wrong(text: &str, read: impl FnOnce(&mut Table<'_>)) -> String {
        let mut problems = Problems::new(None);
        read_document(text, &mut problems, read);
        problems.sorted().to_string()
    }

    #[test]
    fn what_nobody_asks_for_is_a_problem_in_every_table() {
        let text = "regoin = 1\n[tags]\nx = \"\"\n[[rules]]\nname = \"\"\nz = 1\n";
        let found = wrong(text, |root| {
            root.text("region");
            root.table("tags", |_| ());
            root.tables("rules", |rule| rule.text("name"));
        });
        let expected = "regoin: is not a key; did you mean region? (keys here: region, rules, tags)\n\
                        tags.x: is not a key (keys here: none)\n\
                        rules[0].z: is not a key (keys here: name)";
        assert_eq!(found, expected);
    }

    #[test]
    fn what_could_not_be_read_is_not_judged() {
        let text = "url = 5\n[credential]\nid = \"x\"\n";
        let problem = |key, remedy| SettingsProblem { key, remedy };
        let found = wrong(text, |root| {
            root.require("file", "write one");
            root.text("url");
            root.table("credential", |credential| credential.text("id"));
            root.report(vec![
                problem("url", "is empty"),
                problem("file", "is empty"),
                problem("credential.id", "is short"),
                problem("credential.id", "is plain"),
                problem("credential.file", "is missing"),
            ]);
        });
        let expected = "file: is missing; write one\n\
                        url: is of type integer; write text in quotes\n\
                        credential.file: is missing\n\
                        credential.id: is short\ncredential.id: is plain";
        assert_eq!(found, expected);
    }

    #[test]
    fn key_with_a_dot_is_one_key() {
        let found = wrong("[tags]\n\"a.b\" = 1\n", |root| {
            assert_eq!(root.map("tags"), BTreeMap::new());
        });
        assert_eq!(
            found,
            "tags.\"a.b\": is of type integer; write text in quotes"
        );
    }
}
