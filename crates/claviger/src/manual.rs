//! `claviger completions` and `claviger man`: both are made of the command line itself, and ask no
//! daemon.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output::print;
use crate::stop::Stop;

pub(crate) fn completions(shell: Shell) -> Result<ExitCode, Stop> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(script)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn pages(directory: &Path) -> Result<ExitCode, Stop> {
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| {
            let directory = directory.display();
            Stop::usage(format!("{directory} cannot be written: {error}"))
        })?;
    Ok(ExitCode::SUCCESS)
}
