//! The connection to AWS: credentials and regions.

use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::Client as Sdk;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{Builder as ConfigBuilder, Config, SharedCredentialsProvider};

use crate::AwsSettings;
use crate::name::SecretName;
use crate::transport::connections;

/// The name of role sessions in CloudTrail.
const SESSION_NAME: &str = "claviger";

/// A client of the SDK, which sends each request once: of a write whose answer was lost nobody
/// knows whether it was done, and when a read is tried again is decided for all its readers at once.
pub(crate) struct Client {
    region: String,
    sdk: Sdk,
}

impl Client {
    /// Sets everything up without asking anybody: AWS may be down. Without `credentials` the SDK's
    /// own chain finds some when they are needed.
    pub(crate) async fn new(
        settings: &AwsSettings,
        credentials: Option<SharedCredentialsProvider>,
        timeout: Duration,
    ) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(timeout).build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(settings.region.clone()))
            .http_client(connections())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled());
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(credentials) = credentials {
            loader = loader.credentials_provider(credentials);
        }
        let shared = loader.load().await;
        let mut builder = at_place(&shared, settings.endpoint_url.as_deref());
        if let Some(role) = &settings.role_arn {
            let provider = assumed(role, settings.external_id.as_deref(), &shared).await;
            builder = builder.credentials_provider(provider);
        }
        Self {
            region: settings.region.clone(),
            sdk: Sdk::from_conf(builder.build()),
        }
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// For calls that name no secret.
    pub(crate) fn sdk(&self) -> &Sdk {
        &self.sdk
    }

    /// For calls about a secret: an ARN says itself which region to ask.
    pub(crate) fn sdk_of(&self, name: SecretName<'_>) -> Sdk {
        match name.region() {
            Some(region) if region != self.region => {
                let config: Config = self.sdk.config().clone();
                let region = Region::new(region.to_owned());
                Sdk::from_conf(config.to_builder().region(region).build())
            }
            Some(_) | None => self.sdk.clone(),
        }
    }
}

/// SECURITY: sets the place in any case. An address that the environment or a profile names instead
/// of AWS's own was not held to https or loopback. Not in `shared`: a role is assumed elsewhere.
fn at_place(shared: &SdkConfig, endpoint_url: Option<&str>) -> ConfigBuilder {
    let mut builder = ConfigBuilder::from(shared);
    builder.set_endpoint_url(endpoint_url.map(str::to_owned));
    builder
}

async fn assumed(
    role: &str,
    external_id: Option<&str>,
    shared: &SdkConfig,
) -> SharedCredentialsProvider {
    let mut provider = AssumeRoleProvider::builder(role)
        .session_name(SESSION_NAME)
        .configure(shared);
    if let Some(id) = external_id {
        provider = provider.external_id(id);
    }
    SharedCredentialsProvider::new(provider.build().await)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_config::SdkConfig;
    use aws_credential_types::Credentials;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_runtime_api::client::result::ConnectorError;

    use super::*;

    /// Notes where it should connect to, and does not.
    #[derive(Clone, Debug, Default)]
    struct Nowhere(Arc<Mutex<Vec<String>>>);

    impl HttpConnector for Nowhere {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let mut asked = self.0.lock().expect("nobody panics with it");
            asked.push(request.uri().to_owned());
            let error = ConnectorError::user("does not connect".into());
            HttpConnectorFuture::ready(Err(error))
        }
    }

    #[tokio::test]
    async fn secrets_go_nowhere_that_the_settings_do_not_name() {
        for (endpoint_url, place) in [
            (None, "https://secretsmanager.eu-central-1.amazonaws.com/"),
            (Some("https://vpce.example"), "https://vpce.example/"),
        ] {
            let nowhere = Nowhere::default();
            let connector = SharedHttpConnector::new(nowhere.clone());
            let credentials = Credentials::new("AKIA", "x", None, None, "test");
            // As `aws_config` makes it of AWS_ENDPOINT_URL, or of a profile's.
            let shared = SdkConfig::builder()
                .behavior_version(BehaviorVersion::v2026_01_12())
                .region(Region::from_static("eu-central-1"))
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                .endpoint_url("http://elsewhere.example")
                .http_client(http_client_fn(move |_, _| connector.clone()))
                .retry_config(RetryConfig::disabled())
                .build();
            let sdk = Sdk::from_conf(at_place(&shared, endpoint_url).build());
            let answer = sdk.get_secret_value().secret_id("x").send().await;
            answer.expect_err("there is no connection");
            assert_eq!(*nowhere.0.lock().expect("nobody panics with it"), [place]);
        }
    }
}
