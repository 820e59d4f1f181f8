//! One configured vault: a backend within its layers, and which projects may use which of its
//! names.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use claviger_core::{Detail, Error, Id, Reason, Result};

use crate::allow::Allow;
use crate::contract::{Backend, ListedSecret};
use crate::layers::{Counted, Counts, Deadline, Declared, Gate, Named};
use crate::limits::{Freshness, Limits};

/// Said of a full name that no rule spells out.
const FULL_NAME: &str = "is an ARN of another region or account than the vault's, as far as its \
    settings say: ask whoever runs the daemon to set account_id there if it is of the vault's own \
    region and account, or else to put the ARN itself into allow";

/// One configured vault. The verbs of the contract are called on it as on its backend, and go
/// through the layers: errors name the vault, values are no longer than declared, a call ends in
/// time and waits for its turn.
#[derive(Debug)]
pub struct Vault {
    id: Id,
    stack: Arc<dyn Backend>,
    counts: Arc<Counts>,
    allow: Allow,
    timeout: Duration,
    freshness: Freshness,
    concurrent_calls: Option<usize>,
    is_default: bool,
}

impl Deref for Vault {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.stack
    }
}

impl Vault {
    /// A vault whose every call keeps within the limits.
    pub fn new(id: Id, backend: Arc<dyn Backend>, limits: &Limits, allow: Allow) -> Self {
        let counts = Arc::new(Counts::default());
        let stack = layered(&id, backend, limits, &counts);
        Self {
            allow: allow.folded(|pattern| stack.fold(pattern)),
            stack,
            counts,
            id,
            timeout: limits.timeout,
            freshness: limits.freshness,
            concurrent_calls: limits.concurrent_calls,
            is_default: false,
        }
    }

    /// The same vault, marked as default: `[Default]` in a location stands for it.
    #[must_use]
    pub fn marked_default(mut self) -> Self {
        self.is_default = true;
        self
    }

    /// Its id in the configuration.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Whether it is another system, asked over a network.
    pub fn is_remote(&self) -> bool {
        self.concurrent_calls.is_some()
    }

    /// What was counted of it so far: nothing if it is not another system.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many calls there may be at a time, if it is another system.
    pub fn concurrent_calls(&self) -> Option<usize> {
        self.concurrent_calls
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How old its values may be where a definition does not say.
    pub fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// Whether there is any secret here that definitions of this project may point at.
    pub fn serves(&self, project: &Id) -> bool {
        self.allow.names(project)
    }

    /// Whether `[Default]` may stand for it where this project says so.
    pub(crate) fn is_default_of(&self, project: &Id) -> bool {
        self.is_default && self.serves(project)
    }

    /// Checks that definitions of this project may have secrets here under names that are made for
    /// them: any rule for the project says so, because such a name is nobody else's.
    ///
    /// # Errors
    /// `LOCATION_NOT_ALLOWED` with the remedy.
    pub fn check_derived(&self, project: &Id) -> Result<()> {
        match self.serves(project) {
            true => Ok(()),
            false => Err(self.not_allowed()),
        }
    }

    /// Checks that definitions of this project may point at this secret: by its plain name, or by
    /// its full one where a rule spells that out.
    ///
    /// # Errors
    /// `LOCATION_NOT_ALLOWED` with the remedy.
    pub fn check_allowed(&self, project: &Id, secret: &str) -> Result<()> {
        let plain = self.plain_name(secret);
        if plain.is_some_and(|name| self.allow.allows(project, &self.fold(name)))
            || self.allow.allows_in_full(project, &self.fold(secret))
        {
            return Ok(());
        }
        Err(match plain {
            Some(_) => self.not_allowed(),
            None => self.not_allowed().violation("location.secret", FULL_NAME),
        })
    }

    /// See [`Backend::list`]; only of secrets that definitions of this project may point at.
    ///
    /// # Errors
    /// As there.
    pub async fn list(
        &self,
        project: &Id,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let is_allowed = |name: &str| self.allow.allows(project, &self.fold(name));
        self.stack.list(&is_allowed, after, limit).await
    }

    fn not_allowed(&self) -> Error {
        Error::new(Reason::LocationNotAllowed).with(Detail::Vault, &self.id)
    }
}

/// The backend in its layers, the outermost last. The time that a call waits for its turn counts.
fn layered(
    id: &Id,
    backend: Arc<dyn Backend>,
    limits: &Limits,
    counts: &Arc<Counts>,
) -> Arc<dyn Backend> {
    let gate = Gate::new(Arc::clone(&backend), limits, Arc::clone(counts));
    let timeout = limits.timeout;
    let inner: Arc<dyn Backend> = match gate.is_open() {
        true => Arc::new(Deadline {
            inner: backend,
            timeout,
        }),
        false => Arc::new(Counted {
            inner: Arc::new(Deadline {
                inner: Arc::new(gate),
                timeout,
            }),
            counts: Arc::clone(counts),
        }),
    };
    let inner = Arc::new(Declared { inner });
    let id = id.clone();
    Arc::new(Named { inner, id })
}

#[cfg(test)]
mod tests {
    use claviger_core::{Format, SecretBytes, Uid};

