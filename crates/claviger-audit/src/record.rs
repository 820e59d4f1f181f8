//! The fields of a line.

use std::fmt::Display;

use claviger_access::{Decision, Edit, Facts, Outcome, Phase, Principal};
use claviger_core::{Reason, Uid};
use serde::{Serialize, Serializer};

use crate::mark::Mark;
use crate::unnoted::{Unnoted, Who};
use crate::words::{self, Plain, Side};

/// Most bytes of secret, property and edits in one line: a single edit may take all but the last
/// few hundred. With all that is bounded elsewhere a line stays under what is verified.
const FACTS_BYTES_MAX: usize = 10 * 1024;

/// A record that a call asks for.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are decisions, and each costs an allocation in a box"
)]
#[derive(Debug)]
pub(crate) enum Entry {
    /// A decision about an authenticated call.
    Decision(Decision),
    /// A call that every known caller may make.
    Open {
        call_id: Uid,
        rpc: &'static str,
        principal: Principal,
        has_grants: bool,
    },
    /// A call that could not be authenticated.
    Refusal {
        call_id: Uid,
        rpc: &'static str,
        peer: &'static str,
        reason: Reason,
    },
    /// The daemon has answered its last call.
    Stopped,
}

impl Entry {
    /// Whether a side effect waits until the record has reached the disk.
    pub(crate) fn is_intent(&self) -> bool {
        match self {
            Self::Decision(decision) => decision.phase == Phase::Intent,
            Self::Open { .. } | Self::Refusal { .. } => false,
            Self::Stopped => true,
        }
    }

    /// Whether callers that may do nothing cause it without end. Such a record may be only counted.
    pub(crate) fn is_idle_talk(&self) -> bool {
        match self {
            Self::Decision(decision) => {
                decision.phase == Phase::Decision
                    && matches!(decision.outcome, Outcome::Cancelled | Outcome::Denied)
            }
            Self::Open { .. } | Self::Refusal { .. } => true,
            Self::Stopped => false,
        }
    }

    pub(crate) fn line(&self) -> Line<'_> {
        match self {
            Self::Decision(decision) => Line::decision(decision),
            Self::Open {
                call_id,
                rpc,
                principal,
                has_grants: _,
            } => Line {
                call: Some(*call_id),
                phase: Some(phase_name(Phase::Decision)),
                outcome: Some(outcome_name(Outcome::Allowed)),
                rpc: Some(rpc),
                principal: Some(Shown(principal)),
                ..Line::default()
            },
            Self::Refusal {
                call_id,
                rpc,
                peer,
                reason,
            } => Line {
                call: Some(*call_id),
                phase: Some(phase_name(Phase::Decision)),
                outcome: Some(outcome_name(Outcome::Denied)),
                reason: Some(reason.as_str()),
                rpc: Some(rpc),
                peer: Some(peer),
                ..Line::default()
            },
            Self::Stopped => Line::event("stopped"),
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
    sealed_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed_head: Option<&'a str>,
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
    unnoted_first: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unnoted_last: Option<Shown<'a>>,
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

    /// The file before was renamed by somebody else; this one goes on where it ended.
    pub(crate) fn moved() -> Self {
        Self::event("moved")
    }

    /// The log did not hold the mark that it was known to have reached; the operator let the
    /// daemon start all the same.
    pub(crate) fn gap(sealed: &'a Mark) -> Self {
        Self {
            sealed_seq: Some(sealed.seq),
            sealed_head: Some(&sealed.head),
            ..Self::event("gap")
        }
    }

    /// Denials that were only counted, after which nothing else came of `who`.
    pub(crate) fn unnoted(who: &'a Who, unnoted: &'a Unnoted) -> Self {
        let (principal, peer) = match who {
            Who::Principal(principal) => (Some(Shown(principal)), None),
            Who::Unknown { peer } => (None, Some(*peer)),
            Who::Rest => (None, None),
        };
        let line = Self {
            principal,
            peer,
            ..Self::event("unnoted")
        };
        line.after(Some(unnoted))
    }

    /// The same line with what was only counted before it.
    pub(crate) fn after(self, unnoted: Option<&'a Unnoted>) -> Self {
        let Some(unnoted) = unnoted else {
            return self;
        };
        Self {
            unnoted: Some(unnoted.count),
            unnoted_first: unnoted.first.as_ref().map(|first| Shown(first)),
            unnoted_last: unnoted.last.as_ref().map(|last| Shown(last)),
            ..self
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
