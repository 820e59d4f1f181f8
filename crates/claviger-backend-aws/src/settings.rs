//! The operator's table `[vaults.<id>.settings]`, and the rules that it keeps.

use std::collections::BTreeMap;

use claviger_backend::Allow;
use claviger_settings::{SettingsProblem, Table};

/// The start of the names of our own tags.
pub(crate) const TAG_PREFIX: &str = "claviger:";

/// AWS allows 50 tags; three are ours.
const TAGS_MAX: usize = 47;

/// How the names of regions begin, in every partition.
const AREAS: &[&str] = &[
    "af", "ap", "ca", "cn", "eu", "eu-isoe", "eusc-de", "il", "me", "mx", "sa", "us", "us-gov",
    "us-iso", "us-isob", "us-isof",
];

/// How they go on.
const DIRECTIONS: &[&str] = &[
    "central",
    "east",
    "north",
    "northeast",
    "northwest",
    "south",
    "southeast",
    "southwest",
    "west",
];

/// The settings of one vault of kind `aws`. Holds no credentials: the SDK's own chain finds them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AwsSettings {
    /// Where the secrets are, `eu-central-1` for example.
    pub region: String,
    /// The account that the secrets are in: an ARN of it and of `region` counts as the name in it.
    pub account_id: Option<String>,
    /// Another place to call than the region's own, for emulators and private endpoints.
    pub endpoint_url: Option<String>,
    /// The profile of the shared configuration files that has the credentials.
    pub profile: Option<String>,
    /// A role to assume.
    pub role_arn: Option<String>,
    /// The id that the role's trust policy asks for.
    pub external_id: Option<String>,
    /// The key that new secrets are encrypted with; else the account's own.
    pub kms_key_id: Option<String>,
    /// Tags that new secrets get.
    pub tags: BTreeMap<String, String>,
}

impl AwsSettings {
    /// Reads them; everything wrong goes to the table's problems.
    pub fn read(table: &mut Table<'_>) -> Self {
        table.require(
            "region",
            "name the one the secrets are in, eu-central-1 for example",
        );
        let settings = Self {
            region: table.text("region").unwrap_or_default(),
            account_id: table.text("account_id"),
            endpoint_url: table.text("endpoint_url"),
            profile: table.text("profile"),
            role_arn: table.text("role_arn"),
            external_id: table.text("external_id"),
            kms_key_id: table.text("kms_key_id"),
            tags: table.map("tags"),
        };
        table.report(settings.problems());
        settings
    }

    /// The account that its plain names are in, as far as that can be told.
    pub(crate) fn own_account(&self) -> Option<&str> {
        let of_role = || self.role_arn.as_deref()?.split(':').nth(4);
        self.account_id.as_deref().or_else(of_role)
    }

    /// What works, but may let one secret go by two names.
    pub fn warnings(&self, allow: &Allow) -> Vec<SettingsProblem> {
        let is_own = |arn: &str| arn.split(':').nth(3) == Some(&self.region);
        let is_open = self.account_id.is_none() && allow.in_full().any(is_own);
        let warning = SettingsProblem {
            key: "account_id",
            remedy: "is missing, and allow has ARNs of the vault's own region: whether they are the \
                     secrets that plain names lead to as well is not known, so a change of one needs \
                     the permission wherever its name is read; name the account of the vault",
        };
        is_open.then_some(warning).into_iter().collect()
    }

