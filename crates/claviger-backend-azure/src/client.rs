//! The connection to a vault, and the calls of its API but the lists.
//!
//! Nothing is tried twice but a request whose token was refused, once, with a fresh one.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{ClientOptions, HttpClient, RequestContent, RetryOptions, Transport, Url};
use azure_security_keyvault_secrets::models::{
    DeletedSecret, Secret, SecretAttributes, SecretClientGetSecretOptions,
    SecretClientListSecretPropertiesOptions, SecretClientUpdateSecretPropertiesOptions,
    SetSecretParameters, UpdateSecretPropertiesParameters,
};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use claviger_core::{Clock, Error, Reason, Result};
use futures_util::TryStreamExt as _;

use crate::credential::FreshTokens;
use crate::error::Failure;
use crate::name::SecretName;
use crate::transport::{Login, OwnOrigin, connections};
use crate::{AzureSettings, Credential};

pub(crate) type Answer<T> = std::result::Result<T, Failure>;

/// One vault.
pub(crate) struct Client(SecretClient);

impl Client {
    /// Sets everything up without asking anybody: Azure may be down. Without `http` it makes
    /// connections of its own, through the proxy that the environment names.
    ///
    /// # Errors
    /// `INTERNAL`.
    pub(crate) fn new(
        settings: &AzureSettings,
        http: Option<Arc<dyn HttpClient>>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let (Some(credential), Some(cloud)) = (settings.credential.clone(), settings.cloud())
        else {
            return Err(Error::new(Reason::Internal).caused_by("the settings have problems"));
        };
        let url = Url::parse(settings.origin()).map_err(internal)?;
        let (vault, login) = match http {
            Some(http) => (Arc::clone(&http), http),
            None => {
                let is_local = matches!(credential, Credential::ManagedIdentity { .. });
                let vault = connections(timeout, false)?;
                let login = match is_local {
                    true => connections(timeout, true)?,
                    false => Arc::clone(&vault),
                };
                (vault, login)
            }
        };
        let mut login = options(Arc::new(Login(login)));
        login.cloud = Some(Arc::new(cloud.configuration.clone()));
        let credential = Arc::new(FreshTokens {
            credential,
            options: login,
            login_host: cloud.login_host,
            clock,
        });
        let own = OwnOrigin {
            inner: vault,
            url: url.clone(),
        };
        let options = SecretClientOptions {
            client_options: options(Arc::new(own)),
            ..SecretClientOptions::default()
        };
        let sdk = SecretClient::new(url.as_str(), credential, Some(options)).map_err(internal)?;
        Ok(Self(sdk))
    }

    /// A version with its value.
    pub(crate) async fn get(&self, name: SecretName<'_>, version: Option<&str>) -> Answer<Secret> {
        let options = SecretClientGetSecretOptions {
            secret_version: version.map(str::to_owned),
            ..SecretClientGetSecretOptions::default()
        };
        let got = self.0.get_secret(name.as_str(), Some(options)).await?;
        Ok(got.into_model()?)
    }

    /// Stores a version.
    pub(crate) async fn set(
        &self,
        name: SecretName<'_>,
        parameters: SetSecretParameters,
    ) -> Answer<Secret> {
        let parameters: RequestContent<SetSecretParameters> = parameters.try_into()?;
        let set = self.0.set_secret(name.as_str(), parameters, None).await?;
        Ok(set.into_model()?)
    }

    /// Enables or disables a version.
    pub(crate) async fn enable(
        &self,
        name: SecretName<'_>,
        version: &str,
        is_enabled: bool,
    ) -> Answer<()> {
        let attributes = SecretAttributes {
            enabled: Some(is_enabled),
            ..SecretAttributes::default()
        };
        let parameters = UpdateSecretPropertiesParameters {
            secret_attributes: Some(attributes),
            ..UpdateSecretPropertiesParameters::default()
        };
        let options = SecretClientUpdateSecretPropertiesOptions {
            secret_version: Some(version.to_owned()),
            ..SecretClientUpdateSecretPropertiesOptions::default()
        };
        let update =
            self.0
                .update_secret_properties(name.as_str(), parameters.try_into()?, Some(options));
        update.await?;
        Ok(())
    }

    /// The rest of a deleted secret.
    pub(crate) async fn deleted(&self, name: SecretName<'_>) -> Answer<DeletedSecret> {
        let got = self.0.get_deleted_secret(name.as_str(), None).await?;
        Ok(got.into_model()?)
    }

    /// Begins to bring a deleted secret back.
    pub(crate) async fn recover(&self, name: SecretName<'_>) -> Answer<()> {
        self.0.recover_deleted_secret(name.as_str(), None).await?;
        Ok(())
    }

    /// Asks for as little as there is to ask for.
    pub(crate) async fn ask(&self) -> Answer<()> {
        let options = SecretClientListSecretPropertiesOptions {
            maxresults: Some(1),
            ..SecretClientListSecretPropertiesOptions::default()
        };
        let listed = self.0.list_secret_properties(Some(options))?;
        listed.into_pages().try_next().await?;
        Ok(())
    }

    pub(crate) fn sdk(&self) -> &SecretClient {
        &self.0
    }

    pub(crate) fn url(&self) -> &str {
        self.0.endpoint().as_str()
    }
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Reason::Internal).caused_by(error)
}

fn options(http: Arc<dyn HttpClient>) -> ClientOptions {
    ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(Transport::new(http)),
        ..ClientOptions::default()
    }
}
