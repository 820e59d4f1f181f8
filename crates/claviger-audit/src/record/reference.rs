//! The same lines by serde, which is how they were written at first: what is rendered by hand must
//! not differ from it by a byte.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use claviger_access::{Decision, Edit, Outcome, Phase, Word};
use claviger_core::{Reason, Uid};
use claviger_seal::{hex, sha256};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Entry, outcome_name, phase_name};
use crate::chain::FIRST_PREV;
use crate::unnoted::{Unnoted, Who};

/// When all of them are written.
pub(super) const TIME: &str = "2026-11-22T04:00:00.123456Z";

/// What serde makes of a line, the first of a log.
pub(super) fn by_serde(line: Line<'_>) -> Vec<u8> {
    let line = Line {
        seq: 1,
        time: TIME,
        prev: FIRST_PREV,
        ..line
    };
    let mut bytes = serde_json::to_vec(&line).expect("a line");
    assert_eq!(bytes.pop(), Some(b'}'));
    let hash = hex(&sha256(&bytes));
    bytes.extend_from_slice(format!(",\"hash\":\"{hash}\"}}\n").as_bytes());
    bytes
}

impl Entry {
    pub(super) fn line(&self) -> Line<'_> {
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
                cause,
            } => Line {
                call: Some(*call_id),
                phase: Some(phase_name(Phase::Decision)),
                outcome: Some(outcome_name(Outcome::Denied)),
                reason: Some(reason.as_str()),
                rpc: Some(rpc),
                peer: Some(peer),
                cause: *cause,
                ..Line::default()
            },
            Self::Stopped => Line::event("stopped"),
        }
    }
}

/// A line of the log but for its hash, in the order it is written; absent fields are left out.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Line<'a> {
    pub(super) seq: u64,
    pub(super) time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) daemon: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sealed_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sealed_head: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) call: Option<Uid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phase: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) principal: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unnoted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unnoted_first: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unnoted_last: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rpc: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) permission: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource_uid: Option<Uid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) environment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vault: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Plain<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) property: Option<Plain<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) install: Option<Uid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purpose: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) options: &'a [&'static str],
    #[serde(skip_serializing_if = "Side::is_empty")]
    pub(super) was: Side<'a>,
    #[serde(skip_serializing_if = "Side::is_empty")]
    pub(super) now: Side<'a>,
    pub(super) prev: &'a str,
}

impl<'a> Line<'a> {
    /// Denials that were only counted, after which nothing else came of `who`.
    pub(super) fn unnoted(who: &'a Who, unnoted: &'a Unnoted) -> Self {
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
    pub(super) fn after(self, unnoted: Option<&'a Unnoted>) -> Self {
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

    pub(super) fn event(name: &'static str) -> Self {
        Self {
            event: Some(name),
            ..Self::default()
        }
    }

    pub(super) fn decision(decision: &'a Decision) -> Self {
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
            install: facts.install,
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

/// A text that others wrote.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a>(&'a str);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.contains(|c: char| c.is_ascii_control()) {
            false => serializer.serialize_str(self.0),
            true => serializer
                .serialize_str(&self.0.replace(|c: char| c.is_ascii_control(), "\u{fffd}")),
        }
    }
}

/// The fields of a change, as they were or as they are now.
#[derive(Clone, Copy, Default)]
pub(super) struct Side<'a> {
    edits: &'a [Edit],
    is_now: bool,
}

impl<'a> Side<'a> {
    fn was(edits: &'a [Edit]) -> Self {
        let is_now = false;
        Self { edits, is_now }
    }

    fn now(edits: &'a [Edit]) -> Self {
        let is_now = true;
        Self { edits, is_now }
    }

    fn is_empty(&self) -> bool {
        self.words().next().is_none()
    }

    fn words(self) -> impl Iterator<Item = (&'a str, &'a Word)> {
        self.edits.iter().filter_map(move |edit| {
            let word = match self.is_now {
                true => edit.now.as_ref(),
                false => edit.was.as_ref(),
            };
            Some((edit.field.as_str(), word?))
        })
    }
}

impl Serialize for Side<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, word) in self.words() {
            match word {
                Word::Private(_) => map.serialize_entry(field, "(text)")?,
                Word::Text(text) => map.serialize_entry(field, &Plain(text))?,
                Word::Time(time) => map.serialize_entry(field, &rfc3339(*time))?,
            }
        }
        map.end()
    }
}

/// A name, written as it is displayed.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a>(&'a dyn Display);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

fn rfc3339(time: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339(time.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}
