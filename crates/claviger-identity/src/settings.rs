//! The operator's table `[identity.<name>]`, and the rules that it keeps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use claviger_core::Id;
use claviger_settings::{SettingsProblem, Table, is_uuid};
use jsonwebtoken::{Algorithm, AlgorithmFamily};

use crate::address;
use crate::kind::Kind;
use claviger_core::is_trust_domain;

/// Longest audience.
const AUDIENCE_BYTES_MAX: usize = 255;

/// What platforms put into tokens for themselves and for others.
const AUDIENCES_OF_OTHERS: [&str; 6] = [
    "api://AzureADTokenExchange",
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local",
    "https://management.azure.com",
    "https://vault.azure.net",
    "sts.amazonaws.com",
];

const ISSUER: &str = "issuer";
const AUDIENCE: &str = "audience";
const ALGORITHMS: &str = "algorithms";
const JWKS_FILE: &str = "jwks_file";
const JWKS_URI: &str = "jwks_uri";
const CA_FILE: &str = "ca_file";
const CRL_FILE: &str = "crl_file";
const BEARER_FILE: &str = "bearer_file";
const TENANT: &str = "tenant";
const TRUST_DOMAIN: &str = "trust_domain";

const NOT_AN_ADDRESS: &str = "is not https://HOST/… (http is for 127.0.0.1, [::1] and localhost) without \
                              user, query and fragment; copy `iss` from a token or `issuer` from its \
                              /.well-known/openid-configuration, byte for byte";
const NOT_AN_ALGORITHM: &str = "is not an algorithm whose issuer alone can sign (HS256 and the like share \
                                the key, `none` has none); choose from RS256, RS384, RS512, PS256, PS384, \
                                PS512, ES256, ES384, EdDSA";

/// The settings of one identity whose callers send JWTs. Holds no secrets: they stay in their
/// files. A text that has to be there and is not is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IdentitySettings {
    /// What its tokens must say.
    pub kind: Kind,
    /// `iss` of its tokens, byte for byte. Empty for a SPIFFE domain whose tokens need none.
    pub issuer: String,
    /// What `aud` must name: ours alone.
    pub audience: String,
    /// The algorithms that its tokens may be signed by.
    pub algorithms: Vec<Algorithm>,
    /// The issuer's keys, in a file instead of at the issuer's.
    pub jwks_file: Option<PathBuf>,
    /// Where the keys are, if that is not to be discovered.
    pub jwks_uri: Option<String>,
    /// The authorities that the issuer's certificate is of, instead of the host's own; of a SPIFFE
    /// domain, its bundle for certificates of callers.
    pub ca_file: Option<PathBuf>,
    /// The revocation lists of the bundle, of kind `spiffe`.
    pub crl_file: Option<PathBuf>,
    /// Holds a token that the issuer wants to see before it shows its keys.
    pub bearer_file: Option<PathBuf>,
    /// The tenant, of kind `azure`.
    pub tenant: String,
    /// The trust domain, of kind `spiffe`.
    pub trust_domain: String,
}

impl IdentitySettings {
    /// The keys that any kind has.
    pub const KEYS: [&str; 10] = [
        ISSUER,
        AUDIENCE,
        ALGORITHMS,
        JWKS_FILE,
        JWKS_URI,
        CA_FILE,
        CRL_FILE,
        BEARER_FILE,
        TENANT,
        TRUST_DOMAIN,
    ];

