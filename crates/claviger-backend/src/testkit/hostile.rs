//! Answers that no vault gives and every backend has to survive: somebody in a vault's place, or
//! the vault itself.

use std::sync::Arc;

use claviger_core::{Detail, Error, Format, Id, Reason, Result, SecretBytes, Uid};

use super::conformance::declared;
use super::suite::CANARY;
use crate::contract::{Address, Backend, Write};

/// Most that a peer gets to send to one call, in bytes: the longest answers, and as much as the
/// sockets of the machine hold.
const SENT_MAX: u64 = 48 * 1024 * 1024;

/// What a peer answers to every request; logins succeed where that gets it further.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lie {
    /// A success that never ends.
    Endless,
    /// A refusal that never ends.
    EndlessRefusal,
    /// As [`Self::Endless`], but only of who gives credentials for the vault.
    EndlessLogin,
    /// What is no answer of a vault's, with [`CANARY`](Self::CANARY) in it.
    Garbage,
    /// The value of the secret, longer by a byte than the backend declares.
    LongValue,
    /// The value of another secret.
    OtherName,
    /// Sends on to another host, by a status that keeps method and body.
    Redirect,
}

impl Lie {
    /// Has to be in no error.
    pub const CANARY: &str = CANARY;

    /// All of them.
    const ALL: [Self; 7] = [
        Self::Endless,
        Self::EndlessLogin,
        Self::EndlessRefusal,
        Self::Garbage,
        Self::LongValue,
        Self::OtherName,
        Self::Redirect,
    ];
}

/// A backend, and the peer that lies to it.
pub struct Facing {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// The secret that is asked for.
    pub address: Address,
    /// Its version, where the vault is not asked for its latest.
    pub version: Option<Id>,
    /// How many bytes of its answers the peer could send.
    pub sent: Box<dyn Fn() -> u64>,
    /// How many connections the host got that a redirect leads to.
    pub strayed: Box<dyn Fn() -> usize>,
}

/// Asks everything of a backend whose peer lies, once for each lie. `None` is a lie that the vault
/// has no way to tell.
pub async fn hostile_answers(face: impl AsyncFn(Lie) -> Option<Facing>) {
    for lie in Lie::ALL {
        if let Some(facing) = face(lie).await {
            let told = match lie {
                Lie::LongValue => Some(Reason::ValueTooLong),
                Lie::OtherName => Some(Reason::SecretNotFound),
                Lie::Endless
                | Lie::EndlessLogin
                | Lie::EndlessRefusal
                | Lie::Garbage
                | Lie::Redirect => None,
            };
            facing
                .read(lie, told.unwrap_or(Reason::VaultUnreachable))
                .await;
            if told.is_none() {
                facing.everything_else(lie).await;
            }
            assert_eq!((facing.strayed)(), 0, "{lie:?}: it was followed");
        }
    }
}

impl Facing {
    async fn read(&self, lie: Lie, expected: Reason) {
        let vault = declared(Arc::clone(&self.backend));
        let version = self.version.as_ref().map(Id::as_str);
        let refused = self.refused(lie, vault.read(&self.address, version)).await;
        assert_eq!(refused.reason(), expected, "{lie:?}: {refused:?}");
    }

    async fn everything_else(&self, lie: Lie) {
        let (vault, address) = (declared(Arc::clone(&self.backend)), &self.address);
        let value = SecretBytes::new(CANARY.as_bytes().to_vec());
        let write = Write {
            write_id: Uid::random(),
            value: &value,
            format: Format::Text,
            adopt: true,
        };
        let mut refusals = vec![
            self.refused(lie, vault.check()).await,
            self.refused(lie, vault.find_write(address, write.write_id))
                .await,
            self.refused(lie, vault.versions(address, None, 10)).await,
            self.refused(lie, vault.write(address, &write)).await,
        ];
        if vault.capabilities().list {
            refusals.push(self.refused(lie, vault.list(&|_| true, None, 10)).await);
        }
        for error in refusals {
            // A write of which nothing was sent is not open.
            let is_unanswered = matches!(
                error.reason(),
                Reason::VaultUnreachable | Reason::WriteOutcomeUnknown
            );
            assert!(is_unanswered, "{lie:?} is taken for an answer: {error:?}");
        }
    }

    async fn refused<T>(&self, lie: Lie, call: impl Future<Output = Result<T>>) -> Error {
        let before = (self.sent)();
        let Err(error) = call.await else {
            panic!("{lie:?} is taken for an answer");
        };
        let sent = (self.sent)() - before;
        assert!(sent < SENT_MAX, "{lie:?}: {sent} bytes were taken");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(CANARY), "{lie:?}: {shown}");
        let is_unreachable = error.reason() == Reason::VaultUnreachable;
        let cause = error.detail(Detail::Cause);
        assert_eq!(cause.is_some(), is_unreachable, "{lie:?}: {shown}");
        error
    }
}
