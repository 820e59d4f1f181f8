//! Checks that the IAM policy for AWS allows exactly the calls that the backend makes.
//!
//! The list of calls is read from the SDK itself, which has a file per operation; so neither a
//! new call nor a new operation can be forgotten here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::context::{Context, Result};

const POLICY: &str = "deploy/policies/aws-least-privilege.json";
const BACKEND: &str = "crates/claviger-backend-aws/src";
const SDK: &str = "aws-sdk-secretsmanager";

/// The actions that AWS takes for no single secret, so their resource is `*`.
const WITHOUT_RESOURCE: &[&str] = &[
    "secretsmanager:BatchGetSecretValue",
    "secretsmanager:GetRandomPassword",
    "secretsmanager:ListSecrets",
];

/// Refuses a policy that allows more or less than the backend does.
pub(crate) fn check(cx: &mut Context) -> Result {
    let mut packages = cx.metadata.packages.iter();
    let sdk = packages.find(|package| package.name.as_str() == SDK);
    let sdk = sdk.and_then(|package| package.manifest_path.parent());
    let sdk = sdk.ok_or("the SDK of AWS is not in the graph")?;
    let operations = operations(&sdk.as_std_path().join("src/operation"))?;
    let made = calls(&sources(&cx.root().join(BACKEND))?, &operations);
    let policy = serde_json::from_str(&fs::read_to_string(cx.root().join(POLICY))?)?;
    let faults = faults(&policy, &made);
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("\n").into())
}

/// The operations of a service, `get_secret_value` for example.
fn operations(directory: &Path) -> Result<Vec<String>> {
    let mut operations = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        operations.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    Ok(operations)
}

fn sources(directory: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(directory)? {
        text += &fs::read_to_string(entry?.path())?;
    }
    Ok(text)
}

/// The IAM actions of the operations that the source calls.
fn calls(source: &str, operations: &[String]) -> BTreeSet<String> {
    let is_called = |operation: &&String| source.contains(&format!(".{operation}("));
    let called = operations.iter().filter(is_called);
    called.map(|operation| action(operation)).collect()
}

/// `get_secret_value` is `secretsmanager:GetSecretValue`.
fn action(operation: &str) -> String {
    let words = operation.split('_').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    format!("secretsmanager:{}", words.collect::<String>())
}

fn faults(policy: &Value, made: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut allowed = BTreeSet::new();
    for statement in items(&policy["Statement"]) {
        if statement["Effect"] != "Allow" {
            faults.push(format!("{POLICY}: a statement that does not allow"));
        }
        let is_everywhere = items(&statement["Resource"]).contains(&&Value::from("*"));
        for action in items(&statement["Action"]) {
            let action = action.as_str().unwrap_or_default();
            if is_everywhere && !WITHOUT_RESOURCE.contains(&action) {
                faults.push(format!("{POLICY} allows {action} on every secret"));
            }
            allowed.insert(action.to_owned());
        }
    }
    let missing = made.difference(&allowed);
    faults.extend(missing.map(|action| format!("{POLICY} lacks {action}, which {BACKEND} calls")));
    let idle = allowed.difference(made);
    faults.extend(idle.map(|action| format!("{POLICY} allows {action}, which nothing calls")));
    faults
}

/// IAM writes a list of one as the item itself.
fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::String(_) => vec![value],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    fn made(actions: &[&str]) -> BTreeSet<String> {
        actions.iter().map(|action| (*action).to_owned()).collect()
    }

    #[test]
    fn calls_are_found_wherever_a_line_breaks() {
        let operations = [
            "get_secret_value",
            "list_secret_version_ids",
            "list_secrets",
        ];
        let operations = operations.map(str::to_owned);
        let source = "use sdk::operation::list_secrets::X;\nsdk\n    .get_secret_value()\n";
        let found = calls(source, &operations);
        assert_eq!(found, made(&["secretsmanager:GetSecretValue"]));
        let paged = calls("sdk.list_secret_version_ids();", &operations);
        assert_eq!(paged, made(&["secretsmanager:ListSecretVersionIds"]));
    }

    #[test]
    fn a_policy_of_exactly_the_calls_has_no_fault() {
        let policy = json!({"Statement": [
            {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": "arn:x"},
            {"Effect": "Allow", "Action": "secretsmanager:ListSecrets", "Resource": "*"},
        ]});
        let made = made(&[
            "secretsmanager:GetSecretValue",
            "secretsmanager:ListSecrets",
        ]);
        assert_eq!(faults(&policy, &made), [""; 0]);
    }

    #[test]
    fn too_little_too_much_and_too_wide_are_named() {
        let policy = json!({"Statement": {
            "Effect": "Allow",
            "Action": ["secretsmanager:GetSecretValue", "secretsmanager:*"],
            "Resource": ["*"],
        }});
        let made = made(&[
            "secretsmanager:GetSecretValue",
            "secretsmanager:TagResource",
        ]);
        let faults = faults(&policy, &made).join("\n");
        for fault in [
            "allows secretsmanager:GetSecretValue on every secret",
            "lacks secretsmanager:TagResource",
            "allows secretsmanager:*, which nothing calls",
        ] {
            assert!(faults.contains(fault), "{fault} is not in\n{faults}");
        }
        let denying = json!({"Statement": {"Effect": "Deny", "Action": []}});
        assert_eq!(super::faults(&denying, &BTreeSet::new()).len(), 1);
    }
}
