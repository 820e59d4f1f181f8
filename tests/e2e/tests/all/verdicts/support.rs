//! The common ground of this folder's tests: the room with all vaults, a caller who keeps everything that
//! comes back, and the search through it.

use std::cell::RefCell;
use std::fs;

use claviger_e2e::{Daemon, Home, payload};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use tonic::Status;
use tonic_prost::prost::Message;
use tonic_types::StatusExt as _;

use crate::caller::{Caller, definition, name, new_value, part, place, put_of};
use crate::peers::{Aws, Azure, Snowflake, aws, azure, objects};
use crate::stage::Peer;

pub(super) const MANAGED: &str = "managed";
pub(super) const AWS: &str = "aws-eu";
pub(super) const AZURE: &str = "azure-eu";
pub(super) const SNOWFLAKE: &str = "snow";

/// The vaults that values are typed into past Claviger. Of Snowflake's storages only secret objects
/// allow that: a row of a sealed table that Claviger did not seal is not a value.
pub(super) const EXTERNAL: [&str; 3] = [AWS, AZURE, SNOWFLAKE];

/// The vaults that look into a JSON document.
pub(super) const WITH_PROPERTIES: [&str; 2] = [AWS, AZURE];

/// Every vault.
pub(super) const ALL: [&str; 4] = [MANAGED, AWS, AZURE, SNOWFLAKE];

/// The part after a prefix. Five of its letters in a row stand in no text of ours, no hash and no
/// number.
pub(super) const BODY: &str = "QxZjKvWqXzJkVwqZxKjWYv42";

/// The end of it.
pub(super) const LAST_FOUR: &str = "Yv42";

/// With a prefix of three characters one too short for its end to be shown.
pub(super) const SHORT_BODY: &str = "GtBhPyMf";

/// More of a body than may be seen, in a row.
const SEEN_MAX: usize = 4;

/// A key; no file holds one in one piece.
pub(super) fn key(class: &str, mode: &str) -> String {
    format!("{class}_{mode}_{BODY}")
}

/// An error as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: String,
    /// The fault that a verdict names.
    pub(super) finding: String,
    pub(super) message: String,
}

/// The answer of `CheckSecretDefinition` about a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// The first thing that is not well, with its message.
    pub(super) red: Option<(String, String)>,
    /// Class, mode and last four.
    pub(super) shown: Option<[String; 3]>,
}

/// All vaults, the daemon in front of them, and everything it said.
pub(super) struct Room {
    aws: Aws,
    azure: Azure,
    snowflake: Snowflake,
    pub(super) caller: Caller,
    heard: RefCell<Vec<String>>,
    daemon: Daemon,
    home: Home,
}

impl Room {
    /// Starts one daemon with all vaults; it logs everything it can.
    pub(super) async fn start() -> Self {
        let (home, aws, azure, snowflake) = (Home::new(), aws(), azure(), objects());
        let peers: [(&str, &dyn Peer); 3] = [(AWS, &aws), (AZURE, &azure), (SNOWFLAKE, &snowflake)];
        let vaults =
            peers.map(|(id, peer)| peer.vault_as(id, ("dev", &["*"]), "timeout = \"20s\""));
        let mut command = azure.command(&home, &vaults.concat());
        aws.surround(&mut command);
        let daemon = home.start(&mut command);
        Self {
            caller: Caller::of(&daemon).await,
            heard: RefCell::new(Vec::new()),
            home,
            aws,
            azure,
            snowflake,
            daemon,
        }
    }

    /// Sets a secret as somebody does in the vault's own console.
    pub(super) async fn type_in(&self, vault: &str, secret: &str, value: &str) {
        let peer: &dyn Peer = match vault {
            AWS => &self.aws,
            AZURE => &self.azure,
            _ => {
                assert_eq!(vault, SNOWFLAKE, "no other one has a console");
                // Only secrets that went through Claviger once have a procedure that reads them.
                let mut made = defined(&format!("made-{secret}"), (vault, secret));
                made.payload = Some(payload("made first"));
                self.register(made).await.expect("made");
                &self.snowflake
            }
        };
        peer.set(secret, value);
    }

    /// Keeps the answer, and takes from an error the parts that are compared.
    fn hear<T: Message>(&self, result: Result<tonic::Response<T>, Status>) -> Result<T, Refusal> {
        let said = match &result {
            // As it travels: `Debug` leaves secrets out.
            Ok(reply) => {
                let message = reply.get_ref().encode_to_vec();
                let metadata = reply.metadata();
                format!("{metadata:?} {}", String::from_utf8_lossy(&message))
            }
            Err(status) => {
                let details = String::from_utf8_lossy(status.details());
                format!("{status:?} {} {details}", status.message())
            }
        };
        self.heard.borrow_mut().push(said);
        result.map(tonic::Response::into_inner).map_err(|status| {
            let details = status.get_error_details();
            let info = details.error_info().expect("from the daemon");
            let finding = info.metadata.get("finding").cloned();
            Refusal {
                reason: info.reason.clone(),
                finding: finding.unwrap_or_default(),
                message: status.message().to_owned(),
            }
        })
    }

    /// Registers a definition; the reasons of the warnings.
    pub(super) async fn register(
        &self,
        put: v1::PutSecretDefinitionRequest,
    ) -> Result<Vec<String>, Refusal> {
        let put = self.caller.definitions().put_secret_definition(put).await;
        let put = self.hear(put)?;
        let warnings = put.warnings.into_iter();
        Ok(warnings.map(|warning| warning.reason).collect())
    }

