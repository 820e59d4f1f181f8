//! The gRPC services: parse, call the broker, format; nothing else.
//!
//! A call comes in through `serve.rs` (connections) and `door.rs` (caller, message, deadline), and
//! goes to the handler of its row, of which `rpc.rs` has one per RPC. The gRPC library serves health
//! and reflection alone. `status.rs` is the only file that names a gRPC code.
#![forbid(unsafe_code)]

mod access_service;
mod authenticate;
mod connection_profile_service;
mod convert;
mod counts;
mod daemon_service;
mod door;
mod fitting;
mod handler;
mod health;
mod limits;
mod page;
mod project_service;
pub mod rpc;
mod secret_definition_service;
mod secret_service;
pub mod serve;
mod status;
mod vault_service;

use std::collections::BTreeSet;
use std::sync::Arc;

use claviger_broker::Broker;
use claviger_identity::Verifier;
use tonic::service::Routes;
use tonic_reflection::server::Builder;

pub use authenticate::Peer;
pub use counts::{Connections, Counts};
pub use door::{Bodies, Door};
pub use handler::About;
pub use page::Page;
pub use status::{code_of, status_of};

use crate::handler::Api;
use crate::limits::SMALL_BYTES_MAX;

/// The health service's view of the daemon, changed through the reporter.
pub use tonic_health::server::HealthReporter;

/// A service whose messages are small: it asks for no credentials.
macro_rules! small {
    ($service:expr) => {
        $service.max_decoding_message_size(SMALL_BYTES_MAX)
    };
}

/// All services of the daemon.
///
/// # Errors
/// If the built-in descriptor set cannot be read, which is a bug.
pub fn services(
    broker: Arc<Broker>,
    verifier: Arc<Verifier>,
    about: About,
    bodies: Arc<Bodies>,
) -> Result<(Door, HealthReporter), Box<dyn std::error::Error + Send + Sync>> {
    let api = Api::new(broker, verifier, about);
    let reporter = HealthReporter::new();
    let routes = public(&reporter, &[claviger_proto::DESCRIPTORS])?;
    Ok((Door::new(routes.prepare(), Some(api), bodies), reporter))
}

/// The parts of the daemon whose health the admin listener tells, besides its vaults.
pub const PARTS: [&str; 2] = ["audit", "store"];

/// One more, where TLS is spoken.
pub const TLS_PART: &str = "tls";

/// The services of the admin listener, which asks for no credentials: health, one name per vault
/// and for each of [`PARTS`], all unknown until they are reported; and the page of the metrics.
///
/// # Errors
/// As [`services`].
pub async fn admin_services(
    broker: &Broker,
    bodies: Arc<Bodies>,
    metrics: Page,
) -> Result<(Door, HealthReporter), Box<dyn std::error::Error + Send + Sync>> {
    let reporter = HealthReporter::new();
    let vaults = broker.vault_names().map(|vault| vault.to_string());
    for part in vaults.chain(PARTS.map(str::to_owned)) {
        let unknown = tonic_health::ServingStatus::Unknown;
        reporter.set_service_status(part, unknown).await;
    }
    let routes = public(&reporter, &[])?;
    let door = Door::new(routes.prepare(), None, bodies).with_page(metrics);
    Ok((door, reporter))
}

/// The services that every listener has: health, and reflection, which describes them and all that
/// is in `descriptors`. Older tools ask for it as v1alpha only.
fn public(
    reporter: &HealthReporter,
    descriptors: &[&'static [u8]],
) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = || {
        let described = [
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            // Lets grpcurl print the details of our errors.
            tonic_types::pb::FILE_DESCRIPTOR_SET,
        ];
        // Without what the library adds: only the version that is asked.
        let empty = Builder::configure().include_reflection_service(false);
        let described = described.iter().chain(descriptors);
        described.fold(empty, |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
    };
    Ok(Routes::new(small!(health::service(reporter)))
        .add_service(small!(reflection().build_v1()?))
        .add_service(small!(reflection().build_v1alpha()?)))
}

/// Tells the admin listener's health service whether a vault or one of [`PARTS`] is well.
pub async fn report_part(reporter: &HealthReporter, part: &str, is_well: bool) {
    reporter.set_service_status(part, serving(is_well)).await;
}

fn serving(is_well: bool) -> tonic_health::ServingStatus {
    match is_well {
        true => tonic_health::ServingStatus::Serving,
        false => tonic_health::ServingStatus::NotServing,
    }
}

/// Tells the health service whether calls are served.
pub async fn report_health(reporter: &HealthReporter, is_serving: bool) {
    for service in names() {
        reporter
            .set_service_status(service, serving(is_serving))
            .await;
    }
}

/// Ends the streams of all that watch the health service.
pub async fn end_health(reporter: &HealthReporter) {
    let mut reporter = reporter.clone();
    for service in names() {
        reporter.clear_service_status(service).await;
    }
}

/// The names that the health service knows: the daemon as a whole, and each service.
fn names() -> BTreeSet<&'static str> {
    let names = rpc::TABLE.iter().filter_map(|rpc| rpc.name.split_once('/'));
    names.map(|(service, _)| service).chain([""]).collect()
}
