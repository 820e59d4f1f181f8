use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A tenant, an application or an identity.
const ID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

const URL: &str = "https://acme.vault.azure.net";

/// A vault with this credential, in line 5.
fn vault(credential: &str) -> String {
    format!(
        "[vaults.azure-eu]\nkind = \"azure\"\nallow = []\n[vaults.azure-eu.settings]\n\
         credential = {credential}\nvault_url = \"{URL}\"\n"
    )
}

/// An application, with the rest of its keys.
fn application(kind: &str, more: &str) -> String {
    format!("{{ kind = \"{kind}\", tenant_id = \"{ID}\", client_id = \"{ID}\"{more} }}")
}

impl Case {
    fn private_file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn credential(&self, credential: &str) -> Result<(), String> {
        self.with_file(&vault(credential), "").map(drop)
    }
}

#[test]
fn half_given_credentials_are_refused_naming_key_line_and_remedy() {
    let case = Case::new();
    let secret = case.private_file("client.secret", b"canary");
    let file = format!(", secret_file = {secret:?}");
    let whole = application("client_secret", &file);
    assert!(case.credential(&whole).is_ok());
    let without = |key: &str| whole.replacen(&format!("{key} = \"{ID}\", "), "", 1);
    for (credential, key, remedy) in [
        (without("tenant_id"), ".tenant_id", "directory id"),
        (
            whole.replacen(
                &format!("client_id = \"{ID}\""),
                "client_id = \"canary\"",
                1,
            ),
            ".client_id",
            "is not the id of an application",
        ),
        (
            application("client_secret", ""),
            ".secret_file",
            "write the path of a file that holds the client secret",
        ),
        (
            application("client_secret", ", certificate_file = \"/canary\""),
            ".certificate_file",
            "is not a key",
        ),
        (
            application("client_certificate", ""),
            ".certificate_file",
            "write the path of a PEM file",
        ),
        (
            application("client_secret", ", client_secret = \"canary\""),
            ".client_secret",
            "is not a key",
        ),
        (
            "{ kind = \"managed_identity\", client_id = \"canary\" }".to_owned(),
            ".client_id",
            "is not the id of an application",
        ),
        (
            "{ kind = \"azure_cli\", tenant_id = \"canary\" }".to_owned(),
            ".tenant_id",
            "is not a key",
        ),
        (
            "{ kind = \"canary\", tenant_id = \"canary\" }".to_owned(),
            ".kind",
            "known: azure_cli, client_certificate",
        ),
        ("{}".to_owned(), ".kind", "is missing"),
        ("\"canary\"".to_owned(), "", "write a table"),
    ] {
        let wrong = case.credential(&credential).unwrap_err();
        let place = format!("c.toml:5: vaults.azure-eu.settings.credential{key}: ");
        let mut lines = wrong.lines();
        let line = lines.find(|line| line.starts_with(&place));
        assert!(
            line.is_some_and(|line| line.contains(remedy)),
            "{credential}\n{wrong}"
        );
        assert!(!wrong.contains("canary"), "{wrong}");
    }
}

#[test]
fn credential_files_are_read_once_and_nothing_of_them_is_shown() {
    let case = Case::new();
    let open = case.private_file("open", b"canary");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let unusable = |kind: &str, key: &str, file: &Path| {
        let credential = application(kind, &format!(", {key} = {file:?}"));
        let wrong = case.credential(&credential).unwrap_err();
        let place = format!("c.toml:5: vaults.azure-eu.settings.credential.{key}: ");
        assert!(wrong.starts_with(&place), "{wrong}");
        assert_eq!(wrong.lines().count(), 1, "{wrong}");
        assert!(!wrong.contains("canary"), "{wrong}");
        wrong
    };
    for (file, remedy) in [
        (case.path("absent-canary"), "does not exist"),
        (case.path(""), "not a regular file"),
        (case.private_file("empty", b" \n"), "empty"),
        (case.private_file("long", &[b'x'; 70_000]), "too long"),
        (open, "chmod 600"),
    ] {
        let wrong = unusable("client_secret", "secret_file", &file);
        assert!(wrong.contains(remedy), "{wrong}");
    }
    let no_pem = case.private_file("no.pem", b"canary");
    unusable("client_certificate", "certificate_file", &no_pem);
    unusable("workload_identity", "token_file", &case.path("absent"));
}

#[test]
fn only_the_url_of_a_vault_is_taken() {
    let config = vault("{ kind = \"azure_cli\" }");
    for (url, is_taken) in [
        (URL, true),
        ("https://acme.vault.azure.net/", true),
        ("https://acme.vault.azure.cn", true),
        ("https://acme.vault.usgovcloudapi.net", true),
        ("http://acme.vault.azure.net", false),
        ("https://127.0.0.1:8443", false),
        ("https://acme.vault.azure.net.canary.example", false),
        ("https://acme.vault.azure.net/secrets/canary", false),
        ("acme", false),
    ] {
        let result = Case::new().with_file(&config.replacen(URL, url, 1), "");
        assert_eq!(result.is_ok(), is_taken, "{url}");
        if let Err(wrong) = result {
            let place = "c.toml:6: vaults.azure-eu.settings.vault_url: ";
            assert!(wrong.starts_with(place), "{wrong}");
            assert!(wrong.contains("https://NAME.vault.azure.net"), "{wrong}");
            assert!(!wrong.contains("canary"), "{wrong}");
        }
    }
    let missing = problems("[vaults.a]\nkind = \"azure\"\nallow = []\nsettings = {}");
    assert_eq!(
        missing,
        "c.toml:4: vaults.a.settings.vault_url: is missing; copy the vault URI from the portal\n\
         c.toml:4: vaults.a.settings.credential: is missing; say which one, { kind = \
         \"managed_identity\" } for example (or workload_identity, client_secret, \
         client_certificate, azure_cli)"
    );
}

#[test]
fn the_example_mentions_every_key_of_every_kind_of_credential() {
    for kind in [
        "azure_cli",
        "client_certificate",
        "client_secret",
        "managed_identity",
        "workload_identity",
    ] {
        let wrong = problems(&vault(&format!("{{ kind = \"{kind}\", zzzzzz = 1 }}")));
        let (_, keys) = wrong
            .split_once("zzzzzz: is not a key (keys here: ")
            .unwrap();
        let (keys, _) = keys.split_once(')').unwrap();
        assert!(EXAMPLE.contains(&format!("kind = \"{kind}\"")), "{kind}");
        let mut lines = EXAMPLE
            .lines()
            .skip_while(|line| !line.contains(kind))
            .take(2);
        let shown: String = lines.by_ref().collect();
        for key in keys.split(", ") {
            assert!(shown.contains(&format!("{key} = ")), "{kind}: {key}");
        }
    }
}
