use claviger_core::{Reason, refuse_pasted};

use crate::stop::Stop;

/// Refuses a file or an address that is a key or a token: messages would repeat it.
pub(crate) fn refuse(text: &str) -> Result<(), Stop> {
    refuse_pasted(Reason::FieldInvalid, "argument", text).map_err(|_| {
        Stop::usage(
            "a key or a token was given as an argument, where others may have seen it: replace it, \
            and pass the name of a file that holds the new one",
        )
    })
}
