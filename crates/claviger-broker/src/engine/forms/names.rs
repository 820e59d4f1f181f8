//! The forms of the names and words that other crates have for what is registered.

use claviger_access::Role;
use claviger_core::{DefinitionName, Format, Id, Kind, ProfileName, ProjectName};
use claviger_stripe::oauth::Flavor;
use claviger_stripe::{Class, Mode};
use serde::{Deserialize, Serialize};

/// The name of a definition or profile.
#[derive(Deserialize, Serialize)]
pub(super) struct NameForm {
    project: Id,
    id: Id,
}

impl From<&DefinitionName> for NameForm {
    fn from(name: &DefinitionName) -> Self {
        Self {
            project: name.project().id().clone(),
            id: name.id().clone(),
        }
    }
}

impl From<NameForm> for DefinitionName {
    fn from(form: NameForm) -> Self {
        Self::new(ProjectName::new(form.project), form.id)
    }
}

impl From<&ProfileName> for NameForm {
    fn from(name: &ProfileName) -> Self {
        Self {
            project: name.project().id().clone(),
            id: name.id().clone(),
        }
    }
}

impl From<NameForm> for ProfileName {
    fn from(form: NameForm) -> Self {
        ProjectName::new(form.project).profile(form.id)
    }
}

/// An enum of its own for one of another crate, and the ways between them: a new variant there does
/// not compile until it has a name here.
macro_rules! names {
    ($($form:ident of $model:ident { $($variant:ident),+ })+) => {$(
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
        pub(super) enum $form { $($variant),+ }

        impl From<$model> for $form {
            fn from(value: $model) -> Self {
                match value { $($model::$variant => Self::$variant),+ }
            }
        }

        impl From<$form> for $model {
            fn from(form: $form) -> Self {
                match form { $($form::$variant => Self::$variant),+ }
            }
        }
    )+};
}

names! {
    ClassForm of Class {
        Ephemeral, Identifier, Organization, Publishable, Restricted, Secret, Unknown, WebhookSecret
    }
    FlavorForm of Flavor { Apps, Connect }
    FormatForm of Format { Binary, Text }
    KindForm of Kind { Opaque, Password, StripeApiKey, StripeOauth, StripeWebhookSecret }
    ModeForm of Mode { Live, Test }
    RoleForm of Role { Admin, Auditor, Operator, Runner }
}
