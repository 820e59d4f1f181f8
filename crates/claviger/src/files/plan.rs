//! The difference between what a file wants and what a daemon has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::document::{Definition, Profile};
use super::items::{Content, Holding, Items, Name};
use super::place::Place;
use super::words::Id;
use crate::shown::shown_in_line;

/// The fields of a profile that are ways to authenticate, each changed field by field.
const AUTH: [&str; 2] = ["api_key", "oauth"];

/// One thing that is to become as the file has it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) place: Place,
    pub(crate) act: Act,
    /// The fields that differ, each as a line.
    pub(crate) fields: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A new thing, without an etag, or another content for the state that the etag names.
    Put {
        name: Name,
        content: Content,
        etag: String,
        /// The fields that differ, as an `update_mask` has them; none of a new thing.
        paths: Vec<String>,
    },
    Give(Holding),
    /// Takes back the grant of this name.
    Take(Holding, String),
    Delete {
        name: Name,
        etag: String,
        /// For good.
        purge: bool,
    },
}

/// The grants that pruning spares: those of the caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spared {
    pub(crate) principal: String,
    /// Of the grants that it holds, by a pattern too.
    pub(crate) names: BTreeSet<String>,
}

impl Act {
    /// What two differences of one thing have in common.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Put { name, .. } | Self::Delete { name, .. } => name.to_string(),
            Self::Give(holding) | Self::Take(holding, _) => format!("grant of {holding}"),
        }
    }
}

/// One line, without the fields.
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self {
            Self::Put { etag, .. } if !etag.is_empty() => '~',
            Self::Put { .. } | Self::Give(_) => '+',
            Self::Take(..) | Self::Delete { .. } => '-',
        };
        write!(f, "{mark} {}", shown_in_line(&self.subject()))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.act)?;
        self.fields
            .iter()
            .try_for_each(|field| writeln!(f, "    {}", shown_in_line(field)))
    }
}

/// All changes, in an order in which they can be made. Only with `prune` something is deleted: what
/// is in a project of the file and not in the file, but never a project.
pub(crate) fn between(wanted: &Items, kept: &Items, prune: Option<&Spared>) -> Vec<Change> {
    let puts = wanted.things.iter().filter_map(|(name, thing)| {
        let before = kept.things.get(name);
        let is_same = before.is_some_and(|before| before.content == thing.content);
        let put = || Change {
            place: thing.place,
            fields: differences(before.map(|before| &before.content), &thing.content),
            act: Act::Put {
                name: name.clone(),
                content: thing.content.clone(),
                etag: before.map(|before| before.etag.clone()).unwrap_or_default(),
                paths: before
                    .map(|before| paths(&before.content, &thing.content))
                    .unwrap_or_default(),
            },
        };
        (!is_same).then(put)
    });
    let gives = wanted.grants.iter().filter_map(|(holding, given)| {
        // One on what is not there is on what had the name before.
        let is_on = |name: Name| kept.things.contains_key(&name);
        let is_same = kept.grants.contains_key(holding) && holding.on().is_none_or(is_on);
        let give = || Change {
            place: given.place,
            act: Act::Give(holding.clone()),
            fields: Vec::new(),
        };
        (!is_same).then(give)
    });
    let mut changes: Vec<_> = puts.chain(gives).collect();
    if let Some(spared) = prune {
        changes.extend(pruned(wanted, kept, spared).map(|act| Change {
            place: Place::default(),
            act,
            fields: Vec::new(),
        }));
    }
    changes
}

fn pruned(wanted: &Items, kept: &Items, spared: &Spared) -> impl Iterator<Item = Act> {
    let is_named = |project: &Id| wanted.things.contains_key(&Name::Project(project.clone()));
    let is_extra = move |holding: &Holding| {
        let is_wanted = wanted.grants.contains_key(holding);
        let is_own = holding.principal == spared.principal || holding.is_of_token();
        holding.project.as_ref().is_some_and(is_named) && !is_wanted && !is_own
    };
    let takes = kept
        .grants
        .iter()
        .filter(move |(holding, _)| is_extra(holding));
    let takes = takes.flat_map(move |(holding, given)| {
        let names = given
            .names
            .iter()
            .filter(|name| !spared.names.contains(*name));
        names.map(|name| Act::Take(holding.clone(), name.clone()))
    });
    // What leads to something goes before that.
    let things = kept.things.iter().rev();
    let deletes = things.filter_map(move |(name, thing)| {
        let is_project = matches!(name, Name::Project(_));
        let is_extra = is_named(name.project()) && !wanted.things.contains_key(name);
        let delete = || Act::Delete {
            name: name.clone(),
            etag: thing.etag.clone(),
            purge: thing.content.is_only_a_pointer(),
        };
        (is_extra && !is_project).then(delete)
    });
    takes.chain(deletes)
}

