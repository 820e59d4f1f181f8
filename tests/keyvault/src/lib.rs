//! An Azure Key Vault of ours for the tests, which plays the recorded answers of the real service.
//!
//! No emulator of Key Vault can be installed from the package registries. This one speaks the
//! secrets half of the data plane, the token endpoint of Entra and that of a managed identity, and
//! misbehaves on demand. It is reached through an HTTP proxy that it also is: a program that
//! has `HTTPS_PROXY` and `SSL_CERT_FILE` set to [`Fake::proxy_url`] and [`Fake::ca_pem`] meets it
//! under the real host names, so the daemon under test needs no switch for tests.
//!
//! Answers that no recording exists for say so where they are made. Keys, certificates, backup,
//! restore and every other cloud than the public one are not here; nor is any access policy: a
//! token allows everything until a test says otherwise with [`Fake::next`].
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "part of the tests: whatever goes wrong here has to end the test"
)]

mod answers;
mod assertion;
mod authority;
mod behaviour;
mod bundle;
mod call;
mod console;
mod login;
mod paging;
mod proxy;
mod service;
mod shared;
mod vault;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

pub use answers::{Recorded, TokenFault};
pub use behaviour::{Behaviour, Filter, Login};
pub use call::Seen;

use shared::Shared;

/// One service with its vaults; it ends with this value.
pub struct Fake {
    shared: Arc<Shared>,
    proxy: SocketAddr,
    identity: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts one on free ports of the loopback interface, on a thread of its own.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::new());
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listen = || runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let (proxy, identity) = (listen().expect("a port"), listen().expect("a port"));
        let proxy_address = proxy.local_addr().expect("an address");
        let identity_address = identity.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let identity = axum::serve(identity, login::identity_router(Arc::clone(&served)));
                let proxy = axum::serve(proxy, proxy::router(served));
                tokio::select! {
                    _ = identity.into_future() => {}
                    _ = proxy.into_future() => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            shared,
            proxy: proxy_address,
            identity: identity_address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Vault of this name; made if there is none yet.
    pub fn vault(&self, name: &str) -> VaultHandle {
        self.shared
            .state()
            .vaults
            .entry(name.to_owned())
            .or_default();
        VaultHandle {
            shared: Arc::clone(&self.shared),
            name: name.to_owned(),
        }
    }

    /// Behaves in this way for the next `times` requests that match.
    ///
    /// Looks only at requests to a vault that carry a bearer which is accepted: the real service
    /// challenges and checks the token before everything else, too.
    pub fn next(&self, filter: Filter, times: usize, behaviour: Behaviour) {
        let rule = behaviour::Rule::new(filter, times, behaviour);
        self.shared.state().rules.push(rule);
    }

    /// Lets go of everything that is held, and holds nothing more.
    pub fn release(&self) {
        self.shared.release();
    }

    /// Waits until none of those that were held is any longer.
    pub async fn released(&self) {
        self.shared.wait_until_none_is_held().await;
    }

    /// Waits until this many requests are held.
    pub async fn held(&self, count: usize) {
        self.shared.wait_until_held(count).await;
    }

    /// Sets how many requests for a secret still see it being deleted or recovered.
    pub fn set_transition_requests(&self, count: usize) {
        self.shared.state().transition_requests = count;
    }

    /// Lets the proxy end TLS for a host that is none of ours, to see the requests there.
    pub fn terminate(&self, host: &str) {
        self.shared.state().terminated.insert(host.to_owned());
    }

    /// Fails each login from now on, until [`Self::mend_login`].
    pub fn fail_login(&self, login: Login) {
        self.shared.state().login_fault = Some(login);
    }

    /// Lets logins succeed again.
    pub fn mend_login(&self) {
        self.shared.state().login_fault = None;
    }

    /// Refuses each token issued so far once, as expired.
    pub fn expire_tokens(&self) {
        for refused in self.shared.state().tokens.values_mut() {
            *refused = true;
        }
    }

    /// Bearer that is accepted, for a client that does not log in.
    pub fn issue_token(&self) -> String {
        self.shared.state().issue_token()
    }

    /// The text for `HTTPS_PROXY`.
    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.proxy)
    }

    /// The content of the file that `SSL_CERT_FILE` names.
    pub fn ca_pem(&self) -> &str {
        self.shared.authority.pem()
    }

    /// The texts for `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`.
    pub fn managed_identity_endpoint(&self) -> (String, String) {
        let url = format!("http://{}/msi/token", self.identity);
        (url, self.shared.identity_header.clone())
    }

    /// The one tenant.
    pub fn tenant(&self) -> &str {
        &self.shared.tenant
    }

    /// The one application, and the one user-assigned identity.
    pub fn client_id(&self) -> &str {
        &self.shared.client_id
    }

    /// The secret of the application.
    pub fn client_secret(&self) -> &str {
        &self.shared.client_secret
    }

    /// Token of a workload identity that is accepted as `client_assertion`.
    pub fn federated_token(&self) -> &str {
        &self.shared.federated_token
    }

    /// Certificate of the application with its private key, in PEM.
    pub fn client_certificate(&self) -> &str {
        self.shared.client_certificate().pem()
    }

    /// How often a token was asked for, whatever came of it.
    pub fn logins(&self) -> usize {
        self.shared.state().logins
    }

    /// The requests to hosts that are none of ours: `CONNECT` each time, and the requests after
    /// it if TLS was ended there.
    pub fn other_hosts(&self) -> Vec<Seen> {
        self.shared.state().others.clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake")
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// One vault, seen as its owner sees it in the portal: nothing here is an HTTP request.
#[derive(Clone)]
pub struct VaultHandle {
    shared: Arc<Shared>,
    name: String,
}

impl VaultHandle {
    /// Adds a version and returns its id.
    pub fn set(&self, name: &str, value: &str, tags: &[(&str, &str)]) -> String {
        let tags = tags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>();
        let tags = Some(tags).filter(|tags| !tags.is_empty());
        self.with(|vault| vault.console_set(name, value, tags))
    }

    /// Adds a version that belongs to a certificate and returns its id.
    pub fn set_certificate(&self, name: &str) -> String {
        self.with(|vault| vault.console_set_certificate(name))
    }

    /// Disables a version.
    pub fn disable(&self, name: &str, version: &str) {
        self.with(|vault| vault.console_version(name, Some(version)).enabled = false);
    }

    /// Enables a version.
    pub fn enable(&self, name: &str, version: &str) {
        self.with(|vault| vault.console_version(name, Some(version)).enabled = true);
    }

    /// Sets when the newest version begins and ceases to be valid, in seconds since 1970.
    pub fn set_attributes(&self, name: &str, not_before: Option<i64>, expires: Option<i64>) {
        self.with(|vault| {
            let version = vault.console_version(name, None);
            version.not_before = not_before;
            version.expires = expires;
        });
    }

    /// Deletes a secret softly, without the time that takes.
    pub fn delete(&self, name: &str) {
        self.with(|vault| vault.console_delete(name));
    }

    /// Id, value and tags of each version in the order of their creation, also of a deleted secret.
    pub fn versions(&self, name: &str) -> Vec<(String, String, BTreeMap<String, String>)> {
        self.with(|vault| vault.console_versions(name))
    }

    /// Requests so far, the challenged ones among them.
    pub fn requests(&self) -> Vec<Seen> {
        self.with(|vault| vault.seen.clone())
    }

    /// How many requests to purge arrived, whatever came of them.
    pub fn purges(&self) -> usize {
        self.with(|vault| vault.purges)
    }

    /// The URL that a configuration names the vault by.
    pub fn url(&self) -> String {
        format!("https://{}{}", self.name, shared::VAULT_DOMAIN)
    }

    fn with<T>(&self, work: impl FnOnce(&mut vault::Vault) -> T) -> T {
        let mut state = self.shared.state();
        work(state.vaults.get_mut(&self.name).expect("made with us"))
    }
}

impl fmt::Debug for VaultHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VaultHandle").field(&self.name).finish()
    }
}
