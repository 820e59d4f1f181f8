//! Tests of the built daemon with real peers: one module per promise.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: whatever goes wrong in them has to end the test"
)]

mod aws;
mod azure;
mod caller;
mod capabilities;
mod command;
mod connections;
mod crashes;
mod door;
mod drain;
mod environments;
mod failures;
mod fields;
mod floods;
mod hanging;
mod installs;
mod integrity;
mod limits;
mod peers;
mod pipelines;
mod places;
mod printed_lines;
mod python;
mod read_contract;
mod reading;
mod readme;
mod refusals;
mod restart;
mod settings;
mod snowflake;
mod stage;
mod status;
mod stripe_live;
mod stripe_runner;
mod tls;
mod upkeep;
mod verdicts;
mod walk_throughs;
mod writers;
mod writing;
