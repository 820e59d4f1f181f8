//! Keys and tokens where a name is expected: any message would repeat them.

use std::ffi::OsString;

use claviger_core::{Reason, refuse_pasted};

use crate::cli::is_run;
use crate::stop::Stop;

/// Refuses a command line with a key or a token in it, those aside that are a job's own.
///
/// # Errors
/// The remedy, without what was pasted.
pub fn refuse_line(line: &[OsString]) -> Result<(), Stop> {
    let is_run = is_run(line.iter().cloned());
    // The first word is where this program is.
    let words = line.iter().skip(1);
    let mut ours = words.take_while(|word| !is_run || *word != "--");
    ours.try_for_each(|word| refuse(&word.to_string_lossy()))
}

/// Refuses a text that is a key or a token.
pub(crate) fn refuse(text: &str) -> Result<(), Stop> {
    refuse_pasted(Reason::FieldInvalid, "argument", text).map_err(|_| {
        Stop::usage(
            "a key or a token was given as an argument, where others may have seen it: replace it, \
            and pass the name of a file that holds the new one",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_refused_anywhere_but_in_the_job() {
        for (line, is_refused) in [
            ("claviger definition apply KEY", true),
            ("claviger secret get KEY", true),
            ("claviger run --template A=KEY -- job", true),
            ("claviger --config KEY whoami", true),
            ("claviger KEY", true),
            ("claviger whoami --address=KEY:1", true),
            ("claviger definition apply -- KEY", true),
            ("claviger man -- KEY", true),
            ("claviger run --env A=b -- job KEY", false),
            ("/src/KEY/claviger whoami", false),
            ("claviger definition apply rk_test_keys.yaml", false),
        ] {
            let line = line.replace("KEY", "rk_test_0123456789abcdefGH");
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            let refused = refuse_line(&words);
            assert_eq!(refused.is_err(), is_refused, "{line}");
            let said = refused.map_err(|stop| stop.to_string());
            assert!(!format!("{said:?}").contains("0123"), "{said:?}");
        }
    }
}
