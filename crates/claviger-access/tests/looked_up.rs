//! Names are looked up for those alone that a grant names them to: to others the time of an answer
//! tells nothing.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use claviger_access::{
    Attribute, Authorizer, Call, Caller, Decision, DecisionLog, Directory, Grant, Permission,
    Principal, Proof, Question, Resolved, Role, Rpc, Scope, explain,
};
use claviger_core::{
    DefinitionName, Error, Id, ManualClock, ProfileName, ProjectName, Reason, Resource, Result, Uid,
};

static RPC: Rpc = Rpc {
    name: "claviger.v1.SecretService/GetSecret",
    permissions: &[Permission::SecretsGet],
    is_audited: true,
    has_request_id: false,
};

#[derive(Debug)]
struct Forgetful;

impl DecisionLog for Forgetful {
    fn record(&self, _: Decision) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn record_detached(&self, _: Decision) {}
}

/// One caller's grants, and definitions that are there or not.
struct Counting {
    grants: Arc<Vec<Grant>>,
    resolved: Resolved,
    lookups: AtomicUsize,
}

impl Directory for Counting {
    type Found = ();

    async fn grants(&self, _: &Principal) -> Result<Arc<Vec<Grant>>> {
        Ok(Arc::clone(&self.grants))
    }

    async fn check_token(&self, _: &Caller) -> Result<()> {
        Ok(())
    }

    fn changes(&self) -> u64 {
        0
    }

    async fn resolve(&self, _: &Resource) -> Result<(Resolved, ())> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        Ok((self.resolved, ()))
    }
}

/// The result of something that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

fn grant(role: Role, scope: Scope, environment: Option<&'static str>) -> Grant {
    Grant {
        id: Id::from_static("grant"),
        role,
        scope,
        environment: environment.map(Id::from_static),
        expire_time: None,
        purpose: None,
        made_by: None,
    }
}

/// Whether a read of `projects/acme/secrets/key` is allowed, and how many names were looked up.
fn asked(grant: Grant, resolved: Resolved) -> (bool, usize) {
    let name = DefinitionName::parse("name", "projects/acme/secrets/key").expect("valid");
    asked_on(Resource::Definition(name), grant, resolved)
}

/// The same of whatever is read.
fn asked_on(resource: Resource, grant: Grant, resolved: Resolved) -> (bool, usize) {
    let directory = Counting {
        grants: Arc::new(vec![grant]),
        resolved,
        lookups: AtomicUsize::new(0),
    };
    let call = Arc::new(Call {
        id: Uid::random(),
        caller: Caller {
            principal: Principal::Unix(7),
            proof: Proof::Uid,
            expire_time: None,
        },
        rpc: &RPC,
        run_id: None,
        purpose: None,
        options: Vec::new(),
    });
    let clock = Arc::new(ManualClock::at(Duration::from_secs(1)));
    let authorizer = Authorizer::new(Arc::new(Forgetful), clock);
    let answer =
        at_once(authorizer.authorize(&directory, &call, &[Permission::SecretsGet], resource, None));
    if let Err(error) = &answer {
        assert_eq!(error.reason(), Reason::AccessDenied);
    }
    (answer.is_ok(), directory.lookups.into_inner())
}

#[test]
fn a_name_is_looked_up_for_nobody_that_no_grant_names_it_to() {
    let (project, definition) = (Uid::random(), Uid::random());
    let there = Resolved {
        project: Some(project),
        definition: Some(definition),
        profile: None,
    };
    let on_project = |name: &str, uid| Scope::Project {
        name: ProjectName::parse("name", name).expect("valid"),
        uid,
    };
    let on_definition = |name: &str, uid| Scope::Definition {
        name: DefinitionName::parse("name", name).expect("valid"),
        uid,
        project,
    };
    let (acme, key) = ("projects/acme", "projects/acme/secrets/key");
    for (grant, is_allowed, lookups) in [
        // These may know whether there is anything.
        (grant(Role::Runner, Scope::Daemon, None), true, 1),
        (
            grant(Role::Runner, on_project(acme, project), None),
            true,
            1,
        ),
        (
            grant(Role::Runner, on_definition(key, definition), None),
            true,
            1,
        ),
        // Of names that are others' by now, it is found out that they are.
        (
            grant(Role::Runner, on_project(acme, Uid::random()), None),
            false,
            1,
        ),
        (
            grant(Role::Runner, on_definition(key, Uid::random()), None),
            false,
            1,
        ),
        // All others may not.
        (grant(Role::Operator, Scope::Daemon, None), false, 0),
        (
            grant(Role::Operator, on_project(acme, project), None),
            false,
            0,
        ),
        (
            grant(Role::Runner, on_project(acme, project), Some("prod")),
            false,
            0,
        ),
        (
            grant(
                Role::Runner,
                on_project("projects/acme-2", Uid::random()),
                None,
            ),
            false,
            0,
        ),
        (
            grant(
                Role::Runner,
                on_definition("projects/acme/secrets/key-2", Uid::random()),
                None,
            ),
            false,
            0,
        ),
        (
            grant(
                Role::Runner,
                on_definition("projects/other/secrets/key", Uid::random()),
                None,
            ),
            false,
            0,
        ),
    ] {
        let label = format!("{grant:?}");
        assert_eq!(
            asked(grant.clone(), there),
            (is_allowed, lookups),
            "{label}"
        );
        let (_, when_missing) = asked(grant, Resolved::default());
        assert_eq!(
            when_missing, lookups,
            "{label}: the same where there is nothing"
        );
    }
}

