//! Kill -9 in the middle of an exchange of tokens, at each of its steps, with both kinds of
//! provider: the newest refresh token is stored, or the state says that the answer was lost.

use std::os::unix::process::ExitStatusExt as _;

use claviger_e2e::{Client, Daemon, Home, reason, tools};
use claviger_proto::v1;
use claviger_stub::stripe_oauth::{CLIENT_ID, CLIENT_SECRET, Hold, Rules, StripeOauth};
use tokio::runtime::Handle;
use tonic::Status;
use tonic::transport::Channel;
use v1::connection_profile_service_client::ConnectionProfileServiceClient;
use v1::install::{ReconnectReason, State};

const PROFILE: &str = "projects/dev/connectionProfiles/stripe";
const ACCOUNT: &str = "acct_1One";

/// Kills of each kind of provider, times the volume: 500 with 25.
const KILLS: u64 = 20;

/// Where the daemon is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kill {
    /// By itself, at this step.
    At(&'static str),
    /// From outside, while the provider holds its answer.
    Outside,
}

const ALL: [Kill; 5] = [
    Kill::At("after-claim"),
    Kill::At("after-mark"),
    Kill::At("after-answer"),
    Kill::At("after-kept"),
    Kill::Outside,
];

impl Kill {
    /// Whether the provider has made new tokens by then.
    fn has_rolled(self) -> bool {
        !matches!(self, Self::At("after-claim" | "after-mark"))
    }

    /// Whether they are stored.
    fn is_kept(self) -> bool {
        self == Self::At("after-kept")
    }
}

struct Scene {
    home: Home,
    stripe: StripeOauth,
    config: String,
}

type Profiles = ConnectionProfileServiceClient<Channel>;

impl Scene {
    fn new(rules: Rules) -> Self {
        let stripe = StripeOauth::start(rules);
        let reuse = match rules.revokes_on_reuse {
            true => "revokes",
            false => "tolerated",
        };
        Self {
            config: format!(
                "[stripe]\nbase_url = \"{}\"\nhosts = [\"127.0.0.1\"]\n\
                 refresh_token_reuse = \"{reuse}\"\nchecks_per_minute = 6000\n",
                stripe.url()
            ),
            home: Home::new(),
            stripe,
        }
    }

    async fn start(&self, failpoint: &str) -> (Daemon, Profiles) {
        let program = match failpoint {
            "" => tools::clavigerd(),
            _ => tools::failing_clavigerd(),
        };
        let config = self.home.write_config(&self.config);
        let mut command = self.home.program(program, &["--dev"]);
        command.arg("--config").arg(config);
        let daemon = self
            .home
            .start(command.env("CLAVIGER_FAILPOINT", failpoint));
        let client = Client::connect(&daemon.socket()).await;
        let profiles = ConnectionProfileServiceClient::new(client.channel());
        (daemon, profiles)
    }

    /// Puts the refresh token of a new connection of the app.
    async fn connect(&self, profiles: &mut Profiles, is_new: bool) {
        let oauth = v1::OauthAuth {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            refresh_token: self.stripe.install(ACCOUNT, false),
            ..Default::default()
        };
        let paths = vec!["oauth.refresh_token".to_owned()];
        let request = v1::PutConnectionProfileRequest {
            profile: Some(v1::ConnectionProfile {
                name: PROFILE.to_owned(),
                auth: Some(v1::connection_profile::Auth::Oauth(oauth)),
                ..Default::default()
            }),
            update_mask: (!is_new).then_some(prost_types::FieldMask { paths }),
            ..Default::default()
        };
        profiles.put_connection_profile(request).await.expect("put");
    }

