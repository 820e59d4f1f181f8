use super::*;

#[test]
fn a_kind_is_known_by_the_name_that_its_crate_gives_it() {
    for kind in VAULT_KINDS {
        let name = kind.backend.map_or(kind.name, |backend| backend.name);
        assert_eq!(name, kind.name);
    }
}

#[test]
fn a_kind_that_is_not_in_the_build_is_said_to_be_so() {
    let text = "[vaults.v]\nkind = \"left-out\"\nallow = []\nsettings.canary = 1\n";
    let expected = "c.toml:2: vaults.v.kind: is not in this build of clavigerd; build it with \
                    --features left-out";
    assert_eq!(problems(text), expected);
    let known = problems("vaults.v.kind = \"canary\"");
    assert!(!known.contains("left-out"), "{known}");
}

#[cfg(not(feature = "snowflake"))]
#[test]
fn a_build_without_snowflake_says_so() {
    let problems = problems("[vaults.s]\nkind = \"snowflake\"\n");
    assert!(
        problems.contains("build it with --features snowflake"),
        "{problems}"
    );
}
