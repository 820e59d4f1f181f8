//! The connection to AWS: credentials, regions, and what may be tried twice.

use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::Client as Sdk;
use aws_sdk_secretsmanager::config::interceptors::InterceptorContext;
use aws_sdk_secretsmanager::config::retry::{ClassifyRetry, RetryAction, RetryConfig};
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{Config, SharedCredentialsProvider};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::retries::ErrorKind;
use aws_smithy_runtime_api::client::retries::classifiers::{RetryClassifierPriority, RetryReason};

use crate::AwsSettings;
use crate::name::SecretName;

/// How often a read is tried, the first time included.
const READ_ATTEMPTS: u32 = 2;

/// What role sessions are called in CloudTrail.
const SESSION_NAME: &str = "claviger";

/// Clients of the SDK that share credentials and connections.
pub(crate) struct Client {
    region: String,
    reads: Sdk,
    writes: Sdk,
}

impl Client {
    /// Sets everything up without asking anybody: AWS may be down. Without `credentials` the SDK's
    /// own chain finds some when they are needed.
    pub(crate) async fn new(
        settings: &AwsSettings,
        credentials: Option<SharedCredentialsProvider>,
        timeout: Duration,
    ) -> Self {
        // One client for all: each would have its own connections, and load the root certificates.
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let timeouts = TimeoutConfig::builder().operation_timeout(timeout).build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(settings.region.clone()))
            .http_client(http)
            .timeout_config(timeouts);
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(credentials) = credentials {
            loader = loader.credentials_provider(credentials);
        }
        let shared = loader.load().await;
        let mut builder = aws_sdk_secretsmanager::config::Builder::from(&shared);
        if let Some(role) = &settings.role_arn {
            let provider = assumed(role, settings.external_id.as_deref(), &shared).await;
            builder = builder.credentials_provider(provider);
        }
        // Not in `shared`: a role is assumed at AWS's own place.
        if let Some(url) = &settings.endpoint_url {
            builder = builder.endpoint_url(url);
        }
        let reads = RetryConfig::standard().with_max_attempts(READ_ATTEMPTS);
        let reads = builder
            .clone()
            .retry_config(reads)
            .retry_classifier(ThrottlingIsFinal);
        let writes = builder.retry_config(RetryConfig::disabled());
        Self {
            region: settings.region.clone(),
            reads: Sdk::from_conf(reads.build()),
            writes: Sdk::from_conf(writes.build()),
        }
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// For calls that name no secret.
    pub(crate) fn reads(&self) -> &Sdk {
        &self.reads
    }

    /// For calls that change nothing.
    pub(crate) fn reads_of(&self, name: SecretName<'_>) -> Sdk {
        self.at(&self.reads, name)
    }

    /// For calls that change something: a lost answer stays lost.
    pub(crate) fn writes_of(&self, name: SecretName<'_>) -> Sdk {
        self.at(&self.writes, name)
    }

    /// An ARN says itself which region to ask.
    fn at(&self, sdk: &Sdk, name: SecretName<'_>) -> Sdk {
        match name.region() {
            Some(region) if region != self.region => {
                let config: Config = sdk.config().clone();
                let region = Region::new(region.to_owned());
                Sdk::from_conf(config.to_builder().region(region).build())
            }
            Some(_) | None => sdk.clone(),
        }
    }
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

/// Asking a throttled vault again only keeps it throttled.
#[derive(Debug)]
struct ThrottlingIsFinal;

impl ClassifyRetry for ThrottlingIsFinal {
    fn classify_retry(&self, _: &InterceptorContext) -> RetryAction {
        RetryAction::NoActionIndicated
    }

    fn classify_retry_v2(&self, _: &InterceptorContext, so_far: &RetryAction) -> RetryAction {
        let is_throttled = matches!(
            so_far,
            RetryAction::RetryIndicated(RetryReason::RetryableError {
                kind: ErrorKind::ThrottlingError,
                ..
            })
        );
        match is_throttled {
            true => RetryAction::RetryForbidden,
            false => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "throttling is final"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::run_after(
            RetryClassifierPriority::transient_error_classifier(),
        ))
    }
}
