//! What all handlers share: the state of the services, and how errors leave.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use claviger_access::{Call, Rpc};
use claviger_broker::Broker;
use claviger_core::{Error, Reason, Result, Uid};
use claviger_identity::Verifier;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Bytes;
use prost::Message;

use crate::door::framed;
use crate::serve::Tls;

/// The daemon's words about itself.
#[derive(Clone, Debug)]
pub struct About {
    /// Its version.
    pub version: &'static str,
    /// When it started to serve.
    pub start_time: SystemTime,
    /// The place of the root key, and the users that could read it there.
    pub root_key: String,
    /// What the TCP listener speaks, if that is TLS.
    pub tls: Option<Arc<Tls>>,
}

/// The state that all services share.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) broker: Arc<Broker>,
    /// Tells whose a JWT is.
    pub(crate) verifier: Arc<Verifier>,
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
    pub(crate) fn new(broker: Arc<Broker>, verifier: Arc<Verifier>, about: About) -> Self {
        Self {
            broker,
            verifier,
            about: Arc::new(about),
            call_ids: Arc::new(CallIds::new()),
        }
    }

    pub(crate) fn next_call_id(&self) -> Uid {
        self.call_ids.next()
    }
}

/// What is behind a row of the RPC table.
pub(crate) type Handler = for<'a> fn(&'a Api, Call, &[u8]) -> Result<Answering<'a>>;

/// An answer on its way, as it goes over the wire.
pub(crate) type Answering<'a> = BoxFuture<'a, Result<Bytes>>;

/// Takes a call that came through the door, and its message, to its handler.
///
/// # Errors
/// `REQUEST_MALFORMED` if the message is not what the handler takes.
pub(crate) fn handle<'a, Q, A, F>(
    api: &'a Api,
    call: Call,
    message: &[u8],
    handler: impl FnOnce(&'a Api, Call, Q) -> F,
) -> Result<Answering<'a>>
where
    Q: Message + Default,
    A: Message,
    F: Future<Output = Result<A>> + Send + 'a,
{
    // What is wrong may be a part of a value: the decoder's words go nowhere.
    let request = Q::decode(message).map_err(|_| Error::new(Reason::RequestMalformed))?;
    let (id, rpc) = (call.id, call.rpc);
    let answering = handler(api, call, request).map(move |answer| {
        let framed = answer.and_then(|answer| framed(&answer));
        framed.inspect_err(|error| log_failure(id, rpc, error))
    });
    Ok(Box::pin(answering))
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
