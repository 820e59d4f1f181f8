//! Where a test can kill the process in the middle of a write. Compiled in with the feature
//! `failpoints` only, which nothing that ships has.

/// After `pending` is committed, before the vault is asked.
pub(crate) const AFTER_PENDING: &str = "after-pending";

/// After the vault's answer, before anything is made of it; after the commit where that is all.
pub(crate) const AFTER_VAULT: &str = "after-vault";

/// With everything ready to commit `current`, and the value with it where the vault is in the store.
pub(crate) const BEFORE_CURRENT: &str = "before-current";

/// After an exchange of tokens is claimed, before it is marked as sent.
pub(crate) const AFTER_CLAIM: &str = "after-claim";

/// After it is marked, before the call.
pub(crate) const AFTER_MARK: &str = "after-mark";

/// After the provider's answer, before it is stored.
pub(crate) const AFTER_ANSWER: &str = "after-answer";

/// After it is stored, before anybody gets it.
pub(crate) const AFTER_KEPT: &str = "after-kept";

/// Kills the process as `kill -9` does if `CLAVIGER_FAILPOINT` names this point.
#[cfg(feature = "failpoints")]
#[expect(
    clippy::disallowed_methods,
    reason = "no configuration of the daemon: it is not there in what ships"
)]
pub(crate) fn reach(point: &str) {
    if std::env::var("CLAVIGER_FAILPOINT").is_ok_and(|name| name == point) {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            .ok();
    }
}

/// Does nothing in what ships.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn reach(_point: &str) {}
