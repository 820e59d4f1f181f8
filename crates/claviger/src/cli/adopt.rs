use clap::Args;

const NOTES: &str = "\
Left out are values that no job could use as they are (publishable, masked, example and empty keys,
white space around a key, a key of the mode that an environment does not take), documents with more
than 20 keys, and whatever the vault does not let the daemon read. Remarks about the others do not
keep them from being registered: a value that is elsewhere too (also where a definition points at),
one that was stored more than 90 days ago, warnings of InspectVaultSecret. Live keys for a dev
environment are told where the project says which mode that takes (stripe_mode).

With --environment the definitions lead there and nowhere else, and a secret that has a definition
in any environment is not proposed for another. A run that was ended before it was
done is taken up by running it again: what is registered is no longer proposed.

--json prints one object:
  proposals  definition (SecretDefinition), inspection (InspectVaultSecretResponse), remarks,
             registered, refusal
  leftOut    location (Location), inspection, reason
  skipped    pointedAt, ours: how many have a definition already, or are Claviger's own

Examples:
  claviger adopt aws-eu --project acme
  claviger adopt aws-eu --project acme --environment prod --apply";

/// A vault and what is to be done about it.
#[derive(Args, Debug)]
#[command(after_help = NOTES)]
pub struct Adopt {
    /// The vault
    pub vault: String,

    /// Register what is proposed; the vault itself is never written
    #[arg(long)]
    pub apply: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::Cli;

    #[test]
    fn documented_command_lines_parse() {
        let lines = NOTES.lines().map(str::trim_start);
        let examples: Vec<_> = lines.filter(|line| line.starts_with("claviger ")).collect();
        assert_eq!(examples.len(), 2);
        for line in examples {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
