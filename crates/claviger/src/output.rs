//! Answers: tables for people, JSON for programs.

use std::io::{self, Write as _};

use claviger_proto::DESCRIPTORS;
use claviger_proto::v1::Warning;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::stop::Stop;

/// The space between columns.
const GAP: &str = "  ";

/// Prints an answer, the message `kind` of the proto.
pub(crate) fn show(
    is_json: bool,
    kind: &str,
    message: &impl Message,
    for_people: impl FnOnce() -> String,
) -> Result<(), Stop> {
    print(match is_json {
        true => json(kind, message)? + "\n",
        false => for_people(),
    })
}

/// Writes to standard output.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref())
        .and_then(|()| out.flush())
        .map_err(|error| Stop::failed(format!("standard output: {error}")))
}

/// Tells of what was done but deserves a look.
pub(crate) fn warn(warnings: &[Warning]) {
    let mut err = io::stderr().lock();
    for Warning {
        reason, message, ..
    } in warnings
    {
        // It is done, whether or not somebody is left to be told.
        writeln!(err, "claviger: warning: {message} [{reason}]").ok();
    }
}

/// The JSON of proto3, in which a field that is not set is left out.
fn json(kind: &str, message: &impl Message) -> Result<String, Stop> {
    let failed = |error: String| Stop::failed(format!("the answer cannot be written: {error}"));
    let pool = DescriptorPool::decode(DESCRIPTORS).map_err(|error| failed(error.to_string()))?;
    let kind = format!("claviger.v1.{kind}");
    let kind = pool
        .get_message_by_name(&kind)
        .ok_or_else(|| failed(format!("no message {kind}")))?;
    let mut dynamic = DynamicMessage::new(kind);
    dynamic
        .transcode_from(message)
        .map_err(|error| failed(error.to_string()))?;
    serde_json::to_string_pretty(&dynamic).map_err(|error| failed(error.to_string()))
}

/// Rows in columns. A control character would break them.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let cell = cell.replace(char::is_control, "?");
            line.push_str(&format!("{cell:width$}{GAP}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1;
    use claviger_proto::v1::secret_definition::Kind;

    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let rows = [
            row(["ID", "KIND", "DESCRIPTION"]),
            row(["stripe-eu", "OPAQUE", ""]),
            row(["é", "", "a\x1b[2Jb\nc"]),
        ];
        let expected = "\
            ID         KIND    DESCRIPTION\n\
            stripe-eu  OPAQUE\n\
            é                  a?[2Jb?c\n";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn json_is_that_of_the_proto() {
        let definition = v1::SecretDefinition {
            name: "projects/acme/secrets/stripe".to_owned(),
            kind: Kind::StripeApiKey.into(),
            create_time: Some("2026-11-30T00:00:00Z".parse().unwrap()),
            environment_fallback: true,
            ..Default::default()
        };
        let text = json("SecretDefinition", &definition).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "name": "projects/acme/secrets/stripe",
            "kind": "STRIPE_API_KEY",
            "createTime": "2026-11-30T00:00:00Z",
            "environmentFallback": true,
        });
        assert_eq!(read, expected);
    }
}
