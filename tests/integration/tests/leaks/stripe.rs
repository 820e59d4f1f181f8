//! Stripe credentials in every shape that is judged: of each nothing but its end is seen.

use claviger_integration::text_payload;
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::secret_definition::Kind;
use claviger_proto::v1::stripe_settings::Class;
use claviger_proto::v1::{self, Environment};

use crate::every_rpc::shown;
use crate::failures::{put, put_value};
use crate::room::Room;

/// The forms in which somebody types a key's body.
type Typed = fn(&str) -> String;

/// The reason that each shape is refused with, or nothing.
const SHAPES: [(&str, Kind, Typed); 18] = [
    ("VALUE_WRONG_KIND", Kind::StripeApiKey, |body| {
        format!("pk_live_{body}")
    }),
    ("VALUE_WRONG_KIND", Kind::StripeApiKey, |body| {
        format!("whsec_{body}")
    }),
    ("VALUE_WRONG_KIND", Kind::StripeApiKey, |body| {
        format!("ek_live_{body}")
    }),
    ("VALUE_WRONG_KIND", Kind::StripeWebhookSecret, |body| {
        format!("rk_live_{body}")
    }),
    ("VALUE_MALFORMED", Kind::StripeWebhookSecret, |body| {
        format!("'whsec_{body}'")
    }),
    ("VALUE_MALFORMED", Kind::StripeApiKey, |body| {
        format!("rk_live_{body} {body}")
    }),
    ("VALUE_MALFORMED", Kind::StripeApiKey, |body| {
        format!("\"rk_live_{body}\"")
    }),
    ("VALUE_MALFORMED", Kind::StripeApiKey, |body| {
        format!("Bearer rk_live_{body}")
    }),
    ("VALUE_MALFORMED", Kind::StripeApiKey, |body| {
        format!("\u{feff}rk_live_{body}")
    }),
    ("VALUE_MALFORMED", Kind::StripeApiKey, |body| {
        format!("STRIPE_API_KEY=rk_live_{body}")
    }),
    ("VALUE_MALFORMED", Kind::StripeApiKey, |body| {
        format!("rk_live_{body}…")
    }),
    ("VALUE_MALFORMED", Kind::StripeApiKey, document),
    ("VALUE_MALFORMED", Kind::StripeApiKey, |body| {
        format!("\u{feff}{}", document(body))
    }),
    ("STRIPE_CONTEXT_REQUIRED", Kind::StripeApiKey, |body| {
        format!("sk_org_live_{body}")
    }),
    ("", Kind::StripeApiKey, |body| format!(" rk_live_{body}\n")),
    ("", Kind::StripeApiKey, |body| format!("sk_test_{body}")),
    ("", Kind::StripeApiKey, |body| format!("zz_{body}")),
    ("", Kind::StripeWebhookSecret, |body| {
        format!("whsec_{body}")
    }),
];

/// Has a value judged that somebody typed into the vault, by its looks and as this kind.
async fn inspect(room: &mut Room, value: &str, kind: Kind) {
    room.faulty.type_in("acme/typed", value);
    for kind in [Kind::Unspecified, kind] {
        let request = v1::InspectVaultSecretRequest {
            name: "vaults/faulty".to_owned(),
            project: claviger_integration::PROJECT.to_owned(),
            secret: "acme/typed".to_owned(),
            kind: kind.into(),
            ..Default::default()
        };
        let answer = shown(room.keeper.vaults().inspect_vault_secret(request).await);
        room.expect("InspectVaultSecret", "", answer);
    }
}

fn document(body: &str) -> String {
    serde_json::json!({ "apiKey": format!("rk_live_{body}"), "note": body }).to_string()
}

/// Each shape with a new definition, and with one that exists.
pub(crate) async fn of_shapes(room: &mut Room) {
    for (wanted, kind, typed) in SHAPES {
        let value = typed(&room.body("a Stripe credential"));
        let name = room.fresh_name();
        room.try_put(wanted, put(&name, kind, text_payload(&value)))
            .await;

        let name = room.fresh_name();
        let mut first = put(&name, kind, text_payload(""));
        first.payload = None;
        room.try_put("", first).await;
        let value = typed(&room.body("a Stripe credential for a definition that exists"));
        room.try_put_value(wanted, put_value(&name, text_payload(&value)))
            .await;
        let value = typed(&room.body("a Stripe credential that is inspected"));
        inspect(room, &value, kind).await;
    }
    let body = room.body("a key that is the name of a property");
    for name in [
        format!("rk_live_{body}"),
        format!("KEY=rk_live_{body}"),
        body,
    ] {
        let document = serde_json::json!({ name: "x", "other": "y" }).to_string();
        inspect(room, &document, Kind::StripeApiKey).await;
    }
    let value = format!("sk_live_{}", room.body("a key of another class"));
    let name = room.fresh_name();
    let mut request = put(&name, Kind::StripeApiKey, text_payload(&value));
    let settings = v1::StripeSettings {
        allowed_classes: vec![Class::Restricted.into()],
        ..Default::default()
    };
    request.definition.as_mut().expect("set").stripe = Some(settings);
    room.try_put("VALUE_CLASS_NOT_ALLOWED", request).await;
}

/// A live key that is there already when its environment begins to demand test ones.
pub(crate) async fn of_a_demand_that_comes_later(room: &mut Room) {
    let name = "projects/modes/secrets/key";
    let environment = "nightly".to_owned();
    let mut project = room.keeper.project("projects/modes", &["nightly"]).await;
    let value = format!("rk_live_{}", room.body("a key from before the demand"));
    let request = put(name, Kind::StripeApiKey, text_payload(&value));
    room.try_put("", request).await;

    let demanding = Environment {
        stripe_mode: StripeMode::Test.into(),
        ..Default::default()
    };
    project.environments.insert(environment.clone(), demanding);
    let request = v1::PutProjectRequest {
        project: Some(project),
        validate_only: false,
    };
    let answer = shown(room.keeper.projects().put_project(request).await);
    room.expect("PutProject", "", answer);

    let request = v1::GetSecretRequest {
        name: name.to_owned(),
        environment: environment.clone(),
        ..Default::default()
    };
    let answer = shown(room.keeper.secrets().get_secret(request).await);
    room.expect("GetSecret", "VALUE_WRONG_MODE", answer);
    let request = v1::CheckSecretDefinitionRequest {
        name: name.to_owned(),
        environment: environment.clone(),
        ..Default::default()
    };
    let mut definitions = room.keeper.definitions();
    let answer = shown(definitions.check_secret_definition(request).await);
    room.expect("CheckSecretDefinition", "", answer);
    let value = format!("rk_live_{}", room.body("a key against the demand"));
    let mut request = put_value(name, text_payload(&value));
    request.environment = environment;
    room.try_put_value("VALUE_WRONG_MODE", request).await;
}
