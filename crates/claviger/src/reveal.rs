//! Values on their way out: to a pipe or a file, and to a terminal only where that is wanted.

use std::io::{self, IsTerminal as _};

use crate::output::print;
use crate::stop::Stop;

/// Before anything is asked for: a token is shown once.
pub(crate) fn refuse_terminal(is_wanted: bool) -> Result<(), Stop> {
    match io::stdout().is_terminal() && !is_wanted {
        true => Err(Stop::usage(
            "a value is not shown on a terminal; send it to a pipe or a file, or pass --reveal",
        )),
        false => Ok(()),
    }
}

/// Writes a value as it is. Only people on a terminal need a line break after it.
pub(crate) fn print_value(value: &[u8]) -> Result<(), Stop> {
    print(value)?;
    match io::stdout().is_terminal() {
        true => print("\n"),
        false => Ok(()),
    }
}
