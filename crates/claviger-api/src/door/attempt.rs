//! A call whose caller is not known yet.

use claviger_access::{Call, Caller, Rpc};
use claviger_core::{Error, Result, Uid};
use claviger_identity::Refusal;
use http::HeaderMap;

use crate::handler::Api;
use crate::serve::Certificate;
use crate::{Peer, authenticate};

/// Becomes a call or is refused. Dropping it (the client reset it) leaves a refusal too.
pub(super) struct Attempt<'a> {
    api: &'a Api,
    id: Uid,
    rpc: &'static Rpc,
    peer: &'a Peer,
    is_open: bool,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(api: &'a Api, id: Uid, rpc: &'static Rpc, peer: &'a Peer) -> Self {
        Self {
            api,
            id,
            rpc,
            peer,
            is_open: true,
        }
    }

    pub(super) async fn authenticate(
        &self,
        certificate: Option<&Certificate>,
        headers: &HeaderMap,
    ) -> Result<Caller> {
        let Api {
            broker, verifier, ..
        } = self.api;
        authenticate::caller(broker, verifier, *self.peer, certificate, headers).await
    }

    pub(super) fn begin(mut self, caller: Caller) -> Call {
        self.is_open = false;
        Call {
            id: self.id,
            caller,
            rpc: self.rpc,
            run_id: None,
            purpose: None,
            options: Vec::new(),
        }
    }

    /// Why a caller does not get in; in the audit log by then, or counted.
    pub(super) async fn refuse(mut self, mut error: Error) -> Error {
        self.is_open = false;
        // Anyone can cause these without end: the process's log has them for who asks for it.
        tracing::debug!(call_id = %self.id, rpc = self.rpc.name, ?error, "call refused");
        let peer = self.peer.as_str();
        let audit = self.api.broker.audit();
        let cause = authenticate::refusal(&error).map(Refusal::as_str);
        let noted =
            audit.refuse_unauthenticated(self.id, self.rpc.name, peer, error.reason(), cause);
        if let Err(unavailable) = noted.await {
            error = unavailable;
        }
        error
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_open {
            let audit = self.api.broker.audit();
            audit.refuse_cut(self.id, self.rpc.name, self.peer.as_str());
        }
    }
}
