//! The chores beside serving: keeps the health services true, names the faults of vaults and
//! definitions, and removes records that are too old.

use std::sync::Arc;
use std::time::Duration;

use claviger_api::{HealthReporter, TLS_PART};
use claviger_broker::{Broker, INSTALLS};
use claviger_core::{List, VaultName};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tls::TlsFiles;

/// How often records of old requests are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often exchanged tokens are removed: they may end after a minute.
const TOKENS_INTERVAL: Duration = Duration::from_secs(60);

/// How often installs are looked at: an answer that was lost is asked for again.
const INSTALLS_INTERVAL: Duration = Duration::from_secs(60);

/// Between two times that it is written down who resolved which profile.
const CONSUMERS_INTERVAL: Duration = Duration::from_secs(60);

/// How often remembered values are dropped that can no longer be served.
const FORGET_INTERVAL: Duration = Duration::from_secs(10);

/// How often the store is asked whether it is well; the audit log says so by itself.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// How often the files of TLS are looked at.
const TLS_INTERVAL: Duration = Duration::from_secs(5);

/// How often the vaults are asked whether they are well.
const VAULT_INTERVAL: Duration = Duration::from_secs(30);

/// The tasks under way.
pub(crate) struct Upkeep {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Upkeep {
    /// Starts them all; none keeps the daemon from serving.
    pub(crate) fn start(
        broker: &Arc<Broker>,
        health: HealthReporter,
        part_health: &HealthReporter,
        stopping: CancellationToken,
    ) -> Self {
        let upkeep = Self {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let parts = part_health.clone();
        upkeep.spawn(report_health(Arc::clone(broker), health, parts, stopping));
        for vault in broker.vault_names() {
            let health = part_health.clone();
            upkeep.spawn(watch_vault(Arc::clone(broker), vault, health));
        }
        upkeep.spawn(name_orphans(Arc::clone(broker)));
        upkeep.spawn(sweep(Arc::clone(broker)));
        upkeep.spawn(sweep_tokens(Arc::clone(broker)));
        upkeep.spawn(sweep_installs(Arc::clone(broker)));
        upkeep.spawn(keep_consumers(Arc::clone(broker)));
        upkeep.spawn(forget(Arc::clone(broker)));
        upkeep
    }

    /// One more; it is cut short at the end.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks
            .spawn(self.stop.clone().run_until_cancelled_owned(task));
    }

    /// Ends them all.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Keeps the health services true: not serving while the audit log or the store cannot be written,
/// or soon cannot. What can still be served is, all the same.
async fn report_health(
    broker: Arc<Broker>,
    health: HealthReporter,
    parts: HealthReporter,
    stopping: CancellationToken,
) {
    let mut audit = broker.audit().watch_health();
    let mut was_well = true;
    let mut due = tokio::time::interval(HEALTH_INTERVAL);
    loop {
        if stopping.is_cancelled() {
            // Ends the calls that watch, which would hold up the drain otherwise.
            return claviger_api::end_health(&health).await;
        }
        audit.mark_unchanged();
        let is_audit_well = broker.is_audit_well();
        let store = broker.is_store_well().await;
        let is_store_well = store.is_ok();
        claviger_api::report_health(&health, is_audit_well && is_store_well).await;
        claviger_api::report_part(&parts, "audit", is_audit_well).await;
        claviger_api::report_part(&parts, "store", is_store_well).await;
        claviger_api::report_part(&parts, INSTALLS, broker.are_installs_well()).await;
        match store {
            Err(error) if was_well => tracing::warn!(?error, "store not well"),
            Ok(()) if !was_well => tracing::info!("store well again"),
            Err(_) | Ok(()) => {}
        }
        was_well = is_store_well;
        tokio::select! {
            _ = due.tick() => {}
            Ok(()) = audit.changed() => {}
            () = stopping.cancelled() => {}
        }
    }
}

/// Keeps the health of a vault true and logs when it changes.
async fn watch_vault(broker: Arc<Broker>, vault: VaultName, health: HealthReporter) {
    let mut was_well = true;
    let mut due = tokio::time::interval(VAULT_INTERVAL);
    loop {
        due.tick().await;
        let check = broker.is_vault_well(&vault).await;
        let is_well = check.is_ok();
        claviger_api::report_part(&health, &vault.to_string(), is_well).await;
        match check {
            Err(error) if was_well => tracing::warn!(%vault, ?error, "vault not well"),
            Ok(()) if !was_well => tracing::info!(%vault, "vault well again"),
            Err(_) | Ok(()) => {}
        }
        was_well = is_well;
    }
}

/// Takes over the files of TLS when they change, and keeps its health true.
pub(crate) async fn watch_tls(files: Arc<TlsFiles>, health: HealthReporter) {
    let mut due = tokio::time::interval(TLS_INTERVAL);
    loop {
        due.tick().await;
        let looking = Arc::clone(&files);
        // It fails only where the daemon ends.
        tokio::task::spawn_blocking(move || looking.look())
            .await
            .ok();
        claviger_api::report_part(&health, TLS_PART, files.tls().is_well()).await;
    }
}

/// Says once which definitions lead to a vault that is no longer configured.
async fn name_orphans(broker: Arc<Broker>) {
    match broker.orphans().await {
        Ok(orphans) => {
            for (vault, definitions) in orphans {
                let definitions = List(definitions);
                tracing::warn!(%vault, %definitions, "not configured, but definitions lead there");
            }
        }
        Err(error) => tracing::warn!(?error, "definitions not looked through"),
    }
}

/// Drops remembered values that can no longer be served.
async fn forget(broker: Arc<Broker>) {
    let mut due = tokio::time::interval(FORGET_INTERVAL);
    loop {
        due.tick().await;
        broker.forget_old_values();
    }
}

async fn sweep(broker: Arc<Broker>) {
    let mut due = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        due.tick().await;
        if let Err(error) = broker.sweep_requests().await {
            tracing::warn!(?error, "records of old requests not removed");
        }
    }
}

async fn sweep_installs(broker: Arc<Broker>) {
    let mut due = tokio::time::interval(INSTALLS_INTERVAL);
    loop {
        due.tick().await;
        if let Err(error) = broker.sweep_installs().await {
            tracing::warn!(?error, "installs not looked through");
        }
    }
}

async fn sweep_tokens(broker: Arc<Broker>) {
    let mut due = tokio::time::interval(TOKENS_INTERVAL);
    loop {
        due.tick().await;
        if let Err(error) = broker.sweep_tokens().await {
            tracing::warn!(?error, "tokens that have ended not removed");
        }
    }
}

async fn keep_consumers(broker: Arc<Broker>) {
    let mut due = tokio::time::interval(CONSUMERS_INTERVAL);
    loop {
        due.tick().await;
        if let Err(error) = broker.keep_consumers().await {
            tracing::warn!(?error, "who resolved which profile not written down");
        }
    }
}
