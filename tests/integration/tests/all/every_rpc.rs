//! Every RPC as one well-formed call on objects that exist, made for this call alone.

use std::fmt::Debug;

use claviger_integration::{Client, PROJECT, reason, text_payload};
use claviger_proto::v1;
use claviger_proto::v1::connection_profile::Auth;
use prost::Message;
use tonic::{Code, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Calls that one RPC decides differently, beside the RPCs themselves.
pub(crate) const VARIANTS: [(&str, &str); 11] = [
    ("AccessService/ExplainAccess", "of another principal"),
    ("AccessService/RevokeToken", "with cascade"),
    (
        "ConnectionProfileService/DeleteConnectionProfile",
        "with a purge",
    ),
    (
        "ConnectionProfileService/PutConnectionProfile",
        "that points at a definition",
    ),
    (
        "SecretDefinitionService/CheckSecretDefinition",
        "for another principal",
    ),
    (
        "SecretDefinitionService/DeleteSecretDefinition",
        "with a purge",
    ),
    (
        "SecretDefinitionService/PutSecretDefinition",
        "with a payload",
    ),
    (
        "SecretDefinitionService/PutSecretDefinition",
        "of another description",
    ),
    (
        "SecretDefinitionService/PutSecretDefinition",
        "of another location",
    ),
    (
        "SecretDefinitionService/UndeleteSecretDefinition",
        "of one that names a secret",
    ),
    ("SecretService/PutSecretValue", "with adopt"),
];

/// A project like [`PROJECT`], with environments.
pub(crate) const STAGED: &str = "projects/staged";

/// Every role there is.
pub(crate) const EVERYTHING: [v1::Role; 4] = [
    v1::Role::Admin,
    v1::Role::Auditor,
    v1::Role::Operator,
    v1::Role::Runner,
];

/// What a caller's grants are narrowed to.
#[derive(Clone, Debug)]
pub(crate) enum Narrowed {
    /// To no part of the project.
    No,
    /// To the definition, or profile, that is called about: this principal has all roles on it.
    ToDefinition(String),
    /// To an environment of [`STAGED`], where the calls are for `dev`.
    ToEnvironment,
}

/// An answer of any type: how the message prints, and its bytes.
pub(crate) type Answer = Response<(String, Vec<u8>)>;

pub(crate) fn shown<T: Debug + Message>(
    result: Result<Response<T>, Status>,
) -> Result<Answer, Status> {
    result.map(|response| response.map(|message| (format!("{message:?}"), message.encode_to_vec())))
}

/// Of a batch with one name, as if the call had ended as its result did.
fn only_result(
    reply: Response<v1::BatchGetSecretsResponse>,
) -> Result<Response<v1::BatchGetSecretsResponse>, Status> {
    use v1::batch_get_secrets_response::result::Answer;
    let Some(Answer::Error(error)) = &reply.get_ref().results[0].answer else {
        return Ok(reply);
    };
    let details = ErrorDetails::with_error_info(&error.reason, "claviger", []);
    Err(Status::with_error_details(
        Code::from(error.code),
        &error.message,
        details,
    ))
}

/// The parts of one call.
pub(crate) struct Scene {
    /// The caller.
    pub(crate) caller: Client,
    /// Makes the objects: admin, operator and runner everywhere.
    pub(crate) keeper: Client,
    /// Names the objects; not used before.
    pub(crate) number: u32,
    /// The values.
    pub(crate) value: String,
    /// Which part of the project the caller is for.
    pub(crate) narrowed: Narrowed,
}

impl Scene {
    /// Calls a row of the RPC table: `Service/Method`, or one of [`VARIANTS`].
    pub(crate) async fn call(&self, method: &str, variant: &str) -> Result<Answer, Status> {
        match method.split_once('/').expect("a service") {
            ("AccessService", rpc) => Box::pin(self.access(rpc, variant)).await,
            ("ConnectionProfileService", rpc) => Box::pin(self.profiles(rpc, variant)).await,
            ("DaemonService", "GetStatus") => {
                let request = v1::GetStatusRequest {};
                shown(self.caller.daemon().get_status(request).await)
            }
            ("ProjectService", rpc) => Box::pin(self.projects(rpc)).await,
            ("SecretDefinitionService", rpc) => Box::pin(self.definitions(rpc, variant)).await,
            ("SecretService", rpc) => Box::pin(self.secrets(rpc, variant)).await,
            ("VaultService", "CheckVault") => {
                let name = "vaults/managed".to_owned();
                let request = v1::CheckVaultRequest { name };
                shown(self.caller.vaults().check_vault(request).await)
            }
            ("VaultService", "ListVaults") => {
                let request = v1::ListVaultsRequest {};
                shown(self.caller.vaults().list_vaults(request).await)
            }
            ("VaultService", "ListVaultSecrets") => {
                let request = v1::ListVaultSecretsRequest {
                    parent: "vaults/faulty".to_owned(),
                    project: self.project(),
                    ..Default::default()
                };
                shown(self.caller.vaults().list_vault_secrets(request).await)
            }
            ("VaultService", "InspectVaultSecret") => {
                let request = v1::InspectVaultSecretRequest {
                    name: "vaults/faulty".to_owned(),
                    project: self.project(),
                    secret: "acme/typed".to_owned(),
                    ..Default::default()
                };
                shown(self.caller.vaults().inspect_vault_secret(request).await)
            }
            _ => panic!("{method} has no call in every_rpc.rs"),
        }
    }

    fn project(&self) -> String {
        let project = match self.narrowed {
            Narrowed::No | Narrowed::ToDefinition(_) => PROJECT,
            Narrowed::ToEnvironment => STAGED,
        };
        project.to_owned()
    }

    fn environment(&self) -> String {
        let environment = match self.narrowed {
            Narrowed::No | Narrowed::ToDefinition(_) => "",
            Narrowed::ToEnvironment => "dev",
        };
        environment.to_owned()
    }

    fn name(&self) -> String {
        format!("{}/secrets/s{}", self.project(), self.number)
    }

    /// What is put; in [`STAGED`], where each environment has a value of its own.
    fn definition(&self) -> v1::SecretDefinition {
        let own = v1::Location {
            vault: "managed".to_owned(),
            ..Default::default()
        };
        let environment = Some(self.environment()).filter(|id| !id.is_empty());
        v1::SecretDefinition {
            name: self.name(),
            environments: environment.map(|id| (id, own)).into_iter().collect(),
            ..Default::default()
        }
    }

    /// Somebody without grants.
    fn somebody(&self) -> String {
        format!("unix:{}", 1_000_000 + self.number)
    }

    /// A definition with a value, and the name of that version.
    async fn stored(&self) -> String {
        let request = v1::PutSecretDefinitionRequest {
            definition: Some(self.definition()),
            payload: Some(text_payload(&self.value)),
            ..Default::default()
        };
        let put = self.keeper.put_definition(request).await;
        let version = put.expect("registered").version;
        self.entrust(&self.name()).await;
        format!("{}/versions/{version}", self.name())
    }

    /// Gives the caller all roles on the definition or profile, if that is what its grants are for.
    async fn entrust(&self, name: &str) {
        if let Narrowed::ToDefinition(principal) = &self.narrowed {
            for role in EVERYTHING {
                self.keeper.grant(principal, role, name).await;
            }
        }
    }

    async fn delete_as_keeper(&self, purge: bool) {
        let request = v1::DeleteSecretDefinitionRequest {
            name: self.name(),
            purge,
            ..Default::default()
        };
        let mut keeper = self.keeper.definitions();
        let deleted = keeper.delete_secret_definition(request).await;
        deleted.expect("deleted");
    }

    async fn access(&self, rpc: &str, variant: &str) -> Result<Answer, Status> {
        let mut access = self.caller.access();
        let runner = v1::Role::Runner;
        match rpc {
            "CreateToken" => {
                let request = v1::CreateTokenRequest {
                    grants: vec![v1::TokenGrant {
                        role: runner.into(),
                        resource: self.project(),
                        environment: String::new(),
                    }],
                    ttl: Some(prost_types::Duration {
                        seconds: 3600,
                        nanos: 0,
                    }),
                    description: String::new(),
                };
                shown(access.create_token(request).await)
            }
            "DeleteGrant" => {
                let grant = self
                    .keeper
                    .grant(&self.somebody(), runner, &self.project())
                    .await;
                let request = v1::DeleteGrantRequest { name: grant.name };
                shown(access.delete_grant(request).await)
            }
            "ExchangeToken" => {
                let request = v1::ExchangeTokenRequest { ttl: None };
                shown(access.exchange_token(request).await)
            }
            "ExplainAccess" => {
                self.stored().await;
                let request = v1::ExplainAccessRequest {
                    principal: match variant {
                        "" => String::new(),
                        _ => self.somebody(),
                    },
                    permission: "secrets.get".to_owned(),
                    name: self.name(),
                    environment: self.environment(),
                    purpose: String::new(),
                };
                shown(access.explain_access(request).await)
            }
            "ListGrants" => {
                let request = v1::ListGrantsRequest::default();
                shown(access.list_grants(request).await)
            }
            "ListTokens" => {
                let request = v1::ListTokensRequest::default();
                shown(access.list_tokens(request).await)
            }
            "PutGrant" => {
                let grant = v1::Grant {
                    principal: self.somebody(),
                    role: runner.into(),
                    resource: self.project(),
                    ..Default::default()
                };
                let request = v1::PutGrantRequest { grant: Some(grant) };
                shown(access.put_grant(request).await)
            }
            "RevokeToken" => {
                let token = self.keeper.token(&[(runner, &self.project())]).await;
                let name = token.info.expect("described").name;
                let request = v1::RevokeTokenRequest {
                    name,
                    cascade: !variant.is_empty(),
                };
                shown(access.revoke_token(request).await)
            }
            "WhoAmI" => shown(access.who_am_i(v1::WhoAmIRequest {}).await),
            _ => panic!("AccessService/{rpc} has no call in every_rpc.rs"),
        }
    }

    fn profile(&self) -> String {
        format!("{}/connectionProfiles/c{}", self.project(), self.number)
    }

    /// A put of the profile, with a key that was pasted.
    fn putting_profile(&self) -> v1::PutConnectionProfileRequest {
        let auth = v1::ApiKeyAuth {
            api_key: format!("rk_test_0123456789abcdef{}", self.number),
            ..Default::default()
        };
        self.putting(Auth::ApiKey(auth))
    }

    fn putting(&self, auth: Auth) -> v1::PutConnectionProfileRequest {
        v1::PutConnectionProfileRequest {
            profile: Some(v1::ConnectionProfile {
                name: self.profile(),
                auth: Some(auth),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    async fn kept_profile(&self, request: v1::PutConnectionProfileRequest) {
        let put = self.keeper.profiles().put_connection_profile(request).await;
        put.expect("made");
        self.entrust(&self.profile()).await;
    }

    async fn delete_profile_as_keeper(&self, purge: bool) {
        let request = v1::DeleteConnectionProfileRequest {
            name: self.profile(),
            purge,
            ..Default::default()
        };
        let mut keeper = self.keeper.profiles();
        keeper
            .delete_connection_profile(request)
            .await
            .expect("deleted");
    }

    /// A key that a profile can point at.
    async fn kept_key(&self) {
        let request = v1::PutSecretDefinitionRequest {
            definition: Some(v1::SecretDefinition {
                kind: v1::secret_definition::Kind::StripeApiKey.into(),
                ..self.definition()
            }),
            ..Default::default()
        };
        let put = self.keeper.put_definition(request).await;
        put.expect("registered");
    }

    async fn profiles(&self, rpc: &str, variant: &str) -> Result<Answer, Status> {
        let mut profiles = self.caller.profiles();
        let (name, environment) = (self.profile(), self.environment());
        if rpc == "PutConnectionProfile" {
            if matches!(self.narrowed, Narrowed::ToDefinition(_)) {
                // It was entrusted with a profile of this name.
                self.kept_profile(self.putting_profile()).await;
                self.delete_profile_as_keeper(true).await;
            }
            let mut request = self.putting_profile();
            if !variant.is_empty() {
                self.kept_key().await;
                request = self.putting(Auth::ApiKey(v1::ApiKeyAuth {
                    definition: self.name(),
                    ..Default::default()
                }));
            }
            return shown(profiles.put_connection_profile(request).await);
        }
        if rpc == "DisconnectInstall" {
            let app = v1::OauthAuth {
                client_id: "ca_0123456789abcdef".to_owned(),
                client_secret: "sk_test_0123456789abcdef".to_owned(),
                refresh_token: format!("rt_0123456789abcdef{}", self.number),
                account: "acct_1".to_owned(),
                app: "app_1".to_owned(),
                ..Default::default()
            };
            self.kept_profile(self.putting(Auth::Oauth(app))).await;
        } else {
            self.kept_profile(self.putting_profile()).await;
        }
        match rpc {
            "DeleteConnectionProfile" => {
                let request = v1::DeleteConnectionProfileRequest {
                    name,
                    purge: !variant.is_empty(),
                    ..Default::default()
                };
                shown(profiles.delete_connection_profile(request).await)
            }
            "DisconnectInstall" => {
                let request = v1::DisconnectInstallRequest { name };
                match profiles.disconnect_install(request).await {
                    // It was never connected, which only those are told that may end it.
                    Err(status) if reason(&status) == "FIELD_INVALID" => {
                        shown(Ok(Response::new(v1::DisconnectInstallResponse::default())))
                    }
                    reply => shown(reply),
                }
            }
            "GetConnectionProfile" => {
                let request = v1::GetConnectionProfileRequest { name };
                shown(profiles.get_connection_profile(request).await)
            }
            "ListConnectionProfiles" => {
                let request = v1::ListConnectionProfilesRequest {
                    parent: self.project(),
                    ..Default::default()
                };
                shown(profiles.list_connection_profiles(request).await)
            }
            "ResolveConnection" => {
                let request = v1::ResolveConnectionRequest {
                    name,
                    environment,
                    ..Default::default()
                };
                shown(profiles.resolve_connection(request).await)
            }
            "TestConnection" => {
                let request = v1::TestConnectionRequest { name, environment };
                shown(profiles.test_connection(request).await)
            }
            "UndeleteConnectionProfile" => {
                self.delete_profile_as_keeper(false).await;
                let request = v1::UndeleteConnectionProfileRequest { name };
                shown(profiles.undelete_connection_profile(request).await)
            }
            _ => panic!("ConnectionProfileService/{rpc} has no call in every_rpc.rs"),
        }
    }

    async fn projects(&self, rpc: &str) -> Result<Answer, Status> {
        let mut projects = self.caller.projects();
        let own = format!("projects/p{}", self.number);
        match rpc {
            "DeleteProject" => {
                self.keeper.project(&own, &[]).await;
                let request = v1::DeleteProjectRequest {
                    name: own,
                    etag: String::new(),
                };
                shown(projects.delete_project(request).await)
            }
            "GetProject" => {
                let name = self.project();
                let request = v1::GetProjectRequest { name };
                shown(projects.get_project(request).await)
            }
            "ListProjects" => {
                let request = v1::ListProjectsRequest::default();
                shown(projects.list_projects(request).await)
            }
            "PutProject" => {
                let request = v1::PutProjectRequest {
                    project: Some(v1::Project {
                        name: own,
                        ..Default::default()
                    }),
                    validate_only: false,
                };
                shown(projects.put_project(request).await)
            }
            _ => panic!("ProjectService/{rpc} has no call in every_rpc.rs"),
        }
    }

    async fn definitions(&self, rpc: &str, variant: &str) -> Result<Answer, Status> {
        let mut definitions = self.caller.definitions();
        let name = self.name();
        match (rpc, variant) {
            ("CheckSecretDefinition", "" | "for another principal") => {
                self.stored().await;
                let request = v1::CheckSecretDefinitionRequest {
                    name,
                    environment: self.environment(),
                    principal: match variant {
                        "" => String::new(),
                        _ => self.somebody(),
                    },
                    ..Default::default()
                };
                shown(definitions.check_secret_definition(request).await)
            }
            ("DeleteSecretDefinition", "" | "with a purge") => {
                self.stored().await;
                let request = v1::DeleteSecretDefinitionRequest {
                    name,
                    purge: !variant.is_empty(),
                    ..Default::default()
                };
                shown(definitions.delete_secret_definition(request).await)
            }
            ("GetSecretDefinition", "") => {
                self.stored().await;
                let request = v1::GetSecretDefinitionRequest { name };
                shown(definitions.get_secret_definition(request).await)
            }
            ("ListSecretDefinitions", "") => {
                let request = v1::ListSecretDefinitionsRequest {
                    parent: self.project(),
                    ..Default::default()
                };
                shown(definitions.list_secret_definitions(request).await)
            }
            ("PutSecretDefinition", "" | "with a payload") => {
                if matches!(self.narrowed, Narrowed::ToDefinition(_)) {
                    // It was entrusted with a definition of this name.
                    self.stored().await;
                    self.delete_as_keeper(true).await;
                }
                let request = v1::PutSecretDefinitionRequest {
                    definition: Some(self.definition()),
                    payload: (!variant.is_empty()).then(|| text_payload(&self.value)),
                    ..Default::default()
                };
                shown(definitions.put_secret_definition(request).await)
            }
            ("PutSecretDefinition", "of another description" | "of another location") => {
                self.stored().await;
                let mut definition = self.definition();
                let path = match variant {
                    "of another description" => {
                        "another".clone_into(&mut definition.description);
                        "description"
                    }
                    _ => {
                        definition.location = Some(v1::Location {
                            vault: "managed".to_owned(),
                            ..Default::default()
                        });
                        "location"
                    }
                };
                let request = v1::PutSecretDefinitionRequest {
                    definition: Some(definition),
                    update_mask: Some(prost_types::FieldMask {
                        paths: vec![path.to_owned()],
                    }),
                    ..Default::default()
                };
                shown(definitions.put_secret_definition(request).await)
            }
            ("UndeleteSecretDefinition", "") => {
                self.stored().await;
                self.delete_as_keeper(false).await;
                let request = v1::UndeleteSecretDefinitionRequest { name };
                shown(definitions.undelete_secret_definition(request).await)
            }
            ("UndeleteSecretDefinition", "of one that names a secret") => {
                let mut definition = self.definition();
                definition.location = Some(v1::Location {
                    vault: "faulty".to_owned(),
                    secret: format!("acme/named-{}", self.number),
                    ..Default::default()
                });
                let request = v1::PutSecretDefinitionRequest {
                    definition: Some(definition),
                    ..Default::default()
                };
                let put = self.keeper.put_definition(request).await;
                put.expect("registered");
                self.entrust(&self.name()).await;
                self.delete_as_keeper(false).await;
                let request = v1::UndeleteSecretDefinitionRequest { name };
                shown(definitions.undelete_secret_definition(request).await)
            }
            _ => panic!("SecretDefinitionService/{rpc} {variant} has no call in every_rpc.rs"),
        }
    }

    async fn secrets(&self, rpc: &str, variant: &str) -> Result<Answer, Status> {
        let mut secrets = self.caller.secrets();
        let version = self.stored().await;
        let environment = self.environment();
        match rpc {
            "DestroySecretVersion" => {
                let request = v1::DestroySecretVersionRequest {
                    name: version,
                    environment,
                };
                shown(secrets.destroy_secret_version(request).await)
            }
            "DisableSecretVersion" => {
                let request = v1::DisableSecretVersionRequest {
                    name: version,
                    environment,
                };
                shown(secrets.disable_secret_version(request).await)
            }
            "EnableSecretVersion" => {
                let request = v1::EnableSecretVersionRequest {
                    name: version,
                    environment,
                };
                shown(secrets.enable_secret_version(request).await)
            }
            "BatchGetSecrets" => {
                let request = v1::BatchGetSecretsRequest {
                    names: vec![self.name()],
                    environment,
                    ..Default::default()
                };
                let reply = secrets.batch_get_secrets(request).await;
                shown(reply.and_then(only_result))
            }
            "GetSecret" => {
                let request = v1::GetSecretRequest {
                    name: self.name(),
                    environment,
                    ..Default::default()
                };
                shown(secrets.get_secret(request).await)
            }
            "ListSecretVersions" => {
                let request = v1::ListSecretVersionsRequest {
                    parent: self.name(),
                    environment,
                    ..Default::default()
                };
                shown(secrets.list_secret_versions(request).await)
            }
            "PutSecretValue" => {
                let request = v1::PutSecretValueRequest {
                    name: self.name(),
                    environment,
                    payload: Some(text_payload(&self.value)),
                    adopt: !variant.is_empty(),
                    ..Default::default()
                };
                shown(secrets.put_secret_value(request).await)
            }
            _ => panic!("SecretService/{rpc} has no call in every_rpc.rs"),
        }
    }
}