    /// Everything that is wrong, found without asking AWS.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let endpoint = self.endpoint_url.as_deref();
        let own = partition_of(&self.region);
        let is_elsewhere =
            |arn: &Option<String>| arn.as_deref().is_some_and(|arn| is_arn_elsewhere(arn, own));
        let checks = [
            (
                "region",
                !is_region(&self.region),
                "is not the name of an AWS region; write it as in eu-central-1",
            ),
            (
                "account_id",
                self.account_id.as_deref().is_some_and(|id| !is_account(id)),
                "is not the id of an AWS account; write its 12 digits in quotes",
            ),
            (
                "endpoint_url",
                endpoint.is_some_and(|url| !is_safe_endpoint(url)),
                "is not https://HOST[:PORT]; plain http:// is for emulators on loopback only, \
                 because secrets would travel readable",
            ),
            (
                "endpoint_url",
                endpoint.is_some_and(|url| is_url_elsewhere(url, own)),
                "names a region of another partition of AWS (aws, aws-cn, aws-us-gov) than region is \
                 of, and no credentials are known in both; correct one of the two",
            ),
            (
                "profile",
                self.profile.as_deref().is_some_and(is_blank),
                "is empty; name a profile or leave it out",
            ),
            (
                "profile",
                self.profile.is_some() && self.role_arn.is_some(),
                "contradicts role_arn; drop one of the two (a profile can name a role itself)",
            ),
            (
                "role_arn",
                self.role_arn.as_deref().is_some_and(|arn| !is_role(arn)),
                "is not the ARN of a role; write arn:aws:iam::ACCOUNT:role/NAME",
            ),
            (
                "role_arn",
                is_elsewhere(&self.role_arn),
                "is of another partition of AWS (aws, aws-cn, aws-us-gov) than region; name a role of \
                 the same one",
            ),
            (
                "external_id",
                self.external_id.is_some() && self.role_arn.is_none(),
                "goes with role_arn, which is missing; add role_arn or drop external_id",
            ),
            (
                "external_id",
                self.external_id
                    .as_deref()
                    .is_some_and(|id| !(2..=1224).contains(&id.len())),
                "has to be 2 to 1224 characters long",
            ),
            (
                "kms_key_id",
                self.kms_key_id.as_deref().is_some_and(is_blank),
                "is empty; name a key by id, alias or ARN, or leave it out",
            ),
            (
                "kms_key_id",
                is_elsewhere(&self.kms_key_id),
                "is of another partition of AWS (aws, aws-cn, aws-us-gov) than region; name a key of \
                 the same one",
            ),
            (
                "tags",
                self.tags.len() > TAGS_MAX,
                "are more than 47, and AWS takes 50 with the three of Claviger's own",
            ),
            (
                "tags",
                !self.tags.iter().all(|(key, value)| is_tag(key, value)),
                "have a key that is empty, longer than 128 or begins with aws: or claviger:, or a \
                 value longer than 256 characters",
            ),
        ];
        let wrong = checks.into_iter().filter(|(_, is_wrong, _)| *is_wrong);
        wrong
            .map(|(key, _, remedy)| SettingsProblem { key, remedy })
            .collect()
    }
}

/// Whether it looks like a region of today or tomorrow: area, direction, number.
pub(crate) fn is_region(text: &str) -> bool {
    let mut parts = text.rsplitn(3, '-');
    let (Some(number), Some(direction), Some(area)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    matches!(number.as_bytes(), [b'1'..=b'9'])
        && DIRECTIONS.contains(&direction)
        && AREAS.contains(&area)
}

/// The partitions of AWS that are apart from the first, by how their regions begin: no credentials of
/// one are known in another.
const PARTITIONS: &[(&str, &str)] = &[
    ("cn-", "aws-cn"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
];

/// The partition that a region is of.
pub(crate) fn partition_of(region: &str) -> &'static str {
    let mut apart = PARTITIONS.iter();
    let found = apart.find(|(start, _)| region.starts_with(start));
    found.map_or("aws", |(_, partition)| *partition)
}

/// Whether it is an ARN of another partition.
fn is_arn_elsewhere(text: &str, partition: &str) -> bool {
    let named = text
        .strip_prefix("arn:")
        .and_then(|rest| rest.split(':').next());
    named.is_some_and(|named| named != partition)
}

/// Whether an address has the name of a region of another partition in it.
fn is_url_elsewhere(url: &str, partition: &str) -> bool {
    let labels = url.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let mut regions = labels.filter(|label| is_region(label));
    regions.any(|region| partition_of(region) != partition)
}

fn is_safe_endpoint(url: &str) -> bool {
    let (is_plain, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => return false,
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => authority.split(':').next(),
    };
    let host = host.unwrap_or_default();
    let is_loopback = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let is_host = !host.is_empty() && !authority.contains(['@', '?', '#', ' ']);
    is_host && (!is_plain || is_loopback)
}

fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", partition, "iam", "", account, role]
        if partition.starts_with("aws") && is_account(account)
            && role.strip_prefix("role/").is_some_and(|name| !name.is_empty()))
}

pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_tag(key: &str, value: &str) -> bool {
    (1..=128).contains(&key.chars().count())
        && !key.starts_with("aws:")
        && !key.starts_with(TAG_PREFIX)
        && value.chars().count() <= 256
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use claviger_settings::{Problems, read_document};

    use super::*;

    fn keys(change: impl FnOnce(&mut AwsSettings)) -> Vec<&'static str> {
        let mut settings = AwsSettings {
            region: "eu-central-1".to_owned(),
            ..AwsSettings::default()
        };
        change(&mut settings);
        let problems = settings.problems().into_iter();
        problems.map(|problem| problem.key).collect()
    }

    #[test]
    fn settings_that_work_have_no_problem() {
        assert_eq!(keys(|_| ()), [""; 0]);
        let whole = keys(|settings| {
            settings.account_id = Some("001234567890".to_owned());
            settings.endpoint_url = Some("https://vpce-1.example:8443/".to_owned());
            settings.role_arn = Some("arn:aws:iam::123456789012:role/a/b".to_owned());
            settings.external_id = Some("id".to_owned());
            settings.kms_key_id = Some("alias/claviger".to_owned());
            settings.tags = BTreeMap::from([("team".to_owned(), String::new())]);
        });
        assert_eq!(whole, [""; 0]);
    }

    #[test]
    fn arns_of_the_own_region_without_an_account_are_warned_about() {
        let arn = |region| format!("arn:aws:secretsmanager:{region}:123456789012:secret:a/*");
        let (own, other) = (arn("eu-central-1"), arn("us-east-1"));
        for (names, account, is_open) in [
            (vec![own.clone()], None, true),
            (vec!["a/*".to_owned(), own.clone()], None, true),
            (vec![own], Some("123456789012"), false),
            (vec![other], None, false),
            (vec!["a/*".to_owned()], None, false),
        ] {
            let allow = Allow::new(vec![Allow::parse_rule("acme", &names).expect("valid")]);
            let settings = AwsSettings {
                region: "eu-central-1".to_owned(),
                account_id: account.map(str::to_owned),
                ..AwsSettings::default()
            };
            let warned = settings.warnings(&allow);
            let warned: Vec<_> = warned.iter().map(|warning| warning.key).collect();
            let expected: &[&str] = if is_open { &["account_id"] } else { &[] };
            assert_eq!(warned, expected, "{names:?}");
        }
    }

    #[test]
    fn account_of_plain_names_is_that_of_the_settings_or_of_the_role() {
        let role = "arn:aws:iam::123456789012:role/claviger";
        for (account, role, own) in [
            (None, None, None),
            (None, Some(role), Some("123456789012")),
            (Some("210987654321"), Some(role), Some("210987654321")),
        ] {
            let settings = AwsSettings {
                account_id: account.map(str::to_owned),
                role_arn: role.map(str::to_owned),
                ..AwsSettings::default()
            };
            assert_eq!(settings.own_account(), own);
        }
    }

    #[test]
    fn table_is_read() {
        let mut problems = Problems::new(None);
        let text = "region = \"eu-central-1\"\naccount_id = \"123456789012\"\ntags.team = \"data\"";
        let read = read_document(text, &mut problems, AwsSettings::read);
        let settings = AwsSettings {
            region: "eu-central-1".to_owned(),
            account_id: Some("123456789012".to_owned()),
            tags: BTreeMap::from([("team".to_owned(), "data".to_owned())]),
            ..AwsSettings::default()
        };
        assert_eq!(
            (read, problems.to_string()),
            (Some(settings), String::new())
        );
    }

    #[test]
    fn regions_of_every_partition_are_known_and_typos_are_not() {
        for region in [
            "us-east-1",
            "us-gov-west-1",
            "cn-northwest-1",
            "eusc-de-east-1",
            "il-central-1",
        ] {
            assert!(is_region(region), "{region}");
        }
        for text in [
            "",
            "eu",
            "eu-central",
            "eu-centrall-1",
            "eu-central-01",
            "EU-central-1",
            "uk-west-1",
            "eu-central-1 ",
        ] {
            assert!(!is_region(text), "{text}");
        }
    }

    #[test]
    fn everything_is_of_the_partition_of_the_region() {
        for (region, partition) in [
            ("eu-central-1", "aws"),
            ("us-east-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("us-isof-south-1", "aws-iso-f"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert!(is_region(region), "{region}");
            assert_eq!(partition_of(region), partition);
            for other in ["aws", "aws-cn", "aws-us-gov"] {
                let is_own = other == partition;
                let role = Some(format!("arn:{other}:iam::123456789012:role/r"));
                let key = Some(format!("arn:{other}:kms:{region}:123456789012:key/k"));
                let found = keys(|settings| {
                    settings.region = region.to_owned();
                    settings.role_arn = role;
                    settings.kms_key_id = key;
                });
                let expected: &[&str] = match is_own {
                    true => &[],
                    false => &["role_arn", "kms_key_id"],
                };
                assert_eq!(found, expected, "{region} {other}");
            }
        }
        for (url, is_own) in [
            ("https://secretsmanager.eu-west-1.amazonaws.com", true),
            (
                "https://vpce-0a-b.secretsmanager.eu-central-1.vpce.amazonaws.com",
                true,
            ),
            ("https://secretsmanager.cn-north-1.amazonaws.com.cn", false),
            ("https://secretsmanager.us-gov-west-1.amazonaws.com", false),
            ("https://vault.example:8443", true),
        ] {
            let found = keys(|settings| settings.endpoint_url = Some(url.to_owned()));
            let expected: &[&str] = if is_own { &[] } else { &["endpoint_url"] };
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn secrets_travel_readable_only_on_loopback() {
        for (url, is_safe) in [
            ("http://127.0.0.1:5000", true),
            ("http://localhost:5000/", true),
            ("http://[::1]:5000", true),
            ("http://moto:5000", false),
            ("http://localhost.evil.example", false),
            ("http://localhost@evil.example", false),
            ("https://", false),
            ("https://user:pass@host", false),
            ("secretsmanager.eu-central-1.amazonaws.com", false),
        ] {
            let found = keys(|settings| settings.endpoint_url = Some(url.to_owned()));
            assert_eq!(found.is_empty(), is_safe, "{url}");
        }
    }

    #[test]
    fn account_has_twelve_digits() {
        for id in [
            "",
            "12345678901",
            "1234567890123",
            "1234-5678-9012",
            "١٢٣٤٥٦",
        ] {
            let found = keys(|settings| settings.account_id = Some(id.to_owned()));
            assert_eq!(found, ["account_id"], "{id}");
        }
    }

    #[test]
    fn half_given_credentials_are_named() {
        assert_eq!(
            keys(|settings| settings.external_id = Some("id".to_owned())),
            ["external_id"]
        );
        let both = keys(|settings| {
            settings.profile = Some("p".to_owned());
            settings.role_arn = Some("arn:aws:iam::123456789012:role/r".to_owned());
        });
        assert_eq!(both, ["profile"]);
        let user = keys(|settings| {
            settings.role_arn = Some("arn:aws:iam::123456789012:user/u".to_owned());
        });
        assert_eq!(user, ["role_arn"]);
    }

    #[test]
    fn tags_of_others_are_not_taken() {
        for key in ["", "aws:x", "claviger:store"] {
            let found = keys(|settings| {
                settings.tags.insert(key.to_owned(), String::new());
            });
            assert_eq!(found, ["tags"], "{key}");
        }
    }
}
