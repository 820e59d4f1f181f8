use toml::de::DeTable;

use super::*;

const MANIFEST: &str = include_str!("../../../../../deploy/kubernetes/clavigerd.yaml");
const RUNNER: &str = include_str!("../../../../../deploy/kubernetes/runner.yaml");

/// The example with every default written out.
fn example() -> String {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_right_as_it_is_and_with_every_default_written_out() {
    let case = Case::new();
    let shipped = case.with_file(EXAMPLE, "").unwrap();
    let example = example();
    let (others, _) = example.split_once("[vaults.snowflake-").unwrap();
    let whole = case.with_file(others, "").unwrap();
    assert_eq!(shipped.deleted_retention, whole.deleted_retention);
    assert_eq!(shipped.log_filter, whole.log_filter);
    assert_eq!(shipped.audit_file, whole.audit_file);
    assert_eq!(shipped.audit_segment_bytes, whole.audit_segment_bytes);
    assert_eq!(shipped.audit_reserve_bytes, whole.audit_reserve_bytes);
    let managed = Id::from_static("managed");
    assert_eq!(
        shipped.vaults[&managed].limits,
        whole.vaults[&managed].limits
    );
    // Files are looked into when all else is right.
    let wrong = case.with_file(&example, "").unwrap_err();
    let wrong: Vec<&str> = wrong
        .lines()
        .map(|line| line.split_once(": ").unwrap().1)
        .collect();
    let missing = "settings.private_key_file: names a file that does not exist; correct the path";
    let expected = ["eu", "emulator"].map(|id| format!("vaults.snowflake-{id}.{missing}"));
    assert_eq!(wrong, expected);
}

#[test]
fn the_example_has_every_key_there_is() {
    let text = example();
    let mut shown = BTreeSet::new();
    collect("", DeTable::parse(&text).unwrap().get_ref(), &mut shown);

    let merged = shown.iter().map(|key| together(key));
    let merged: BTreeSet<String> = merged.collect();

    // A key that no table has makes each table tell its keys.
    let mut probed = String::from("zzzzzz = 1\n");
    for line in text.lines() {
        probed += line;
        probed += if line.starts_with('[') {
            "\nzzzzzz = 1\n"
        } else {
            "\n"
        };
    }
    let mut known = BTreeSet::from(
        ["aws-eu", "azure-eu", "managed", "snowflake-eu"].map(|id| format!("vaults.{id}")),
    );
    known.insert("identity.cluster".to_owned());
    let problems = problems(&probed);
    // The examples' files are not there.
    let unknown_keys = problems.lines().filter(|line| line.contains("zzzzzz: "));
    for problem in unknown_keys {
        let (_, problem) = problem.split_once(": ").unwrap();
        let (table, keys) = problem
            .split_once("zzzzzz: is not a key (keys here: ")
            .unwrap();
        let table = &together(table);
        let keys = keys.trim_end_matches(')');
        let (keys, hidden) = keys.split_once(" and ").unwrap_or((keys, "0 more"));
        let hidden: usize = hidden.trim_end_matches(" more").parse().unwrap();
        let keys = keys.split(", ");
        // A long list is cut: what is shown besides is known too, or it would be a problem.
        let rest = |key: &&String| {
            let last = key.strip_prefix(table).unwrap_or_default();
            hidden > 0
                && !last.is_empty()
                && !last.contains('.')
                && !keys.clone().any(|key| key == last)
        };
        let rest: Vec<String> = merged.iter().filter(rest).cloned().collect();
        assert_eq!(rest.len(), hidden, "{table}: {rest:?}");
        known.extend(rest);
        known.extend(
            keys.filter(|key| *key != "none")
                .map(|key| format!("{table}{key}")),
        );
    }
    assert_eq!(merged, known);
}

/// The key of the one table that stands for several: there are two vaults of one kind, and several
/// identities, because not all settings go together.
fn together(key: &str) -> String {
    let others = ["github", "entra", "mesh", "other", "partner", "corp"];
    let key = key.replace("-emulator", "-eu");
    others.into_iter().fold(key, |key, other| {
        key.replace(&format!("identity.{other}"), "identity.cluster")
    })
}

fn collect(prefix: &str, table: &DeTable<'_>, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        let key = format!("{prefix}{}", key.get_ref());
        if let Some(table) = value.get_ref().as_table() {
            collect(&format!("{key}."), table, keys);
        }
        keys.insert(key);
    }
}

#[test]
fn the_manifests_of_a_cluster_have_a_configuration_that_fits_them() {
    let text = MANIFEST.lines().map(|line| line.trim_start_matches("    "));
    let text = text
        .skip_while(|line| *line != "  clavigerd.toml: |")
        .skip(1);
    let text: Vec<&str> = text.take_while(|line| *line != "---").collect();
    let config = Case::new().with_file(&text.join("\n"), "").unwrap();
    let port = config.tcp.unwrap().port();
    let socket = config.socket.display();
    let audience = &config.identities[&Id::from_static("cluster")].audience;
    for (manifest, wanted) in [
        (MANIFEST, format!("containerPort: {port}\n")),
        (MANIFEST, format!("port: {port}\n")),
        (MANIFEST, format!("--socket, {socket}]\n")),
        (RUNNER, format!("claviger.claviger.svc:{port}\n")),
        (RUNNER, format!("audience: {audience}\n")),
    ] {
        assert!(manifest.contains(&wanted), "{wanted}");
    }
}
