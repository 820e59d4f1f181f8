//! The suite as a whole.

use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::console::Console;
use super::suite::Suite;
use crate::contract::Backend;
use crate::layers::Declared;

/// Runs every check against `backend`, each on a secret of its own. A vault that others use too
/// brings its `console`.
pub async fn conformance(backend: Arc<dyn Backend>, console: Option<Arc<dyn Console>>) {
    run(declared(backend), console).await;
}

/// Runs the suite as a task of its own, for a test that goes on after a failed check.
///
/// # Errors
/// The failed check.
pub async fn outcome(
    backend: Arc<dyn Backend>,
    console: Option<Arc<dyn Console>>,
) -> Result<(), JoinError> {
    in_a_task(conformance(backend, console)).await
}

pub(super) async fn in_a_task(
    suite: impl Future<Output = ()> + Send + 'static,
) -> Result<(), JoinError> {
    let mut suites = JoinSet::new();
    suites.spawn(suite);
    suites.join_next().await.expect("one suite")
}

/// The backend as every vault has it: held to what it declares.
pub(super) fn declared(backend: Arc<dyn Backend>) -> Arc<dyn Backend> {
    Arc::new(Declared { inner: backend })
}

pub(super) async fn run(backend: Arc<dyn Backend>, console: Option<Arc<dyn Console>>) {
    let suite = Suite { backend };
    suite.backend.check().await.expect("a fresh vault is well");
    suite
        .absent_secrets_and_versions_have_their_own_reasons()
        .await;
    suite.what_was_written_is_read_by_version().await;
    suite.a_repeated_write_stores_nothing().await;
    suite.versions_are_listed_newest_first_and_in_pages().await;
    suite.secrets_have_names_as_declared().await;
    suite.names_are_compared_as_declared().await;
    suite.pinning_works_as_declared().await;
    suite.latest_is_served_as_declared().await;
    suite.what_was_replaced_is_told_as_declared().await;
    suite.values_are_as_long_as_declared().await;
    suite.disabling_works_as_declared().await;
    suite.destroying_works_as_declared().await;
    suite.listing_works_as_declared().await;
    suite.purge_forgets_everything().await;
    suite.a_dropped_write_leaves_nothing_half_done().await;
    match console {
        Some(console) => suite.others_are_respected(&*console).await,
        None => assert!(
            !suite.backend.capabilities().latest,
            "a vault that serves its own latest version has others in it: bring its console"
        ),
    }
}