#[test]
fn a_profile_is_looked_up_for_those_that_a_grant_names_it_to() {
    let (project, own) = (Uid::random(), Uid::random());
    let there = Resolved {
        project: Some(project),
        definition: None,
        profile: Some(own),
    };
    let profile = |name: &str| ProfileName::parse("name", name).expect("valid");
    let name = profile("projects/acme/connectionProfiles/key");
    let on_profile = |name: &ProfileName, uid| Scope::Profile {
        name: name.clone(),
        uid,
        project,
    };
    let on_definition = Scope::Definition {
        name: DefinitionName::parse("name", "projects/acme/secrets/key").expect("valid"),
        uid: own,
        project,
    };
    let on_project = Scope::Project {
        name: name.project().clone(),
        uid: project,
    };
    let other = profile("projects/acme/connectionProfiles/other");
    for (scope, is_allowed, lookups) in [
        (Scope::Daemon, true, 1),
        (on_project, true, 1),
        (on_profile(&name, own), true, 1),
        (on_profile(&name, Uid::random()), false, 1),
        (on_profile(&other, own), false, 0),
        // A definition of the same id is another thing.
        (on_definition, false, 0),
    ] {
        let label = format!("{scope:?}");
        let resource = Resource::Profile(name.clone());
        let answer = asked_on(resource, grant(Role::Runner, scope, None), there);
        assert_eq!(answer, (is_allowed, lookups), "{label}");
    }
    let on_own = grant(Role::Runner, on_profile(&name, own), None);
    assert_eq!(asked(on_own, there), (false, 0));
}

#[test]
fn an_explanation_looks_a_name_up_only_where_a_grant_names_it() {
    let name = |text| DefinitionName::parse("name", text).expect("valid");
    let key = name("projects/acme/secrets/key");
    let (project, definition) = (Uid::random(), Uid::random());
    let there = Resolved {
        project: Some(project),
        definition: Some(definition),
        profile: None,
    };
    let on_key = Scope::Definition {
        name: key.clone(),
        uid: definition,
        project,
    };
    let elsewhere = Scope::Definition {
        name: name("projects/acme/secrets/other"),
        uid: Uid::random(),
        project,
    };
    let prod = Some("prod");
    for (grant, resolved, allowed, fails, lookups) in [
        (
            grant(Role::Runner, on_key.clone(), None),
            there,
            true,
            None,
            1,
        ),
        // Made anew, or gone: both look the same.
        (
            grant(Role::Runner, on_key.clone(), None),
            Resolved::default(),
            false,
            Some(Attribute::Resource),
            1,
        ),
        (
            grant(Role::Runner, on_key.clone(), prod),
            there,
            false,
            Some(Attribute::Environment),
            0,
        ),
        (
            grant(Role::Runner, elsewhere.clone(), None),
            there,
            false,
            Some(Attribute::Resource),
            0,
        ),
        (
            grant(Role::Auditor, on_key, None),
            there,
            false,
            Some(Attribute::Role),
            0,
        ),
        // The first of several.
        (
            grant(Role::Runner, elsewhere, prod),
            there,
            false,
            Some(Attribute::Resource),
            0,
        ),
    ] {
        let directory = Counting {
            grants: Arc::default(),
            resolved,
            lookups: AtomicUsize::new(0),
        };
        let question = Question {
            permission: Permission::SecretsGet,
            project: None,
            definition: None,
            profile: None,
            environment: None,
            purpose: None,
            now: SystemTime::UNIX_EPOCH,
        };
        let resource = Resource::Definition(key.clone());
        let grants = [grant];
        let explained = explain(&directory, &grants, &grants, question, &resource);
        let explained = at_once(explained).expect("explained");
        let said = (explained.is_allowed, explained.grant.is_some());
        assert_eq!(said, (allowed, allowed), "{grants:?}");
        assert_eq!(
            explained.nearest.map(|(_, fails)| fails),
            fails,
            "{grants:?}"
        );
        assert_eq!(directory.lookups.into_inner(), lookups, "{grants:?}");
        // What may not be shown decides all the same.
        let directory = Counting {
            grants: Arc::default(),
            resolved,
            lookups: AtomicUsize::new(0),
        };
        let hidden = explain(&directory, &grants, &[], question, &resource);
        let hidden = at_once(hidden).expect("explained");
        assert_eq!(hidden.is_allowed, allowed);
        assert_eq!((hidden.grant, hidden.nearest), (None, None));
    }
}
