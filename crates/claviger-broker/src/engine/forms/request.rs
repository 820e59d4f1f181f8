//! The stored form of a request with an id, and of its answer.

use std::borrow::Cow;
use std::time::SystemTime;

use claviger_core::Id;
use claviger_store::Record;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::answer::{Answer, Subject};
use crate::model::definition::Definition;
use crate::model::profile::Profile;
use crate::model::request::{Request, RequestState};
use crate::model::warning::Warning;

impl Record for Request {
    const KIND: &'static str = "requests/";
    const FORM: u32 = 5;
    /// With a definition of its oldest form, and so on.
    const FORM_OLDEST: u32 = 1;
}

#[derive(Deserialize, Serialize)]
pub(super) struct RequestForm {
    pub(super) mac: [u8; 32],
    pub(super) expire_time: SystemTime,
    pub(super) state: StateForm,
    pub(super) answer: AnswerForm,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
pub(super) enum StateForm {
    Begun,
    Finished,
    Overwritten,
}

#[derive(Deserialize, Serialize)]
pub(super) struct AnswerForm {
    pub(super) subject: SubjectForm,
    pub(super) version: Option<Id>,
    pub(super) warnings: Vec<WarningForm>,
}

#[derive(Deserialize, Serialize)]
pub(super) enum SubjectForm {
    Definition(Box<Definition>),
    Profile(Box<Profile>),
    Value { vault: Id },
}

#[derive(Deserialize, Serialize)]
pub(super) struct WarningForm {
    reason: String,
    message: String,
    field: String,
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RequestForm {
            mac: self.mac,
            expire_time: self.expire_time,
            state: match self.state {
                RequestState::Begun => StateForm::Begun,
                RequestState::Finished => StateForm::Finished,
                RequestState::Overwritten => StateForm::Overwritten,
            },
            answer: AnswerForm::from(&self.answer),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = RequestForm::deserialize(deserializer)?;
        Ok(Self {
            mac: form.mac,
            expire_time: form.expire_time,
            state: match form.state {
                StateForm::Begun => RequestState::Begun,
                StateForm::Finished => RequestState::Finished,
                StateForm::Overwritten => RequestState::Overwritten,
            },
            answer: form.answer.into(),
        })
    }
}

impl From<&Answer> for AnswerForm {
    fn from(answer: &Answer) -> Self {
        Self {
            subject: match &answer.subject {
                Subject::Definition(definition) => SubjectForm::Definition(definition.clone()),
                Subject::Profile(profile) => SubjectForm::Profile(profile.clone()),
                Subject::Value(vault) => SubjectForm::Value {
                    vault: vault.clone(),
                },
            },
            version: answer.version.clone(),
            warnings: answer.warnings.iter().map(WarningForm::from).collect(),
        }
    }
}

impl From<AnswerForm> for Answer {
    fn from(form: AnswerForm) -> Self {
        Self {
            subject: match form.subject {
                SubjectForm::Definition(definition) => Subject::Definition(definition),
                SubjectForm::Profile(profile) => Subject::Profile(profile),
                SubjectForm::Value { vault } => Subject::Value(vault),
            },
            version: form.version,
            warnings: form.warnings.into_iter().map(Warning::from).collect(),
        }
    }
}

impl From<&Warning> for WarningForm {
    fn from(warning: &Warning) -> Self {
        Self {
            reason: warning.reason.clone().into_owned(),
            message: warning.message.clone().into_owned(),
            field: warning.field.clone().into_owned(),
        }
    }
}

impl From<WarningForm> for Warning {
    fn from(form: WarningForm) -> Self {
        Self {
            reason: Cow::Owned(form.reason),
            message: Cow::Owned(form.message),
            field: Cow::Owned(form.field),
        }
    }
}
