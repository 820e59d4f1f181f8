//! `claviger completions` and `claviger man`: both are made of the command line itself, and ask no
//! daemon.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::output::print;
use crate::stop::Stop;

pub(crate) fn completions(shell: Shell) -> Result<ExitCode, Stop> {
    let mut command = offered(&Cli::command());
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(script)?;
    Ok(ExitCode::SUCCESS)
}

/// The command with those options alone that its help shows; shells would offer the others too.
fn offered(command: &Command) -> Command {
    let options = command
        .get_arguments()
        .filter(|option| !option.is_hide_set());
    let tasks = command.get_subcommands().filter(|task| !task.is_hide_set());
    let mut copy = Command::new(command.get_name().to_owned())
        .args(options.cloned())
        .subcommands(tasks.map(offered));
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    copy
}

pub(crate) fn pages(directory: &Path) -> Result<ExitCode, Stop> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    fs::create_dir_all(directory)
        .and_then(|()| write_pages(&command, directory))
        .map_err(|error| {
            let directory = directory.display();
            Stop::usage(format!("{directory} cannot be written: {error}"))
        })?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a task, and those of the tasks below it.
fn write_pages(command: &Command, directory: &Path) -> io::Result<()> {
    let page = Man::new(command.clone()).source(concat!("claviger ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render(&mut text)?;
    // The notes and examples under --help keep their lines and spaces, which a paragraph would not.
    let text = String::from_utf8_lossy(&text).replace(".SH EXTRA\n", ".SH NOTES\n.nf\n");
    fs::write(directory.join(page.get_filename()), text)?;
    let mut below = command.get_subcommands().filter(|task| !task.is_hide_set());
    below.try_for_each(|task| write_pages(task, directory))
}
