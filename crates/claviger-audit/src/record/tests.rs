//! What is written of each record, byte for byte.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_access::{
    Call, Caller, Decision, Edit, Facts, Label, Outcome, Permission, Phase, Principal, Proof, Rpc,
    Word,
};
use claviger_core::{Id, Reason, Resource, Uid};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::LazyJust;

use super::reference::{Line, TIME, by_serde};
use super::{Entry, Record, Tail};
use crate::chain::{Chain, FIRST_PREV, Link};
use crate::fields::Fields;
use crate::mark::Mark;
use crate::unnoted::{Unnoted, Who};

/// What the chain makes of these fields.
fn chained(fields: [&[u8]; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Chain::empty().append(TIME, fields, &mut bytes);
    Link::read(bytes.trim_ascii_end()).expect("a record");
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
    let ids = (of(id()), of(id()), of(id()), any::<bool>());
    let texts = (of(text()), of(text()), of(principal()));
    (about, ids, texts, vec(edit, 0..4)).prop_map(|(about, ids, texts, edits)| Facts {
        about: about.map(|(resource, has_uid)| (resource, has_uid.then(Uid::random))),
        vault: ids.0,
        version: ids.1,
        subject: ids.2,
        install: ids.3.then(Uid::random),
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
                proof: Proof::Uid,
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
        1 => (peers, of(Just("JWT_AUDIENCE"))).prop_map(|(peer, cause)| Entry::Refusal {
            call_id: Uid::random(),
            rpc: RPC.name,
            peer,
            reason: Reason::TokenInvalid,
            cause,
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
