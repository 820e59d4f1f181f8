//! The way of every call: limit, authentication, deadline, and how errors leave.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use claviger_access::{Call, Rpc};
use claviger_broker::Broker;
use claviger_core::{Detail, Error, Reason, Result, Uid};
use prost::Message;
use tonic::{Request, Response, Status};

use crate::refusals::Refusals;
use crate::status::{is_unauthenticated, status_of};
use crate::{Peer, authenticate};

/// Longest request message, in bytes.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// The decoder's own limit: so far above that [`REQUEST_BYTES_MAX`] is the error that is seen, and
/// no more, because callers reach it before they are known.
pub(crate) const DECODED_BYTES_MAX: usize = 4 * REQUEST_BYTES_MAX;

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
    refusals: Arc<Refusals>,
    /// Of calls that anyone with an identity may make without end.
    pub(crate) open_calls: Arc<Refusals>,
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
            refusals: Arc::new(Refusals::new()),
            open_calls: Arc::new(Refusals::new()),
        }
    }

    /// Takes one call through limits and authentication to its handler.
    pub(crate) async fn handle<Q, A, F>(
        &self,
        rpc: &'static Rpc,
        request: Request<Q>,
        handler: impl FnOnce(Arc<Broker>, Call, Q) -> F,
    ) -> Result<Response<A>, Status>
    where
        Q: Message,
        F: Future<Output = Result<A>>,
    {
        let call_id = self.call_ids.next();
        let timeout = client_timeout(&request);
        let work = async {
            if request.get_ref().encoded_len() > REQUEST_BYTES_MAX {
                return Err(
                    Error::new(Reason::RequestTooLarge).with(Detail::Limit, REQUEST_BYTES_MAX)
                );
            }
            let call = self.authenticate(rpc, call_id, &request).await?;
            handler(Arc::clone(&self.broker), call, request.into_inner()).await
        };
        // The serve loop has a deadline for every call; the client's may come first.
        let result = match timeout {
            None => work.await,
            Some(timeout) => match tokio::time::timeout(timeout, work).await {
                Ok(result) => result,
                Err(_) => Err(Error::new(Reason::DeadlineExceeded)),
            },
        };
        match result {
            Ok(answer) => Ok(Response::new(answer)),
            Err(error) => {
                if is_unauthenticated(error.reason()) {
                    // Anyone can cause these without end: the audit log has a bounded number.
                    tracing::debug!(%call_id, rpc = rpc.name, ?error, "call refused");
                } else {
                    tracing::info!(%call_id, rpc = rpc.name, ?error, "call failed");
                }
                Err(status_of(&error, call_id))
            }
        }
    }

    async fn authenticate<Q>(
        &self,
        rpc: &'static Rpc,
        id: Uid,
        request: &Request<Q>,
    ) -> Result<Call> {
        // A request that came around the serve loop has no peer: it gets the least.
        let peer = request
            .extensions()
            .get::<Peer>()
            .copied()
            .unwrap_or(Peer::Tcp);
        let login = self.refusals.login();
        let caller = authenticate::caller(&self.broker, peer, request.metadata()).await;
        login.end();
        match caller {
            Ok(caller) => Ok(Call {
                id,
                caller,
                rpc,
                run_id: None,
                purpose: None,
                options: Vec::new(),
            }),
            Err(error) => {
                if let Some(unnoted) = self.refusals.admit() {
                    let (peer, reason) = (peer.as_str(), error.reason());
                    let audit = self.broker.audit();
                    audit
                        .refuse_unauthenticated(id, rpc.name, peer, reason, unnoted)
                        .await?;
                }
                Err(error)
            }
        }
    }
}

/// The `grpc-timeout` header: up to 8 digits and a unit. A malformed one counts as none.
fn client_timeout<Q>(request: &Request<Q>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 60 * 60)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_deadlines_are_read_and_garbage_is_none() {
        for (text, wanted) in [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("5X", None),
        ] {
            let mut request = Request::new(());
            request
                .metadata_mut()
                .insert("grpc-timeout", text.parse().expect("a header"));
            assert_eq!(client_timeout(&request), wanted, "{text}");
        }
    }
}
