//! Keeps the arrows between crates pointing down, and dear dependencies where they belong.
//!
//! The tables below are the rule; `cargo metadata` is compared with them. Development
//! dependencies are not looked at (a test may use any), and packages under `tests/` may
//! use everything while nothing may use them.

use std::fs;

use cargo_metadata::{DependencyKind, Package, TargetKind};

use crate::context::{Context, Result};

/// Stands for every crate of a backend, and is the row of those that have none of their own.
const BACKENDS: &str = "claviger-backend-*";

/// Each crate with the crates of ours it may use. A row names only rows above it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("claviger-core", &[]),
    ("claviger-mem", &[]),
    ("claviger-proto", &[]),
    ("claviger-access", &["claviger-core"]),
    ("claviger-cache", &["claviger-access", "claviger-core"]),
    ("claviger-client", &["claviger-core", "claviger-proto"]),
    ("claviger-seal", &["claviger-core"]),
    ("claviger-settings", &["claviger-core"]),
    (
        "claviger-identity",
        &["claviger-core", "claviger-seal", "claviger-settings"],
    ),
    ("claviger-store", &["claviger-core", "claviger-seal"]),
    ("claviger-stripe", &["claviger-core", "claviger-settings"]),
    (
        "claviger-backend",
        &[
            "claviger-core",
            "claviger-seal",
            "claviger-settings",
            // What a vault that lives in the store stages.
            "claviger-store",
        ],
    ),
    (
        BACKENDS,
        &["claviger-backend", "claviger-core", "claviger-settings"],
    ),
    (
        "claviger-backend-managed",
        &["claviger-backend", "claviger-core", "claviger-store"],
    ),
    (
        "claviger-backend-snowflake",
        &[
            "claviger-backend",
            "claviger-core",
            "claviger-seal",
            "claviger-settings",
        ],
    ),
    (
        "claviger-audit",
        &["claviger-access", "claviger-core", "claviger-seal"],
    ),
    (
        "claviger-broker",
        &[
            "claviger-access",
            "claviger-audit",
            "claviger-backend",
            "claviger-cache",
            "claviger-core",
            "claviger-seal",
            "claviger-store",
            "claviger-stripe",
        ],
    ),
    (
        "claviger-api",
        &[
            "claviger-access",
            "claviger-audit",
            "claviger-broker",
            "claviger-core",
            "claviger-identity",
            "claviger-proto",
            "claviger-stripe",
        ],
    ),
    (
        "clavigerd",
        &[
            "claviger-access",
            "claviger-api",
            "claviger-audit",
            "claviger-backend",
            BACKENDS,
            "claviger-broker",
            "claviger-client",
            "claviger-core",
            "claviger-identity",
            "claviger-mem",
            "claviger-proto",
            "claviger-seal",
            "claviger-settings",
            "claviger-store",
            "claviger-stripe",
        ],
    ),
    (
        "claviger",
        &[
            "claviger-client",
            "claviger-core",
            "claviger-mem",
            "claviger-proto",
            "claviger-settings",
            // Its OAuth client.
            "claviger-stripe",
        ],
    ),
    ("xtask", &[]),
];

/// Dependencies that must not spread, with the crates that may name them.
const CONFINED: &[(&str, &[&str])] = &[
    ("aws-config", &["claviger-backend-aws"]),
    ("aws-lc-rs", &["claviger-backend-azure", "claviger-seal"]),
    ("aws-sdk-secretsmanager", &["claviger-backend-aws"]),
    ("aws-sdk-sts", &["claviger-backend-aws"]),
    ("azure_core", &["claviger-backend-azure"]),
    ("azure_identity", &["claviger-backend-azure"]),
    (
        "azure_security_keyvault_secrets",
        &["claviger-backend-azure"],
    ),
    (
        "jsonwebtoken",
        &["claviger-backend-azure", "claviger-identity"],
    ),
    ("indicatif", &["claviger"]),
    ("libc", &["claviger-mem"]),
    (
        "pkcs8",
        &["claviger-backend-azure", "claviger-backend-snowflake"],
    ),
    ("prometheus", &["clavigerd"]),
    ("prost-reflect", &["claviger"]),
    (
        "reqwest",
        &[
            "claviger-backend-azure",
            "claviger-identity",
            "claviger-stripe",
        ],
    ),
    ("rsa", &["claviger-backend-snowflake"]),
    ("rusqlite", &["claviger-store"]),
    ("rustls-webpki", &["claviger-identity"]),
    ("schemars", &["claviger"]),
    ("serde-saphyr", &["claviger"]),
    ("snowflake-connector-rs", &["claviger-backend-snowflake"]),
    ("toml", &["claviger-settings"]),
    (
        "tonic",
        &["claviger-api", "claviger-client", "claviger-proto"],
    ),
    ("tonic-health", &["claviger-api"]),
    ("tonic-prost", &["claviger-proto"]),
    ("tonic-prost-build", &["claviger-proto"]),
    ("tonic-reflection", &["claviger-api"]),
    ("tonic-types", &["claviger-api", "claviger-client"]),
    ("x509-parser", &["claviger-identity"]),
];

