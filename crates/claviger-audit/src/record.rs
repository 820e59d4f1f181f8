//! The records, and what is written of them: all but their place in the chain.

use claviger_access::{Decision, Edit, Facts, Label, Outcome, Phase, Principal};
use claviger_core::{Reason, Uid};

use crate::fields::Fields;
use crate::mark::Mark;
use crate::unnoted::{Talk, Unnoted, Who};
use crate::words::{self, Plain};

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

/// Most bytes of secret, property and edits in one line: a single edit may take all but the last
/// few hundred. With all that is bounded elsewhere a line stays under what is verified.
const FACTS_BYTES_MAX: usize = 10 * 1024;

/// Bytes that most records need for the fields of who called, and for those of what it was about.
const CALLER_BYTES: usize = 128;
const ABOUT_BYTES: usize = 384;

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
        /// More than the caller may know of it.
        cause: Option<&'static str>,
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

    /// Whether calls like this one may have the same record.
    pub(crate) fn is_repeatable(&self) -> bool {
        match self {
            Self::Decision(decision) => {
                decision.phase == Phase::Decision && decision.outcome == Outcome::Allowed
            }
            Self::Open { .. } | Self::Refusal { .. } | Self::Stopped => false,
        }
    }

    /// What is counted of it, if callers that may do nothing cause it without end. Such a record
    /// may be only counted.
    pub(crate) fn talk(&self) -> Option<Talk> {
        match self {
            Self::Decision(decision)
                if decision.phase == Phase::Decision
                    && matches!(decision.outcome, Outcome::Cancelled | Outcome::Denied) =>
            {
                Some(Talk {
                    has_grants: decision.has_grants,
                    resource: Some(decision.resource.clone()),
                })
            }
            Self::Open { has_grants, .. } => Some(Talk {
                has_grants: *has_grants,
                resource: None,
            }),
            Self::Refusal { .. } => Some(Talk {
                has_grants: false,
                resource: None,
            }),
            Self::Decision(_) | Self::Stopped => None,
        }
    }

    /// What is written of it.
    pub(crate) fn record<'a>(&'a self, tail: &'a Tail) -> Record<'a> {
        let (call, labels) = match self {
            Self::Decision(decision) => {
                let call = &decision.call;
                (Some(call.id), [call.run_id.as_ref(), call.purpose.as_ref()])
            }
            Self::Open { call_id, .. } | Self::Refusal { call_id, .. } => {
                (Some(*call_id), [None; 2])
            }
            Self::Stopped => (None, [None; 2]),
        };
        Record {
            call,
            tail,
            labels,
            talk: self.talk(),
            is_intent: self.is_intent(),
            is_last: matches!(self, Self::Stopped),
        }
    }
}

/// A record on its way into the log.
pub(crate) struct Record<'a> {
    pub(crate) call: Option<Uid>,
    pub(crate) tail: &'a Tail,
    /// The run and the purpose that the caller states.
    pub(crate) labels: [Option<&'a Label>; 2],
    pub(crate) talk: Option<Talk>,
    pub(crate) is_intent: bool,
    /// Whether the daemon ends with it.
    pub(crate) is_last: bool,
}

impl Record<'_> {
    /// Appends its fields to `bytes`. Returns where those go that tell what was only counted
    /// before it.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) -> usize {
        let mut fields = Fields(bytes);
        fields.some("call", self.call);
        fields.raw(&self.tail.caller);
        let unnoted_at = fields.0.len();
        fields.raw(&self.tail.about);
        for (key, label) in ["run_id", "purpose"].into_iter().zip(self.labels) {
            fields.some(key, label.map(Label::as_str));
        }
        fields.raw(&self.tail.changes);
        unnoted_at
    }
}

/// What the records of all calls of one caller that ask for the same and end in the same way have
/// in common, rendered: all but the call's id, and run and purpose.
#[derive(Debug)]
pub struct Tail {
    pub(crate) who: Option<Who>,
    /// The fields up to those that tell what was only counted before.
    caller: Vec<u8>,
    /// Those up to run and purpose.
    about: Vec<u8>,
    changes: Vec<u8>,
}

