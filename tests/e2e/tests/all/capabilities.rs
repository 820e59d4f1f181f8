//! The table of what each vault can do is what the vaults declare.

use std::fs;

use claviger_e2e::tools;
use claviger_proto::v1;

use crate::peers::{READABLE, SEALED, sealed};
use crate::stage::Stage;

/// The vaults, in the order of the table's columns.
const COLUMNS: [&str; 5] = ["managed", "aws", "azure", "sealed", "objects"];

/// Heads the table.
const HEAD: &str =
    "| | managed | AWS | Azure | Snowflake, `sealed_table` | Snowflake, `secret_objects` |";

fn rows(all: &[v1::vault::Capabilities]) -> Vec<String> {
    type Cell = fn(&v1::vault::Capabilities) -> String;
    fn yes(can: bool) -> String {
        (if can { "yes" } else { "no" }).to_owned()
    }
    #[rustfmt::skip]
    let rows: [(&str, Cell); 8] = [
        ("`location.secret`", |can| yes(can.secret)),
        ("`location.property`", |can| yes(can.property)),
        ("`location.version`", |can| yes(can.version)),
        ("list its secrets", |can| yes(can.list)),
        ("inspect its secrets", |can| yes(can.inspect)),
        ("disable and enable versions", |can| yes(can.disable_version)),
        ("destroy versions", |can| yes(can.destroy_version)),
        ("longest value, in bytes", |can| can.value_bytes_max.to_string()),
    ];
    let row = |(name, cell): &(&str, Cell)| {
        let cells: Vec<String> = all.iter().map(cell).collect();
        format!("| {name} | {} |", cells.join(" | "))
    };
    rows.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_in_the_readme_is_what_the_vaults_declare() {
    let peer = Box::new(sealed());
    let config = peer.vault_with("sealed", "", SEALED)
        + &peer.vault_with("objects", "", READABLE)
        + "[vaults.aws]\nkind = \"aws\"\n\
           allow = [{ project = \"dev\", names = [\"dev/*\"] }]\nsettings.region = \"eu-central-1\"\n\
           [vaults.azure]\nkind = \"azure\"\n\
           allow = [{ project = \"dev\", names = [\"*\"] }]\n[vaults.azure.settings]\n\
           vault_url = \"https://acme.vault.azure.net\"\n\
           credential = { kind = \"managed_identity\" }\n";
    let Stage { caller, .. } = &Stage::start_with(peer, &config).await;
    let listed = caller.vaults().list_vaults(v1::ListVaultsRequest {}).await;
    let listed = listed.expect("listed").into_inner().vaults;
    assert_eq!(listed.len(), COLUMNS.len());
    let mut declared = Vec::new();
    for id in COLUMNS {
        declared.push(caller.capabilities(id).await);
    }

    let page = tools::repository().join("crates/claviger-backend/README.md");
    let page = fs::read_to_string(page).expect("a README");
    let table = page.lines().skip_while(|line| *line != HEAD).skip(2);
    let table: Vec<&str> = table.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(table, rows(&declared));
}