/// What can be told to be wrong before the daemon is asked, each with its place.
pub(crate) fn problems(wanted: &Items, kept: &Items, is_pruning: bool) -> Vec<(Place, String)> {
    let is_there = |name: &Name| {
        wanted.things.contains_key(name) || !is_pruning && kept.things.contains_key(name)
    };
    let mut problems = Vec::new();
    for (name, thing) in &wanted.things {
        if kept.deleted.contains(name) {
            let said = format!("{name}: it is deleted; undelete it, or purge it to begin anew");
            problems.push((thing.place, said));
            continue;
        }
        match (name, &thing.content) {
            (Name::Definition(project, _), Content::Definition(definition)) => {
                problems.extend(of_definition(wanted, project, definition));
            }
            (Name::Profile(project, _), Content::Profile(profile)) => {
                let is_new = !kept.things.contains_key(name);
                let problem = of_profile(project, profile, is_new, is_there);
                problems.extend(problem.map(|(place, problem)| {
                    (place.unwrap_or(thing.place), format!("{name}: {problem}"))
                }));
            }
            (Name::Project(_) | Name::Definition(..) | Name::Profile(..), _) => {}
        }
    }
    for (holding, given) in &wanted.grants {
        if let Some(name) = holding.on().filter(|name| !is_there(name)) {
            problems.push((
                given.place,
                format!("a grant on {name}, which is not there"),
            ));
        }
        if let (Some(project), Some(environment)) = (&holding.project, &holding.environment)
            && !has_environment(wanted, project, environment.as_str())
        {
            problems.push((given.place, no_environment(project, environment.as_str())));
        }
    }
    problems
}

fn of_definition(
    wanted: &Items,
    project: &Id,
    definition: &Definition,
) -> impl Iterator<Item = (Place, String)> {
    let environments = definition.environments.keys();
    let unknown =
        environments.filter(move |id| !has_environment(wanted, project, id.value.as_str()));
    unknown.map(move |id| (id.place, no_environment(project, id.value.as_str())))
}

/// The place is left out where it is that of the profile.
fn of_profile(
    project: &Id,
    profile: &Profile,
    is_new: bool,
    is_there: impl Fn(&Name) -> bool,
) -> Option<(Option<Place>, String)> {
    let definition = match (&profile.api_key, &profile.oauth) {
        (Some(key), None) => key.definition.as_ref(),
        (None, Some(_)) => None,
        (Some(_), Some(_)) | (None, None) => {
            return Some((None, "give it one of api_key and oauth".to_owned()));
        }
    };
    let Some(definition) = definition else {
        let said = "it is not there, and its credentials go through no file; make it with claviger \
            profile, or name a definition in api_key";
        return is_new.then(|| (None, said.to_owned()));
    };
    let name = Name::Definition(project.clone(), definition.value.clone());
    let said = || {
        (
            Some(definition.place),
            format!("it leads to {name}, which is not there"),
        )
    };
    (!is_there(&name)).then(said)
}

fn has_environment(wanted: &Items, project: &Id, environment: &str) -> bool {
    let thing = wanted.things.get(&Name::Project(project.clone()));
    match thing.map(|thing| &thing.content) {
        Some(Content::Project(project)) => project
            .environments
            .keys()
            .any(|id| id.as_str() == environment),
        Some(Content::Definition(_) | Content::Profile(_)) | None => false,
    }
}

fn no_environment(project: &Id, environment: &str) -> String {
    format!("the project {project} has no environment {environment}; add it there, or correct it")
}

/// The fields that differ: `field: old -> new`, and `field: new` of something new.
fn differences(before: Option<&Content>, after: &Content) -> Vec<String> {
    let is_new = before.is_none();
    let [before, after] = [before, Some(after)].map(|content| {
        let mut fields = BTreeMap::new();
        let content = content.and_then(|content| serde_json::to_value(content).ok());
        for (field, value) in content
            .as_ref()
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            flatten(field.clone(), value.clone(), &mut fields);
        }
        fields
    });
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name));
    let shown = |value: Option<&Value>| value.map_or("(unset)".to_owned(), Value::to_string);
    let lines = differing.map(|name| {
        let new = shown(after.get(name));
        match is_new {
            true => format!("{name}: {new}"),
            false => format!("{name}: {} -> {new}", shown(before.get(name))),
        }
    });
    lines.collect()
}

