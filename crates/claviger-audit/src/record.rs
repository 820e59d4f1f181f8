//! The fields of a line.

use std::fmt::Display;

use claviger_access::{Decision, Edit, Facts, Outcome, Phase, Principal};
use claviger_core::{Reason, Uid};
use serde::{Serialize, Serializer};

use crate::words::{self, Plain, Side};

/// Most bytes of secret, property and edits in one line: a single edit may take all but the last
/// few hundred. With all that is bounded elsewhere a line stays under what is verified.
const FACTS_BYTES_MAX: usize = 10 * 1024;

/// A record that a call asks for.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A decision about an authenticated call.
    Decision(Box<Decision>),
    /// A call that every known caller may make.
    Open {
        call_id: Uid,
        rpc: &'static str,
        principal: Principal,
        /// How many before it were only counted.
        unnoted: u64,
    },
    /// A call that could not be authenticated.
    Refusal {
        call_id: Uid,
        rpc: &'static str,
        peer: &'static str,
        reason: Reason,
        /// How many before it were only counted.
        unnoted: u64,
    },
}

impl Entry {
    /// Whether a side effect waits until the record has reached the disk.
    pub(crate) fn is_intent(&self) -> bool {
        matches!(self, Self::Decision(decision) if decision.phase == Phase::Intent)
    }

    pub(crate) fn line(&self) -> Line<'_> {
        match self {
            Self::Decision(decision) => Line::decision(decision),
            Self::Open {
                call_id,
                rpc,
                principal,
                unnoted,
            } => Line {
                call: Some(*call_id),
                phase: Some(phase_name(Phase::Decision)),
                outcome: Some(outcome_name(Outcome::Allowed)),
                rpc: Some(rpc),
                principal: Some(Shown(principal)),
                unnoted: (*unnoted > 0).then_some(*unnoted),
                ..Line::default()
            },
            Self::Refusal {
                call_id,
                rpc,
                peer,
                reason,
                unnoted,
            } => Line {
                call: Some(*call_id),
                phase: Some(phase_name(Phase::Decision)),
                outcome: Some(outcome_name(Outcome::Denied)),
                reason: Some(reason.as_str()),
                rpc: Some(rpc),
                peer: Some(peer),
                unnoted: (*unnoted > 0).then_some(*unnoted),
                ..Line::default()
            },
        }
    }
}

/// A line of the log but for its hash, in the order it is written; absent fields are left out.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Line<'a> {
    seq: u64,
    time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<Uid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unnoted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_uid: Option<Uid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vault: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Plain<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    property: Option<Plain<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    options: &'a [&'static str],
    #[serde(skip_serializing_if = "Side::is_empty")]
    was: Side<'a>,
    #[serde(skip_serializing_if = "Side::is_empty")]
    now: Side<'a>,
    prev: &'a str,
}

impl<'a> Line<'a> {
    /// The first record of a log.
    pub(crate) fn opened() -> Self {
        Self {
            daemon: Some(env!("CARGO_PKG_VERSION")),
            ..Self::event("opened")
        }
    }

    /// A daemon begins to write.
    pub(crate) fn started() -> Self {
        Self {
            daemon: Some(env!("CARGO_PKG_VERSION")),
            ..Self::event("started")
        }
    }

    /// A torn last line was cut off.
    pub(crate) fn cut(bytes: u64) -> Self {
        Self {
            bytes: Some(bytes),
            ..Self::event("cut")
        }
    }

    /// The log can be written again; `lost` records could not be.
    pub(crate) fn recovered(lost: u64) -> Self {
        Self {
            lost: Some(lost),
            ..Self::event("recovered")
        }
    }

    /// The same line at a time.
    pub(crate) fn at(self, time: &'a str) -> Self {
        Self { time, ..self }
    }

    /// The same line at its place in the chain.
    pub(crate) fn linked(&self, seq: u64, prev: &'a str) -> Self {
        Self {
            seq,
            prev,
            ..self.clone()
        }
    }

    fn event(name: &'static str) -> Self {
        Self {
            event: Some(name),
            ..Self::default()
        }
    }

    fn decision(decision: &'a Decision) -> Self {
        let call = &decision.call;
        let facts = &decision.facts;
        let (resource, resource_uid) = match &facts.about {
            Some((resource, uid)) => (resource, *uid),
            None => (&decision.resource, decision.resource_uid),
        };
        Self {
            call: Some(call.id),
            phase: Some(phase_name(decision.phase)),
            outcome: Some(outcome_name(decision.outcome)),
            reason: decision.reason.map(Reason::as_str),
            principal: Some(Shown(&call.caller.principal)),
            rpc: Some(call.rpc.name),
            permission: Some(decision.permission.as_str()),
            resource: Some(Shown(resource)),
            resource_uid,
            environment: decision.environment.as_ref().map(|id| id.as_str()),
            grant: decision.grant.as_ref().map(|id| id.as_str()),
            vault: facts.vault.as_ref().map(|id| id.as_str()),
            secret: facts.secret.as_deref().map(Plain),
            property: facts.property.as_deref().map(Plain),
            version: facts.version.as_ref().map(|id| id.as_str()),
            subject: facts.subject.as_ref().map(|id| id.as_str()),
            holder: facts.holder.as_ref().map(|holder| Shown(holder)),
            run_id: call.run_id.as_ref().map(|label| label.as_str()),
            purpose: call.purpose.as_ref().map(|label| label.as_str()),
            options: &call.options,
            was: Side::was(&facts.edits),
            now: Side::now(&facts.edits),
            ..Self::default()
        }
    }
}

/// The same facts in as many pieces as lines need that are bounded. What they are about is in each.
pub(crate) fn parts(mut facts: Facts) -> Vec<Facts> {
    let edits = std::mem::take(&mut facts.edits);
    let (about, subject) = (facts.about.clone(), facts.subject.clone());
    let holder = facts.holder.clone();
    let texts = [&facts.secret, &facts.property].into_iter().flatten();
    let mut bytes: usize = texts.map(|text| Plain(text).bytes_max()).sum();
    let mut done = Vec::new();
    let mut part = facts;
    for edit in edits {
        let more = bytes_max(&edit);
        if bytes > 0 && bytes + more > FACTS_BYTES_MAX {
            let next = Facts {
                about: about.clone(),
                subject: subject.clone(),
                holder: holder.clone(),
                ..Facts::default()
            };
            done.push(std::mem::replace(&mut part, next));
            bytes = 0;
        }
        bytes += more;
        part.edits.push(edit);
    }
    done.push(part);
    done
}

fn bytes_max(edit: &Edit) -> usize {
    let sides = [&edit.was, &edit.now].into_iter().flatten();
    sides
        .map(|word| edit.field.len() + words::bytes_max(word))
        .sum()
}

/// A name, written as it is displayed.
#[derive(Clone, Copy)]
struct Shown<'a>(&'a dyn Display);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Decision => "DECISION",
        Phase::Intent => "INTENT",
        Phase::Outcome => "OUTCOME",
    }
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allowed => "ALLOWED",
        Outcome::Cancelled => "CANCELLED",
        Outcome::Denied => "DENIED",
        Outcome::Failed => "FAILED",
    }
}
