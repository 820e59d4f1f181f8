//! Reads a TOML text table by table and collects everything that is wrong with it.
//!
//! Each part of Claviger reads its own table: it asks for the keys that it knows, and whatever is
//! left over is a problem. Nothing ends at the first problem, so that an operator sees all of them,
//! each with its key, its line and its remedy.
//!
//! SECURITY: messages are written here or by the reader of a key, and name keys, never values: a
//! secret pasted into the wrong place must not end up in a log. The TOML library's own texts quote
//! the document, so they are not used.
#![forbid(unsafe_code)]

mod problems;
mod table;

pub use problems::{Place, Problems, SettingsProblem};
pub use table::{Table, read_document};

/// Whether a text is a UUID, as the ids of tenants and applications are.
pub fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
