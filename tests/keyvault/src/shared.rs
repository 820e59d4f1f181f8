//! The state that all connections share: vaults, requests seen, behaviour asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::sync::watch;
use uuid::Uuid;

use crate::answers::Outcome;
use crate::assertion::ClientCertificate;
use crate::authority::Authority;
use crate::behaviour::{Behaviour, Login, Rule};
use crate::call::{Call, Seen};
use crate::vault::Vault;

/// The host of a vault after its name.
pub(crate) const VAULT_DOMAIN: &str = ".vault.azure.net";

/// Ends when the fake lets go.
pub(crate) type Hold = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct Shared {
    pub(crate) authority: Authority,
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) federated_token: String,
    pub(crate) identity_header: String,
    client_certificate: OnceLock<ClientCertificate>,
    state: Mutex<State>,
    /// Bumped to let go of held requests.
    releases: watch::Sender<u64>,
    /// How many requests are held.
    held: watch::Sender<usize>,
}

pub(crate) struct State {
    pub(crate) vaults: BTreeMap<String, Vault>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) others: Vec<Seen>,
    pub(crate) terminated: BTreeSet<String>,
    pub(crate) logins: usize,
    pub(crate) login_fault: Option<Login>,
    /// Each with whether it is to be refused once.
    pub(crate) tokens: BTreeMap<String, bool>,
    pub(crate) transition_requests: usize,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            authority: Authority::new(),
            tenant: Uuid::new_v4().to_string(),
            client_id: Uuid::new_v4().to_string(),
            client_secret: format!("client-secret-{}", Uuid::new_v4().simple()),
            federated_token: format!("federated-token-{}", Uuid::new_v4().simple()),
            identity_header: Uuid::new_v4().simple().to_string(),
            client_certificate: OnceLock::new(),
            state: Mutex::new(State {
                vaults: BTreeMap::new(),
                rules: Vec::new(),
                others: Vec::new(),
                terminated: BTreeSet::new(),
                logins: 0,
                login_fault: None,
                tokens: BTreeMap::new(),
                transition_requests: 2,
            }),
            releases: watch::Sender::new(0),
            held: watch::Sender::new(0),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    /// Made when first asked for: its RSA key takes a while.
    pub(crate) fn client_certificate(&self) -> &ClientCertificate {
        self.client_certificate.get_or_init(ClientCertificate::new)
    }

    /// To be called with the state locked, so that no release is missed in between.
    pub(crate) fn hold(self: &Arc<Self>, _locked: &State) -> Hold {
        let mut releases = self.releases.subscribe();
        self.held.send_modify(|held| *held += 1);
        let held = Held(Arc::clone(self));
        Box::pin(async move {
            releases.changed().await.ok();
            drop(held);
        })
    }

    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.rules.retain(|rule| !rule.behaviour().holds());
        state.login_fault = state.login_fault.filter(|fault| *fault != Login::Hang);
        self.releases.send_modify(|count| *count += 1);
    }

    pub(crate) async fn wait_until_none_is_held(&self) {
        let mut held = self.held.subscribe();
        held.wait_for(|held| *held == 0)
            .await
            .expect("we hold the sender");
    }

    pub(crate) async fn wait_until_held(&self, count: usize) {
        let mut held = self.held.subscribe();
        held.wait_for(|held| *held >= count)
            .await
            .expect("we hold the sender");
    }
}

impl State {
    pub(crate) fn issue_token(&mut self) -> String {
        let token = format!("fake-bearer-{}", Uuid::new_v4().simple());
        self.tokens.insert(token.clone(), false);
        token
    }

    /// The behaviour for this request, if a test asked for one.
    pub(crate) fn behaviour(&mut self, call: &Call) -> Option<Behaviour> {
        self.rules.iter_mut().find_map(|rule| rule.take(call))
    }

    /// The vault that serves this host.
    pub(crate) fn vault(&mut self, host: &str) -> Option<&mut Vault> {
        self.vaults.get_mut(host.strip_suffix(VAULT_DOMAIN)?)
    }

    /// The part of the state that a request works on.
    pub(crate) fn execute(&mut self, call: &Call) -> Outcome {
        let transition_requests = self.transition_requests;
        self.vault(&call.host)
            .expect("vaults are never removed")
            .execute(call, transition_requests)
    }
}

/// Counts as held for as long as it lives: a client may hang up before it is let go.
struct Held(Arc<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.send_modify(|held| *held -= 1);
    }
}
