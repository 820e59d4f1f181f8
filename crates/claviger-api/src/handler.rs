//! What all handlers share: the state of the services, and how errors leave.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use claviger_access::{Call, Rpc};
use claviger_broker::Broker;
use claviger_core::{Error, Reason, Result, Uid};
use tonic::{Request, Response, Status};

use crate::status::status_of;

/// The daemon's words about itself.
#[derive(Clone, Debug)]
pub struct About {
    /// Its version.
    pub version: &'static str,
    /// When it started to serve.
    pub start_time: SystemTime,
    /// The place of the root key, and the users that could read it there.
    pub root_key: String,
}

/// The state that all services share.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) broker: Arc<Broker>,
    pub(crate) about: Arc<About>,
    call_ids: Arc<CallIds>,
}

/// Call ids have to differ and not to tell how many calls there were; a random number for each
/// would cost a system call.
#[derive(Debug)]
struct CallIds {
    process: Uid,
    key: RandomState,
    next: AtomicU64,
}

impl CallIds {
    fn new() -> Self {
        Self {
            process: Uid::random(),
            key: RandomState::new(),
            next: AtomicU64::new(0),
        }
    }

    fn next(&self) -> Uid {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.process.numbered(self.key.hash_one(number))
    }
}

impl Api {
    pub(crate) fn new(broker: Arc<Broker>, about: About) -> Self {
        Self {
            broker,
            about: Arc::new(about),
            call_ids: Arc::new(CallIds::new()),
        }
    }

    pub(crate) fn next_call_id(&self) -> Uid {
        self.call_ids.next()
    }

    /// Takes a call that came through the door to its handler, and its errors back.
    pub(crate) async fn handle<Q, A, F>(
        &self,
        rpc: &'static Rpc,
        mut request: Request<Q>,
        handler: impl FnOnce(Arc<Broker>, Call, Q) -> F,
    ) -> Result<Response<A>, Status>
    where
        F: Future<Output = Result<A>>,
    {
        // One that came around the door has no caller: it gets nothing.
        let Some(call) = request.extensions_mut().remove::<Call>() else {
            let error = Error::new(Reason::CredentialsRequired);
            return Err(status_of(&error, self.next_call_id()));
        };
        let id = call.id;
        let answer = handler(Arc::clone(&self.broker), call, request.into_inner()).await;
        answer.map(Response::new).map_err(|error| {
            log_failure(id, rpc, &error);
            status_of(&error, id)
        })
    }
}

/// Writes down why a call failed, or one of the things that it was about.
pub(crate) fn log_failure(call_id: Uid, rpc: &Rpc, error: &Error) {
    if error.reason() == Reason::AccessDenied {
        // Anyone can cause these without end, and the audit log has them.
        tracing::debug!(%call_id, rpc = rpc.name, ?error, "call denied");
    } else {
        tracing::info!(%call_id, rpc = rpc.name, ?error, "call failed");
    }
}