/// Not anywhere in the graph: one implementation of cryptography is enough to keep patched.
const FORBIDDEN: &[&str] = &["native-tls", "openssl", "openssl-sys", "ring"];

/// Generated code: cannot keep the lints.
const GENERATED: &str = "claviger-proto";

/// The one crate that may hold `unsafe`.
const MAY_BE_UNSAFE: &str = "claviger-mem";

/// One package of the workspace, as far as the rules look at it.
struct Member {
    name: String,
    is_under_tests: bool,
    /// Direct dependencies of the build, ours and foreign.
    uses: Vec<String>,
    manifest: String,
    /// The source of each crate root: library and programs.
    roots: Vec<String>,
}

impl Member {
    fn read(cx: &Context, package: &Package) -> Result<Self> {
        let normal = |kind| kind != DependencyKind::Development;
        let dependencies = package.dependencies.iter();
        let roots = package.targets.iter().filter(|target| {
            target
                .kind
                .iter()
                .any(|kind| matches!(kind, TargetKind::Lib | TargetKind::Bin))
        });
        Ok(Self {
            name: package.name.to_string(),
            is_under_tests: package.manifest_path.starts_with(cx.root().join("tests")),
            uses: dependencies
                .filter(|dependency| normal(dependency.kind))
                .map(|dependency| dependency.name.clone())
                .collect(),
            manifest: fs::read_to_string(&package.manifest_path)?,
            roots: roots
                .map(|target| fs::read_to_string(&target.src_path))
                .collect::<std::io::Result<_>>()?,
        })
    }
}

/// Refuses edges that the tables do not allow, naming every fault.
pub(crate) fn check(cx: &mut Context) -> Result {
    let packages = cx.metadata.workspace_packages();
    let members = packages
        .into_iter()
        .map(|package| Member::read(cx, package))
        .collect::<Result<Vec<_>>>()?;
    let built = built_packages(cx)?;

    let mut faults = forbidden_faults(built.iter().map(String::as_str));
    for member in &members {
        faults.extend(edge_faults(member, &members));
        faults.extend(confinement_faults(member));
        faults.extend(lint_faults(member));
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("\n").into())
}

