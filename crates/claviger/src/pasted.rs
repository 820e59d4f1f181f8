//! Keys and tokens where a name is expected: any message would repeat them.

use std::ffi::OsString;

use claviger_core::{Reason, refuse_pasted};

use crate::stop::Stop;

/// Refuses a command line with a key or a token in it, those aside that are the job's own.
///
/// # Errors
/// The remedy, without what was pasted.
pub fn refuse_line(line: impl IntoIterator<Item = OsString>) -> Result<(), Stop> {
    let mut ours = line.into_iter().take_while(|word| word != "--");
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
            ("claviger run --env A=b -- job KEY", false),
            ("claviger definition apply rk_test_keys.yaml", false),
        ] {
            let line = line.replace("KEY", "rk_test_0123456789abcdefGH");
            let refused = refuse_line(line.split(' ').map(OsString::from));
            assert_eq!(refused.is_err(), is_refused, "{line}");
            let said = refused.map_err(|stop| stop.to_string());
            assert!(!format!("{said:?}").contains("0123"), "{said:?}");
        }
    }
}
