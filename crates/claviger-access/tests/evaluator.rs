//! The evaluator against a slow, obvious one, and the roles as a table for people.
//!
//! The reference lists every single thing that a grant allows in a small world and looks the
//! question up in that list. What a role allows it takes from the reviewed table in
//! `golden/roles.txt`, not from the code.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use claviger_access::{Foreign, Grant, Label, Permission, Question, Role, Scope, evaluate};
use claviger_core::{DefinitionName, Id, ProfileName, Uid};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Everything there is to ask about. Few enough of each that a random question meets a random
/// grant often.
struct World {
    /// Each with its project.
    definitions: Vec<(Uid, Uid, DefinitionName)>,
    /// The same; each has the id of a definition.
    profiles: Vec<(Uid, Uid, ProfileName)>,
    environments: Vec<Option<Id>>,
    purposes: Vec<Option<Label>>,
    roles: Vec<(Role, BTreeSet<&'static str>)>,
}

const TIMES: u64 = 4;

/// A question, by its place in the world. A definition, profile or project may be absent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Asked {
    permission: &'static str,
    project: Option<Uid>,
    definition: Option<Uid>,
    profile: Option<Uid>,
    environment: usize,
    purpose: usize,
    time: u64,
}

impl World {
    fn new() -> Self {
        let projects = [("a", Uid::random()), ("b", Uid::random())];
        let definitions = projects.iter().flat_map(|(project, uid)| {
            ["x", "y"].map(|id| {
                let name = format!("projects/{project}/secrets/{id}");
                let name = DefinitionName::parse("name", &name).expect("a name");
                (*uid, Uid::random(), name)
            })
        });
        let profiles = projects.iter().flat_map(|(project, uid)| {
            ["x", "y"].map(|id| {
                let name = format!("projects/{project}/connectionProfiles/{id}");
                let name = ProfileName::parse("name", &name).expect("a name");
                (*uid, Uid::random(), name)
            })
        });
        let label = |text| Label::parse("purpose", text).expect("a label");
        Self {
            definitions: definitions.collect(),
            profiles: profiles.collect(),
            environments: vec![
                None,
                Some(Id::from_static("dev")),
                Some(Id::from_static("prod")),
            ],
            purposes: vec![None, label("nightly"), label("repair")],
            roles: roles_of(&golden()),
        }
    }

    /// Where grants are given: the daemon, each project, each definition and profile.
    fn scopes(&self) -> Vec<Scope> {
        let mut scopes = vec![Scope::Daemon];
        for (project, definition, name) in &self.definitions {
            scopes.push(Scope::Project {
                name: name.project().clone(),
                uid: *project,
            });
            scopes.push(Scope::Definition {
                name: name.clone(),
                uid: *definition,
                project: *project,
            });
        }
        for (project, profile, name) in &self.profiles {
            scopes.push(Scope::Profile {
                name: name.clone(),
                uid: *profile,
                project: *project,
            });
        }
        scopes
    }

    /// What a call can be about: nothing, a project, a definition or profile, and a name in a project
    /// that stands for none (the same as the project alone).
    fn subjects(&self) -> Vec<[Option<Uid>; 3]> {
        let mut subjects = vec![[None; 3]];
        for (project, definition, _) in &self.definitions {
            subjects.push([Some(*project), None, None]);
            subjects.push([Some(*project), Some(*definition), None]);
            subjects.push([None, Some(*definition), None]);
        }
        for (project, profile, _) in &self.profiles {
            subjects.push([Some(*project), None, Some(*profile)]);
            subjects.push([None, None, Some(*profile)]);
        }
        subjects
    }