/// The names of all packages that some target is built from. `cargo metadata` would also name
/// optional ones that nothing turns on.
fn built_packages(cx: &Context) -> Result<Vec<String>> {
    let scope = ["tree", "--workspace", "--target", "all", "--prefix", "none"];
    let output = cx.cargo(&scope).args(["--format", "{p}"]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let lines = String::from_utf8(output.stdout)?;
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

fn forbidden_faults<'a>(everything: impl Iterator<Item = &'a str>) -> Vec<String> {
    everything
        .filter(|name| FORBIDDEN.contains(name))
        .map(|name| format!("{name} is in the graph (cargo tree -i {name} says why)"))
        .collect()
}

fn edge_faults(member: &Member, members: &[Member]) -> Vec<String> {
    let row_of = |name: &str| MAY_USE.iter().find(|(row, _)| *row == name);
    let row =
        row_of(&member.name).or_else(|| row_of(BACKENDS).filter(|_| is_backend(&member.name)));
    if row.is_none() && !member.is_under_tests {
        return vec![format!("{} has no row in MAY_USE", member.name)];
    }
    let may_use = |used: &Member| match row {
        Some((_, allowed)) => {
            allowed.contains(&used.name.as_str())
                || allowed.contains(&BACKENDS) && is_backend(&used.name)
        }
        None => true,
    };
    members
        .iter()
        .filter(|used| member.uses.contains(&used.name) && !may_use(used))
        .map(|used| format!("{} may not use {}", member.name, used.name))
        .collect()
}

fn is_backend(name: &str) -> bool {
    BACKENDS
        .strip_suffix('*')
        .is_some_and(|beginning| name.starts_with(beginning))
}

fn confinement_faults(member: &Member) -> Vec<String> {
    if member.is_under_tests {
        return Vec::new();
    }
    CONFINED
        .iter()
        .filter(|(name, allowed)| {
            member.uses.iter().any(|used| used == name) && !allowed.contains(&member.name.as_str())
        })
        .map(|(name, allowed)| {
            format!(
                "{} may not use {name}: only {} may",
                member.name,
                allowed.join(", ")
            )
        })
        .collect()
}

fn lint_faults(member: &Member) -> Vec<String> {
    let mut faults = Vec::new();
    if member.name == GENERATED {
        return faults;
    }
    if !inherits_lints(&member.manifest) {
        faults.push(format!(
            "{} does not inherit the lints of the workspace",
            member.name
        ));
    }
    let forbids = |root: &String| root.lines().any(|line| line == "#![forbid(unsafe_code)]");
    if member.name != MAY_BE_UNSAFE && !member.roots.iter().all(forbids) {
        faults.push(format!(
            "{} has a crate root without #![forbid(unsafe_code)]",
            member.name
        ));
    }
    faults
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim);
    lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";

    fn member(name: &str, uses: &[&str]) -> Member {
        Member {
            name: name.to_owned(),
            is_under_tests: false,
            uses: uses.iter().map(|used| (*used).to_owned()).collect(),
            manifest: MANIFEST.to_owned(),
            roots: vec!["//! Something.\n#![forbid(unsafe_code)]\n".to_owned()],
        }
    }

    fn edges(members: &[Member]) -> Vec<String> {
        let faults = members.iter().map(|member| edge_faults(member, members));
        faults.flatten().collect()
    }

    #[test]
    fn arrow_that_points_up_is_named() {
        let members = [
            member("claviger-core", &["claviger-store"]),
            member("claviger-store", &["claviger-core", "rusqlite"]),
        ];
        assert_eq!(
            edges(&members),
            ["claviger-core may not use claviger-store"]
        );
    }

    #[test]
    fn arrow_that_skips_the_broker_is_named() {
        let members = [
            member("claviger-api", &["claviger-core", "claviger-store"]),
            member("claviger-store", &["claviger-core"]),
            member("claviger-core", &[]),
        ];
        assert_eq!(edges(&members), ["claviger-api may not use claviger-store"]);
    }

    #[test]
    fn backend_needs_no_row_and_only_the_daemon_may_use_it() {
        let members = [
            member("claviger-core", &[]),
            member("claviger-broker", &["claviger-backend-consul"]),
            member("clavigerd", &["claviger-backend-consul"]),
            member("claviger-store", &["claviger-core"]),
            member(
                "claviger-backend-consul",
                &["claviger-core", "claviger-store"],
            ),
        ];
        let expected = [
            "claviger-broker may not use claviger-backend-consul",
            "claviger-backend-consul may not use claviger-store",
        ];
        assert_eq!(edges(&members), expected);
    }

    #[test]
    fn crate_without_a_row_is_named() {
        let members = [member("claviger-utils", &[])];
        assert_eq!(edges(&members), ["claviger-utils has no row in MAY_USE"]);
    }

    #[test]
    fn test_package_may_use_everything_and_be_used_by_nothing() {
        let mut e2e = member("claviger-e2e", &["claviger-core", "tonic"]);
        e2e.is_under_tests = true;
        assert!(confinement_faults(&e2e).is_empty());
        let members = [e2e, member("claviger-core", &["claviger-e2e"])];
        assert_eq!(edges(&members), ["claviger-core may not use claviger-e2e"]);
    }

    #[test]
    fn row_names_only_rows_above_it() {
        for (index, (name, allowed)) in MAY_USE.iter().enumerate() {
            for used in *allowed {
                let above = MAY_USE[..index].iter().any(|(row, _)| row == used);
                assert!(above, "{name} uses {used}, which is not above it");
            }
        }
    }

    #[test]
    fn confined_dependency_elsewhere_is_named() {
        assert_eq!(
            confinement_faults(&member("claviger-broker", &["rusqlite", "tokio"])),
            ["claviger-broker may not use rusqlite: only claviger-store may"]
        );
        assert!(confinement_faults(&member("claviger-store", &["rusqlite"])).is_empty());
    }

    #[test]
    fn forbidden_crate_is_named_however_deep_it_is() {
        let faults = forbidden_faults(["tokio", "ring", "ring-buffer"].into_iter());
        assert_eq!(
            faults,
            ["ring is in the graph (cargo tree -i ring says why)"]
        );
    }

    #[test]
    fn crate_without_lints_or_forbid_is_named() {
        let mut careless = member("claviger-core", &[]);
        careless.manifest = MANIFEST.replace("workspace = true", "workspace = false");
        careless
            .roots
            .push("// #![forbid(unsafe_code)]\n".to_owned());
        assert_eq!(
            lint_faults(&careless),
            [
                "claviger-core does not inherit the lints of the workspace",
                "claviger-core has a crate root without #![forbid(unsafe_code)]",
            ]
        );
        assert!(lint_faults(&member("claviger-core", &[])).is_empty());
    }

    #[test]
    fn only_the_memory_crate_may_hold_unsafe() {
        let mut unsafe_crate = member(MAY_BE_UNSAFE, &[]);
        unsafe_crate.roots = vec![String::new()];
        assert!(lint_faults(&unsafe_crate).is_empty());
        unsafe_crate.name = "claviger-seal".to_owned();
        assert_eq!(lint_faults(&unsafe_crate).len(), 1);
    }
}
