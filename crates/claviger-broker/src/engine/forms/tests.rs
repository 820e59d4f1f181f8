//! Each stored form against its golden file: what is written today is read for good.

use claviger_core::{Id, Kind, SecretBytes};
use claviger_store::Record;

use crate::engine::forms::{Ending, InstallKey, Made, PendingPointer, Secrets, Seen};
use crate::model::answer::Subject;
use crate::model::definition::{Definition, DerivedFrom};
use crate::model::grants::Grants;
use crate::model::install::{Install, ReconnectReason, State};
use crate::model::profile::Profile;
use crate::model::project::Project;
use crate::model::request::{Request, RequestState};
use crate::model::token::Token;

/// The record of a golden file, which is written as it was read: every field of a form is in one.
fn golden<R: Record>(file: &str) -> R {
    let text = file.trim_end();
    let record = R::decode("golden", text.as_bytes()).expect("reads");
    let written = record.encode().expect("writes");
    assert_eq!(std::str::from_utf8(written.expose()), Ok(text));
    record
}

macro_rules! golden {
    ($record:ty, $name:literal) => {
        golden::<$record>(include_str!(concat!("../../../tests/golden/", $name)))
    };
}

#[test]
fn records_have_their_golden_forms() {
    let definition = golden!(Definition, "definition.json");
    let base = |place: &str| {
        let place = place.parse().expect("a place");
        let pending = definition.pending(&place).expect("pending");
        pending.base.clone().expect("merged").0
    };
    // Merged into nothing is not the same as not merged.
    assert_eq!(base("managed/stripe"), None);
    assert_eq!(base("aws-eu/prod/stripe").expect("6").as_str(), "6");
    let newest = "managed/webhook".parse().expect("a place");
    assert!(definition.has_newest(&newest) && definition.has_values());
    let place = "aws-eu/prod/stripe".parse().expect("a place");
    assert!(!definition.has_newest(&place));
    let unmerged = definition.unmerged(&place).expect("overwritten");
    assert_eq!(unmerged.others, [Id::from_static("5")]);
    golden!(Project, "project.json");
    assert_eq!(golden!(Grants, "grants.json").grants.len(), 5);
    assert_eq!(golden!(Token, "token.json").speaks_as, None);
    let exchanged = golden!(Token, "token-exchanged.json");
    let speaks_as = exchanged.speaks_as.expect("as its proof's holder");
    assert_eq!(speaks_as.principal.to_string(), "oidc:ci#1/2/main");
    assert_eq!(speaks_as.digest[31], 254);
    // Of the time before it was kept: that of no identity.
    let file = include_str!("../../../tests/golden/token-exchanged.json");
    let (start, rest) = file.split_once(",\"digest\"").expect("there");
    let end = rest.split_once(']').expect("there").1;
    let older = Token::decode("golden", format!("{start}{end}").as_bytes()).expect("reads");
    assert_eq!(older.speaks_as.expect("as before").digest, [0; 32]);
    golden!(Ending, "ending.json");
    golden!(PendingPointer, "pending.json");
    golden!(Made, "made-grant.json");
    golden!(Made, "made-token.json");
    for (request, state) in [
        (golden!(Request, "request-begun.json"), RequestState::Begun),
        (
            golden!(Request, "request-definition.json"),
            RequestState::Finished,
        ),
        (
            golden!(Request, "request-profile.json"),
            RequestState::Finished,
        ),
        (
            golden!(Request, "request-overwritten.json"),
            RequestState::Overwritten,
        ),
    ] {
        assert_eq!(request.state, state);
    }
}

#[test]
fn profiles_and_installs_have_their_golden_forms() {
    let key = golden!(Profile, "profile-key.json");
    assert!(key.content.auth.own_definition().is_some() && key.is_purging);
    golden!(Profile, "profile-oauth.json");
    let install = golden!(Install, "install.json");
    let lost = State::ReconnectRequired(ReconnectReason::AnswerLost);
    assert_eq!((install.state, install.profiles.len()), (lost, 2));
    let refreshing = golden!(Install, "install-refreshing.json");
    assert!(matches!(refreshing.state, State::Refreshing(claim) if claim.is_sent));
    golden!(InstallKey, "install-key.json");
    assert_eq!(golden!(Seen, "consumers.json").0.len(), 2);
}

