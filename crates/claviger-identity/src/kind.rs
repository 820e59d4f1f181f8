//! The kinds of identity, and what differs between them.

use std::time::Duration;

use jsonwebtoken::Algorithm;

const HOUR: Duration = Duration::from_secs(3600);

/// A kind of identity. What its tokens must say is code and not policy, so that no configuration
/// can leave a part of it out.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Kind {
    /// An AWS role, by outbound identity federation (`sts:GetWebIdentityToken`).
    Aws,
    /// A managed identity or application of one Entra tenant.
    Azure,
    /// A subject of any other OpenID issuer.
    #[default]
    Generic,
    /// A workflow of GitHub Actions.
    Github,
    /// A service account of Google Cloud.
    Google,
    /// A service account of a Kubernetes cluster.
    Kubernetes,
    /// A workload of a SPIFFE trust domain, by a JWT-SVID.
    Spiffe,
}

impl Kind {
    /// Every kind there is, in the order of their names.
    pub const ALL: [Self; 7] = [
        Self::Aws,
        Self::Azure,
        Self::Generic,
        Self::Github,
        Self::Google,
        Self::Kubernetes,
        Self::Spiffe,
    ];

    /// As written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Generic => "generic",
            Self::Github => "github",
            Self::Google => "google",
            Self::Kubernetes => "kubernetes",
            Self::Spiffe => "spiffe",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How many parts a pattern (`oidc:<identity>#<part>/…/*`) must spell out, where grants may
    /// have one: all principals below must be the same owner's, whoever names things there.
    pub fn pattern_parts(self) -> Option<usize> {
        match self {
            // The account, whichever of its uids: but not a namespace, whose name others may get.
            Self::Kubernetes => Some(2),
            // The repository, by its id. An owner's would hold all that its members make.
            Self::Github => Some(2),
            Self::Aws | Self::Azure | Self::Generic | Self::Google => None,
            // Any path below the trust domain: `spiffe://…/*` has rules of its own.
            Self::Spiffe => None,
        }
    }

    /// For how long a token may be good: what the issuer gives at most, by its documentation.
    pub(crate) fn life_max(self) -> Duration {
        match self {
            Self::Kubernetes => 24 * HOUR,
            // A day, counted from five minutes before it was made.
            Self::Azure => 25 * HOUR,
            Self::Aws | Self::Generic | Self::Github | Self::Google | Self::Spiffe => HOUR,
        }
    }

    /// The algorithms where the settings name none.
    pub(crate) fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Aws => &[Algorithm::RS256, Algorithm::ES384],
            Self::Spiffe => &[Algorithm::ES256, Algorithm::RS256],
            Self::Azure | Self::Generic | Self::Github | Self::Google | Self::Kubernetes => {
                &[Algorithm::RS256]
            }
        }
    }

    /// Whether tokens say `typ` so. Those for other ends (logout, proofs) say something else.
    pub(crate) fn is_typ(self, typ: &str) -> bool {
        let is = |name: &str| typ.eq_ignore_ascii_case(name);
        let is_own = match self {
            Self::Generic => is("at+jwt") || is("application/at+jwt"),
            Self::Spiffe => is("JOSE"),
            Self::Aws | Self::Azure | Self::Github | Self::Google | Self::Kubernetes => false,
        };
        is("JWT") || is_own
    }
}
