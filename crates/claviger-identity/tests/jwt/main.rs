//! Tokens of made-up issuers, judged.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "code around the tests of a test package may fail like a test"
)]

mod keys;
mod network;
mod principals;
mod settings;
mod support;
mod tokens;
