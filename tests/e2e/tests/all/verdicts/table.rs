//! Every way in which a value can be the wrong one, in every vault: the same verdict at
//! registration, at the check, at the read and at the put.

use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use claviger_proto::v1::stripe_settings::Class;

use super::support::{
    ALL, BODY, Checked, EXTERNAL, LAST_FOUR, Refusal, Room, SHORT_BODY, defined, key, typed,
    unchecked,
};

/// The verdict that a value deserves.
#[derive(Clone, Copy)]
enum Verdict {
    /// It is usable, with this warning or none.
    Usable(&'static str),
    /// It is not: reason, finding, and part of the remedy.
    Refused(&'static str, &'static str, &'static str),
    /// It stands in a vault as it must not, and is made usable on its way through Claviger: how it
    /// is refused where it stands, and the warning of the put.
    Mended(Refused, &'static str),
}

type Refused = (&'static str, &'static str, &'static str);

/// One value.
struct Case {
    id: &'static str,
    kind: Kind,
    settings: Option<v1::StripeSettings>,
    value: String,
    verdict: Verdict,
    /// Class, mode and last four.
    shown: [&'static str; 3],
}

impl Case {
    fn key(id: &'static str, value: &str, verdict: Verdict, shown: [&'static str; 3]) -> Self {
        Self {
            id,
            kind: Kind::StripeApiKey,
            settings: None,
            value: value.to_owned(),
            verdict,
            shown,
        }
    }

    fn hook(self) -> Self {
        let kind = Kind::StripeWebhookSecret;
        Self { kind, ..self }
    }

    fn only_restricted(self) -> Self {
        let settings = v1::StripeSettings {
            allowed_classes: vec![Class::Restricted.into()],
            ..Default::default()
        };
        let settings = Some(settings);
        Self { settings, ..self }
    }

    /// How it is refused where it stands.
    fn refused(&self) -> Option<Refused> {
        match self.verdict {
            Verdict::Usable(_) => None,
            Verdict::Refused(reason, finding, remedy) => Some((reason, finding, remedy)),
            Verdict::Mended(refused, _) => Some(refused),
        }
    }

    fn at(&self, vault: &str) -> (String, v1::PutSecretDefinitionRequest) {
        let id = format!("{}-in-{vault}", self.id);
        let put = defined(&id, (vault, self.id));
        let put = typed(put, self.kind, self.settings.as_ref(), "");
        (id, put)
    }
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    use Verdict::{Mended, Refused, Usable};
    const CREATE: &str = "Developers → API keys → Create restricted key";
    const PUBLISHABLE: &str = "this is a publishable key (pk_); create a restricted key: Developers → API keys → Create restricted key";
    const SIGNING: &str = "Developers → Webhooks → the endpoint → Signing secret";
    let wrong_kind = |finding, remedy| Refused("VALUE_WRONG_KIND", finding, remedy);
    let malformed = |finding, remedy| Refused("VALUE_MALFORMED", finding, remedy);
    let (good, hook) = (key("rk", "test"), format!("whsec_{BODY}"));
    let restricted = ["RESTRICTED", "TEST", LAST_FOUR];
    let masked = format!("{}…{LAST_FOUR}", concat!("sk_", "live_"));
    let space = ("VALUE_MALFORMED", "SURROUNDING_SPACE", "PutSecretValue");
    vec![
        Case::key("good", &good, Usable(""), restricted),
        Case::key("full", &key("sk", "test"), Usable("FULL_SECRET_KEY"), ["SECRET", "TEST", LAST_FOUR]),
        Case::key("unknown", &key("zz", "test"), Usable("UNKNOWN_PREFIX"), ["UNKNOWN", "", ""]),
        Case::key("publishable", &key("pk", "test"), wrong_kind("PUBLISHABLE_KEY", PUBLISHABLE), ["PUBLISHABLE", "TEST", LAST_FOUR]),
        Case::key("short", &format!("pk_{SHORT_BODY}"), wrong_kind("PUBLISHABLE_KEY", CREATE), ["PUBLISHABLE", "", ""]),
        Case::key("ephemeral", &key("ek", "test"), wrong_kind("EPHEMERAL_KEY", CREATE), ["EPHEMERAL", "TEST", LAST_FOUR]),
        Case::key("signing", &hook, wrong_kind("WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET"), ["WEBHOOK_SECRET", "", LAST_FOUR]),
        Case::key("hook", &hook, Usable(""), ["WEBHOOK_SECRET", "", LAST_FOUR]).hook(),
        Case::key("key-as-hook", &good, wrong_kind("API_KEY", SIGNING), restricted).hook(),
        Case::key("masked", &masked, malformed("MASKED", "Reveal test key under Developers → API keys"), ["SECRET", "LIVE", LAST_FOUR]),
        Case::key("placeholder", concat!("sk_", "test_", "YOUR_SECRET_KEY"), malformed("PLACEHOLDER", "store the key itself"), ["SECRET", "TEST", ""]),
        Case::key("bare", concat!("rk_", "live_"), malformed("PLACEHOLDER", "only the beginning of a key"), ["RESTRICTED", "LIVE", ""]),
        Case::key("template", "${STRIPE_KEY}", malformed("PLACEHOLDER", "a template that was not filled in"), ["UNKNOWN", "", ""]),
        Case::key("newline", &format!("{good}\n"), Mended(space, "VALUE_TRIMMED"), restricted),
        Case::key("quoted", &format!("\"{good}\""), malformed("QUOTES", "without them"), restricted),
        Case::key("bearer", &format!("Bearer {good}"), malformed("BEARER", "copy the key alone"), restricted),
        Case::key("marked", &format!("\u{feff}{good}"), malformed("BYTE_ORDER_MARK", "save the file without it"), restricted),
        Case::key("class", &key("sk", "test"), Refused("VALUE_CLASS_NOT_ALLOWED", "CLASS_NOT_ALLOWED", CREATE), ["SECRET", "TEST", LAST_FOUR]).only_restricted(),
        Case::key("unlisted", &key("zz", "test"), Refused("VALUE_CLASS_NOT_ALLOWED", "CLASS_NOT_ALLOWED", CREATE), ["UNKNOWN", "", ""]).only_restricted(),
        Case::key("organization", &key("sk_org", "test"), Refused("STRIPE_CONTEXT_REQUIRED", "CONTEXT_REQUIRED", "set stripe.context"), ["ORGANIZATION", "TEST", LAST_FOUR]),
    ]
}

#[track_caller]
fn assert_is(refusal: &Refusal, (reason, finding, remedy): Refused, at: &str) {
    assert_eq!(refusal.reason, reason, "{at}: {refusal:?}");
    assert_eq!(refusal.finding, finding, "{at}: {refusal:?}");
    assert!(refusal.message.contains(remedy), "{at}: {refusal:?}");
}

/// The outcomes of a value that was typed into a vault: registration, check, read.
async fn stands(
    room: &Room,
    case: &Case,
    vault: &str,
) -> (
    Result<Vec<String>, Refusal>,
    Checked,
    Result<(String, Option<[String; 2]>), Refusal>,
) {
    let (id, put) = case.at(vault);
    room.type_in(vault, case.id, &case.value).await;
    let registered = room.register(put.clone()).await;
    if registered.is_err() {
        let absent = room.read(&id, "").await.expect_err(&id);
        assert_eq!(absent.reason, "DEFINITION_NOT_FOUND", "{id}");
    }
    let again = room.register(unchecked(&put)).await;
    let warnings = again.expect("registered without a look");
    assert_eq!(warnings, [""; 0], "{id}");
    (
        registered,
        room.check(&id, "").await,
        room.read(&id, "").await,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_gets_the_same_verdict_in_every_vault_at_every_look() {
    let room = Room::start().await;
    for case in cases() {
        let mut messages = Vec::new();
        for vault in EXTERNAL {
            let at = format!("{} in {vault}", case.id);
            let (registered, checked, read) = stands(&room, &case, vault).await;
            is_nothing_to_others(&room, &case, vault).await;
            let shown = case.shown.map(str::to_owned);
            assert_eq!(checked.shown.as_ref(), Some(&shown), "{at}");
            let Some(refused) = case.refused() else {
                let Verdict::Usable(warning) = case.verdict else {
                    panic!("{at}: neither usable nor refused");
                };
                let expected: Vec<_> = [warning].into_iter().filter(|w| !w.is_empty()).collect();
                assert_eq!(registered.expect(&at), expected, "{at}");
                assert_eq!(checked.red, None, "{at}");
                let [class, mode, _] = shown;
                let served = (case.value.clone(), Some([class, mode]));
                assert_eq!(read.expect(&at), served, "{at}");
                continue;
            };
            let registered = registered.expect_err(&at);
            let read = read.expect_err(&at);
            assert_is(&registered, refused, &at);
            // At every look in the same words.
            assert_eq!(registered, read, "{at}");
            let red = (read.reason.clone(), read.message.clone());
            assert_eq!(checked.red, Some(red), "{at}");
            messages.push(read.message);
        }
        messages.dedup();
        assert!(messages.len() <= 1, "{}: {messages:?}", case.id);

        for vault in ALL {
            put_is_judged_alike(&room, &case, vault, messages.first()).await;
        }
    }
    room.assert_nothing_leaked();
}

/// A definition that says nothing of Stripe hands out whatever it is.
async fn is_nothing_to_others(room: &Room, case: &Case, vault: &str) {
    let id = format!("opaque-{}-in-{vault}", case.id);
    let registered = room.register(defined(&id, (vault, case.id))).await;
    assert_eq!(registered.expect("not judged"), [""; 0], "{id}");
    let read = room.read(&id, "").await.expect("it is no key to it");
    assert_eq!(read, (case.value.clone(), None), "{id}");
    assert_eq!(room.check(&id, "").await.red, None, "{id}");
}

/// A put through Claviger comes to the same as a value that was typed into a console, in the same words.
async fn put_is_judged_alike(room: &Room, case: &Case, vault: &str, message: Option<&String>) {
    let (id, put) = case.at(vault);
    if !EXTERNAL.contains(&vault) {
        let registered = room.register(put).await;
        assert_eq!(registered.expect("no value yet"), [""; 0], "{id}");
    }
    let put = room.put_value((&id, vault), "", &case.value).await;
    let warning = match case.verdict {
        Verdict::Refused(reason, finding, remedy) => {
            let refusal = put.expect_err(&id);
            assert_is(&refusal, (reason, finding, remedy), &id);
            assert_eq!(Some(&refusal.message), message, "{id}");
            if !EXTERNAL.contains(&vault) {
                let nothing = room.read(&id, "").await.expect_err(&id);
                assert_eq!(nothing.reason, "SECRET_NOT_FOUND", "{id}");
            }
            return;
        }
        Verdict::Usable(warning) | Verdict::Mended(_, warning) => warning,
    };
    let expected: Vec<_> = [warning].into_iter().filter(|w| !w.is_empty()).collect();
    assert_eq!(put.expect(&id), expected, "{id}");
    let shown = case.shown.map(str::to_owned);
    let checked = room.check(&id, "").await;
    assert_eq!((checked.red, checked.shown), (None, Some(shown)), "{id}");
    let (value, _) = room.read(&id, "").await.expect(&id);
    assert_eq!(value, case.value.trim_end(), "{id}");
}