    /// Reads those of a kind; everything wrong goes to the table's problems. Opens no file. The
    /// key `kind` is the reader's.
    pub fn read(kind: Kind, table: &mut Table<'_>) -> Self {
        let (is_spiffe, is_kubernetes) = (kind == Kind::Spiffe, kind == Kind::Kubernetes);
        let mut text = |key| table.text(key).unwrap_or_default();
        let tenant = if kind == Kind::Azure {
            text(TENANT)
        } else {
            String::new()
        };
        let trust_domain = if is_spiffe {
            text(TRUST_DOMAIN)
        } else {
            String::new()
        };
        let audience = text(AUDIENCE);
        let default_issuer = match kind {
            Kind::Azure => format!("https://login.microsoftonline.com/{tenant}/v2.0"),
            Kind::Github => "https://token.actions.githubusercontent.com".to_owned(),
            Kind::Google => "https://accounts.google.com".to_owned(),
            Kind::Aws | Kind::Generic | Kind::Kubernetes | Kind::Spiffe => String::new(),
        };
        let issuer = table.text(ISSUER).unwrap_or(default_issuer);
        let algorithms = table.texts(ALGORITHMS, |text| match text.parse::<Algorithm>() {
            Ok(algorithm) if algorithm.family() != AlgorithmFamily::Hmac => Ok(algorithm),
            Ok(_) | Err(_) => Err(NOT_AN_ALGORITHM),
        });
        let jwks_file = table.path(JWKS_FILE);
        // Google's keys are at another host than the issuer.
        let is_google = kind == Kind::Google && issuer == "https://accounts.google.com";
        let google = is_google.then(|| "https://www.googleapis.com/oauth2/v3/certs".to_owned());
        let settings = Self {
            kind,
            issuer,
            audience,
            algorithms: algorithms.unwrap_or_else(|| kind.algorithms().to_vec()),
            jwks_uri: table
                .text(JWKS_URI)
                .or(google.filter(|_| jwks_file.is_none())),
            jwks_file,
            ca_file: table.path(CA_FILE),
            crl_file: is_spiffe.then(|| table.path(CRL_FILE)).flatten(),
            bearer_file: is_kubernetes.then(|| table.path(BEARER_FILE)).flatten(),
            tenant,
            trust_domain,
        };
        table.report(settings.problems());
        settings
    }