#[test]
fn the_secrets_of_an_install_are_kept_as_they_were() {
    let text = r#"{"client_secret":"sk \"1\"","refresh_token":"rt_1","access_token":null}"#;
    let kept = SecretBytes::new(text.as_bytes().to_vec());
    let mut secrets = Secrets::decode(&kept).expect("reads");
    assert_eq!(secrets.client_secret.expose(), b"sk \"1\"");
    assert_eq!(secrets.encode().expect("writes").expose(), text.as_bytes());
    secrets.access_token = Some(SecretBytes::new(b"rk_1".to_vec()));
    let again = Secrets::decode(&secrets.encode().expect("writes")).expect("reads");
    let access = again.access_token.expect("kept");
    assert_eq!(access.expose(), b"rk_1");
    let broken = Secrets::decode(&SecretBytes::new(b"{\"rt_1".to_vec())).map(drop);
    let error = broken.expect_err("refused");
    assert!(!format!("{error:?}").contains("rt_1"), "{error:?}");
}

#[test]
fn what_was_kept_before_there_were_profiles_is_read() {
    let definition = include_str!("../../../tests/golden/definition-form-4.json");
    let definition = Definition::decode("golden", definition.trim_end().as_bytes());
    assert_eq!(definition.expect("reads").content.kind, Kind::StripeApiKey);
    let request = include_str!("../../../tests/golden/request-definition-form-4.json");
    let request = Request::decode("golden", request.trim_end().as_bytes());
    assert_eq!(request.expect("reads").state, RequestState::Finished);
    let grants = include_str!("../../../tests/golden/grants-form-1.json");
    let grants = Grants::decode("golden", grants.trim_end().as_bytes());
    assert_eq!(grants.expect("reads").grants.len(), 4);
}

#[test]
fn definitions_of_the_oldest_form_keep_the_names_that_their_values_have() {
    let definition = include_str!("../../../tests/golden/definition-form-1.json");
    let definition = Definition::decode("golden", definition.trim_end().as_bytes());
    let answer = include_str!("../../../tests/golden/request-definition-form-1.json");
    let answer = Request::decode("golden", answer.trim_end().as_bytes());
    let Subject::Definition(answered) = answer.expect("reads").answer.subject else {
        panic!("the answer to a put of a definition");
    };
    for old in [definition.expect("reads"), *answered] {
        assert_eq!(old.derived_from, DerivedFrom::Name);
        let kept = Definition::decode("new", old.encode().expect("writes").expose());
        assert_eq!(kept.expect("reads").derived_from, DerivedFrom::Name);
    }
    let new = golden!(Definition, "definition.json");
    assert_eq!(new.derived_from, DerivedFrom::Uid);
}

#[test]
fn definitions_without_whole_mean_a_part_of_a_document_as_they_did() {
    let definition = include_str!("../../../tests/golden/definition-form-2.json");
    let definition = Definition::decode("golden", definition.trim_end().as_bytes());
    let answer = include_str!("../../../tests/golden/request-definition-form-2.json");
    let answer = Request::decode("golden", answer.trim_end().as_bytes());
    let Subject::Definition(answered) = answer.expect("reads").answer.subject else {
        panic!("the answer to a put of a definition");
    };
    let in_dev = |definition: &Definition| {
        let mut locations = definition.content.environments.values();
        locations.next().expect("one").is_whole
    };
    for old in [definition.expect("reads"), *answered] {
        assert!(!old.content.location.is_whole && !in_dev(&old));
        // Else a repeat of a request of before would be another one.
        let hashed = serde_json::to_string(&old.content).expect("JSON");
        assert!(!hashed.contains("whole"), "{hashed}");
    }
    assert!(in_dev(&golden!(Definition, "definition.json")));
}

#[test]
fn definitions_without_newest_say_which_version_is_current() {
    let definition = include_str!("../../../tests/golden/definition-form-3.json");
    let definition = Definition::decode("golden", definition.trim_end().as_bytes());
    let answer = include_str!("../../../tests/golden/request-definition-form-3.json");
    let answer = Request::decode("golden", answer.trim_end().as_bytes());
    let Subject::Definition(answered) = answer.expect("reads").answer.subject else {
        panic!("the answer to a put of a definition");
    };
    let place = "aws-eu/prod/stripe".parse().expect("a place");
    for old in [definition.expect("reads"), *answered] {
        assert_eq!(old.current(&place).expect("7").as_str(), "7");
        assert!(!old.places.keys().any(|place| old.has_newest(place)));
    }
}

#[test]
fn another_form_is_refused_by_its_number_and_quotes_nothing() {
    let text =
        include_str!("../../../tests/golden/token.json").replacen("\"form\":1", "\"form\":7", 1);
    let error = Token::decode("tokens/abc", text.as_bytes()).expect_err("refused");
    let text = format!("{error:?}");
    assert!(
        text.contains("record tokens/abc has form 7, this program reads form 1"),
        "{text}"
    );
    assert!(!text.contains("nightly"), "{text}");
}
