//! The same lines by serde, which is how they were written at first: what is rendered by hand must
//! not differ from it by a byte.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_access::{
    Call, Caller, Decision, Edit, Facts, Label, Outcome, Permission, Phase, Principal, Rpc, Word,
};
use claviger_core::{Id, Reason, Resource, Uid};
use claviger_seal::{hex, sha256};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::LazyJust;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Entry, Record, Tail, outcome_name, phase_name};
use crate::chain::{Chain, FIRST_PREV, Link};
use crate::fields::Fields;
use crate::mark::Mark;
use crate::unnoted::{Unnoted, Who};

impl Entry {
    fn line(&self) -> Line<'_> {
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
#[derive(Clone, Copy, Default, Serialize)]
struct Line<'a> {
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
    /// Denials that were only counted, after which nothing else came of `who`.
    fn unnoted(who: &'a Who, unnoted: &'a Unnoted) -> Self {
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
    fn after(self, unnoted: Option<&'a Unnoted>) -> Self {
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

/// A text that others wrote.
#[derive(Clone, Copy)]
struct Plain<'a>(&'a str);

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
struct Side<'a> {
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
struct Shown<'a>(&'a dyn Display);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

fn rfc3339(time: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339(time.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}

const TIME: &str = "2026-11-22T04:00:00.123456Z";

/// What the chain makes of these fields.
fn chained(fields: [&[u8]; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Chain::empty().append(TIME, fields, &mut bytes);
    Link::read(bytes.trim_ascii_end()).expect("a record");
    bytes
}

/// What serde makes of them.
fn by_serde(line: Line<'_>) -> Vec<u8> {
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

/// What is written of a record after denials that were only counted.
fn rendered(record: &Record<'_>, unnoted: Option<&Unnoted>) -> Vec<u8> {
    let mut fields = Vec::new();
    let at = record.write(&mut fields);
    let mut counts = Vec::new();
    if let Some(unnoted) = unnoted {
        unnoted.write(&mut Fields(&mut counts));
    }
    chained([&fields[..at], &counts, &fields[at..]])
}

fn text() -> impl Strategy<Value = String> {
    let awkward = "[\"\\\\/\u{0}-\u{1f}\u{7f}-\u{a0}é☃\u{2028}\u{feff}\u{10ffff}a-c]{0,12}";
    prop_oneof![awkward, any::<String>()]
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        text().prop_map(Word::Private),
        text().prop_map(Word::Text),
        any::<u32>().prop_map(|seconds| {
            Word::Time(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(seconds) << 7))
        }),
    ]
}

fn id() -> impl Strategy<Value = Id> {
    "[0-9A-Za-z_()-]{1,9}".prop_map(|text| Id::parse("id", &text).expect("valid"))
}

fn principal() -> impl Strategy<Value = Principal> {
    prop_oneof![
        id().prop_map(Principal::Token),
        any::<u32>().prop_map(Principal::Unix),
    ]
}

fn resource() -> impl Strategy<Value = Resource> {
    let names = "(projects/[a-z]{1,5}(/secrets/[a-z()_]{1,5})?)?";
    names.prop_map(|name| match name.is_empty() {
        true => Resource::Daemon,
        false => Resource::parse("name", &name).expect("valid"),
    })
}

fn label() -> impl Strategy<Value = Option<Label>> {
    "[0-9a-z._:/@+-]{0,9}".prop_map(|text| Label::kept("label", &text).expect("valid"))
}

fn facts() -> impl Strategy<Value = Facts> {
    let edit = (text(), of(word()), of(word()));
    let edit = edit.prop_map(|(field, was, now)| Edit { field, was, now });
    let about = of((resource(), any::<bool>()));
    let ids = (of(id()), of(id()), of(id()));
    let texts = (of(text()), of(text()), of(principal()));
    (about, ids, texts, vec(edit, 0..4)).prop_map(|(about, ids, texts, edits)| Facts {
        about: about.map(|(resource, has_uid)| (resource, has_uid.then(Uid::random))),
        vault: ids.0,
        version: ids.1,
        subject: ids.2,
        secret: texts.0,
        property: texts.1,
        holder: texts.2,
        edits,
    })
}

static RPC: Rpc = Rpc {
    name: "claviger.v1.SecretService/GetSecret",
    permissions: &[Permission::SecretsGet],
    is_audited: true,
    has_request_id: false,
};

fn decision() -> impl Strategy<Value = Decision> {
    let phases = vec![Phase::Decision, Phase::Intent, Phase::Outcome];
    let outcomes = vec![
        Outcome::Allowed,
        Outcome::Cancelled,
        Outcome::Denied,
        Outcome::Failed,
    ];
    let end = (
        select(phases),
        select(outcomes),
        of(select(vec![Reason::AccessDenied, Reason::Cancelled])),
    );
    let call = (
        principal(),
        label(),
        label(),
        subsequence(vec!["adopt", "purge", "whole"], 0..4),
    );
    let asked = (resource(), any::<bool>(), of(id()), of(id()));
    (end, call, asked, facts()).prop_map(|(end, call, asked, facts)| Decision {
        call: Arc::new(Call {
            id: Uid::random(),
            caller: Caller {
                principal: call.0,
                expire_time: None,
            },
            rpc: &RPC,
            run_id: call.1,
            purpose: call.2,
            options: call.3,
        }),
        has_grants: true,
        phase: end.0,
        outcome: end.1,
        reason: end.2,
        permission: Permission::SecretsGet,
        resource: asked.0,
        resource_uid: asked.1.then(Uid::random),
        environment: asked.2,
        grant: asked.3,
        facts,
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let peers = select(vec!["tcp", "unix"]);
    prop_oneof![
        8 => decision().prop_map(Entry::Decision),
        1 => principal().prop_map(|principal| Entry::Open {
            call_id: Uid::random(),
            rpc: RPC.name,
            principal,
            has_grants: true,
        }),
        1 => peers.prop_map(|peer| Entry::Refusal {
            call_id: Uid::random(),
            rpc: RPC.name,
            peer,
            reason: Reason::TokenInvalid,
        }),
        1 => LazyJust::new(|| Entry::Stopped),
    ]
}

fn counted() -> impl Strategy<Value = Unnoted> {
    (any::<u64>(), of(resource()), of(resource())).prop_map(|(count, first, last)| Unnoted {
        count,
        first,
        last,
    })
}

proptest! {
    #[test]
    fn a_record_is_rendered_as_by_serde(entry in entry(), unnoted in of(counted())) {
        let tail = Tail::of(&entry);
        let rendered = rendered(&entry.record(&tail), unnoted.as_ref());
        let wanted = by_serde(entry.line().after(unnoted.as_ref()));
        prop_assert_eq!(String::from_utf8(rendered), String::from_utf8(wanted));
    }

    #[test]
    fn a_record_that_is_repeated_is_the_one_that_the_call_would_have_had(
        kept in decision(),
        run_id in label(),
        purpose in label(),
    ) {
        let tail = Tail::of(&Entry::Decision(kept.clone()));
        let call = Call { id: Uid::random(), run_id, purpose, ..(*kept.call).clone() };
        let record = Record {
            call: Some(call.id),
            tail: &tail,
            labels: [call.run_id.as_ref(), call.purpose.as_ref()],
            talk: None,
            is_intent: false,
            is_last: false,
        };
        let rendered = rendered(&record, None);
        let own = Decision { call: Arc::new(call.clone()), ..kept };
        prop_assert_eq!(rendered, by_serde(Line::decision(&own)));
    }

    #[test]
    fn denials_that_are_only_counted_are_told_as_by_serde(
        unnoted in counted(),
        who in prop_oneof![
            principal().prop_map(Who::Principal),
            select(vec!["tcp", "unix"]).prop_map(|peer| Who::Unknown { peer }),
            Just(Who::Rest),
        ],
    ) {
        let rendered = chained([&super::unnoted(&who, &unnoted), &[], &[]]);
        prop_assert_eq!(rendered, by_serde(Line::unnoted(&who, &unnoted)));
    }
}

#[test]
fn what_happens_to_the_log_is_told_as_by_serde() {
    let daemon = Some(env!("CARGO_PKG_VERSION"));
    let mark = Mark {
        seq: 70_312,
        head: FIRST_PREV.to_owned(),
    };
    let event = Line::event;
    for (rendered, line) in [
        (
            super::opened(),
            Line {
                daemon,
                ..event("opened")
            },
        ),
        (
            super::started(),
            Line {
                daemon,
                ..event("started")
            },
        ),
        (
            super::cut(7),
            Line {
                bytes: Some(7),
                ..event("cut")
            },
        ),
        (
            super::recovered(0),
            Line {
                lost: Some(0),
                ..event("recovered")
            },
        ),
        (super::moved(), event("moved")),
        (
            super::gap(&mark),
            Line {
                sealed_seq: Some(mark.seq),
                sealed_head: Some(&mark.head),
                ..event("gap")
            },
        ),
    ] {
        assert_eq!(chained([&rendered, &[], &[]]), by_serde(line));
    }
}