    /// Every question that this grant alone answers with yes.
    fn everything_allowed_by(&self, grant: &Grant) -> Vec<Asked> {
        let (_, permissions) = self
            .roles
            .iter()
            .find(|(role, _)| *role == grant.role)
            .expect("every role has a column");
        let mut all = Vec::new();
        for permission in permissions {
            for [project, definition, profile] in self.subjects() {
                let is_inside = match grant.scope {
                    Scope::Daemon => true,
                    Scope::Project { uid, .. } => project == Some(uid),
                    Scope::Definition { uid, .. } => definition == Some(uid),
                    Scope::Profile { uid, .. } => profile == Some(uid),
                };
                for environment in 0..self.environments.len() {
                    let is_for_environment = grant.environment.is_none()
                        || grant.environment == self.environments[environment];
                    for purpose in 0..self.purposes.len() {
                        let is_for_purpose =
                            grant.purpose.is_none() || grant.purpose == self.purposes[purpose];
                        for time in 0..TIMES {
                            let is_over = grant.expire_time.is_some_and(|end| end <= at(time));
                            if is_inside && is_for_environment && is_for_purpose && !is_over {
                                all.push(Asked {
                                    permission,
                                    project,
                                    definition,
                                    profile,
                                    environment,
                                    purpose,
                                    time,
                                });
                            }
                        }
                    }
                }
            }
        }
        all
    }

    fn reference(&self, grants: &[Grant], asked: Asked) -> Option<Id> {
        for grant in grants {
            if self.everything_allowed_by(grant).contains(&asked) {
                return Some(grant.id.clone());
            }
        }
        None
    }

    fn decided(&self, grants: &[Grant], asked: Asked) -> Option<Id> {
        let permission = Permission::ALL
            .iter()
            .find(|permission| permission.as_str() == asked.permission);
        let question = Question {
            permission: *permission.expect("a permission"),
            project: asked.project,
            definition: asked.definition,
            profile: asked.profile,
            environment: self.environments[asked.environment].as_ref(),
            purpose: self.purposes[asked.purpose].as_ref(),
            now: at(asked.time),
        };
        evaluate(grants, &question).map(|grant| grant.id.clone())
    }

    fn any_grants(&self) -> impl Strategy<Value = Vec<Grant>> {
        let grant = (
            prop::sample::select(Role::ALL),
            prop::sample::select(self.scopes()),
            prop::sample::select(self.environments.clone()),
            prop::option::of((0..=TIMES).prop_map(at)),
            prop::sample::select(self.purposes.clone()),
        );
        vec(grant, 0..6).prop_map(|grants| {
            grants
                .into_iter()
                .enumerate()
                .map(
                    |(index, (role, scope, environment, expire_time, purpose))| Grant {
                        id: Id::parse("grant", &format!("g{index}")).expect("an id"),
                        role,
                        scope,
                        environment,
                        expire_time,
                        purpose,
                        made_by: None,
                    },
                )
                .collect()
        })
    }

    fn any_question(&self) -> impl Strategy<Value = Asked> {
        let permissions: Vec<&str> = Permission::ALL.iter().map(|p| p.as_str()).collect();
        (
            prop::sample::select(permissions),
            prop::sample::select(self.subjects()),
            0..self.environments.len(),
            0..self.purposes.len(),
            0..TIMES,
        )
            .prop_map(
                |(permission, [project, definition, profile], environment, purpose, time)| Asked {
                    permission,
                    project,
                    definition,
                    profile,
                    environment,
                    purpose,
                    time,
                },
            )
    }
}

fn at(time: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time)
}

fn golden_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/roles.txt")
}

fn golden() -> String {
    fs::read_to_string(golden_path()).expect("golden/roles.txt")
}

/// One row per permission, one column per role.
fn table() -> String {
    let mut text = format!("{:<20}", "permission");
    for role in Role::ALL {
        write!(text, "{:<10}", role.as_str()).expect("to a string");
    }
    for permission in Permission::ALL {
        let row = format!("{:<20}", permission.as_str());
        let cells = Role::ALL.iter().map(|role| match role.allows(*permission) {
            true => format!("{:<10}", "yes"),
            false => format!("{:<10}", "-"),
        });
        text = format!("{}\n{row}{}", text.trim_end(), cells.collect::<String>());
    }
    format!("{}\n", text.trim_end())
}