/// The fields that differ, without those that the file cannot state: a put of all would take the
/// latter away.
fn paths(before: &Content, after: &Content) -> Vec<String> {
    let [before, after] = [before, after].map(|content| {
        let content = serde_json::to_value(content).unwrap_or_default();
        content.as_object().cloned().unwrap_or_default()
    });
    let mut paths = Vec::new();
    for field in differing(&before, &after) {
        let is_auth = AUTH.contains(&field.as_str());
        match (before.get(field), after.get(field)) {
            // The other one, which takes its place, has it replaced.
            (_, None) if is_auth => {}
            (Some(Value::Object(before)), Some(Value::Object(after))) if is_auth => {
                let fields = differing(before, after);
                paths.extend(fields.map(|inner| format!("{field}.{inner}")));
            }
            _ => paths.push(field.clone()),
        }
    }
    paths
}

fn differing<'a>(
    before: &'a Map<String, Value>,
    after: &'a Map<String, Value>,
) -> impl Iterator<Item = &'a String> {
    let fields: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let fields = fields.into_iter();
    fields.filter(|field| before.get(*field) != after.get(*field))
}

/// Single values by their path.
fn flatten(path: String, value: Value, fields: &mut BTreeMap<String, Value>) {
    let object = value.as_object().filter(|object| !object.is_empty());
    let Some(object) = object else {
        fields.insert(path, value);
        return;
    };
    for (key, value) in object {
        flatten(format!("{path}.{key}"), value.clone(), fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::parse::parse;

    fn items(text: &str) -> Items {
        Items::from(parse("f", text).unwrap())
    }

    /// What a daemon has, with the names of grants and etags as it gives them.
    fn kept(text: &str) -> Items {
        let mut items = items(text);
        for (name, thing) in &mut items.things {
            thing.etag = format!("etag of {name}");
        }
        for (index, given) in items.grants.values_mut().enumerate() {
            given.names = vec![format!("grants/{index}")];
        }
        items
    }

    fn lines(changes: &[Change]) -> String {
        changes.iter().map(Change::to_string).collect()
    }

    const BEFORE: &str = "
        projects:
          acme:
            description: Payments
            environments: {prod: {}}
            definitions:
              db: {kind: PASSWORD, location: {version: '1'}}
              old: {}
            profiles:
              eu: {api_key: {definition: old}}
            grants:
            - {principal: 'unix:7', role: RUNNER}
            - {principal: 'unix:7', role: AUDITOR}
            - {principal: 'unix:8', role: RUNNER, resource: secrets/db}
            - {principal: 'spiffe://a/*', role: OPERATOR}
            - {principal: 'token:t', role: RUNNER}
          other:
            definitions: {spared: {}}
        grants:
        - {principal: 'unix:8', role: ADMIN}";

    const AFTER: &str = "
        projects:
          acme:
            environments: {prod: {}, test: {stripe_mode: TEST}}
            definitions:
              db: {kind: PASSWORD, description: \"a\\u0007b\\u009b\"}
              new: {}
            grants:
            - {principal: 'unix:7', role: AUDITOR}
            - {principal: 'unix:8', role: RUNNER, resource: secrets/new, environment: prod}";

    #[test]
    fn difference_is_in_an_order_in_which_it_can_be_made_and_deletes_nothing() {
        let changes = between(&items(AFTER), &kept(BEFORE), None);
        let expected = r#"~ projects/acme
    description: "Payments" -> (unset)
    environments.test.stripe_mode: (unset) -> "TEST"
~ projects/acme/secrets/db
    description: (unset) -> "a\u0007b?"
    location.version: "1" -> (unset)
+ projects/acme/secrets/new
    kind: "OPAQUE"
+ grant of RUNNER on projects/acme/secrets/new to unix:8 in prod
"#;
        assert_eq!(lines(&changes), expected);
        let Act::Put { etag, .. } = &changes[0].act else {
            panic!("{changes:?}");
        };
        assert_eq!(etag, "etag of projects/acme");
        assert!(between(&items(BEFORE), &kept(BEFORE), None).is_empty());
    }

    #[test]
    fn pruning_spares_projects_tokens_the_callers_own_and_what_no_project_of_the_file_has() {
        let kept = kept(BEFORE);
        let mut by_pattern = kept.grants.iter();
        let by_pattern = by_pattern.find(|(holding, _)| holding.principal.starts_with("spiffe"));
        let spared = Spared {
            principal: "unix:7".to_owned(),
            names: by_pattern.unwrap().1.names.iter().cloned().collect(),
        };
        let changes = between(&items(AFTER), &kept, Some(&spared));
        let deletes = changes.iter().map(|change| change.act.to_string());
        let deletes: Vec<_> = deletes.filter(|line| line.starts_with('-')).collect();
        let expected = [
            "- grant of RUNNER on projects/acme/secrets/db to unix:8",
            "- projects/acme/connectionProfiles/eu",
            "- projects/acme/secrets/old",
        ];
        assert_eq!(deletes, expected);
    }

    #[test]
    fn grant_on_what_is_made_anew_is_given_anew() {
        let mut kept = kept(BEFORE);
        kept.things
            .retain(|name, _| name.to_string() != "projects/acme/secrets/db");
        let changes = between(&items(BEFORE), &kept, None);
        let expected = "\
            + projects/acme/secrets/db\n    kind: \"PASSWORD\"\n    location.version: \"1\"\n\
            + grant of RUNNER on projects/acme/secrets/db to unix:8\n";
        assert_eq!(lines(&changes), expected);
    }

    #[test]
    fn what_cannot_work_is_told_with_its_place() {
        for (text, expected) in [
            (
                "projects: {p: {definitions: {d: {environments: {prod: {}}}}}}",
                "1:49: the project p has no environment prod",
            ),
            (
                "projects: {p: {profiles: {c: {}}}}",
                "1:27: projects/p/connectionProfiles/c: give it one of api_key and oauth",
            ),
            (
                "projects: {p: {profiles: {c: {api_key: {}, oauth: {client_id: c, flavor: APPS}}}}}",
                "1:27: projects/p/connectionProfiles/c: give it one of api_key and oauth",
            ),
            (
                "projects: {p: {profiles: {c: {api_key: {}}}}}",
                "1:27: projects/p/connectionProfiles/c: it is not there, and its credentials go",
            ),
            (
                "projects: {p: {profiles: {c: {oauth: {client_id: c, flavor: APPS}}}}}",
                "1:27: projects/p/connectionProfiles/c: it is not there, and its credentials go",
            ),
            (
                "projects: {p: {profiles: {c: {api_key: {definition: d}}}}}",
                "1:53: projects/p/connectionProfiles/c: it leads to projects/p/secrets/d, which",
            ),
            (
                "projects: {p: {grants: [{principal: u, role: RUNNER, resource: secrets/d}]}}",
                "1:37: a grant on projects/p/secrets/d, which is not there",
            ),
            (
                "projects: {p: {grants: [{principal: u, role: RUNNER, environment: prod}]}}",
                "1:37: the project p has no environment prod",
            ),
        ] {
            let problems = problems(&items(text), &Items::default(), false);
            let [(place, problem)] = problems.as_slice() else {
                panic!("{text}: {problems:?}");
            };
            let said = format!("{place}: {problem}");
            assert!(said.starts_with(expected), "{said}");
        }
        assert!(problems(&items(BEFORE), &Items::default(), true).is_empty());
    }

    #[test]
    fn what_may_come_back_is_told_with_its_place() {
        let mut kept = kept(BEFORE);
        let names = kept
            .things
            .keys()
            .filter(|name| !matches!(name, Name::Project(_)));
        kept.deleted = names.cloned().collect();
        let problems = problems(&items(BEFORE), &kept, false);
        let said = problems
            .iter()
            .map(|(place, problem)| format!("{place}: {problem}"));
        let said: Vec<_> = said.collect();
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(
            said[0].starts_with("7:15: projects/acme/secrets/db: it is deleted;"),
            "{said:?}"
        );
    }

    #[test]
    fn what_pruning_would_delete_is_not_there_for_the_rest() {
        let text =
            "projects: {acme: {grants: [{principal: u, role: RUNNER, resource: secrets/db}]}}";
        let (wanted, kept) = (items(text), kept(BEFORE));
        assert!(problems(&wanted, &kept, false).is_empty());
        assert_eq!(problems(&wanted, &kept, true).len(), 1);
    }
}
