//! A test per decoder of what comes from outside: callers, the configuration, the disk, a vault.
#![forbid(unsafe_code)]

mod bodies;
mod records;
mod settings;
mod texts;
