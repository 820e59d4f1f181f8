//! Why a question is answered as it is, for people.

use claviger_core::{Id, Resource, Result};

use crate::directory::Directory;
use crate::evaluate::{may_allow, nearest};
use crate::{Attribute, Grant, Question, evaluate};

/// The answer of the evaluator to a question about a principal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// Whether it is yes.
    pub is_allowed: bool,
    /// The grant that allows it, if it may be shown.
    pub grant: Option<Id>,
    /// If it is no, the grant to be shown that fails in the fewest attributes, and in which first.
    pub nearest: Option<(Id, Attribute)>,
}

/// Asks the evaluator what `grants` allow, and names those of them that may be `shown`. The uids of
/// the question are found out here.
///
/// # Errors
/// Those of the directory.
pub async fn explain(
    directory: &impl Directory,
    grants: &[Grant],
    shown: &[Grant],
    question: Question<'_>,
    resource: &Resource,
) -> Result<Explanation> {
    let mut question = question;
    // SECURITY: a name is looked up only where a grant names it, as when it is asked in earnest.
    let named = match may_allow(grants, &question, resource) {
        true => {
            let (resolved, _) = directory.resolve(resource).await?;
            question.project = resolved.project;
            question.definition = resolved.definition;
            question.profile = resolved.profile;
            None
        }
        false => Some(resource),
    };
    let is_allowed = named.is_none() && evaluate(grants, &question).is_some();
    let grant = evaluate(shown, &question).filter(|_| is_allowed);
    let nearest = match is_allowed {
        true => None,
        false => nearest(shown, &question, named),
    };
    Ok(Explanation {
        is_allowed,
        grant: grant.map(|grant| grant.id.clone()),
        nearest: nearest.map(|(grant, attribute)| (grant.id.clone(), attribute)),
    })
}
