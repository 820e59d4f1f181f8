//! A key in a JSON document beside other things. Here the vaults differ by design: AWS and Azure
//! take one property out, the managed vault and Snowflake know none.

use std::collections::BTreeMap;

use serde_json::json;

use super::support::{
    ALL, BODY, EXTERNAL, LAST_FOUR, MANAGED, Refusal, Room, WITH_PROPERTIES, key, key_at, unchecked,
};
use crate::caller::name;

/// The outcome of a definition at a document.
#[derive(Clone, Copy)]
enum Outcome {
    /// The key in it is served.
    Served,
    /// The value is refused at registration, check and read: reason, finding (none where no single
    /// value is there to be judged), remedy.
    Refused(&'static str, &'static str, &'static str),
    /// The place itself is refused, whatever is in it.
    NoPlace,
}

use Outcome::{NoPlace, Refused, Served};

const JSON: Outcome = Refused("VALUE_MALFORMED", "JSON", "location.property");
#[rustfmt::skip]
const MARK: Outcome = Refused("VALUE_MALFORMED", "BYTE_ORDER_MARK", "save the file without it");

/// A document, the property that is named, the outcome in vaults with properties, and in those
/// without.
struct Case {
    id: &'static str,
    document: String,
    property: &'static str,
    with_properties: Outcome,
    without: Outcome,
    /// Class, mode and end that are shown of it in vaults with properties.
    shown: Option<[&'static str; 3]>,
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let good = key("rk", "test");
    let siblings = json!({
        "apiKey": good, "wrong": key("pk", "test"), "note": "n", "newline": format!("{good}\n"),
        "quoted": format!("\"{good}\""), "bom": format!("\u{feff}{good}"),
        "hook": format!("whsec_{BODY}"),
    });
    let (siblings, only) = (siblings.to_string(), json!({ "k": good }).to_string());
    let marked = format!("\u{feff}{siblings}");
    let case = |id, document: &str, property, with_properties, without, shown| Case {
        id,
        document: document.to_owned(),
        property,
        with_properties,
        without,
        shown,
    };
    let malformed = |finding, remedy| Refused("VALUE_MALFORMED", finding, remedy);
    let wrong_kind = |finding, remedy| Refused("VALUE_WRONG_KIND", finding, remedy);
    let required = Refused("PROPERTY_REQUIRED", "", "name one in location.property");
    let not_json = Refused("VALUE_NOT_JSON", "", "without a byte-order mark");
    let restricted = Some(["RESTRICTED", "TEST", LAST_FOUR]);
    let publishable = Some(["PUBLISHABLE", "TEST", LAST_FOUR]);
    vec![
        case("siblings", &siblings, "", required, JSON, None),
        case("named", &siblings, "apiKey", Served, NoPlace, restricted),
        case("other", &siblings, "wrong", wrong_kind("PUBLISHABLE_KEY", "restricted key"), NoPlace, publishable),
        case("newline", &siblings, "newline", malformed("SURROUNDING_SPACE", "line break"), NoPlace, restricted),
        case("quoted", &siblings, "quoted", malformed("QUOTES", "quotes"), NoPlace, restricted),
        case("bom", &siblings, "bom", malformed("BYTE_ORDER_MARK", "byte-order mark"), NoPlace, restricted),
        case("hook", &siblings, "hook", wrong_kind("WEBHOOK_SECRET", "webhook signing secret"), NoPlace, Some(["WEBHOOK_SECRET", "", LAST_FOUR])),
        case("only", &only, "", Served, JSON, restricted),
        case("marked", &marked, "", MARK, MARK, Some(["UNKNOWN", "", ""])),
        case("marked-named", &marked, "apiKey", not_json, NoPlace, None),
    ]
}

/// Registers, checks and reads a definition at a document that was typed in; how the read was
/// refused.
async fn comes_to(room: &Room, case: &Case, vault: &str) -> Option<Refusal> {
    let id = format!("{}-in-{vault}", case.id);
    let put = key_at(&id, (vault, case.id), case.property);
    let (outcome, shown) = match WITH_PROPERTIES.contains(&vault) {
        true => (case.with_properties, case.shown),
        false => (case.without, Some(["UNKNOWN", "", ""])),
    };
    let registered = room.register(put.clone()).await;
    let forced = room.register(unchecked(&put)).await;
    if let NoPlace = outcome {
        for refused in [registered, forced] {
            assert_eq!(refused.expect_err(&id).reason, "LOCATION_INVALID", "{id}");
        }
        return None;
    }
    forced.expect(&id);
    let (checked, read) = (room.check(&id, "").await, room.read(&id, "").await);
    assert_eq!(checked.shown, shown.map(|s| s.map(str::to_owned)), "{id}");
    if let Served = outcome {
        assert_eq!(registered.expect(&id), [""; 0], "{id}");
        assert_eq!(read.expect(&id).0, key("rk", "test"), "{id}");
        assert_eq!(checked.red, None, "{id}");
        return None;
    }
    let read = read.expect_err(&id);
    let red = (read.reason.clone(), read.message.clone());
    assert_eq!(checked.red, Some(red), "{id}");
    match outcome {
        Refused(reason, finding, remedy) => {
            assert_eq!(registered.expect_err(&id), read, "{id}");
            assert_eq!((&*read.reason, &*read.finding), (reason, finding), "{id}");
            assert!(read.message.contains(remedy), "{id}: {read:?}");
        }
        Served | NoPlace => {}
    }
    Some(Refusal {
        message: read.message.replace(&name(&id), "the definition"),
        ..read
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_in_a_document_is_served_by_its_property_or_refused_with_the_remedy() {
    let room = Room::start().await;
    for case in cases() {
        let mut said = BTreeMap::new();
        for vault in EXTERNAL {
            room.type_in(vault, case.id, &case.document).await;
            let Some(refusal) = comes_to(&room, &case, vault).await else {
                continue;
            };
            // For the same reason in the same words.
            let first = said.entry(refusal.reason.clone());
            let first = first.or_insert_with(|| refusal.clone());
            assert_eq!(*first, refusal, "{} in {vault}", case.id);
        }
    }
    // The managed vault has no place for a part of a document.
    let managed = key_at("property-in-managed", (MANAGED, ""), "apiKey");
    let refused = room.register(managed).await.expect_err("no property");
    assert_eq!(refused.reason, "LOCATION_INVALID");
    // A put does not look into a document, whichever vault it goes to.
    for case in cases() {
        for vault in ALL {
            let Refused(reason, finding, remedy) = case.without else {
                continue;
            };
            let id = format!("put-{}-in-{vault}", case.id);
            let put = key_at(&id, (vault, &format!("put-{}", case.id)), "");
            room.register(put).await.expect("no value yet");
            let refused = room.put_value((&id, vault), "", &case.document).await;
            let refused = refused.expect_err(&id);
            let told = (&*refused.reason, &*refused.finding);
            assert_eq!(told, (reason, finding), "{id}");
            assert!(refused.message.contains(remedy), "{id}: {refused:?}");
        }
    }
    room.assert_nothing_leaked();
}
