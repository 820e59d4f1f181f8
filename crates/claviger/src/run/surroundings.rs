use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::process::Command;

use super::memory::{path, sealed};
use crate::stop::Stop;

/// What a job finds when it starts.
#[derive(Default)]
pub(crate) struct Surroundings {
    /// A variable without a value is not set.
    variables: Vec<(String, Option<OsString>)>,
    /// Open until the job has inherited them.
    files: Vec<File>,
}

impl Surroundings {
    pub(crate) fn set(&mut self, variable: &str, value: &[u8]) -> Result<(), Stop> {
        if value.contains(&0) {
            return Err(Stop::failed(format!(
                "the value has a zero byte in it, which no variable can hold; pass \
                --file {variable}=ID, and let the job read the file"
            )));
        }
        let value = OsString::from_vec(value.to_vec());
        self.variables.push((variable.to_owned(), Some(value)));
        Ok(())
    }

    pub(crate) fn unset(&mut self, variable: String) {
        self.variables.push((variable, None));
    }

    /// Puts the content into a file, and the path of it into the variable.
    pub(crate) fn put(&mut self, variable: &str, content: &[u8]) -> Result<(), Stop> {
        let unmade = |error: io::Error| {
            Stop::failed(format!(
                "no file in memory can be made for {variable}: {error}"
            ))
        };
        let file = sealed(content).map_err(unmade)?;
        self.set(variable, path(&file).as_bytes())?;
        self.files.push(file);
        Ok(())
    }

    /// Surrounds a command, which is to be started while these are there.
    pub(crate) fn surround(&self, command: &mut Command) {
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
}