impl Tail {
    pub(crate) fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Decision(decision) => Self::of_decision(decision),
            Entry::Open { rpc, principal, .. } => {
                let who = Who::Principal(principal.clone());
                Self::of_unasked(who, Outcome::Allowed, None, rpc)
            }
            Entry::Refusal {
                rpc,
                peer,
                reason,
                cause,
                ..
            } => {
                let who = Who::Unknown { peer };
                let mut tail = Self::of_unasked(who, Outcome::Denied, Some(*reason), rpc);
                Fields(&mut tail.about).some("cause", *cause);
                tail
            }
            Entry::Stopped => Self {
                who: None,
                caller: event("stopped"),
                about: Vec::new(),
                changes: Vec::new(),
            },
        }
    }

    /// That of a call of which no permission was asked.
    fn of_unasked(who: Who, outcome: Outcome, reason: Option<Reason>, rpc: &str) -> Self {
        let mut about = Vec::new();
        Fields(&mut about).text("rpc", rpc);
        Self {
            caller: caller(Phase::Decision, outcome, reason, &who),
            about,
            changes: Vec::new(),
            who: Some(who),
        }
    }

    fn of_decision(decision: &Decision) -> Self {
        let Decision { call, facts, .. } = decision;
        let who = Who::Principal(call.caller.principal.clone());
        let (resource, uid) = match &facts.about {
            Some((resource, uid)) => (resource, *uid),
            None => (&decision.resource, decision.resource_uid),
        };
        let mut about = Vec::with_capacity(ABOUT_BYTES);
        let mut fields = Fields(&mut about);
        fields.text("rpc", call.rpc.name);
        fields.text("permission", decision.permission.as_str());
        fields.text("resource", resource);
        fields.some("resource_uid", uid);
        fields.some("environment", decision.environment.as_ref());
        fields.some("grant", decision.grant.as_ref());
        fields.some("vault", facts.vault.as_ref());
        fields.some("secret", facts.secret.as_deref().map(Plain));
        fields.some("property", facts.property.as_deref().map(Plain));
        fields.some("version", facts.version.as_ref());
        fields.some("install", facts.install);
        fields.some("subject", facts.subject.as_ref());
        fields.some("holder", facts.holder.as_ref());
        let mut changes = Vec::new();
        let mut fields = Fields(&mut changes);
        fields.list("options", &call.options);
        fields.object("was", words::was(&facts.edits));
        fields.object("now", words::now(&facts.edits));
        Self {
            caller: caller(decision.phase, decision.outcome, decision.reason, &who),
            about,
            changes,
            who: Some(who),
        }
    }
}

fn caller(phase: Phase, outcome: Outcome, reason: Option<Reason>, who: &Who) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CALLER_BYTES);
    let mut fields = Fields(&mut bytes);
    fields.text("phase", phase_name(phase));
    fields.text("outcome", outcome_name(outcome));
    fields.some("reason", reason.map(Reason::as_str));
    who.write(&mut fields);
    bytes
}

/// The first record of a log.
pub(crate) fn opened() -> Vec<u8> {
    of_daemon("opened")
}

/// A daemon begins to write.
pub(crate) fn started() -> Vec<u8> {
    of_daemon("started")
}

fn of_daemon(name: &str) -> Vec<u8> {
    let mut bytes = event(name);
    Fields(&mut bytes).text("daemon", env!("CARGO_PKG_VERSION"));
    bytes
}

/// A torn last line was cut off.
pub(crate) fn cut(count: u64) -> Vec<u8> {
    let mut bytes = event("cut");
    Fields(&mut bytes).number("bytes", count);
    bytes
}

/// The log can be written again; `lost` records could not be.
pub(crate) fn recovered(lost: u64) -> Vec<u8> {
    let mut bytes = event("recovered");
    Fields(&mut bytes).number("lost", lost);
    bytes
}

/// The file before was renamed by somebody else; this one goes on where it ended.
pub(crate) fn moved() -> Vec<u8> {
    event("moved")
}

/// The log did not hold the mark that it was known to have reached; the operator let the daemon
/// start all the same.
pub(crate) fn gap(sealed: &Mark) -> Vec<u8> {
    let mut bytes = event("gap");
    let mut fields = Fields(&mut bytes);
    fields.number("sealed_seq", sealed.seq);
    fields.text("sealed_head", &sealed.head);
    bytes
}

/// Denials that were only counted, after which nothing else came of `who`.
pub(crate) fn unnoted(who: &Who, unnoted: &Unnoted) -> Vec<u8> {
    let mut bytes = event("unnoted");
    let mut fields = Fields(&mut bytes);
    who.write(&mut fields);
    unnoted.write(&mut fields);
    bytes
}

fn event(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Fields(&mut bytes).text("event", name);
    bytes
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
