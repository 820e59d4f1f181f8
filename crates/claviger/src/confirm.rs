use std::io::{self, IsTerminal as _, Write as _};

use crate::stop::Stop;

/// Asks on the terminal whether that is meant, unless it was said already.
pub(crate) fn confirm(question: &str, is_meant: bool) -> Result<(), Stop> {
    if is_meant {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Stop::usage(format!(
            "{question} Nobody is there to be asked; pass --yes if it is meant"
        )));
    }
    let unread = |error: io::Error| Stop::failed(format!("the terminal cannot be read: {error}"));
    let mut answer = String::new();
    write!(io::stderr().lock(), "{question} [y/N] ").map_err(unread)?;
    io::stdin().read_line(&mut answer).map_err(unread)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Stop::failed("nothing was done")),
    }
}
