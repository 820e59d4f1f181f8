//! The forms of the words that other crates have for what is registered.

use claviger_access::Role;
use claviger_core::{Format, Kind};
use claviger_stripe::{Class, Mode};
use serde::{Deserialize, Serialize};

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
    FormatForm of Format { Binary, Text }
    KindForm of Kind { Opaque, Password, StripeApiKey, StripeWebhookSecret }
    ModeForm of Mode { Live, Test }
    RoleForm of Role { Admin, Auditor, Operator, Runner }
}
