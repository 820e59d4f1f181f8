//! Jobs that name a connection profile. Stripe's OAuth is a stand-in of ours, and so is the API that
//! the jobs call: it takes the access token that the stand-in issued last.

use std::fs;
use std::sync::Arc;

use claviger_e2e::{Daemon, Home};
use claviger_proto::v1;
use claviger_proto::v1::connection_profile::Auth;
use claviger_stub::stripe_oauth::{CLIENT_ID, CLIENT_SECRET, Fault, Rules, StripeOauth, Twist};
use claviger_stub::{Reply, Request, Stub};
use serde_json::json;

use super::support::{CONFIGURATION, Ended, JOBS, Job, Worker, address, empty_account, key};
use crate::caller::{Caller, name};

/// The customers of every account: two pages of one.
const CUSTOMERS: [&str; 2] = ["cus_1", "cus_2"];

struct World {
    home: Home,
    daemon: Daemon,
    worker: Worker,
    stripe: Arc<StripeOauth>,
}

impl World {
    fn new(rules: Rules) -> Self {
        let home = Home::new();
        let stripe = StripeOauth::start(rules);
        let config = format!(
            "[stripe]\nbase_url = {:?}\nhosts = [\"127.0.0.1\"]\n",
            stripe.url()
        );
        let daemon = home.start(&mut home.configured(&config));
        Self {
            home,
            daemon,
            worker: Worker::new(),
            stripe: Arc::new(stripe),
        }
    }

