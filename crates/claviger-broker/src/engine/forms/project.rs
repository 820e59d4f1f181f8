//! The stored form of a project.

use std::collections::BTreeMap;
use std::time::SystemTime;

use claviger_core::{Id, ProjectName, Uid};
use claviger_store::Record;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::forms::names::ModeForm;
use crate::model::project::{Environment, Project, ProjectContent};

impl Record for Project {
    const KIND: &'static str = "projects/";
    const FORM: u32 = 1;
}

#[derive(Deserialize, Serialize)]
struct ProjectForm {
    name: Id,
    uid: Uid,
    content: ContentForm,
    generation: u64,
    create_time: SystemTime,
    update_time: SystemTime,
}

#[derive(Deserialize, Serialize)]
#[serde(default)]
#[derive(Default)]
struct ContentForm {
    description: String,
    default_vault: Option<Id>,
    environments: BTreeMap<Id, EnvironmentForm>,
}

#[derive(Deserialize, Serialize)]
#[serde(default)]
#[derive(Default)]
struct EnvironmentForm {
    default_vault: Option<Id>,
    stripe_mode: Option<ModeForm>,
}

impl Serialize for Project {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let environment = |(id, environment): (&Id, &Environment)| {
            let form = EnvironmentForm {
                default_vault: environment.default_vault.clone(),
                stripe_mode: environment.stripe_mode.map(ModeForm::from),
            };
            (id.clone(), form)
        };
        ProjectForm {
            name: self.name.id().clone(),
            uid: self.uid,
            content: ContentForm {
                description: self.content.description.clone(),
                default_vault: self.content.default_vault.clone(),
                environments: self.content.environments.iter().map(environment).collect(),
            },
            generation: self.generation,
            create_time: self.create_time,
            update_time: self.update_time,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Project {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = ProjectForm::deserialize(deserializer)?;
        let environment = |(id, form): (Id, EnvironmentForm)| {
            let environment = Environment {
                default_vault: form.default_vault,
                stripe_mode: form.stripe_mode.map(Into::into),
            };
            (id, environment)
        };
        let environments = form.content.environments.into_iter().map(environment);
        Ok(Self {
            name: ProjectName::new(form.name),
            uid: form.uid,
            content: ProjectContent {
                description: form.content.description,
                default_vault: form.content.default_vault,
                environments: environments.collect(),
            },
            generation: form.generation,
            create_time: form.create_time,
            update_time: form.update_time,
        })
    }
}