    /// Checks a definition: the first of its verdicts that is red.
    pub(super) async fn check(&self, id: &str, environment: &str) -> Checked {
        let request = v1::CheckSecretDefinitionRequest {
            name: name(id),
            environment: environment.to_owned(),
            ..Default::default()
        };
        let checked = self
            .caller
            .definitions()
            .check_secret_definition(request)
            .await;
        let checked = self.hear(checked).expect("checked");
        let verdicts = [
            checked.existence,
            checked.format,
            checked.kind,
            checked.access,
        ];
        let red = verdicts.into_iter().flatten().find(|verdict| !verdict.ok);
        Checked {
            red: red.map(|verdict| (verdict.reason, verdict.message)),
            shown: checked
                .stripe
                .map(|found| [found.class, found.mode, found.last_four]),
        }
    }

    /// Has a secret judged that needs no definition.
    pub(super) async fn inspect(
        &self,
        (vault, secret): (&str, &str),
        property: &str,
    ) -> Result<v1::InspectVaultSecretResponse, Refusal> {
        let request = v1::InspectVaultSecretRequest {
            name: format!("vaults/{vault}"),
            project: "projects/dev".to_owned(),
            secret: secret.to_owned(),
            property: property.to_owned(),
            ..Default::default()
        };
        self.hear(self.caller.vaults().inspect_vault_secret(request).await)
    }

    /// Reads a definition: the value, and class and mode with it.
    pub(super) async fn read(
        &self,
        id: &str,
        environment: &str,
    ) -> Result<(String, Option<[String; 2]>), Refusal> {
        let request = v1::GetSecretRequest {
            name: name(id),
            environment: environment.to_owned(),
            ..Default::default()
        };
        let mut read = self.caller.secrets().get_secret(request).await;
        // The value that is handed out is the one thing that may be in the reply.
        let value = read
            .as_mut()
            .ok()
            .and_then(|read| read.get_mut().value.take());
        let read = self.hear(read)?;
        let stripe = read.stripe.map(|stripe| [stripe.class, stripe.mode]);
        let text = match value {
            Some(v1::get_secret_response::Value::Text(text)) => Some(text),
            Some(v1::get_secret_response::Value::Data(_)) | None => None,
        };
        Ok((text.expect("a text"), stripe))
    }

    /// Stores a value, in an external vault into a secret of anybody's; the reasons of the warnings.
    pub(super) async fn put_value(
        &self,
        (id, vault): (&str, &str),
        environment: &str,
        value: &str,
    ) -> Result<Vec<String>, Refusal> {
        let request = v1::PutSecretValueRequest {
            environment: environment.to_owned(),
            adopt: vault != MANAGED,
            ..new_value(id, value)
        };
        let put = self.caller.secrets().put_secret_value(request).await;
        let warnings = self.hear(put)?.warnings.into_iter();
        Ok(warnings.map(|warning| warning.reason).collect())
    }

    /// Ends the daemon and looks through all that it said, wrote to its log and to the audit log.
    pub(super) fn assert_nothing_leaked(self) {
        assert_eq!(self.daemon.stop().code(), Some(0));
        let audit = fs::read_to_string(self.home.audit_log()).expect("an audit log");
        let log = self.home.log();
        assert!(log.contains("call failed"), "refusals are logged");
        assert!(audit.contains("CheckSecretDefinition"), "calls are audited");
        let heard = self.heard.into_inner().join("\n");
        for (place, text) in [("log", &log), ("audit log", &audit), ("answers", &heard)] {
            assert_eq!(leaked(text), [""; 0], "{place}");
        }
    }
}

/// The parts of the bodies that stand in a text, longer than may be seen; of the short one any.
fn leaked(text: &str) -> Vec<&'static str> {
    let windows = |body: &'static str, length: usize| {
        let starts = 0..=body.len() - length;
        starts.filter_map(move |start| body.get(start..start + length))
    };
    windows(BODY, SEEN_MAX + 1)
        .chain(windows(SHORT_BODY, SEEN_MAX))
        .filter(|part| text.contains(part))
        .collect()
}

#[test]
fn more_than_the_end_of_a_body_is_found_wherever_it_begins() {
    let planted = |text: &str| leaked(&format!("before {text} after")).len();
    assert_eq!(planted(LAST_FOUR), 0);
    assert_eq!(planted("WYv42"), 1);
    assert_eq!(planted("QxZjK"), 1);
    assert_eq!(planted(BODY), BODY.len() - SEEN_MAX);
    assert_eq!(planted("PyMf"), 1);
}

/// A definition at a place; in the managed vault at its own.
pub(super) fn defined(id: &str, (vault, secret): (&str, &str)) -> v1::PutSecretDefinitionRequest {
    let secret = match vault {
        MANAGED => "",
        _ => secret,
    };
    put_of(definition(id, place(vault, secret)), None)
}

/// The same of a kind, with its settings for Stripe and the property that holds the credential.
pub(super) fn typed(
    mut put: v1::PutSecretDefinitionRequest,
    kind: Kind,
    stripe: Option<&v1::StripeSettings>,
    property: &str,
) -> v1::PutSecretDefinitionRequest {
    let definition = put.definition.as_mut().expect("set");
    definition.kind = kind.into();
    definition.stripe = stripe.cloned();
    let there = definition.location.take().expect("set");
    definition.location = Some(part(there, property));
    put
}

/// The same of a key, whatever its class.
pub(super) fn key_at(
    id: &str,
    (vault, secret): (&str, &str),
    property: &str,
) -> v1::PutSecretDefinitionRequest {
    typed(
        defined(id, (vault, secret)),
        Kind::StripeApiKey,
        None,
        property,
    )
}

/// Without a look at the value that is in the vault already.
pub(super) fn unchecked(put: &v1::PutSecretDefinitionRequest) -> v1::PutSecretDefinitionRequest {
    v1::PutSecretDefinitionRequest {
        skip_value_check: true,
        ..put.clone()
    }
}
