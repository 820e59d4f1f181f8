//! The name of a secret as AWS knows it: a plain name or a full ARN.
//!
//! A partial ARN, without the hyphen and six characters that AWS adds, is refused: AWS guesses what
//! it means, and guesses wrong for names that end that way themselves.

use claviger_backend::{NameWarning, Site};
use std::fmt;

use claviger_core::{Error, Public, Reason, Result};

use crate::settings::{is_account, is_region, partition_of};

/// Longest name, in bytes.
const NAME_LEN_MAX: usize = 512;

/// Where the name of a secret stands in a request.
const FIELD: &str = "location.secret";

const LOOKS_PARTIAL: NameWarning = NameWarning {
    reason: "SECRET_NAME_LOOKS_LIKE_ARN_END",
    message: "the name ends in a hyphen and six characters, as the end of an ARN does; check that \
              it is the secret's whole name and nothing that AWS added to it",
};

const OTHER_REGION: NameWarning = NameWarning {
    reason: "SECRET_IN_OTHER_REGION",
    message: "the ARN's region is not that of the vault; the secret is read where the ARN says",
};

/// A name that AWS can take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SecretName<'a> {
    text: &'a str,
    place: Option<Place<'a>>,
}

/// Where an ARN leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place<'a> {
    region: &'a str,
    account: &'a str,
}

impl<'a> SecretName<'a> {
    /// # Errors
    /// `LOCATION_INVALID` with the remedy.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        if text.starts_with("arn:") {
            return Ok(Self {
                text,
                place: Some(place_of(text)?),
            });
        }
        if text.is_empty() || text.len() > NAME_LEN_MAX {
            return Err(invalid("has to be 1 to 512 characters long"));
        }
        if !text.bytes().all(is_name_byte) {
            return Err(invalid(
                "has a character that AWS does not take; use only 0-9 A-Z a-z / _ + = . @ ! -",
            ));
        }
        Ok(Self { text, place: None })
    }

    pub(crate) fn as_str(self) -> &'a str {
        self.text
    }

    /// What AWS calls the secret that it found by this name, in the same spelling. AWS completes a
    /// name that it takes for a partial ARN, so it may be another one.
    pub(crate) fn answered<'f>(
        self,
        arn: Option<&'f str>,
        name: Option<&'f str>,
    ) -> Option<&'f str> {
        match self.place {
            Some(_) => arn,
            None => name,
        }
    }

    /// The region of an ARN.
    pub(crate) fn region(self) -> Option<&'a str> {
        self.place.map(|place| place.region)
    }

    /// Its plain name in a vault of this region and account: that of an ARN without the hyphen and
    /// six characters that AWS added, and only if it leads there. The same name is another secret
    /// elsewhere.
    pub(crate) fn plain(self, region: &str, account: Option<&str>) -> Option<&'a str> {
        let Some(place) = self.place else {
            return Some(self.text);
        };
        if place.region != region || Some(place.account) != account {
            return None;
        }
        let (_, name) = self.text.rsplit_once(':')?;
        name.rsplit_once('-').map(|(plain, _)| plain)
    }

    /// Where it leads in a vault of this region and account.
    pub(crate) fn site(self, region: &str, account: Option<&str>) -> Site {
        let (region, account) = match self.place {
            Some(place) => (place.region, Some(place.account)),
            None => (region, account),
        };
        Site {
            system: format!("aws {region}"),
            account: account.map(str::to_owned),
            secret: self.plain(region, account).unwrap_or(self.text).to_owned(),
        }
    }

    /// Whether the secret that AWS found by it in a vault of this region and account, by its ARN, is
    /// the one that is meant.
    pub(crate) fn leads_to(self, arn: Option<&str>, region: &str, account: Option<&str>) -> bool {
        let found = arn.and_then(|arn| SecretName::parse(arn).ok());
        found.is_some_and(|found| {
            let is_same = match self.place {
                Some(_) => found.text == self.text,
                None => found.place.is_some(),
            };
            let [here, there] = [self, found].map(|name| name.site(region, account));
            is_same && here.may_be(&there)
        })
    }

    /// A warning of a name that may not be meant, in a vault of this region.
    ///
    /// # Errors
    /// `LOCATION_INVALID` for an ARN of another partition, where the vault's credentials are not
    /// known.
    pub(crate) fn judged(self, vault_region: &str) -> Result<Option<NameWarning>> {
        let Some(region) = self.region() else {
            return Ok(has_arn_end(self.text).then_some(LOOKS_PARTIAL));
        };
        let [arn, vault] = [region, vault_region].map(partition_of);
        match arn == vault {
            true => Ok((region != vault_region).then_some(OTHER_REGION)),
            false => Err(invalid(OtherPartition { arn, vault })),
        }
    }
}

