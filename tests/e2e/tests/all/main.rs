//! Tests of the built daemon with real peers: one module per promise.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: whatever goes wrong in them has to end the test"
)]

mod aws;
mod azure;
mod connections;
mod crashes;
mod drain;
mod integrity;
mod limits;
mod printed_lines;
mod python;
mod readme;
mod refusals;
mod restart;
mod snowflake;
mod status;
mod stripe_live;
mod stripe_runner;
mod upkeep;
mod verdicts;
mod writers;