    async fn put(&self, id: &str, auth: Auth) {
        let request = v1::PutConnectionProfileRequest {
            profile: Some(v1::ConnectionProfile {
                name: profile(id),
                auth: Some(auth),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut profiles = Caller::of(&self.daemon).await.profiles();
        let put = profiles.put_connection_profile(request).await;
        put.expect("put");
    }

    /// Connects an account of this job's own, with a profile of the same id.
    async fn connect(&self, job: Job) -> &'static str {
        let account = account(job);
        let oauth = v1::OauthAuth {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            refresh_token: self.stripe.install(account, false),
            ..Default::default()
        };
        self.put(account, Auth::Oauth(oauth)).await;
        account
    }

    /// Stripe's API, which answers like this to what the account's newest token does not open.
    fn api(&self, job: Job, opened: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Stub {
        let stripe = Arc::clone(&self.stripe);
        Stub::start(move |request| {
            let newest = stripe.newest_access_token(account(job));
            match bearer(request) == newest && opened(request) {
                true => page(request),
                false => expired(&newest),
            }
        })
    }

    fn run(&self, job: Job, id: &str, api: &str) -> Ended {
        let (address, profile) = (address(&self.daemon), profile(id));
        let variables = [
            ("CLAVIGER_ADDRESS", address.as_str()),
            ("CLAVIGER_PROFILE", &profile),
            ("STRIPE_API_BASE", api),
        ];
        self.worker.run(job, &variables)
    }

    /// How often a profile was resolved, by the audit log.
    fn resolved(&self, id: &str) -> usize {
        let log = fs::read_to_string(self.home.audit_log()).expect("an audit log");
        let of_profile = format!("\"{}\"", profile(id));
        let lines = log.lines();
        lines
            .filter(|line| line.contains("profiles.resolve") && line.contains(&of_profile))
            .count()
    }
}

fn profile(id: &str) -> String {
    format!("projects/dev/connectionProfiles/{id}")
}

/// Each job has an account of its own: Claviger looks into a refused token once a minute.
fn account(job: Job) -> &'static str {
    match job {
        Job::Python => "acct_python",
        Job::Go => "acct_go",
    }
}

fn bearer(request: &Request) -> &str {
    let header = request.header("authorization").unwrap_or_default();
    header.trim_start_matches("Bearer ")
}

fn is_second_page(request: &Request) -> bool {
    request.target().contains("starting_after=cus_1")
}

fn page(request: &Request) -> Reply {
    let at = usize::from(is_second_page(request));
    let customer = json!({ "object": "customer", "id": CUSTOMERS[at] });
    let list = json!({
        "object": "list", "url": "/v1/customers", "data": [customer], "has_more": at == 0,
    });
    Reply::json(200, &list)
}

/// With the token in it, as Stripe does.
fn expired(token: &str) -> Reply {
    let message = format!("Expired API Key provided: {token}");
    let code = "platform_api_key_expired";
    let error = json!({ "type": "invalid_request_error", "code": code, "message": message });
    Reply::json(401, &json!({ "error": error }))
}

#[tokio::test]
async fn account_and_context_of_a_profile_travel_with_its_api_key() {
    let world = World::new(Rules::default());
    let cases = [
        ("account", ("acct_1", ""), (Some("acct_1"), None)),
        ("context", ("", "acct_2"), (None, Some("acct_2"))),
        ("both", ("acct_1", "acct_2"), (None, Some("acct_2"))),
    ];
    for (id, (account, context), _) in cases {
        let auth = v1::ApiKeyAuth {
            api_key: key("rk_test_"),
            account: account.to_owned(),
            context: context.to_owned(),
            ..Default::default()
        };
        world.put(id, Auth::ApiKey(auth)).await;
    }
    let api = empty_account();
    for job in JOBS {
        for (id, _, sent) in cases {
            world.run(job, id, &api.url()).assert_listed(&[]);
            let asked = api.take_asked();
            let [call] = asked.as_slice() else {
                panic!("{job:?}, {id}: not one call: {asked:?}");
            };
            let headers = (call.header("stripe-account"), call.header("stripe-context"));
            assert_eq!(headers, sent, "{job:?}, {id}");
            assert_eq!(bearer(call), key("rk_test_"));
        }
    }
}

#[tokio::test]
async fn one_access_token_serves_all_pages_and_every_job_of_its_hour() {
    let world = World::new(Rules::default());
    for job in JOBS {
        let account = world.connect(job).await;
        let api = world.api(job, |_| true);
        for _ in 0..2 {
            let ended = world.run(job, account, &api.url());
            ended.assert_listed(&CUSTOMERS.map(str::to_owned));
        }
        let asked = api.take_asked();
        let accounts = asked.iter().map(|call| call.header("stripe-account"));
        assert_eq!(accounts.collect::<Vec<_>>(), [None; 4]);
        assert_eq!(world.stripe.refreshes(account), 1);
        assert_eq!(world.resolved(account), 2, "{job:?}");
    }
}

#[tokio::test]
async fn token_that_is_refused_on_the_way_is_replaced_and_that_call_repeated() {
    let world = World::new(Rules::default());
    for job in JOBS {
        let account = world.connect(job).await;
        let stripe = Arc::clone(&world.stripe);
        // The first call for the second page finds the token ended.
        let api = world.api(job, move |request| {
            let is_first = stripe.refreshes(account) == 1;
            if is_first && is_second_page(request) {
                stripe.expire_access(account);
            }
            !(is_first && is_second_page(request))
        });
        let ended = world.run(job, account, &api.url());
        ended.assert_listed(&CUSTOMERS.map(str::to_owned));
        let asked = api.take_asked();
        let pages: Vec<_> = asked.iter().map(is_second_page).collect();
        assert_eq!(pages, [false, true, true], "{job:?}");
        assert_ne!(bearer(&asked[1]), bearer(&asked[2]));
        assert_eq!(world.stripe.refreshes(account), 2);
        assert_eq!(world.resolved(account), 2, "{job:?}");
    }
}

#[tokio::test]
async fn job_that_is_refused_twice_ends_and_costs_no_working_token() {
    let world = World::new(Rules::default());
    for job in JOBS {
        let account = world.connect(job).await;
        let api = world.api(job, |_| false);
        let ended = world.run(job, account, &api.url());
        ended.assert_refused(Some(1), &["Stripe refused: 401 platform_api_key_expired"]);
        let token = world.stripe.newest_access_token(account);
        assert!(!ended.errors.contains(&token), "{ended}");
        assert_eq!(api.take_asked().len(), 2, "{job:?}");
        // Claviger asked Stripe itself, and it took the token.
        assert_eq!(world.stripe.refreshes(account), 1);
    }
}

#[tokio::test]
async fn job_resolves_again_before_the_end_of_its_token() {
    // A token whose last minute begins at once.
    let world = World::new(Rules {
        expires_in: Some(60),
        ..Rules::default()
    });
    for job in JOBS {
        let account = world.connect(job).await;
        let api = world.api(job, |_| true);
        let ended = world.run(job, account, &api.url());
        ended.assert_listed(&CUSTOMERS.map(str::to_owned));
        // At the start, and for each page.
        assert!(world.resolved(account) >= 3, "{job:?}");
    }
}

#[tokio::test]
async fn job_waits_while_stripe_gives_claviger_no_answer() {
    let world = World::new(Rules::default());
    for job in JOBS {
        let account = world.connect(job).await;
        let api = world.api(job, |_| true);
        // Both calls of the first exchange.
        let lost = Twist::Before(Fault::Cut);
        world.stripe.twist_next([lost.clone(), lost]);
        let ended = world.run(job, account, &api.url());
        ended.assert_listed(&CUSTOMERS.map(str::to_owned));
        assert_eq!(world.stripe.refreshes(account), 1, "{job:?}");
    }
}

#[tokio::test]
async fn job_of_a_profile_whose_app_was_uninstalled_says_what_a_person_does() {
    let world = World::new(Rules::default());
    for job in JOBS {
        let account = world.connect(job).await;
        world.stripe.revoke(account);
        let api = empty_account();
        let ended = world.run(job, account, &api.url());
        let remedy = [&*profile(account), "connect the app to the account again"];
        ended.assert_refused(CONFIGURATION, &remedy);
        assert!(api.take_asked().is_empty(), "{job:?}");
    }
}

#[test]
fn only_one_of_profile_definition_and_inline_key_is_taken() {
    let (worker, api) = (Worker::new(), empty_account());
    let (inline, secret, profile) = (key("rk_test_"), name("stripe"), profile("stripe"));
    let all = [
        ("CLAVIGER_PROFILE", profile.as_str()),
        ("CLAVIGER_SECRET", &secret),
        ("STRIPE_API_KEY", &inline),
    ];
    let cases = [
        (
            vec![all[0], all[1]],
            vec!["remove one of them", &*secret, &*profile],
        ),
        (
            vec![all[0], all[2]],
            vec!["remove STRIPE_API_KEY", &*profile],
        ),
        (all.to_vec(), vec!["remove one of them"]),
    ];
    for job in JOBS {
        for (mut variables, said) in cases.clone() {
            let base = api.url();
            variables.push(("STRIPE_API_BASE", &base));
            let ended = worker.run(job, &variables);
            ended.assert_refused(CONFIGURATION, &said);
        }
        assert!(api.take_asked().is_empty(), "{job:?}");
    }
}
