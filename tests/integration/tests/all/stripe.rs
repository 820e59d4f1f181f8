//! Stripe credentials: the kinds of their definitions, and the modes that environments demand.

use claviger_integration::{Options, Server, text_payload};
use claviger_proto::v1;
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::secret_definition::Kind;
use claviger_proto::v1::stripe_settings::Class;
use tonic::{Code, Status};

use crate::support::{check, checking, defining, fails, reading_in, reasons, secret, storing};

/// The rest after a prefix; long enough for a key.
const BODY: &str = "0123456789abcdefghijWXYZ";

fn key(class: &str, mode: &str) -> String {
    format!("{class}_{mode}_{BODY}")
}

fn registering(name: &str, value: &str) -> v1::PutSecretDefinitionRequest {
    let mut put = defining(name);
    put.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    put.payload = Some(text_payload(value));
    put
}

#[tokio::test]
async fn a_key_travels_with_what_its_definition_says() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("connected");
    let mut put = registering(&name, &key("rk", "test"));
    let settings = v1::StripeSettings {
        allowed_classes: vec![Class::Restricted.into()],
        account: "acct_123".to_owned(),
        context: String::new(),
    };
    put.definition.as_mut().unwrap().stripe = Some(settings.clone());
    let put = client.put_definition(put).await.unwrap();
    assert_eq!(put.warnings, vec![]);
    assert_eq!(put.definition.unwrap().stripe, Some(settings));

    let stripe = client.get(&name).await.unwrap().stripe.unwrap();
    assert_eq!(
        (stripe.class.as_str(), stripe.mode.as_str()),
        ("RESTRICTED", "TEST")
    );
    assert_eq!(stripe.account, "acct_123");
    let checked = check(&client, &name).await;
    assert!(checked.kind.unwrap().ok);
    assert_eq!(checked.stripe.unwrap().last_four, "WXYZ");

    let wrong = client.rotate(&name, &key("sk", "test")).await;
    let status = fails(wrong, Code::FailedPrecondition, "VALUE_CLASS_NOT_ALLOWED");
    assert!(!format!("{status:?}").contains(BODY), "{status:?}");
}

#[tokio::test]
async fn an_environment_takes_keys_of_the_mode_that_it_demands() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let environment = |mode: StripeMode| v1::Environment {
        stripe_mode: mode.into(),
        ..Default::default()
    };
    let modes = [("dev", StripeMode::Test), ("any", StripeMode::Unspecified)];
    let project = v1::Project {
        name: "projects/modes".to_owned(),
        environments: modes
            .map(|(id, mode)| (id.to_owned(), environment(mode)))
            .into(),
        ..Default::default()
    };
    let request = v1::PutProjectRequest {
        project: Some(project),
        validate_only: false,
    };
    let made = client.projects().put_project(request).await.unwrap();
    let made = made.into_inner().project.unwrap();
    assert_eq!(made.environments["dev"].stripe_mode(), StripeMode::Test);

    let name = "projects/modes/secrets/key";
    let live = key("rk", "live");
    let refused = client.put_definition(registering(name, &live)).await;
    let status = fails(refused, Code::FailedPrecondition, "VALUE_WRONG_MODE");
    assert!(!format!("{status:?}").contains(BODY), "{status:?}");
    let test = key("rk", "test");
    client
        .put_definition(registering(name, &test))
        .await
        .unwrap();
    let put = |environment: &str| v1::PutSecretValueRequest {
        environment: environment.to_owned(),
        ..storing(name, &live)
    };
    // One place for both: a value that one of them may not have cannot get there through the other.
    for environment in ["dev", "any"] {
        let refused = client.put_value(put(environment)).await;
        fails(refused, Code::FailedPrecondition, "VALUE_WRONG_MODE");
    }
    let read = client.get_secret(reading_in(name, "dev")).await.unwrap();
    assert_eq!(read.stripe.unwrap().mode, "TEST");

    // A check warns of it wherever it is asked.
    let unknown = v1::PutSecretValueRequest {
        environment: "any".to_owned(),
        ..storing(name, &format!("rk_{BODY}"))
    };
    let put = reasons(client.put_value(unknown).await.unwrap().warnings);
    assert!(put.contains(&"MODE_UNKNOWN".to_owned()), "{put:?}");
    for environment in ["dev", "any"] {
        let request = v1::CheckSecretDefinitionRequest {
            environment: environment.to_owned(),
            ..checking(name)
        };
        let checked = client.definitions().check_secret_definition(request).await;
        let mut warnings = reasons(checked.unwrap().into_inner().warnings);
        warnings.retain(|warning| warning != "ENVIRONMENTS_SHARE_VALUE");
        assert_eq!(warnings, put, "{environment}");
    }
}

#[tokio::test]
async fn each_kind_refuses_the_other_ones_secret() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let hook = format!("whsec_{BODY}{BODY}");
    let put = async |id: &str, kind: Kind, value: &str| -> Result<(), Status> {
        let mut put = registering(&secret(id), value);
        put.definition.as_mut().unwrap().kind = kind.into();
        client.put_definition(put).await.map(drop)
    };
    put("hook", Kind::StripeWebhookSecret, &hook).await.unwrap();
    let stripe = client.get(&secret("hook")).await.unwrap().stripe;
    assert_eq!(stripe.unwrap().class, "WEBHOOK_SECRET");
    for (kind, value) in [
        (Kind::StripeApiKey, hook.clone()),
        (Kind::StripeApiKey, key("pk", "test")),
        (Kind::StripeWebhookSecret, key("rk", "test")),
    ] {
        let refused = put("wrong", kind, &value).await;
        let status = fails(refused, Code::InvalidArgument, "VALUE_WRONG_KIND");
        assert!(!format!("{status:?}").contains(BODY), "{status:?}");
    }
    let settings = v1::StripeSettings {
        account: "acct_1".to_owned(),
        ..Default::default()
    };
    let mut opaque = defining(&secret("opaque"));
    opaque.definition.as_mut().unwrap().stripe = Some(settings);
    let refused = client.put_definition(opaque).await;
    fails(refused, Code::InvalidArgument, "FIELD_INVALID");
}
