//! Looks at every refusal that a test meets: it names what it is about, and its reason is one that
//! the RPC's comment in the proto lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::interceptor::ResponseBody;
use tonic::{Status, transport};

/// The way that the calls of a client take, watched.
#[derive(Clone, Debug)]
pub struct Watched(pub(crate) claviger_client::Service);

impl Service<Request<Body>> for Watched {
    type Response = Response<ResponseBody<Body>>;
    type Error = transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            check(&method, answer.headers());
            Ok(answer)
        })
    }
}

/// A refusal is in the headers: no call of ours streams.
fn check(method: &str, headers: &HeaderMap) {
    let (Some(status), Some(listed)) = (Status::from_header_map(headers), LISTED.get(method))
    else {
        return;
    };
    let of_any = LISTED.get("").expect("in payload.proto");
    assert!(
        !status.message().contains("unnamed"),
        "{method}: {status:?}"
    );
    let reason = claviger_client::reason(&status).unwrap_or_default();
    assert!(
        reason.is_empty() || listed.contains(&reason) || of_any.contains(&reason),
        "the comment of {method} does not list {reason}: {}",
        status.message()
    );
}

/// The reasons that the comment of each RPC lists, by its full name; under the empty one those of
/// any RPC.
static LISTED: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/claviger/v1");
    let mut listed = BTreeMap::new();
    for file in fs::read_dir(protos).expect("the protos") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("a proto");
        read(&text, &mut listed);
    }
    listed
});

fn read(proto: &str, listed: &mut BTreeMap<String, BTreeSet<String>>) {
    let (mut comment, mut service) = (String::new(), "");
    for line in proto.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("//") {
            comment.push_str(text);
            continue;
        }
        if let Some((_, reasons)) = comment.split_once("Reasons of any RPC: ") {
            listed.insert(String::new(), reasons_in(reasons));
        }
        if let Some(rest) = line.strip_prefix("service ") {
            service = rest.trim_end_matches(" {");
        }
        let method = line
            .strip_prefix("rpc ")
            .and_then(|rest| rest.split_once('('));
        if let Some((method, _)) = method {
            let name = |method| format!("claviger.v1.{service}/{method}");
            let (_, reasons) = comment.split_once("Reasons: ").expect(method);
            let as_another = reasons.strip_prefix("as ");
            let reasons = match as_another {
                Some(other) => {
                    let other = listed.get(&name(other.trim_end_matches('.')));
                    other.expect("an RPC above").clone()
                }
                None => reasons_in(reasons),
            };
            listed.insert(name(method), reasons);
        }
        comment.clear();
    }
}

fn reasons_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
    let reasons = words.filter(|word| word.len() > 1);
    reasons.map(str::to_owned).collect()
}
