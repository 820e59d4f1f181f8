//! What the audit log is told of a record: an allow list of its fields, so that a change can be
//! made again from the log alone.
//!
//! SECURITY: none of them is, or is made of, a value.

use std::time::Duration;

use claviger_access::{Edit, Facts, Grant, Scope, Told, Word};
use claviger_core::{Coordinate, Format, Id, List, Resource, Uid};

use crate::model::content::Content;
use crate::model::definition::Definition;
use crate::model::freshness::FreshnessPolicy;
use crate::model::grants::GrantView;
use crate::model::location::Location;
use crate::model::profile::{Adapter, Auth, Profile};
use crate::model::project::Project;
use crate::model::token::Token;

impl Definition {
    /// The intent that makes it, with a value for this place or with none.
    pub(crate) fn making(&self, place: Facts) -> Facts {
        Facts {
            about: Some((Resource::Definition(self.name.clone()), Some(self.uid))),
            edits: Edit::between(&Told::new(), &self.told()),
            ..place
        }
    }

    /// The intent that makes it another one.
    pub(crate) fn changing(&self, after: &Self) -> Facts {
        edits(Edit::between(&self.told(), &after.told()))
    }

    /// The intent after which it is gone.
    pub(crate) fn ending(&self) -> Facts {
        Facts {
            about: Some((Resource::Definition(self.name.clone()), Some(self.uid))),
            edits: Edit::between(&self.told(), &Told::new()),
            ..Facts::default()
        }
    }

    /// The intent that changes it beside what was asked for, with a value for this place or with none.
    pub(crate) fn changing_too(&self, after: &Self, place: Facts) -> Facts {
        Facts {
            about: Some((Resource::Definition(self.name.clone()), Some(self.uid))),
            edits: Edit::between(&self.told(), &after.told()),
            ..place
        }
    }

    fn told(&self) -> Told {
        let mut told = self.content.told();
        note(&mut told, "uid", Some(Word::of(self.uid)));
        note(&mut told, "delete_time", self.delete_time.map(Word::Time));
        told
    }
}

impl Content {
    fn told(&self) -> Told {
        let mut told = Told::new();
        note(&mut told, "description", private(&self.description));
        note(&mut told, "kind", Some(Word::of(self.kind)));
        let format = match self.format {
            Format::Binary => "BINARY",
            Format::Text => "TEXT",
        };
        note(&mut told, "format", Some(Word::of(format)));
        if self.location != Location::default() {
            tell(&mut told, "location", &self.location);
        }
        for (environment, location) in &self.environments {
            tell(&mut told, &format!("environments.{environment}"), location);
        }
        let fallback = self.environment_fallback.then(|| Word::of("true"));
        note(&mut told, "environment_fallback", fallback);
        let FreshnessPolicy { max_age, max_stale } = self.freshness;
        note(&mut told, "freshness.max_age", max_age.map(seconds));
        note(&mut told, "freshness.max_stale", max_stale.map(seconds));
        note(&mut told, "rotate_by", self.rotate_by.map(Word::Time));
        for (key, value) in &self.labels {
            let value = Some(Word::of(Coordinate(value)));
            note(&mut told, &format!("labels.{key}"), value);
        }
        let stripe = &self.stripe;
        let classes = stripe.allowed_classes.iter().map(|class| class.as_str());
        let classes = (!stripe.allowed_classes.is_empty()).then(|| List(classes.collect()));
        note(&mut told, "stripe.allowed_classes", classes.map(Word::of));
        note(&mut told, "stripe.account", text(stripe.account.as_ref()));
        note(&mut told, "stripe.context", text(stripe.context.as_ref()));
        told
    }
}

impl Profile {
    /// The intent that makes it.
    pub(crate) fn making(&self) -> Facts {
        Facts {
            about: Some((Resource::Profile(self.name.clone()), Some(self.uid))),
            edits: Edit::between(&Told::new(), &self.told()),
            ..Facts::default()
        }
    }

    /// The intent that makes it another one.
    pub(crate) fn changing(&self, after: &Self) -> Facts {
        edits(Edit::between(&self.told(), &after.told()))
    }

    /// The intent after which it is gone.
    pub(crate) fn ending(&self) -> Facts {
        Facts {
            about: Some((Resource::Profile(self.name.clone()), Some(self.uid))),
            edits: Edit::between(&self.told(), &Told::new()),
            ..Facts::default()
        }
    }

    fn told(&self) -> Told {
        let content = &self.content;
        let mut told = Told::new();
        note(&mut told, "uid", Some(Word::of(self.uid)));
        note(&mut told, "delete_time", self.delete_time.map(Word::Time));
        note(&mut told, "description", private(&content.description));
        let adapter = match content.adapter {
            Adapter::Stripe => "STRIPE",
        };
        note(&mut told, "adapter", Some(Word::of(adapter)));
        for (key, value) in &content.labels {
            let value = Some(Word::of(Coordinate(value)));
            note(&mut told, &format!("labels.{key}"), value);
        }
        match &content.auth {
            Auth::ApiKey(auth) => {
                let definition = Some(Word::of(&auth.definition));
                note(&mut told, "api_key.definition", definition);
                note(&mut told, "api_key.account", text(auth.account.as_ref()));
                note(&mut told, "api_key.context", text(auth.context.as_ref()));
            }
            Auth::Oauth(auth) => {
                let flavor = Some(Word::of(auth.flavor.as_str()));
                note(&mut told, "oauth.flavor", flavor);
                note(&mut told, "oauth.client_id", text(Some(&auth.client_id)));
                note(&mut told, "oauth.account", text(auth.account.as_ref()));
                let mode = auth.mode.map(|mode| Word::of(mode.as_str()));
                note(&mut told, "oauth.mode", mode);
                note(&mut told, "oauth.app", text(auth.app.as_ref()));
                let definition = Some(Word::of(&auth.definition));
                note(&mut told, "oauth.definition", definition);
            }
        }
        told
    }
}

