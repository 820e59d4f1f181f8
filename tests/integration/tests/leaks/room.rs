//! The server under test, the canaries, and everything that came out.

use std::fs;
use std::sync::Arc;

use claviger_core::Uid;
use claviger_integration::{Client, FaultyBackend, Options, PROJECT, Server};
use claviger_proto::v1::{self, Role};
use claviger_stub::stripe_oauth::{Rules, StripeOauth};
use tonic::Status;

use crate::every_rpc::{Answer, Narrowed, Scene};
use crate::search::Search;

pub(crate) struct Room {
    pub(crate) server: Server,
    /// Everything everywhere, over the socket.
    pub(crate) keeper: Client,
    /// Nothing, with a token.
    pub(crate) stranger: Client,
    /// Nobody, over TCP.
    pub(crate) nobody: Client,
    pub(crate) faulty: Arc<FaultyBackend>,
    pub(crate) stripe: StripeOauth,
    /// A name and the bytes.
    canaries: Vec<(String, Vec<u8>)>,
    /// The place and the bytes seen there.
    seen: Vec<(String, Vec<u8>)>,
    calls: u32,
}

impl Room {
    pub(crate) async fn new() -> Self {
        let faulty = FaultyBackend::shared();
        let stripe = StripeOauth::start(Rules::default());
        let options = Options {
            stripe: format!("base_url = \"{}\"", stripe.url()),
            config: "listen.admin = \"127.0.0.1:0\"",
            ..Options::with_faulty(&faulty)
        };
        let (server, keeper) = Server::prepared(options).await;
        keeper
            .grant(
                &format!("unix:{}", claviger_integration::own_uid()),
                Role::Auditor,
                "*",
            )
            .await;
        keeper.project("projects/elsewhere", &[]).await;
        let roles = [Role::Admin, Role::Operator, Role::Runner];
        let token = keeper
            .token(&roles.map(|role| (role, "projects/elsewhere")))
            .await
            .token;
        let nobody = server.tcp().await;
        let mut room = Self {
            stranger: nobody.with_token(&token),
            server,
            keeper,
            nobody,
            faulty,
            stripe,
            canaries: Vec::new(),
            seen: Vec::new(),
            calls: 0,
        };
        room.watch("a token in use", token.as_bytes());
        let typed = room.canary("what is typed into the vault");
        room.faulty.type_in("acme/typed", &typed);
        room
    }

    /// From now on these bytes may be seen nowhere.
    pub(crate) fn watch(&mut self, what: &str, secret: &[u8]) {
        self.canaries.push((what.to_owned(), secret.to_vec()));
    }

    /// 32 characters that nobody else uses.
    pub(crate) fn canary(&mut self, what: &str) -> String {
        let canary = Uid::random().to_string().replace('-', "");
        self.watch(what, canary.as_bytes());
        canary
    }

    /// A canary of which the last four characters may be seen, and no other part.
    pub(crate) fn body(&mut self, what: &str) -> String {
        let body = self.canary(what);
        let hidden = &body.as_bytes()[..body.len() - 4];
        for part in hidden.chunks(hidden.len() / 2) {
            self.watch(&format!("{what}, in part"), part);
        }
        body
    }

    /// A canary in a text that looks different in JSON, in `Debug` and on a terminal.
    pub(crate) fn text(&mut self, what: &str) -> String {
        let text = format!("\"\\\n\té☃{}", self.canary(what));
        self.watch(&format!("{what}, whole"), text.as_bytes());
        text
    }

    /// The name of a definition that was not used before.
    pub(crate) fn fresh_name(&mut self) -> String {
        self.calls += 1;
        format!("{PROJECT}/secrets/n{}", self.calls)
    }

    pub(crate) fn note(&mut self, place: impl Into<String>, bytes: Vec<u8>) {
        self.seen.push((place.into(), bytes));
    }

