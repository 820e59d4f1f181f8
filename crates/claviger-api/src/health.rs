//! The health service, with one answer that the library's own gets wrong.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use crate::status::is_not_found;

/// A watch of an unknown service goes on, as the protocol demands, and says that it is unknown.
pub(crate) struct Watchable(HealthService);

/// The health service that `reporter` reports to.
pub(crate) fn service(reporter: &HealthReporter) -> HealthServer<Watchable> {
    let service = HealthService::from_health_reporter(reporter.clone());
    HealthServer::new(Watchable(service))
}

#[tonic::async_trait]
impl Health for Watchable {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.check(request).await
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        match self.0.watch(request).await {
            Ok(known) => Ok(known.map(|stream| Box::pin(stream) as Self::WatchStream)),
            Err(status) if is_not_found(&status) => self.watch_unknown().await,
            Err(status) => Err(status),
        }
    }
}

impl Watchable {
    /// Ends when the watches of the whole daemon end, so that it does not hold up the drain.
    async fn watch_unknown(&self) -> Result<Response<<Self as Health>::WatchStream>, Status> {
        let whole = HealthCheckRequest::default();
        let until = self.0.watch(Request::new(whole)).await?.into_inner();
        let unknown = HealthCheckResponse {
            status: ServingStatus::ServiceUnknown.into(),
        };
        let stream = tokio_stream::once(Ok(unknown)).chain(until.filter(|_| false));
        Ok(Response::new(Box::pin(stream)))
    }
}