    use super::*;
    use crate::contract::{Address, VersionState, Write};
    use crate::silent::Silent;

    fn silent() -> (Vault, Address) {
        let vault = Vault::new(
            Id::from_static("quiet"),
            Arc::new(Silent::default()),
            &Limits::timeout(Duration::from_secs(5)),
            Allow::default(),
        );
        (vault, silent_address())
    }

    fn silent_address() -> Address {
        Address {
            project: Id::from_static("acme"),
            owner: Uid::random(),
            secret: "s".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_vault_is_left_at_its_deadline() {
        let (vault, address) = silent();
        let start = tokio::time::Instant::now();
        let error = vault.read(&address, None).await.expect_err("silent");
        assert_eq!(error.reason(), Reason::VaultUnreachable);
        assert_eq!(error.detail(Detail::Cause), Some("TIMEOUT"));
        assert_eq!(error.detail(Detail::Vault), Some("quiet"));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn each_call_to_another_system_counts_once_by_how_it_ended() {
        let limits = Limits {
            concurrent_calls: Some(1),
            ..Limits::timeout(Duration::from_secs(4))
        };
        let id = Id::from_static("quiet");
        let silent = Arc::new(Silent::default());
        let vault = Vault::new(id, silent, &limits, Allow::default());
        let address = silent_address();
        let read = || vault.read(&address, None);
        // The second one is not let in within half of its time; the third one's caller leaves.
        let (first, second) = tokio::join!(read(), read());
        assert_eq!(
            first.expect_err("silent").reason(),
            Reason::VaultUnreachable
        );
        assert_eq!(second.expect_err("late").reason(), Reason::Overloaded);
        let left = tokio::time::timeout(Duration::from_secs(1), read()).await;
        assert!(left.is_err());

        let counts = vault.counts();
        let mut calls: Vec<_> = counts.calls().collect();
        calls.sort_unstable();
        let expected = ["CANCELLED", "OVERLOADED", "VAULT_UNREACHABLE"].map(|end| (end, 1));
        assert_eq!(calls, expected);
        let causes: Vec<_> = counts.causes().filter(|(_, count)| *count > 0).collect();
        assert_eq!(causes, [("TIMEOUT", 1)]);
        let took = counts.took.snapshot();
        assert_eq!((took.count, took.sum), (2, Duration::from_secs(5)));
        let waited = counts.waited.snapshot();
        assert_eq!((waited.count, waited.sum), (3, Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_outlives_the_deadline_has_an_unknown_outcome() {
        let (vault, address) = silent();
        let value = SecretBytes::new(b"v".to_vec());
        let write = Write {
            write_id: Uid::random(),
            value: &value,
            format: Format::Text,
            adopt: false,
        };
        let error = vault.write(&address, &write).await.expect_err("silent");
        assert_eq!(error.reason(), Reason::WriteOutcomeUnknown);
    }

    #[tokio::test]
    async fn a_missing_capability_is_named_without_asking_the_vault() {
        let (vault, address) = silent();
        let version = Id::from_static("1");
        for state in [VersionState::Disabled, VersionState::Destroyed] {
            let error = vault
                .set_state(&address, &version, state)
                .await
                .expect_err("silent");
            assert_eq!(error.reason(), Reason::VaultCapabilityMissing);
        }
    }

    #[test]
    fn a_name_that_is_not_allowed_is_refused_with_the_remedy() {
        let error = silent().0.check_allowed(&Id::from_static("acme"), "stripe");
        let error = error
            .expect_err("nothing is allowed")
            .with(Detail::Secret, "stripe");
        assert_eq!(
            error.to_string(),
            "this project may not use stripe in vault quiet; ask whoever runs the daemon to add it \
             to vaults.quiet.allow"
        );
    }

    #[test]
    fn a_full_name_of_elsewhere_is_allowed_only_where_a_rule_spells_it_out() {
        let (acme, arn) = (Id::from_static("acme"), "arn:there:acme/stripe-AbCdEf");
        for (pattern, is_allowed) in [("*", false), ("acme/*", false), ("arn:there:acme/*", true)] {
            let rule = Allow::parse_rule("acme", &[pattern.to_owned()]).expect("valid");
            let mut vault = silent().0;
            vault.allow = Allow::new(vec![rule]);
            let checked = vault.check_allowed(&acme, arn);
            assert_eq!(checked.is_ok(), is_allowed, "{pattern}");
            let remedy = checked.err().map(|error| error.to_string());
            assert!(
                remedy.is_none_or(|text| text.contains("account_id")),
                "{pattern}"
            );
        }
    }
}
