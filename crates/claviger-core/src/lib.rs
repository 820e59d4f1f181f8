//! The words every other crate speaks: names, secret bytes, kinds, errors, the clock, timings.
//!
//! Does no I/O and knows neither gRPC nor any vault.
#![forbid(unsafe_code)]

mod cause;
mod clock;
mod error;
mod kind;
mod names;
mod pasted;
mod secret_bytes;
mod spiffe;
mod timings;

pub use cause::Cause;
pub use clock::{
    Clock, ManualClock, SteadyClock, SystemClock, clamp_time, nanoseconds, time_range,
};
pub use error::{Coordinate, Detail, Error, FieldViolation, Public, Reason, Result};
pub use kind::{Format, Kind};
pub use names::{
    DefinitionName, Id, List, ProfileName, ProjectName, Resource, Uid, VaultName, VersionName,
};
pub use pasted::{STRIPE_STARTS, TOKEN_START, refuse_pasted};
pub use secret_bytes::SecretBytes;
pub use spiffe::{is_trust_domain, spiffe_trust_domain};
pub use timings::{Timings, TimingsSnapshot};
