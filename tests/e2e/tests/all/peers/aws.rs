use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use claviger_e2e::{AwsReply, AwsRequest, AwsStub, Console, Gate, Moto, REGION};
use claviger_stub::aws::refusal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{Failure, Loss, MARKER, Peer, SECRET};

/// The account that moto plays.
pub(crate) const ACCOUNT: &str = "123456789012";

/// The secret that the daemon asks for by itself to see whether the vault is well.
const CHECKED: &str = "claviger/check";

type Script = dyn Fn(&AwsRequest) -> Option<AwsReply> + Send + Sync;

/// moto, and in front of it a stub of ours for answers that it cannot give.
pub(crate) struct Aws {
    // Ends before moto, to which it passes calls on.
    stub: AwsStub,
    pub(crate) moto: Moto,
    script: Arc<Mutex<Arc<Script>>>,
    gate: Mutex<Arc<Gate>>,
    seen: Mutex<Vec<AwsRequest>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

fn is_write(request: &AwsRequest) -> bool {
    ["CreateSecret", "PutSecretValue"].contains(&request.operation.as_str())
}

/// An error of AWS, which says more than anybody should see.
pub(super) fn error(code: &str, header: Option<&str>) -> AwsReply {
    let message = format!("{MARKER} User: arn:aws:sts::{ACCOUNT}:assumed-role/x is not pleased");
    let reply = refusal(400, code, &message);
    match header {
        Some(line) => reply.header(line),
        None => reply,
    }
}

impl Aws {
    pub(super) fn start() -> Self {
        let moto = Moto::start();
        let script: Arc<Script> = Arc::new(|_: &AwsRequest| None);
        let script = Arc::new(Mutex::new(script));
        let (console, played) = (moto.console(), Arc::clone(&script));
        let stub = AwsStub::start(move |request| {
            let script = Arc::clone(&*lock(&played));
            script(request).unwrap_or_else(|| console.play(request))
        });
        Self {
            moto,
            stub,
            script,
            gate: Mutex::new(Arc::new(Gate::for_arrivals(usize::MAX))),
            seen: Mutex::default(),
        }
    }

    /// From now on this answers a call, or leaves it to moto.
    pub(crate) fn play(
        &self,
        script: impl Fn(&AwsRequest) -> Option<AwsReply> + Send + Sync + 'static,
    ) {
        *lock(&self.script) = Arc::new(script);
    }

    /// The value of `endpoint_url`.
    pub(crate) fn url(&self) -> String {
        self.stub.url()
    }

    pub(crate) fn console(&self) -> Console {
        self.moto.console()
    }

    /// All that has been asked about secrets for callers.
    pub(crate) fn seen(&self) -> Vec<AwsRequest> {
        let mut seen = lock(&self.seen);
        seen.extend(self.stub.take_asked());
        seen.retain(|request| request.secret() != CHECKED);
        seen.clone()
    }

    /// How often this was asked about secrets so far.
    pub(crate) fn count(&self, operation: &str) -> usize {
        let seen = self.seen().into_iter();
        seen.filter(|one| one.operation == operation).count()
    }

    /// All that there is about a secret besides its value.
    pub(crate) fn describe(&self, secret: &str) -> Value {
        self.moto
            .call("DescribeSecret", &json!({ "SecretId": secret }))
    }

    /// Makes a secret and returns its ARN.
    pub(crate) fn create(&self, secret: &str, text: &str) -> String {
        let created = json!({ "Name": secret, "SecretString": text });
        let created = self.moto.call("CreateSecret", &created);
        created["ARN"].as_str().expect("text").to_owned()
    }
}

impl Peer for Aws {
    fn kind(&self) -> &'static str {
        "aws"
    }

    fn settings(&self) -> String {
        let url = self.url();
        format!(
            "region = {REGION:?}\naccount_id = {ACCOUNT:?}\nendpoint_url = {url:?}\n\
             tags = {{ team = \"payments\" }}"
        )
    }

    fn surround(&self, command: &mut Command) {
        command
            .env("AWS_ACCESS_KEY_ID", "AKIAMOTO")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
    }

    fn set(&self, secret: &str, text: &str) -> String {
        if self.value(secret).is_none() {
            self.create(secret, "made first");
        }
        self.console().put(secret, text)
    }

    fn value(&self, secret: &str) -> Option<String> {
        let request = json!({ "SecretId": secret });
        let (status, _) = self.console().answer("GetSecretValue", &request);
        (status == 200).then(|| self.moto.value(secret))
    }

    fn versions(&self, secret: &str) -> Vec<String> {
        if !self.names().iter().any(|name| name == secret) {
            return Vec::new();
        }
        let all = json!({ "SecretId": secret, "IncludeDeprecated": true });
        let listed = self.moto.call("ListSecretVersionIds", &all);
        let versions = listed["Versions"].as_array().expect("a list").iter();
        let id = |version: &Value| version["VersionId"].as_str().expect("text").to_owned();
        versions.map(id).collect()
    }

    fn delete(&self, secret: &str) {
        self.moto
            .call("DeleteSecret", &json!({ "SecretId": secret }));
    }

    fn names(&self) -> Vec<String> {
        let listed = self.moto.call("ListSecrets", &json!({}));
        let listed = listed["SecretList"].as_array().expect("a list").iter();
        let name = |secret: &Value| secret["Name"].as_str().expect("text").to_owned();
        listed.map(name).collect()
    }

    fn asked(&self) -> usize {
        self.seen().len()
    }

    fn writes(&self) -> usize {
        self.seen().iter().filter(|one| is_write(one)).count()
    }

    fn fail(&self, failure: Failure) -> &'static str {
        let (code, header, word) = match failure {
            Failure::Busy => (
                "ThrottlingException",
                Some("Retry-After: 7"),
                "asked too often",
            ),
            Failure::Denied => ("AccessDeniedException", None, "policy"),
            Failure::Rejected => ("UnrecognizedClientException", None, "access key"),
        };
        self.play(move |request| {
            let is_meant = failure == Failure::Rejected || request.operation == "GetSecretValue";
            is_meant.then(|| error(code, header))
        });
        word
    }

    fn lose(&self, loss: Loss) {
        let (console, due) = (self.console(), Mutex::new(true));
        self.play(move |request| {
            if !is_write(request) || !std::mem::take(&mut *lock(&due)) {
                return None;
            }
            Some(match loss {
                Loss::Half => {
                    console.play(request);
                    AwsReply::HalfBody("{".to_owned())
                }
                Loss::Undone => AwsReply::text(200, &format!("<html>{MARKER}</html>")),
            })
        });
    }

    fn end(self: Box<Self>) -> Option<TempDir> {
        None
    }

    fn hang(&self) {
        let gate = Arc::new(Gate::for_arrivals(usize::MAX));
        *lock(&self.gate) = Arc::clone(&gate);
        self.play(move |request| {
            if request.operation == "GetSecretValue" && request.secret() == SECRET {
                gate.pass();
            }
            None
        });
    }

    fn held(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        let gate = Arc::clone(&*lock(&self.gate));
        Box::pin(async move {
            let waiting = tokio::task::spawn_blocking(move || gate.await_arrivals(1));
            waiting.await.expect("the vault is asked");
        })
    }

    fn mend(&self) {
        self.play(|_| None);
        lock(&self.gate).open();
    }

    fn aliases(&self, secret: &str) -> Vec<String> {
        let arn = self.describe(secret)["ARN"].clone();
        vec![secret.to_owned(), arn.as_str().expect("text").to_owned()]
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        // A thread of the stub's may wait there.
        lock(&self.gate).open();
    }
}
