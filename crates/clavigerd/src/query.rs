//! The subcommands that ask instead of serve: `status` and `audit verify`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use claviger_proto::v1::GetStatusResponse;
use clavigerd::{Environment, Stop, default_socket};

/// Something asked about is not well.
const EXIT_UNWELL: u8 = 1;

/// Checks an audit log offline.
pub(crate) fn verify_audit(path: &Path) -> Result<ExitCode, Stop> {
    let files = claviger_audit::log_files(path)
        .map_err(|error| Stop::refused(format!("{}: {error}", path.display())))?;
    match claviger_audit::verify_files(&files) {
        Ok(verified) => {
            let from = match verified.first_seq {
                1 => String::new(),
                first => format!(" from record {first} on (those before it are not here)"),
            };
            print(&format!(
                "{} records{from}, unbroken; head {}\n",
                verified.records, verified.head
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Err((file, broken)) => {
            print(&format!("{}: {broken}\n", file.display()))?;
            Ok(ExitCode::from(EXIT_UNWELL))
        }
    }
}

/// Asks the running daemon how it is, or only whether it takes calls.
pub(crate) fn status(
    socket: Option<&Path>,
    only_alive: bool,
    environment: &Environment,
) -> Result<ExitCode, Stop> {
    let socket = match socket {
        Some(socket) => socket.to_path_buf(),
        None => default_socket(environment).ok_or_else(|| {
            Stop::refused("where the socket is cannot be told without HOME; pass --socket")
        })?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(format!("no runtime: {error}")))?;
    if only_alive {
        runtime.block_on(clavigerd::ask_alive(&socket))?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = runtime.block_on(clavigerd::ask_status(&socket))?;
    print(&shown(&status))?;
    let is_well = status.parts.iter().all(|part| part.ok);
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_UNWELL)
    })
}

fn shown(status: &GetStatusResponse) -> String {
    let since = status
        .start_time
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut text = format!(
        "clavigerd {}, serving since {since}\n{}\n",
        status.version, status.root_key
    );
    for part in &status.parts {
        let state = match part.ok {
            true => "ok".to_owned(),
            false if part.reason.is_empty() => part.message.clone(),
            false => format!("{}: {}", part.reason, part.message),
        };
        text.push_str(&format!("{}: {state}\n", part.name));
        if let Some(end) = &part.expire_time {
            text.push_str(&format!("  ends {end}\n"));
        }
        let keys: BTreeMap<_, _> = part.sealed_values.iter().collect();
        for (key, count) in keys {
            text.push_str(&format!("  sealed under key {key}: {count}\n"));
        }
    }
    text
}

fn print(text: &str) -> Result<(), Stop> {
    io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(|error| Stop::failed(format!("standard output: {error}")))
}
