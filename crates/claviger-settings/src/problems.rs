//! Problems with settings, and their places.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a setting was made.
#[derive(Clone, Debug)]
pub struct Place {
    /// Path of the key (`listen.tcp`), option (`--listen`) or variable (`CLAVIGER_LOG`).
    pub key: String,
    /// Line of the file, if it was made there.
    pub line: Option<usize>,
}

impl Place {
    /// A place outside of the file.
    pub fn outside(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            line: None,
        }
    }
}

/// A setting that cannot work, as the rules of its table see it: they know no lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SettingsProblem {
    /// The key in the table, with its path if it is in a table of that table.
    pub key: &'static str,
    /// The fault and the remedy: goes on from the key.
    pub remedy: &'static str,
}

/// Everything that is wrong with a configuration. `Display` gives each its own line:
/// `file:line: key: message`.
#[derive(Debug, Default)]
pub struct Problems {
    file: Option<PathBuf>,
    list: Vec<(Place, String)>,
}

impl Problems {
    /// None so far, with the file that lines refer to.
    pub fn new(file: Option<&Path>) -> Self {
        Self {
            file: file.map(Path::to_path_buf),
            list: Vec::new(),
        }
    }

    /// Adds one. `message` goes on from the key: "is missing; …".
    pub fn add(&mut self, place: Place, message: impl Into<String>) {
        self.list.push((place, message.into()));
    }

    /// Puts them in the order of the file, those outside of it first.
    pub fn sorted(mut self) -> Self {
        self.list.sort_by_key(|(place, _)| place.line);
        self
    }

    /// Whether one was found with this key.
    pub fn concern(&self, key: &str) -> bool {
        self.list.iter().any(|(place, _)| place.key == key)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (place, message)) in self.list.iter().enumerate() {
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