    /// Has the daemon killed in the middle of an exchange.
    async fn exchange_and_die(&self, kill: Kill, version: &str) {
        // It was asked a moment ago, and a new process does not know that.
        self.stripe.expire_access(ACCOUNT);
        let failpoint = match kill {
            Kill::At(failpoint) => failpoint,
            Kill::Outside => {
                self.stripe.hold(Hold::BeforeAnswer);
                ""
            }
        };
        let (daemon, mut profiles) = self.start(failpoint).await;
        let version = version.to_owned();
        let call = Handle::current().spawn(async move { resolve(&mut profiles, &version).await });
        match kill {
            Kill::At(_) => {
                call.await.expect("no panic").expect_err("the daemon died");
                assert_eq!(daemon.wait().signal(), Some(9), "{kill:?}");
            }
            Kill::Outside => {
                tokio::task::block_in_place(|| self.stripe.await_held(1));
                daemon.kill();
                self.stripe.release();
                call.await.expect("no panic").expect_err("the daemon died");
            }
        }
    }
}

async fn resolve(
    profiles: &mut Profiles,
    refused_version: &str,
) -> Result<v1::ResolveConnectionResponse, Status> {
    let request = v1::ResolveConnectionRequest {
        name: PROFILE.to_owned(),
        refused_version: refused_version.to_owned(),
        ..Default::default()
    };
    let resolved = profiles.resolve_connection(request).await;
    resolved.map(tonic::Response::into_inner)
}

async fn install(profiles: &mut Profiles) -> v1::Install {
    let request = v1::GetConnectionProfileRequest {
        name: PROFILE.to_owned(),
    };
    let got = profiles.get_connection_profile(request).await.expect("got");
    got.into_inner().install.expect("of OAuth")
}

/// Kills it again and again, and looks each time at what is left.
#[expect(clippy::print_stdout, reason = "to repeat a run")]
async fn survive(rules: Rules) {
    let scene = Scene::new(rules);
    let (daemon, mut profiles) = scene.start("").await;
    scene.connect(&mut profiles, true).await;
    let mut version = resolve(&mut profiles, "").await.expect("resolved").version;
    daemon.stop();
    let (mut random, seed) = tools::random();
    let kills = KILLS * tools::volume();
    println!("seed {seed}, {kills} kills");
    for number in 0..kills {
        // Each once, then at random.
        let index = usize::try_from(number).expect("few");
        let kill = ALL.get(index).copied();
        let kill = kill.unwrap_or_else(|| ALL[random.usize(0..ALL.len())]);
        scene.exchange_and_die(kill, &version).await;

        let (daemon, mut profiles) = scene.start("").await;
        let was_sent = kill != Kill::At("after-claim");
        let is_lost = was_sent && !kill.is_kept() && (rules.revokes_on_reuse || kill.has_rolled());
        let resolved = resolve(&mut profiles, &version).await;
        match resolved {
            Ok(resolved) => {
                assert!(!is_lost, "{kill:?}");
                let newest = scene.stripe.newest_access_token(ACCOUNT);
                assert_eq!(resolved.credential, newest, "{kill:?}");
                version = resolved.version;
            }
            Err(refused) => {
                assert_eq!(reason(&refused).as_deref(), Some("RECONNECT_REQUIRED"));
                assert!(is_lost, "{kill:?} {refused}");
                let lost = install(&mut profiles).await;
                assert_eq!(lost.state(), State::ReconnectRequired);
                assert_eq!(lost.reconnect_reason(), ReconnectReason::AnswerLost);
                scene.connect(&mut profiles, false).await;
                let resolved = resolve(&mut profiles, "").await.expect("connected again");
                version = resolved.version;
            }
        }
        assert_eq!(install(&mut profiles).await.state(), State::Connected);
        if rules.revokes_on_reuse {
            assert!(scene.stripe.spent_presented().is_empty(), "{kill:?}");
        }
        daemon.stop();
    }
    assert_eq!(scene.stripe.most_under_way(ACCOUNT), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_exchange_loses_nothing_at_stripe_or_says_so() {
    survive(Rules::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_exchange_never_repeats_where_that_ends_the_connection() {
    survive(Rules {
        revokes_on_reuse: true,
        ..Rules::default()
    })
    .await;
}