/// Two partitions of AWS that know nothing of each other.
struct OtherPartition {
    arn: &'static str,
    vault: &'static str,
}

impl fmt::Display for OtherPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arn, vault } = self;
        write!(
            f,
            "is an ARN of the partition {arn}, and the vault is in {vault}, whose credentials are not \
             known there; use a secret of {vault}, or a vault whose region is of {arn}"
        )
    }
}

impl Public for OtherPartition {}

fn place_of(arn: &str) -> Result<Place<'_>> {
    let parts: Vec<&str> = arn.split(':').collect();
    let [
        _,
        partition,
        "secretsmanager",
        region,
        account,
        "secret",
        name,
    ] = parts.as_slice()
    else {
        return Err(invalid(
            "is not the ARN of a secret; copy it whole from the console, and put a key of its JSON \
             into `property`: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-AbCdEf",
        ));
    };
    if !is_region(region) || !is_account(account) || *partition != partition_of(region) {
        return Err(invalid(
            "is an ARN without a valid partition, region or account, or of a region that is not of \
             its partition; copy it whole from the console",
        ));
    }
    if !has_arn_end(name) || !name.bytes().all(is_name_byte) {
        return Err(invalid(
            "is a partial ARN; copy the whole one, with the hyphen and six characters at its end, \
             or use the secret's plain name",
        ));
    }
    Ok(Place { region, account })
}