/// The table, read back.
fn roles_of(text: &str) -> Vec<(Role, BTreeSet<&'static str>)> {
    let mut lines = text.lines().map(|line| line.split_whitespace());
    let header: Vec<&str> = lines.next().expect("a header").skip(1).collect();
    let rows: Vec<Vec<&str>> = lines.map(Iterator::collect).collect();
    let role = |(column, name): (usize, &&str)| {
        let role = Role::ALL.iter().find(|role| role.as_str() == *name);
        let allowed = rows.iter().filter(|row| row[column + 1] == "yes");
        let permission = |row: &Vec<&str>| {
            let permission = Permission::ALL.iter().find(|p| p.as_str() == row[0]);
            permission.expect("a permission").as_str()
        };
        (*role.expect("a role"), allowed.map(permission).collect())
    };
    header.iter().enumerate().map(role).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how a test run is told its size and seed"
)]
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[expect(clippy::print_stdout, reason = "how a test run says what it did")]
fn runner(cases: u64) -> TestRunner {
    let count = cases * variable("CLAVIGER_TEST_VOLUME").unwrap_or(1);
    let seed = variable("CLAVIGER_TEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("seed {seed}, {count} cases");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(
        Config {
            cases: u32::try_from(count).expect("fewer than 2^32"),
            failure_persistence: None,
            ..Config::default()
        },
        TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
    )
}

#[test]
#[expect(clippy::disallowed_methods, reason = "one variable of the test run")]
fn roles_allow_what_the_reviewed_table_says() {
    if std::env::var_os("CLAVIGER_UPDATE_GOLDEN").is_some() {
        fs::write(golden_path(), table()).expect("written");
    }
    assert_eq!(
        table(),
        golden(),
        "the roles changed: if that is wanted, run with CLAVIGER_UPDATE_GOLDEN=1 and review"
    );
}

#[test]
fn nobody_who_keeps_grants_or_definitions_may_read_a_value() {
    for (role, permissions) in roles_of(&golden()) {
        let keeps = ["grants.put", "tokens.put", "definitions.put", "secrets.put"];
        let is_keeper = keeps.iter().any(|name| permissions.contains(name));
        assert!(
            !(is_keeper && permissions.contains("secrets.get")),
            "{role:?}"
        );
    }
}

#[test]
fn evaluator_names_the_grant_that_the_slow_one_names() {
    let world = World::new();
    let mut runner = runner(10_000);
    let count = u64::from(runner.config().cases);
    let allowed = std::cell::Cell::new(0_u64);
    runner
        .run(
            &(world.any_grants(), world.any_question()),
            |(grants, asked)| {
                let wanted = world.reference(&grants, asked);
                allowed.set(allowed.get() + u64::from(wanted.is_some()));
                prop_assert_eq!(world.decided(&grants, asked), wanted);
                Ok(())
            },
        )
        .expect("both say the same");
    // Else the cases would show next to nothing.
    let allowed = allowed.get();
    assert!(
        allowed > count / 50 && allowed < count - count / 50,
        "{allowed} of {count} are allowed"
    );
}

/// A SPIFFE id; with `/*`, a pattern. Of few words, so that they meet often.
fn spiffe(least: usize, end: &'static str) -> impl Strategy<Value = Foreign> {
    let domain = prop::sample::select(vec!["acme", "acme.evil", "acm"]);
    let part = prop::sample::select(vec!["etl", "etlx", "et", "ns", "etl."]);
    (domain, vec(part, least..4)).prop_map(move |(domain, path)| {
        let path: String = path.into_iter().map(|part| format!("/{part}")).collect();
        Foreign::parse(&format!("spiffe://{domain}{path}{end}")).expect("a name")
    })
}

/// The reference: the name begins with all of the pattern but its star.
#[test]
fn a_name_fits_the_patterns_of_its_parents_and_no_other() {
    let fitting = std::cell::Cell::new(0_u64);
    let pairs = (spiffe(1, ""), spiffe(0, "/*"));
    runner(100_000)
        .run(&pairs, |(name, pattern)| {
            let parent = pattern.as_str().strip_suffix('*').expect("a pattern");
            let expected = name.as_str().starts_with(parent);
            fitting.set(fitting.get() + u64::from(expected));
            prop_assert_eq!(name.patterns().any(|fits| fits == pattern), expected);
            Ok(())
        })
        .expect("no name fits another pattern");
    assert!(fitting.get() > 0);
}
