//! The examples for the pipelines of others: Airflow, dlt, Meltano and Singer, each with the real
//! package.

mod airflow;
mod started;
mod support;

pub(crate) use support::copied;
