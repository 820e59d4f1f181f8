//! What becomes of every failure of AWS: recorded answers, and those no emulator gives. And what AWS
//! is asked.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod stub;
#[cfg(test)]
mod throttling;
#[cfg(test)]
mod transport;

#[cfg(test)]
mod support {
    use std::sync::Arc;
    use std::time::Duration;

    use claviger_backend::Backend;
    use claviger_backend::testkit::{address, put};
    use claviger_backend_aws::{Aws, AwsSettings};
    use claviger_core::{Error, Id, ManualClock, Uid};

    use crate::stub::{Reply, Stub};

    /// Stored and served by the stub; must be in no error.
    pub(crate) const VALUE: &str = "canary-value";

    /// A secret that anybody may adopt.
    pub(crate) const DESCRIBED: &str = r#"{"ARN":"arn:aws:secretsmanager:eu-central-1:123456789012:secret:acme/stripe-AbCd12","Name":"acme/stripe"}"#;

    /// What the tests' clock shows: 2026-11-22 12:00:00 UTC.
    pub(crate) const NOW: Duration = Duration::from_secs(1_795_348_800);

    pub(crate) const LONG: Duration = Duration::from_secs(60);

    /// Passes in full where nothing answers.
    pub(crate) const SHORT: Duration = Duration::from_secs(2);

    pub(crate) async fn aws(stub: &Stub, timeout: Duration) -> Aws {
        aws_at(&stub.url(), timeout).await
    }

    pub(crate) async fn aws_at(url: &str, timeout: Duration) -> Aws {
        let settings = AwsSettings {
            region: "eu-central-1".to_owned(),
            endpoint_url: Some(url.to_owned()),
            ..AwsSettings::default()
        };
        let clock = Arc::new(ManualClock::at(NOW));
        Aws::with_credentials(&settings, ("AKIA", "x"), Uid::random(), timeout, clock).await
    }

    /// This reply to every call that reads or stores the value of a secret that may be adopted.
    pub(crate) fn script(reply: &Reply) -> Vec<(&'static str, Vec<Reply>)> {
        vec![
            ("GetSecretValue", vec![reply.clone()]),
            ("DescribeSecret", vec![Reply::json(200, DESCRIBED)]),
            ("TagResource", vec![Reply::json(200, "")]),
            ("PutSecretValue", vec![reply.clone()]),
        ]
    }

    pub(crate) async fn read_fails(aws: &Aws, version: Option<&Id>) -> Error {
        let error = aws
            .read(&address("acme/stripe"), version.map(Id::as_str))
            .await;
        safe(error.expect_err("the read fails"))
    }

    pub(crate) async fn write_fails(aws: &Aws) -> Error {
        write_fails_at(aws, "acme/stripe").await
    }

    pub(crate) async fn write_fails_at(aws: &Aws, secret: &str) -> Error {
        let error = put(aws, &address(secret), VALUE, true).await;
        safe(error.expect_err("the write fails"))
    }

    /// Nothing of what came from AWS is for clients, and no value is for logs.
    fn safe(error: Error) -> Error {
        let shown = error.to_string();
        for upstream in ["upstream", "arn:", "claviger-role", "Exception"] {
            assert!(!shown.contains(upstream), "{shown}");
        }
        let logged = format!("{error:?}");
        assert!(!logged.contains("canary"), "{logged}");
        error
    }
}
