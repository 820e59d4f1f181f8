//! The README's table of the fields of a connection profile: the words of the guides are in it, and
//! each field refuses what its row says.

use std::fs;

use claviger_e2e::{Home, tools};
use claviger_proto::v1;
use claviger_proto::v1::connection_profile::Auth;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::caller::{Caller, reasons};

/// The words that people read, and what is right there.
const GUIDE: [(&str, &str); 5] = [
    ("API key", "rk_test_"),
    ("Account ID", "acct_"),
    ("Client ID", "ca_"),
    ("Client Secret", "sk_test_"),
    ("Refresh Token", "rt_"),
];

/// A row: the guide's word, the first of our fields, and how what it refuses begins.
struct Row {
    word: String,
    field: String,
    refused: Vec<String>,
}

/// The parts of a cell that are written as code.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn table() -> Vec<Row> {
    let page = fs::read_to_string(tools::repository().join("README.md")).expect("the page");
    let rows = page
        .lines()
        .skip_while(|line| !line.starts_with("| guide |"));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(quoted).collect();
        Row {
            word: cells[1][0].clone(),
            field: cells[2][0].clone(),
            refused: cells[5].clone(),
        }
    });
    rows.collect()
}

fn value(start: &str) -> String {
    format!("{}0123456789abcdefWXYZ", start.trim_end_matches('…'))
}

/// A put that changes nothing, with this in one of the fields and what is right in the others.
fn put_with(field: &str, text: &str) -> v1::PutConnectionProfileRequest {
    let of = |name: &str, right: &str| match name == field {
        true => text.to_owned(),
        false => value(right),
    };
    let auth = match field.starts_with("api_key.") {
        true => Auth::ApiKey(v1::ApiKeyAuth {
            api_key: of("api_key.api_key", "rk_test_"),
            account: of("api_key.account", "acct_"),
            ..Default::default()
        }),
        false => Auth::Oauth(v1::OauthAuth {
            client_id: of("oauth.client_id", "ca_"),
            client_secret: of("oauth.client_secret", "sk_test_"),
            refresh_token: of("oauth.refresh_token", "rt_"),
            ..Default::default()
        }),
    };
    v1::PutConnectionProfileRequest {
        profile: Some(v1::ConnectionProfile {
            name: "projects/dev/connectionProfiles/table".to_owned(),
            auth: Some(auth),
            ..Default::default()
        }),
        validate_only: true,
        ..Default::default()
    }
}

#[tokio::test]
async fn each_field_of_the_table_refuses_what_its_row_says_and_takes_what_is_right() {
    let home = Home::new();
    let daemon = home.start_dev();
    let caller = Caller::of(&daemon).await;
    let rows = table();
    assert!(
        rows.iter()
            .map(|row| &*row.word)
            .eq(GUIDE.map(|(word, _)| word))
    );
    for (row, (_, right)) in rows.iter().zip(GUIDE) {
        let put = put_with(&row.field, &value(right));
        let put = caller.profiles().put_connection_profile(put).await;
        put.expect(&row.word);
        let spaced = put_with(&row.field, &format!("{} ", value(right)));
        let spaced = caller.profiles().put_connection_profile(spaced).await;
        match spaced.map(|put| reasons(&put.into_inner().warnings).concat()) {
            Ok(warnings) => assert_eq!(warnings, "VALUE_TRIMMED", "{}", row.word),
            Err(status) => assert_names(&status, &row.field),
        }
        for wrong in &row.refused {
            let put = put_with(&row.field, &value(wrong));
            let put = caller.profiles().put_connection_profile(put).await;
            assert_names(&put.expect_err(wrong), &row.field);
        }
    }
}

/// The refusal names the field, and says something about it but the value.
#[track_caller]
fn assert_names(status: &Status, field: &str) {
    let details = status.get_error_details();
    let request = details.bad_request().expect("a field is named");
    let violation = &request.field_violations[0];
    assert_eq!(violation.field, format!("profile.{field}"), "{status:?}");
    assert_ne!(violation.description, "", "{status:?}");
    assert!(!status.message().contains("abcdef"), "{status:?}");
}
