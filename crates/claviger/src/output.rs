//! Answers: tables for people, JSON for programs.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::sync::LazyLock;

use claviger_proto::DESCRIPTORS;
use claviger_proto::v1::Warning;
use comfy_table::{ContentArrangement, Table, presets};
use prost_reflect::prost::{Message, Name};
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage};
use prost_types::{Duration, Timestamp};
use rustix::termios::tcgetwinsize;

use crate::shown::{shown, shown_in_line};
use crate::stop::Stop;

/// The space between columns.
const GAP: u16 = 2;

/// The columns of a terminal that does not say.
const USUAL_WIDTH: u16 = 80;

/// Prints an answer.
pub(crate) fn show<M: Message + Name>(
    is_json: bool,
    answer: &M,
    for_people: impl FnOnce() -> String,
) -> Result<(), Stop> {
    print(match is_json {
        true => json(answer)? + "\n",
        false => shown(&for_people()),
    })
}

/// What the line on a change ends with.
pub(crate) fn end(is_dry_run: bool) -> &'static str {
    match is_dry_run {
        true => ", not made\n",
        false => "\n",
    }
}

/// Writes to standard output.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref())
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() == io::ErrorKind::BrokenPipe {
            true => Stop::unread(),
            false => Stop::failed(format!("standard output: {error}")),
        })
}

/// Tells a person what to do, beside the answer.
pub(crate) fn tell(text: &str) {
    // Whoever looks is told, and nobody else has to be.
    writeln!(io::stderr().lock(), "{}", shown(text)).ok();
}

/// Tells of what was done but deserves a look.
pub(crate) fn warn(warnings: &[Warning]) {
    for Warning {
        reason, message, ..
    } in warnings
    {
        note(&format!("warning: {message} [{reason}]"));
    }
}

/// Tells of what was done beside the answer.
pub(crate) fn note(text: &str) {
    // It is done, whether or not somebody is left to be told.
    writeln!(io::stderr().lock(), "claviger: {}", shown(text)).ok();
}

/// The JSON of proto3, in which a field that is not set is left out.
fn json<M: Message + Name>(message: &M) -> Result<String, Stop> {
    serde_json::to_string_pretty(&dynamic(message)?).map_err(|error| unwritten(&error))
}

/// The same, as a part of something larger.
pub(crate) fn json_value<M: Message + Name>(message: &M) -> Result<serde_json::Value, Stop> {
    serde_json::to_value(dynamic(message)?).map_err(|error| unwritten(&error))
}

fn dynamic<M: Message + Name>(message: &M) -> Result<DynamicMessage, Stop> {
    // Read once: an answer may be made of many messages.
    static POOL: LazyLock<Result<DescriptorPool, DescriptorError>> =
        LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS));
    let pool = POOL.as_ref().map_err(unwritten)?;
    let kind = M::full_name();
    let kind = pool
        .get_message_by_name(&kind)
        .ok_or_else(|| unwritten(&format!("no message {kind}")))?;
    let mut dynamic = DynamicMessage::new(kind);
    let transcoded = dynamic.transcode_from(message);
    transcoded.map_err(|error| unwritten(&error))?;
    Ok(dynamic)
}

fn unwritten(error: &impl Display) -> Stop {
    Stop::failed(format!("the answer cannot be written: {error}"))
}

/// Rows in columns. On a terminal they fit its width, and what does not is broken within its
/// column; elsewhere a row is a line, for programs that look for one.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    laid_out(rows, terminal_width())
}

fn terminal_width() -> Option<u16> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    // A terminal that does not know says 0.
    Some(match size.ws_col {
        0 => USUAL_WIDTH,
        columns => columns,
    })
}

fn laid_out<const N: usize>(rows: &[[String; N]], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    match width {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for row in rows {
        table.add_row(row.iter().map(|cell| shown_in_line(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names and values of one thing, without those that are empty.
pub(crate) fn fields<const N: usize>(rows: [[&str; 2]; N]) -> String {
    let set = rows.into_iter().filter(|[_, value]| !value.is_empty());
    table(&set.map(|row| row.map(str::to_owned)).collect::<Vec<_>>())
}

/// A time in whole seconds; nothing where there is none.
pub(crate) fn time(time: &Option<Timestamp>) -> String {
    let seconds = time.map(|time| Timestamp { nanos: 0, ..time });
    seconds.map(|time| time.to_string()).unwrap_or_default()
}

/// A span of time in whole seconds, such as `1h 30m`; nothing where there is none.
pub(crate) fn age(span: &Option<Duration>) -> String {
    let seconds = span.map(|span| u64::try_from(span.seconds).unwrap_or_default());
    let span = seconds.map(std::time::Duration::from_secs);
    span.map(|span| humantime::format_duration(span).to_string())
        .unwrap_or_default()
}

/// A span of time as it is sent.
pub(crate) fn duration(span: std::time::Duration) -> Result<Duration, Stop> {
    Duration::try_from(span).map_err(|_| Stop::usage("so long a time cannot be sent"))
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1;
    use claviger_proto::v1::secret_definition::Kind;
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn row<const N: usize>(cells: [&str; N]) -> [String; N] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [
            row(["ID", "KIND", "DESCRIPTION"]),
            row(["stripe-eu", "OPAQUE", ""]),
            row(["é", "", "a\x1b[2Jb\nc\u{202e}"]),
            row(["鍵", "PASSWORD", "wide"]),
        ];
        let expected = "\
            ID         KIND      DESCRIPTION\n\
            stripe-eu  OPAQUE\n\
            é                    a?[2Jb?c?\n\
            鍵         PASSWORD  wide\n";
        assert_eq!(laid_out(&rows, None), expected);
    }

    #[test]
    fn a_table_fits_a_terminal_and_a_pipe_gets_a_line_for_a_row() {
        let name = format!("projects/acme/secrets/{}", "x".repeat(63));
        let rows = [
            row(["NAME", "KIND", "DESCRIPTION"]),
            row([&name, "STRIPE_WEBHOOK_SECRET", &"many words ".repeat(20)]),
            row([&name, "OPAQUE", &"鍵".repeat(60)]),
        ];
        assert_eq!(laid_out(&rows, None).lines().count(), 3);
        for width in [80, 40] {
            for line in laid_out(&rows, Some(width)).lines() {
                let columns = UnicodeWidthStr::width(line);
                assert!(columns <= usize::from(width), "{columns}: {line}");
            }
        }
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
        let text = json(&definition).unwrap();
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