impl Project {
    /// The intent that makes it.
    pub(crate) fn making(&self) -> Facts {
        Facts {
            about: Some((Resource::Project(self.name.clone()), Some(self.uid))),
            edits: Edit::between(&Told::new(), &self.told()),
            ..Facts::default()
        }
    }

    /// The intent that makes it another one.
    pub(crate) fn changing(&self, after: &Self) -> Facts {
        edits(Edit::between(&self.told(), &after.told()))
    }

    /// The intent after which it is gone.
    pub(crate) fn ending(&self) -> Facts {
        edits(Edit::between(&self.told(), &Told::new()))
    }

    fn told(&self) -> Told {
        let content = &self.content;
        let mut told = Told::new();
        note(&mut told, "uid", Some(Word::of(self.uid)));
        note(&mut told, "description", private(&content.description));
        let vault = content.default_vault.as_ref();
        note(&mut told, "default_vault", vault.map(Word::of));
        for (id, environment) in &content.environments {
            // Always: else one without settings would not be told.
            let vault = environment.default_vault.as_ref();
            let vault = vault.map_or(Word::of(""), Word::of);
            let field = format!("environments.{id}.default_vault");
            note(&mut told, &field, Some(vault));
            let mode = environment.stripe_mode.map(|mode| Word::of(mode.as_str()));
            note(&mut told, &format!("environments.{id}.stripe_mode"), mode);
        }
        told
    }
}

impl GrantView {
    /// The intent that gives it.
    pub(crate) fn giving(&self) -> Facts {
        Facts {
            edits: Edit::between(&Told::new(), &told_of(&self.grant)),
            ..self.facts()
        }
    }

    /// The intent that takes it back.
    pub(crate) fn taking(&self) -> Facts {
        Facts {
            edits: Edit::between(&told_of(&self.grant), &Told::new()),
            ..self.facts()
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            about: Some(about(&self.grant.scope)),
            subject: Some(self.grant.id.clone()),
            holder: Some(self.principal.clone()),
            ..Facts::default()
        }
    }
}

impl Token {
    /// The intent that makes it.
    pub(crate) fn making(&self, id: &Id) -> Facts {
        let mut told = Told::new();
        note(&mut told, "description", private(&self.description));
        note(&mut told, "expire_time", Some(Word::Time(self.expire_time)));
        let other = self.speaks_as.as_ref();
        note(
            &mut told,
            "identity",
            other.map(|other| Word::of(&other.identity)),
        );
        Facts {
            subject: Some(id.clone()),
            edits: Edit::between(&Told::new(), &told),
            ..Facts::default()
        }
    }

    /// The intent that revokes it.
    pub(crate) fn revoking(id: &Id) -> Facts {
        let told = Told::from([("revoked".to_owned(), Word::of("true"))]);
        Facts {
            subject: Some(id.clone()),
            edits: Edit::between(&Told::new(), &told),
            ..Facts::default()
        }
    }
}

fn told_of(grant: &Grant) -> Told {
    let mut told = Told::new();
    note(&mut told, "role", Some(Word::of(grant.role.as_str())));
    let environment = grant.environment.as_ref();
    note(&mut told, "environment", environment.map(Word::of));
    note(&mut told, "expire_time", grant.expire_time.map(Word::Time));
    let purpose = grant.purpose.as_ref();
    let purpose = purpose.map(|purpose| Word::of(Coordinate(purpose.as_str())));
    note(&mut told, "purpose", purpose);
    told
}

fn about(scope: &Scope) -> (Resource, Option<Uid>) {
    let uid = match scope {
        Scope::Daemon => None,
        Scope::Definition { uid, .. } | Scope::Profile { uid, .. } | Scope::Project { uid, .. } => {
            Some(*uid)
        }
    };
    (scope.resource(), uid)
}

fn edits(edits: Vec<Edit>) -> Facts {
    Facts {
        edits,
        ..Facts::default()
    }
}

/// The vault always: else a location with nothing of its own would not be told.
fn tell(told: &mut Told, path: &str, location: &Location) {
    let vault = location.vault.as_ref().map(ToString::to_string);
    let vault = vault.unwrap_or_default();
    let vault = Some(Word::of(Coordinate(&vault)));
    note(told, &format!("{path}.vault"), vault);
    for (field, coordinate) in [
        ("secret", &location.secret),
        ("property", &location.property),
        ("version", &location.version),
    ] {
        note(told, &format!("{path}.{field}"), text(coordinate.as_ref()));
    }
    let whole = location.is_whole.then(|| Word::of("true"));
    note(told, &format!("{path}.whole"), whole);
}

fn text(text: Option<&String>) -> Option<Word> {
    text.map(|text| Word::of(Coordinate(text)))
}

fn private(text: &str) -> Option<Word> {
    (!text.is_empty()).then(|| Word::Private(text.to_owned()))
}

fn seconds(duration: Duration) -> Word {
    Word::of(duration.as_secs())
}

fn note(told: &mut Told, field: &str, word: Option<Word>) {
    told.extend(word.map(|word| (field.to_owned(), word)));
}