    /// Everything that is wrong, found without asking anybody or opening a file.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let found = [
            (TENANT, self.tenant_fault()),
            (TRUST_DOMAIN, self.trust_domain_fault()),
            (ISSUER, self.issuer_fault()),
            (AUDIENCE, self.audience_fault()),
            (ALGORITHMS, self.algorithms_fault()),
            (JWKS_FILE, self.source_fault()),
            (JWKS_URI, self.jwks_uri_fault()),
            (CRL_FILE, self.crl_fault()),
        ];
        let found = found.into_iter();
        found
            .filter_map(|(key, remedy)| {
                Some(SettingsProblem {
                    key,
                    remedy: remedy?,
                })
            })
            .collect()
    }

    /// The files that it names, each with its key.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let files = [
            (JWKS_FILE, &self.jwks_file),
            (CA_FILE, &self.ca_file),
            (CRL_FILE, &self.crl_file),
            (BEARER_FILE, &self.bearer_file),
        ];
        let files = files.into_iter();
        files.filter_map(|(key, file)| Some((key, file.as_deref()?)))
    }

    /// Whether callers can send tokens: a SPIFFE domain may be there for certificates only.
    pub fn takes_tokens(&self) -> bool {
        self.jwks_file.is_some() || self.jwks_uri.is_some() || !self.issuer.is_empty()
    }

    fn tenant_fault(&self) -> Option<&'static str> {
        (self.kind == Kind::Azure && !is_uuid(&self.tenant)).then_some(
            "is not the id of one tenant; write its directory id \
             (00000000-0000-0000-0000-000000000000), not `common` or a domain",
        )
    }

    fn trust_domain_fault(&self) -> Option<&'static str> {
        (self.kind == Kind::Spiffe && !is_trust_domain(&self.trust_domain)).then_some(
            "is not a trust domain; write the part of its ids between spiffe:// and the next slash \
             (lower case letters, digits, - . _)",
        )
    }

    fn issuer_fault(&self) -> Option<&'static str> {
        if self.issuer.is_empty() {
            let needs_one = self.kind != Kind::Spiffe;
            return needs_one.then_some("is missing; write `iss` of its tokens, byte for byte");
        }
        let Some(url) = address::parse(&self.issuer) else {
            return Some(NOT_AN_ADDRESS);
        };
        let host_kind = address::kind_of_host(&url);
        if host_kind.is_some_and(|kind| kind != self.kind) {
            return Some(
                "is at a host whose tokens have a kind of their own (accounts.google.com: google, \
                 token.actions.githubusercontent.com: github, login.microsoftonline.com: azure, \
                 sts.global.api.aws: aws, clusters of cloud providers: kubernetes); write that kind",
            );
        }
        let tenant = self.tenant.to_ascii_lowercase();
        let names_tenant = || self.issuer.to_ascii_lowercase().contains(&tenant);
        if host_kind == Some(Kind::Azure) && !(names_tenant() && self.issuer.ends_with("/v2.0")) {
            return Some(
                "is not https://login.microsoftonline.com/TENANT/v2.0 with the tenant of this \
                 identity; leave it out, and set requestedAccessTokenVersion to 2 in the \
                 application's manifest",
            );
        }
        None
    }

    fn audience_fault(&self) -> Option<&'static str> {
        let is_graphic = self.audience.bytes().all(|byte| byte.is_ascii_graphic());
        let len = self.audience.len();
        if self.audience.is_empty() {
            return self.takes_tokens().then_some(
                "is missing; write one that is Claviger's alone, and have it put into `aud` of the \
                 tokens (\"claviger.acme.example\")",
            );
        }
        if len > AUDIENCE_BYTES_MAX || !is_graphic {
            return Some(
                "is not 1 to 255 printable ASCII characters; write what tokens have in `aud`",
            );
        }
        let is_default =
            self.kind == Kind::Github && self.audience.starts_with("https://github.com/");
        let is_others = AUDIENCES_OF_OTHERS.contains(&self.audience.as_str());
        (is_default || is_others || self.audience == self.issuer).then_some(
            "is what the issuer puts into tokens for others or for itself; choose one that is \
             Claviger's alone, and ask the issuer for it",
        )
    }

    fn algorithms_fault(&self) -> Option<&'static str> {
        let is_shared = |algorithm: &Algorithm| algorithm.family() == AlgorithmFamily::Hmac;
        if self.algorithms.iter().any(is_shared) {
            return Some(NOT_AN_ALGORITHM);
        }
        let is_empty = self.algorithms.is_empty();
        is_empty.then_some("is an empty list; leave it out, or write the issuer's: [\"RS256\"]")
    }

    fn source_fault(&self) -> Option<&'static str> {
        let asks = self.jwks_uri.is_some() || self.bearer_file.is_some();
        if self.jwks_file.is_some() && asks {
            return Some(
                "leaves nobody to be asked for keys; leave out jwks_uri and bearer_file, or this",
            );
        }
        let has_nothing = !self.takes_tokens() && self.ca_file.is_none();
        has_nothing.then_some(
            "is missing; name the domain's bundle of keys for JWTs here, its certificates in \
             ca_file, or both",
        )
    }

    fn crl_fault(&self) -> Option<&'static str> {
        let is_half = self.crl_file.is_some() && self.ca_file.is_none();
        is_half.then_some("goes with ca_file, which is missing; name the authorities there")
    }

    fn jwks_uri_fault(&self) -> Option<&'static str> {
        let uri = self.jwks_uri.as_deref()?;
        address::parse(uri).is_none().then_some(
            "is not https://HOST/… (http is for 127.0.0.1, [::1] and localhost); copy `jwks_uri` \
             from the issuer's /.well-known/openid-configuration",
        )
    }
}

/// Identities that cannot be told apart by a token: each with the key that another one has too.
pub fn overlaps(identities: &BTreeMap<Id, IdentitySettings>) -> Vec<(Id, SettingsProblem)> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for (name, settings) in identities {
        let own = [
            (ISSUER, &settings.issuer),
            (TRUST_DOMAIN, &settings.trust_domain),
        ];
        for (key, value) in own.into_iter().filter(|(_, value)| !value.is_empty()) {
            if seen.contains(&(key, value)) {
                let remedy = "is that of another identity as well; keep one of them";
                found.push((name.clone(), SettingsProblem { key, remedy }));
            }
            seen.push((key, value));
        }
    }
    found
}
