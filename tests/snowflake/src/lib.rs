//! A Snowflake of ours for the tests: fakesnow behind the JSON that the Rust connector speaks.
//!
//! Starts the Python program beside this package and ends it. The top of that program says which
//! parts are emulated, and by whom; nothing here knows any SQL. Administrators act through
//! [`Snowflake::console`] and its helpers, which are not requests of Claviger's and so appear in no
//! count.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "part of the tests: whatever goes wrong here has to end the test"
)]

mod account;
mod console;
mod control;
mod fault;
mod process;

pub use account::{Request, Snowflake};
pub use console::{Grant, Row};
pub use control::Refusal;
pub use fault::Fault;
