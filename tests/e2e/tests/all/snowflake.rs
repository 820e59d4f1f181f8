//! Things that only Snowflake has: objects that it reads itself, rows that it never sees, and names that
//! would be statements.

mod objects;
mod sealed;
mod statements;

pub(crate) use sealed::sealed_values;
