use claviger_proto::v1;
use proptest::prelude::*;

use super::convert;
use super::document::{Definition, Document, Project};
use super::items::{Content, Holding, Items};
use super::parse::parse;
use super::words::Id;
use super::write::yaml;

/// A file with every field there is.
const EVERYTHING: &str = include_str!("everything.yaml");

pub(crate) fn validator() -> jsonschema::Validator {
    let schema = serde_json::to_value(schemars::schema_for!(Document)).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn file_with_every_field_is_written_as_it_was_read_and_fits_the_schema() {
    let document = parse("everything.yaml", EVERYTHING).unwrap();
    let schema = validator();
    let value = serde_json::to_value(&document).unwrap();
    assert!(schema.is_valid(&value), "{:?}", schema.validate(&value));
    assert_eq!(yaml(&document).unwrap(), EVERYTHING);
    assert_eq!(
        yaml(&Document::from(Items::from(document))).unwrap(),
        EVERYTHING
    );
}

/// Fields of the schema that `everything.yaml` leaves out would not be missed elsewhere.
#[test]
fn every_field_of_the_schema_is_in_that_file() {
    let schema = serde_json::to_value(schemars::schema_for!(Document)).unwrap();
    let mut fields = Vec::new();
    let mut pending = vec![&schema];
    while let Some(value) = pending.pop() {
        let properties = value
            .get("properties")
            .and_then(serde_json::Value::as_object);
        fields.extend(
            properties
                .into_iter()
                .flat_map(|properties| properties.keys()),
        );
        let inner = value
            .as_object()
            .into_iter()
            .flat_map(|object| object.values());
        pending.extend(inner);
    }
    assert!(fields.len() > 40, "{fields:?}");
    for field in fields {
        assert!(EVERYTHING.contains(&format!("{field}:")), "{field}");
    }
}

#[test]
fn what_goes_to_a_daemon_comes_back_as_it_was() {
    let items = Items::from(parse("everything.yaml", EVERYTHING).unwrap());
    for (name, thing) in &items.things {
        let (full, etag) = (name.to_string(), "1".to_owned());
        let back = match &thing.content {
            Content::Project(project) => {
                let wire = convert::wire_project(full, etag, project);
                Content::Project(convert::project(&wire).unwrap())
            }
            Content::Definition(definition) => {
                let wire = convert::wire_definition(full, etag, definition);
                Content::Definition(Box::new(convert::definition(&wire).unwrap()))
            }
            Content::Profile(profile) => {
                let wire = convert::wire_profile(name.project(), full, etag, profile);
                let key = profile.api_key.as_ref();
                let is_own = key.is_some_and(|key| key.definition.is_none());
                Content::Profile(convert::profile(&wire, is_own).unwrap())
            }
        };
        assert_eq!(back, thing.content);
    }
    for holding in items.grants.keys() {
        assert_eq!(Holding::of(&holding.wire()).unwrap(), *holding);
    }
}

#[test]
fn what_a_newer_daemon_has_is_not_left_out() {
    let definition = v1::SecretDefinition {
        name: "projects/acme/secrets/db".to_owned(),
        kind: 99,
        ..Default::default()
    };
    let said = convert::definition(&definition).unwrap_err().to_string();
    assert!(said.starts_with("projects/acme/secrets/db: "), "{said}");
    let grant = v1::Grant {
        name: "grants/1".to_owned(),
        role: v1::Role::Runner.into(),
        resource: "projects/acme/secrets/db".to_owned(),
        ..Default::default()
    };
    assert!(Holding::of(&grant).is_ok());
    let of_role = v1::Grant {
        role: 99,
        ..grant.clone()
    };
    let on = |resource: &str| v1::Grant {
        resource: resource.to_owned(),
        ..grant.clone()
    };
    let environment = "eu/*".to_owned();
    let within = v1::Grant {
        environment,
        ..grant.clone()
    };
    let everywhere = v1::Grant {
        environment: "prod".to_owned(),
        ..on("*")
    };
    for grant in [
        of_role,
        within,
        everywhere,
        on("projects/acme/views/1"),
        on("teams/etl"),
        on(""),
    ] {
        let said = Holding::of(&grant).unwrap_err().to_string();
        assert!(said.starts_with("grants/1: "), "{grant:?}: {said}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_as_it_was_written(texts in proptest::collection::vec(any::<String>(), 3)) {
        let id = |text: &str| Id::try_from(text.to_owned()).unwrap();
        let mut definition = Definition::default();
        definition.location.secret.clone_from(&texts[0]);
        definition.labels.insert(id("no"), texts[1].clone());
        let mut project = Project { description: texts[2].clone(), ..Project::default() };
        project.definitions.insert(id("1e3").into(), definition);
        let mut document = Document::default();
        document.projects.insert(id("null").into(), project);
        let text = yaml(&document).unwrap();
        prop_assert_eq!(parse("f", &text).map_err(|stop| stop.to_string()), Ok(document), "{}", text);
    }
}
