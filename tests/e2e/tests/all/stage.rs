//! A daemon with one vault besides its own, and the emulator that plays that vault.

use std::future::Future;
use std::pin::Pin;
use std::process::Command;

use claviger_e2e::{Client, Daemon, Home};
use claviger_proto::v1;
use tempfile::TempDir;

use crate::caller::{Caller, part, place};

/// The id of the vault in the configuration, whatever plays it.
pub(crate) const VAULT: &str = "vault-eu";

/// The secret that failures and hangs are about.
pub(crate) const SECRET: &str = "stripe";

/// In everything that a vault says when it fails.
pub(crate) const MARKER: &str = "upstream-marker";

/// Among the keys of a vault: it is asked at each read.
pub(crate) const ASKED_ALWAYS: &str = "max_age = \"0s\"\n";

/// How the next calls fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// Reads: it is asked too often.
    Busy,
    /// Reads: the permissions of the daemon do not suffice.
    Denied,
    /// Everything: the credentials of the daemon are not taken.
    Rejected,
}

/// The fate of the next write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    /// It is done, and half of the answer comes.
    Half,
    /// It is not done, and whatever answers does not say so.
    Undone,
}

/// An emulator that plays a vault, with somebody at its own console.
pub(crate) trait Peer {
    /// As a configuration names it.
    fn kind(&self) -> &'static str;

    /// The lines that follow `[vaults.ID.settings]`.
    fn settings(&self) -> String;

    /// Gives the daemon all that its host knows about the way there.
    fn surround(&self, command: &mut Command);

    /// Sets a secret, which is made if there is none; returns the version.
    fn set(&self, secret: &str, text: &str) -> String;

    /// The current value of a secret.
    fn value(&self, secret: &str) -> Option<String>;

    /// Every version of a secret, whoever made it.
    fn versions(&self, secret: &str) -> Vec<String>;

    /// Deletes a secret so that it can be recovered.
    fn delete(&self, secret: &str);

    /// The names of all secrets.
    fn names(&self) -> Vec<String>;

    /// How often it was asked about secrets so far.
    fn asked(&self) -> usize;

    /// How often it was asked to store a value so far.
    fn writes(&self) -> usize;

    /// Fails from now on; returns a word of the remedy.
    fn fail(&self, failure: Failure) -> &'static str;

    /// Loses the next write.
    fn lose(&self, loss: Loss);

    /// Ends the emulator; the files that its settings name stay with the returned value.
    fn end(self: Box<Self>) -> Option<TempDir>;

    /// Holds the reads of [`SECRET`] from now on.
    fn hang(&self);

    /// Waits until one is held.
    fn held(&self) -> Pin<Box<dyn Future<Output = ()> + '_>>;

    /// Ends failures, and lets go of held calls.
    fn mend(&self);

    /// All that a secret can be called by.
    fn aliases(&self, secret: &str) -> Vec<String> {
        vec![secret.to_owned()]
    }

    /// Where a secret is to a definition.
    fn place(&self, secret: &str) -> v1::Location {
        place(VAULT, secret)
    }

    /// A property of a secret.
    fn part(&self, secret: &str, property: &str) -> v1::Location {
        part(self.place(secret), property)
    }

    /// A vault of this kind that is asked at each read: its id, the project that may use these
    /// names, and further keys.
    fn vault_as(&self, id: &str, (project, names): (&str, &[&str]), more: &str) -> String {
        format!(
            "[vaults.{id}]\n\
             kind = {:?}\n\
             allow = [{{ project = {project:?}, names = {names:?} }}]\n\
             {ASKED_ALWAYS}\
             {more}\n\
             [vaults.{id}.settings]\n\
             {}\n",
            self.kind(),
            self.settings()
        )
    }

    /// The vault of most tests, of which `projects/dev` may use everything.
    fn vault(&self, more: &str) -> String {
        self.vault_as(VAULT, ("dev", &["*"]), more)
    }

    /// The same, whose values are remembered.
    fn remembered(&self, more: &str) -> String {
        self.vault(more).replace(ASKED_ALWAYS, "")
    }

    /// The vault of most tests, of which a project may use these names.
    fn vault_for(&self, project: &str, names: &[&str]) -> String {
        self.vault_as(VAULT, (project, names), "")
    }

    /// The daemon with this configuration; it logs everything it can.
    fn command(&self, home: &Home, config: &str) -> Command {
        let mut command = home.configured(config);
        command.env("CLAVIGER_LOG", "debug");
        self.surround(&mut command);
        command
    }
}

/// A daemon with a vault, somebody who calls it, and the emulator that plays the vault.
pub(crate) struct Stage<P: Peer + ?Sized = dyn Peer> {
    pub(crate) client: Client,
    /// The user that has started the daemon.
    pub(crate) caller: Caller,
    pub(crate) daemon: Daemon,
    pub(crate) peer: Box<P>,
    pub(crate) home: Home,
}

impl<P: Peer + ?Sized> Stage<P> {
    /// With the vault of most tests, which is given time.
    pub(crate) async fn start(peer: Box<P>) -> Self {
        let config = peer.vault("timeout = \"20s\"");
        Self::start_with(peer, &config).await
    }

    pub(crate) async fn start_with(peer: Box<P>, config: &str) -> Self {
        Self::start_in(Home::new(), peer, config).await
    }

    async fn start_in(home: Home, peer: Box<P>, config: &str) -> Self {
        let daemon = home.start(&mut peer.command(&home, config));
        Self {
            client: Client::connect(&daemon.socket()).await,
            caller: Caller::of(&daemon).await,
            daemon,
            peer,
            home,
        }
    }

    /// Ends the daemon well and starts one with this configuration on its data.
    pub(crate) async fn restart(self, config: &str) -> Self {
        assert_eq!(self.daemon.stopped().await.code(), Some(0));
        Self::start_in(self.home, self.peer, config).await
    }

    /// A runner of `projects/dev`, over TCP.
    pub(crate) async fn runner(&self) -> Caller {
        Caller::runner(&self.daemon).await
    }
}
