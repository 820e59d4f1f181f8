//! Takes a value in: by a prompt without echo, from standard input or from a file.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use claviger_core::SecretBytes;
use claviger_proto::v1::Payload;
use claviger_proto::v1::payload::Value;

use crate::cli::ValueOptions;
use crate::prompt;
use crate::stop::Stop;

/// Reads the value, and asks for it if standard input is a terminal and no file is named.
pub(crate) fn read(options: &ValueOptions, name: &str) -> Result<Payload, Stop> {
    let keeps_all = options.keep_newline || options.binary;
    let file = options.value_from.as_deref();
    let bytes = bytes(file, &format!("value of {name}"), keeps_all)?;
    payload(bytes, options.binary)
}

/// Reads a credential, from where a value comes from.
pub(crate) fn credential(file: Option<&Path>, noun: &str) -> Result<String, Stop> {
    let bytes = bytes(file, noun, false)?.into_exposed();
    // SECURITY: the error would hold the bytes.
    String::from_utf8(bytes).map_err(|_| Stop::usage(format!("the {noun} is not text (UTF-8)")))
}

/// Whether nobody can be asked, and standard input, which holds one credential, is to hold both.
pub(crate) fn are_both_piped(one: Option<&Path>, other: Option<&Path>) -> bool {
    [one, other].iter().all(|file| named(*file).is_none()) && !io::stdin().is_terminal()
}

/// None for standard input.
fn named(file: Option<&Path>) -> Option<&Path> {
    file.filter(|file| *file != Path::new("-"))
}

fn bytes(file: Option<&Path>, noun: &str, keeps_all: bool) -> Result<SecretBytes, Stop> {
    let bytes = match named(file) {
        Some(file) => fs::read(file)
            .map_err(|error| Stop::usage(format!("{} cannot be read: {error}", file.display())))?,
        None if io::stdin().is_terminal() => return prompt::ask(noun),
        None => {
            let mut bytes = Vec::new();
            io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map_err(|error| Stop::usage(format!("standard input cannot be read: {error}")))?;
            bytes
        }
    };
    Ok(SecretBytes::new(match keeps_all {
        true => bytes,
        false => without_final_line_break(bytes),
    }))
}

/// One line break less at the end, which editors and `echo` put there.
fn without_final_line_break(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    bytes
}

/// The arm that fits the format of a definition.
fn payload(bytes: SecretBytes, is_binary: bool) -> Result<Payload, Stop> {
    let value = match is_binary {
        true => Value::Data(bytes.into_exposed()),
        // SECURITY: the error would hold the bytes.
        false => Value::Text(String::from_utf8(bytes.into_exposed()).map_err(|_| {
            Stop::usage(
                "the value is not text (UTF-8); pass --binary if the definition has format BINARY",
            )
        })?),
    };
    Ok(Payload {
        value: Some(value),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_final_line_break_is_dropped_and_nothing_else() {
        for (given, kept) in [
            ("key\n", "key"),
            ("key\r\n", "key"),
            ("key\n\n", "key\n"),
            ("key", "key"),
            (" key \n", " key "),
            ("key\r", "key\r"),
            ("a\nb\n", "a\nb"),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(
                without_final_line_break(given.into()),
                kept.as_bytes(),
                "{given:?}"
            );
        }
    }

    #[test]
    fn a_file_is_read_as_the_options_say() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read_with = |keep_newline, binary| {
            let options = ValueOptions {
                value_from: Some(file.path().to_owned()),
                keep_newline,
                binary,
            };
            read(&options, "stripe").map(|payload| payload.value.unwrap())
        };
        fs::write(file.path(), "key\n").unwrap();
        assert_eq!(
            read_with(false, false).unwrap(),
            Value::Text("key".to_owned())
        );
        assert_eq!(
            read_with(true, false).unwrap(),
            Value::Text("key\n".to_owned())
        );
        assert_eq!(
            read_with(false, true).unwrap(),
            Value::Data(b"key\n".to_vec())
        );

        fs::write(file.path(), b"canary\xff").unwrap();
        let said = read_with(false, false).unwrap_err().to_string();
        assert!(
            said.contains("--binary") && !said.contains("canary"),
            "{said}"
        );
    }

    #[test]
    fn a_credential_is_text_without_the_final_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = || credential(Some(file.path()), "client secret of stripe");
        fs::write(file.path(), "sk_test_1\n").unwrap();
        assert_eq!(read().unwrap(), "sk_test_1");
        fs::write(file.path(), b"canary\xff").unwrap();
        let said = read().unwrap_err().to_string();
        assert_eq!(said, "the client secret of stripe is not text (UTF-8)");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let options = ValueOptions {
            value_from: Some("/nowhere/key".into()),
            ..ValueOptions::default()
        };
        let said = read(&options, "stripe").unwrap_err().to_string();
        assert!(said.starts_with("/nowhere/key cannot be read: "), "{said}");
    }
}