/// Whether it ends in a hyphen and six characters, after something.
fn has_arn_end(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(rest, end)| {
        !rest.is_empty() && end.len() == 6 && end.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/_+=.@!-".contains(&byte)
}

fn invalid(remedy: impl Public) -> Error {
    Error::new(Reason::LocationInvalid).violation(FIELD, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/stripe-AbCd12";

    fn warning(text: &str) -> Option<&'static str> {
        let name = SecretName::parse(text).expect("valid");
        let warning = name.judged("eu-west-1").expect("its partition");
        warning.map(|warning| warning.reason)
    }

    #[test]
    fn names_and_full_arns_are_taken() {
        assert_eq!(warning("prod/stripe"), None);
        assert_eq!(warning("/a_b+c=d.e@f!-"), None);
        assert_eq!(warning(ARN), None);
        let region = SecretName::parse(ARN).expect("valid").region();
        assert_eq!(region, Some("eu-west-1"));
    }

    #[test]
    fn the_plain_name_is_the_one_inside_an_arn_of_the_vault_s_own_place() {
        let (region, account) = ("eu-west-1", Some("123456789012"));
        for (text, region, account, plain) in [
            (ARN, region, account, Some("prod/stripe")),
            (ARN, region, None, None),
            (ARN, region, Some("210987654321"), None),
            (ARN, "us-east-1", account, None),
            ("prod/stripe", region, None, Some("prod/stripe")),
            ("prod-stripe", region, account, Some("prod-stripe")),
        ] {
            let name = SecretName::parse(text).expect("valid");
            assert_eq!(name.plain(region, account), plain, "{text} {account:?}");
        }
    }

    #[test]
    fn names_that_may_lead_to_one_secret_are_told_whatever_the_vault() {
        let (region, account) = ("eu-west-1", Some("123456789012"));
        let here = ("prod/stripe", region, account);
        for (text, region, account, is_it) in [
            ("prod/stripe", region, account, true),
            ("prod/stripe", region, None, true),
            ("prod/stripe", region, Some("210987654321"), false),
            ("prod/stripe", "us-east-1", account, false),
            ("Prod/stripe", region, account, false),
            (ARN, region, account, true),
            (ARN, region, None, true),
            (ARN, region, Some("210987654321"), true),
            (ARN, "us-east-1", None, true),
        ] {
            let site = |(text, region, account)| {
                let name = SecretName::parse(text).expect("valid");
                name.site(region, account)
            };
            let (one, other) = (site(here), site((text, region, account)));
            assert_eq!(one.may_be(&other), is_it, "{text} {region} {account:?}");
            assert_eq!(other.may_be(&one), is_it, "{text} {region} {account:?}");
        }
    }

    #[test]
    fn what_is_found_is_what_the_name_leads_to() {
        let (region, account) = ("eu-west-1", "123456789012");
        let other_end = ARN.replace("AbCd12", "AbCd13");
        let other_name = ARN.replace("stripe", "other");
        let other_region = ARN.replace(region, "us-east-1");
        for (text, found, account, is_it) in [
            ("prod/stripe", Some(ARN), Some(account), true),
            ("prod/stripe", Some(ARN), None, true),
            ("prod/stripe", Some(ARN), Some("210987654321"), false),
            ("prod/stripe", Some(&*other_end), Some(account), true),
            ("prod/stripe", Some(&*other_name), Some(account), false),
            ("prod/stripe", Some(&*other_region), Some(account), false),
            ("prod/stripe", Some("prod/stripe"), Some(account), false),
            ("prod/stripe", None, Some(account), false),
            (ARN, Some(ARN), None, true),
            (ARN, Some(ARN), Some("210987654321"), true),
            (ARN, Some(&*other_end), Some(account), false),
            (ARN, None, None, false),
        ] {
            let name = SecretName::parse(text).expect("valid");
            let leads = name.leads_to(found, region, account);
            assert_eq!(leads, is_it, "{text} {found:?} {account:?}");
        }
    }

    #[test]
    fn name_that_may_be_the_end_of_an_arn_only_warns() {
        assert_eq!(
            warning("prod-stripe"),
            Some("SECRET_NAME_LOOKS_LIKE_ARN_END")
        );
        assert_eq!(warning("prod-stripes"), None);
        assert_eq!(warning("-stripe"), None);
        assert_eq!(warning("prod-str.pe"), None);
    }

    #[test]
    fn arn_of_another_region_warns() {
        let other = ARN.replace("eu-west-1", "us-east-1");
        assert_eq!(warning(&other), Some("SECRET_IN_OTHER_REGION"));
    }

    #[test]
    fn arn_of_another_partition_is_refused_with_both_named() {
        let at = |partition: &str, region: &str| {
            format!("arn:{partition}:secretsmanager:{region}:123456789012:secret:pay/stripe-AbCdEf")
        };
        let places = [
            ("aws", "eu-west-1"),
            ("aws-cn", "cn-north-1"),
            ("aws-us-gov", "us-gov-west-1"),
            ("aws-iso", "us-iso-east-1"),
        ];
        for (arn, arn_region) in places {
            for (vault, vault_region) in places {
                let text = at(arn, arn_region);
                let name = SecretName::parse(&text).expect("valid");
                let judged = name.judged(vault_region);
                assert_eq!(judged.is_ok(), arn == vault, "{arn} {vault}");
                let Err(error) = judged else { continue };
                assert_eq!(error.reason(), Reason::LocationInvalid);
                let shown = error.to_string();
                let both = [format!("partition {arn},"), format!("is in {vault},")];
                assert!(both.iter().all(|one| shown.contains(one)), "{shown}");
            }
            // A region has one partition.
            let other = if arn == "aws" { "aws-cn" } else { "aws" };
            let error = SecretName::parse(&at(other, arn_region)).expect_err(other);
            assert_eq!(error.reason(), Reason::LocationInvalid);
        }
    }

    #[test]
    fn partial_and_foreign_arns_are_refused_with_the_remedy() {
        for (arn, remedy) in [
            (ARN.replace("-AbCd12", ""), "partial ARN"),
            (ARN.replace("AbCd12", "AbCd1"), "partial ARN"),
            (ARN.replace("-AbCd12", "-??????"), "partial ARN"),
            (format!("{ARN}:apiKey::"), "`property`"),
            (
                ARN.replace("secretsmanager", "ssm"),
                "not the ARN of a secret",
            ),
            (ARN.replace("eu-west-1", ""), "region"),
            (ARN.replace("123456789012", "12"), "account"),
            ("arn:".to_owned(), "not the ARN of a secret"),
        ] {
            let error = SecretName::parse(&arn).expect_err(&arn);
            assert_eq!(error.reason(), Reason::LocationInvalid, "{arn}");
            assert!(error.to_string().contains(remedy), "{arn}: {error}");
        }
    }

    #[test]
    fn names_that_aws_refuses_are_refused_here() {
        let long = "x".repeat(513);
        for name in ["", "a b", "a:b", "é", "a\n", "a?b", long.as_str()] {
            let error = SecretName::parse(name).expect_err(name);
            assert_eq!(error.reason(), Reason::LocationInvalid, "{name}");
        }
    }
}