    /// Keeps all of an answer, but for the message of one that hands out a value or a token.
    pub(crate) fn note_answer(&mut self, call: &str, answer: Result<Answer, Status>) {
        match answer {
            Ok(answer) => {
                self.note(
                    format!("metadata of {call}"),
                    format!("{:?}", answer.metadata()).into(),
                );
                let (debug, bytes) = answer.into_inner();
                self.note(format!("Debug of {call}"), debug.into());
                if !["GetSecret", "CreateToken", "ResolveConnection"]
                    .iter()
                    .any(|rpc| call.contains(rpc))
                {
                    self.note(format!("reply of {call}"), bytes);
                }
            }
            Err(status) => {
                self.note(
                    format!("error of {call}"),
                    format!("{status} {status:?}").into(),
                );
                self.note(format!("message of {call}"), status.message().into());
                self.note(format!("details of {call}"), status.details().to_vec());
                self.note(
                    format!("metadata of {call}"),
                    format!("{:?}", status.metadata()).into(),
                );
            }
        }
    }

    /// Calls one RPC with success, as a caller that is denied, and as nobody.
    pub(crate) async fn call_as_everybody(&mut self, method: &str, variant: &str) {
        let callers = [
            ("keeper", self.keeper.clone()),
            ("stranger", self.stranger.clone()),
            ("nobody", self.nobody.clone()),
        ];
        for (who, caller) in callers {
            let call = format!("{method} {variant} as {who}");
            let value = self.text(&format!("the value of {call}"));
            self.calls += 1;
            let scene = Scene {
                caller,
                keeper: self.keeper.clone(),
                number: self.calls,
                value,
                narrowed: Narrowed::No,
            };
            let answer = scene.call(method, variant).await;
            if let (Ok(answer), "AccessService/CreateToken") = (&answer, method) {
                let reply: v1::CreateTokenResponse =
                    prost::Message::decode(answer.get_ref().1.as_slice()).expect("decodes");
                self.watch("a new token", reply.token.as_bytes());
            }
            if let ("GetSecret", "keeper") = (method.rsplit('/').next().expect("a name"), who) {
                let (_, bytes) = answer.as_ref().expect("readable").get_ref();
                let search = Search::of([("it", scene.value.as_bytes())].into_iter());
                assert_eq!(search.find(bytes), ["it as raw"], "the one place it may be");
            }
            assert_eq!(
                answer.is_ok(),
                who == "keeper" && !is_exchange(method) || is_open_to(method, variant, who),
                "{call}"
            );
            self.note_answer(&call, answer);
        }
    }

    /// Reads every file of the server's directory.
    pub(crate) fn collect_files(&mut self, when: &str) {
        let entries = fs::read_dir(self.server.dir()).expect("a directory");
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                panic!("{} is not searched", path.display());
            }
            // A socket cannot be read, and holds nothing.
            if let Ok(bytes) = fs::read(&path) {
                self.note(format!("{when}: {}", path.display()), bytes);
            }
        }
    }

    /// Whether something was seen at, or in, some place.
    pub(crate) fn has_seen(&self, part: &str) -> bool {
        self.seen.iter().any(|(place, bytes)| {
            !bytes.is_empty()
                && (place.contains(part)
                    || bytes
                        .windows(part.len())
                        .any(|window| window == part.as_bytes()))
        })
    }

    /// Which canary stands where, and how it is written.
    pub(crate) fn leaks(&self) -> Vec<String> {
        let canaries = self
            .canaries
            .iter()
            .map(|(what, secret)| (what.as_str(), secret.as_slice()));
        let search = Search::of(canaries);
        let mut leaks = Vec::new();
        for (place, bytes) in &self.seen {
            leaks.extend(
                search
                    .find(bytes)
                    .iter()
                    .map(|what| format!("{place}: {what}")),
            );
        }
        leaks
    }

    pub(crate) fn summary(&self) -> String {
        let bytes: usize = self.seen.iter().map(|(_, bytes)| bytes.len()).sum();
        let (canaries, places) = (self.canaries.len(), self.seen.len());
        format!("{canaries} canaries, {places} places, {bytes} bytes searched")
    }
}

/// Whether it takes another proof than any of these callers has.
fn is_exchange(method: &str) -> bool {
    method == "AccessService/ExchangeToken"
}

/// Those RPCs that show strangers things of their own.
fn is_open_to(method: &str, variant: &str, who: &str) -> bool {
    let own = [
        "AccessService/ExplainAccess",
        "AccessService/ListGrants",
        "AccessService/WhoAmI",
        "ProjectService/ListProjects",
        "VaultService/CheckVault",
        "VaultService/ListVaults",
    ];
    who == "stranger" && own.contains(&method) && variant.is_empty()
}
