//! Tests of the whole server, one file per topic.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, outside the test functions themselves"
)]

mod access;
mod attacks;
mod audit;
mod audit_facts;
mod audit_file;
mod audit_golden;
mod bad_input;
mod bad_names;
mod cascade;
mod concurrency;
mod definitions;
mod documents;
mod door;
mod environments;
mod erasure;
mod every_rpc;
mod exchange;
mod explain;
mod foreign;
mod framing;
mod golden_store;
mod golden_vault;
mod inspection;
mod installs;
mod judging;
mod jwt;
mod library;
mod logging;
mod matrix;
mod metrics;
mod names;
mod node;
mod oidc;
mod outbox;
mod paging;
mod profiles;
mod raw_rpc;
mod read_contract;
mod refusals;
mod remembered;
mod revocation;
mod rotating;
mod rotation;
mod sharing;
mod staged;
mod stripe;
mod support;
mod table;
mod tls;
mod tokens;
mod values;
mod vaults;
mod writes;
