//! A call, and what is written down about it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use claviger_core::{Error, Id, Reason, Resource, Uid};

use crate::{Facts, Label, Permission, Principal};

/// An authenticated caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// What showed that.
    pub proof: Proof,
    /// When its credentials end.
    pub expire_time: Option<SystemTime>,
}

impl Caller {
    /// The id of the token that it came with, if it was one of Claviger's own.
    pub fn token(&self) -> Option<&Id> {
        match (&self.proof, &self.principal) {
            (Proof::Exchanged(id), _) | (Proof::Token, Principal::Token(id)) => Some(id),
            _ => None,
        }
    }
}

/// What showed who a caller is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Proof {
    /// A certificate of its connection, issued under this identity.
    Certificate(Id),
    /// A token of this id that it was given for another proof, whose principal it speaks as.
    Exchanged(Id),
    /// A JWT of this identity.
    Jwt(Id),
    /// A token with grants of its own.
    Token,
    /// The uid of its process, told by the kernel.
    Uid,
}

/// A row of the RPC table: what an RPC needs and how it is treated.
#[derive(Debug, Eq, PartialEq)]
pub struct Rpc {
    /// Full method name, `claviger.v1.SecretService/GetSecret`.
    pub name: &'static str,
    /// The permissions it may ask for; asking for another one is a bug and refused.
    pub permissions: &'static [Permission],
    /// Whether every decision leaves an audit record.
    pub is_audited: bool,
    /// Whether a `request_id` makes a repeat return the first answer.
    pub has_request_id: bool,
}

/// One call of an authenticated caller.
#[derive(Clone, Debug)]
pub struct Call {
    /// Ties logs, audit records and the client's error together.
    pub id: Uid,
    /// Who calls.
    pub caller: Caller,
    /// What is called.
    pub rpc: &'static Rpc,
    /// The run that the caller says it is.
    pub run_id: Option<Label>,
    /// The purpose that the caller states.
    pub purpose: Option<Label>,
    /// The switches of the request that are on, as the proto names them.
    pub options: Vec<&'static str>,
}

impl Call {
    /// The same call with these switches, each on or off.
    #[must_use]
    pub fn with(self, switches: &[(&'static str, bool)]) -> Self {
        let on = switches.iter().filter(|(_, is_on)| *is_on);
        Self {
            options: on.map(|(name, _)| *name).collect(),
            ..self
        }
    }
}

/// Which record of a call it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// The only record of a call without side effects.
    Decision,
    /// Before a side effect.
    Intent,
    /// After a side effect was tried.
    Outcome,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Allowed and done, or about to be done.
    Allowed,
    /// The caller went away before the answer.
    Cancelled,
    /// No grant allows it.
    Denied,
    /// Allowed, but it did not work.
    Failed,
}

/// What is written down about a call. Holds names only, never a value or a hash of one.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The call.
    pub call: std::sync::Arc<Call>,
    /// Whether the caller has any grant at all. Those without one are denied without end, and get
    /// fewer records.
    pub has_grants: bool,
    /// Which record of the call.
    pub phase: Phase,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not work.
    pub reason: Option<Reason>,
    /// The permission that decided.
    pub permission: Permission,
    /// What it was asked on.
    pub resource: Resource,
    /// Which definition or project of that name.
    pub resource_uid: Option<Uid>,
    /// The environment asked for.
    pub environment: Option<Id>,
    /// The grant that allowed it.
    pub grant: Option<Id>,
    /// What it was about, and what it changes.
    pub facts: Facts,
}

/// Where decisions are written down.
pub trait DecisionLog: fmt::Debug + Send + Sync + 'static {
    /// Writes a record; it is in the log when the future is done.
    fn record(
        &self,
        decision: Decision,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + '_>>;

    /// Hands a record over without waiting: for calls whose caller is gone.
    fn record_detached(&self, decision: Decision);
}
