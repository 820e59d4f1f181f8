//! The connection to a vault: transport, what may leave through it, and the calls of its API.
//!
//! Nothing is tried twice but a request whose token was refused, once, with a fresh one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, HttpClient, Request, RequestContent, RetryOptions, Transport,
    Url,
};
use azure_security_keyvault_secrets::models::{
    DeletedSecret, DeletedSecretProperties, Secret, SecretAttributes, SecretClientGetSecretOptions,
    SecretClientListDeletedSecretPropertiesOptions, SecretClientListSecretPropertiesOptions,
    SecretClientListSecretPropertiesVersionsOptions, SecretClientUpdateSecretPropertiesOptions,
    SecretProperties, SetSecretParameters, UpdateSecretPropertiesParameters,
};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use claviger_core::{Clock, Error, Reason, Result};
use futures_util::TryStreamExt as _;
use reqwest::redirect::Policy;

use crate::credential::FreshTokens;
use crate::error::{Failure, LoginFailure};
use crate::name::SecretName;
use crate::shapes::{self, Version};
use crate::{AzureSettings, Credential};

/// Most entries that Key Vault gives per page.
const PAGE: i32 = 25;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

type Answer<T> = std::result::Result<T, Failure>;

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

    /// What is left of a deleted secret.
    pub(crate) async fn deleted(&self, name: SecretName<'_>) -> Answer<DeletedSecret> {
        let got = self.0.get_deleted_secret(name.as_str(), None).await?;
        Ok(got.into_model()?)
    }

    /// The same from the list, which also has those whose newest version is disabled.
    pub(crate) async fn listed_as_deleted(
        &self,
        name: SecretName<'_>,
    ) -> Answer<Option<DeletedSecretProperties>> {
        let options = SecretClientListDeletedSecretPropertiesOptions {
            maxresults: Some(PAGE),
            ..SecretClientListDeletedSecretPropertiesOptions::default()
        };
        let mut listed = self.0.list_deleted_secret_properties(Some(options))?;
        while let Some(secret) = listed.try_next().await? {
            let found = shapes::secret_name(secret.id.as_deref());
            if found.is_some_and(|found| found.eq_ignore_ascii_case(name.as_str())) {
                return Ok(Some(secret));
            }
        }
        Ok(None)
    }

    /// Begins to bring a deleted secret back.
    pub(crate) async fn recover(&self, name: SecretName<'_>) -> Answer<()> {
        self.0.recover_deleted_secret(name.as_str(), None).await?;
        Ok(())
    }

    /// Every version, newest first; none of a secret that is not there.
    pub(crate) async fn versions(&self, name: SecretName<'_>) -> Answer<Vec<Version>> {
        let options = SecretClientListSecretPropertiesVersionsOptions {
            maxresults: Some(PAGE),
            ..SecretClientListSecretPropertiesVersionsOptions::default()
        };
        let listed = self
            .0
            .list_secret_properties_versions(name.as_str(), Some(options))?;
        let versions = listed.try_filter_map(async |version| Ok(Version::of(version)));
        let mut versions: Vec<Version> = match versions.try_collect().await.map_err(Failure::from) {
            Ok(versions) => versions,
            Err(failure) if failure.is_absent() => Vec::new(),
            Err(failure) => return Err(failure),
        };
        shapes::sort(&mut versions);
        Ok(versions)
    }

    /// Hands each secret to `take`.
    pub(crate) async fn list(&self, mut take: impl FnMut(SecretProperties)) -> Answer<()> {
        let options = SecretClientListSecretPropertiesOptions {
            maxresults: Some(PAGE),
            ..SecretClientListSecretPropertiesOptions::default()
        };
        let mut listed = self.0.list_secret_properties(Some(options))?;
        while let Some(secret) = listed.try_next().await? {
            take(secret);
        }
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

/// Connections that follow no redirect. Those to the machine's own identity service know no proxy.
fn connections(timeout: Duration, is_local: bool) -> Result<Arc<dyn HttpClient>> {
    let builder = reqwest::Client::builder()
        .connect_timeout(timeout.min(CONNECT_MAX))
        .redirect(Policy::none());
    let builder = match is_local {
        true => builder.no_proxy(),
        false => builder,
    };
    Ok(Arc::new(builder.build().map_err(internal)?))
}

/// Lets requests go to the vault only.
///
/// SECURITY: the SDK follows a page's link to whatever host it names, with the token.
struct OwnOrigin {
    inner: Arc<dyn HttpClient>,
    url: Url,
}

#[async_trait]
impl HttpClient for OwnOrigin {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        if request.url().origin() != self.url.origin() {
            return Err(azure_core::Error::with_message(
                ErrorKind::Other,
                "the vault's answer leads to another host",
            ));
        }
        self.inner.execute_request(request).await
    }
}

impl fmt::Debug for OwnOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnOrigin").finish_non_exhaustive()
    }
}

/// Reads what Entra answers: the SDK loses the code of a refusal whose text has an escape.
struct Login(Arc<dyn HttpClient>);

#[async_trait]
impl HttpClient for Login {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answered = async {
            let response = self.0.execute_request(request).await?;
            response.try_into_raw_response().await
        };
        let answer = answered.await.map_err(LoginFailure::unreachable)?;
        LoginFailure::check(&answer)?;
        let (status, headers, body) = answer.deconstruct();
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}
