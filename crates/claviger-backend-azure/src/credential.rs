//! From the settings' credential to a token of Entra.
//!
//! Tokens are remembered by the client of the vault; here every request is a fresh one, so that a
//! token that the vault refuses is not handed out again, and a file that was replaced counts.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::ClientOptions;
use azure_identity::{
    AzureCliCredential, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};
use claviger_backend::private_file;
use claviger_core::Clock;

use crate::Credential;
use crate::assertion::{CertificateAssertion, TokenFile};
use crate::login::{self, LoginFailure};

/// Asks Entra, each time anew.
pub(crate) struct FreshTokens {
    pub(crate) credential: Credential,
    pub(crate) options: ClientOptions,
    pub(crate) login_host: &'static str,
    pub(crate) clock: Arc<dyn Clock>,
}

impl FreshTokens {
    /// The SDK's credential, set up without asking anything but the disk.
    async fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let client_options = self.options.clone();
        Ok(match &self.credential {
            Credential::AzureCli => AzureCliCredential::new(None)?,
            Credential::ClientCertificate {
                tenant_id,
                client_id,
                certificate_file,
            } => {
                let host = self.login_host;
                let assertion = CertificateAssertion {
                    file: certificate_file.clone(),
                    client_id: client_id.clone(),
                    audience: format!("https://{host}/{tenant_id}/oauth2/v2.0/token"),
                    clock: Arc::clone(&self.clock),
                };
                let options = ClientAssertionCredentialOptions { client_options };
                ClientAssertionCredential::new(
                    tenant_id.clone(),
                    client_id.clone(),
                    assertion,
                    Some(options),
                )?
            }
            Credential::ClientSecret {
                tenant_id,
                client_id,
                secret_file,
            } => {
                let file = secret_file.clone();
                let secret = login::in_background(move || private_file::read(&file)).await?;
                let secret = login::text(secret)?;
                let options = ClientSecretCredentialOptions { client_options };
                let secret = Secret::new(secret);
                ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options))?
            }
            Credential::ManagedIdentity { client_id } => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options,
                };
                ManagedIdentityCredential::new(Some(options))?
            }
            Credential::WorkloadIdentity {
                tenant_id,
                client_id,
                token_file,
            } => {
                let file = or_environment(token_file.clone(), "AZURE_FEDERATED_TOKEN_FILE")?;
                ClientAssertionCredential::new(
                    or_environment(tenant_id.clone(), "AZURE_TENANT_ID")?,
                    or_environment(client_id.clone(), "AZURE_CLIENT_ID")?,
                    TokenFile(file),
                    Some(ClientAssertionCredentialOptions { client_options }),
                )?
            }
        })
    }
}

/// A setting that is left out, from the variable that the webhook sets.
#[expect(
    clippy::disallowed_methods,
    reason = "as the SDK does in its own credential, which blocks on the file"
)]
fn or_environment<T: From<String>>(
    given: Option<T>,
    variable: &'static str,
) -> azure_core::Result<T> {
    match given {
        Some(given) => Ok(given),
        None => std::env::var(variable).map(T::from).map_err(|_| {
            let missing = format!("neither set nor in the environment: {variable}");
            azure_core::Error::with_message(ErrorKind::Credential, missing)
        }),
    }
}

#[async_trait]
impl TokenCredential for FreshTokens {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let token = match self.credential().await {
            Ok(credential) => credential.get_token(scopes, options).await,
            Err(error) => Err(error),
        };
        token.map_err(|error| LoginFailure::of(&error, remedy_of(&self.credential)).into())
    }
}

impl fmt::Debug for FreshTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreshTokens")
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

/// The remedy where the answer does not tell.
fn remedy_of(credential: &Credential) -> &'static str {
    match credential {
        Credential::AzureCli => {
            "the Azure CLI gives no token; run az login as the daemon's user, and see the log"
        }
        Credential::ClientCertificate { .. } => {
            "Entra refuses the application; check tenant_id, client_id and certificate_file, and see \
             the log for Entra's code"
        }
        Credential::ClientSecret { .. } => {
            "Entra refuses the application; check tenant_id, client_id and secret_file, and see the \
             log for Entra's code"
        }
        Credential::ManagedIdentity { .. } => {
            "this machine has no such identity; assign it to the machine, and check client_id"
        }
        Credential::WorkloadIdentity { .. } => {
            "Entra gives this pod no token; check the service account's annotation and label, \
             tenant_id, client_id and token_file, and see the log"
        }
    }
}

/// The credential in a few words, for people.
impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AzureCli => f.write_str("Azure CLI, whoever is logged in there"),
            Self::ClientCertificate {
                tenant_id,
                client_id,
                ..
            } => write!(
                f,
                "certificate of application {client_id} in tenant {tenant_id}"
            ),
            Self::ClientSecret {
                tenant_id,
                client_id,
                ..
            } => write!(
                f,
                "client secret of application {client_id} in tenant {tenant_id}"
            ),
            Self::ManagedIdentity { client_id: None } => {
                f.write_str("managed identity of this machine")
            }
            Self::ManagedIdentity {
                client_id: Some(client_id),
            } => write!(f, "managed identity {client_id}"),
            Self::WorkloadIdentity {
                client_id: None, ..
            } => f.write_str("workload identity of this pod"),
            Self::WorkloadIdentity {
                client_id: Some(client_id),
                ..
            } => write!(f, "workload identity {client_id}"),
        }
    }
}
