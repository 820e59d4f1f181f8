//! Where issuers may be, and whose hosts are whose.

use reqwest::Url;

use crate::kind::Kind;

/// The address of an issuer or of its keys: https, or http to this very host, and nothing that
/// hides where it leads.
pub(crate) fn parse(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url);
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && !host.ends_with('.')
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_safe && is_plain).then_some(url)
}

/// Hosts as the URL standard writes them, so that `127.1` and `[0:0::1]` are recognised.
pub(crate) fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// The kind whose issuers are at this host. SECURITY: under another kind their tokens would be
/// taken without the claims that this one demands.
pub(crate) fn kind_of_host(url: &Url) -> Option<Kind> {
    let host = url.host_str()?;
    let is_in = |zone: &str| {
        let labels = host.strip_suffix(zone);
        labels.is_some_and(|labels| labels.is_empty() || labels.ends_with('.'))
    };
    let starts = |label: &str| host.starts_with(label);
    let is_entra = [
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "login.chinacloudapi.cn",
        "sts.windows.net",
        "ciamlogin.com",
    ];
    if is_in("accounts.google.com") {
        Some(Kind::Google)
    } else if is_in("actions.githubusercontent.com") || is_in("ghe.com") {
        Some(Kind::Github)
    } else if is_entra.into_iter().any(is_in) {
        Some(Kind::Azure)
    } else if is_in("sts.global.api.aws") {
        Some(Kind::Aws)
    } else if is_in("amazonaws.com") && starts("oidc.eks.")
        || is_in("amazonaws.com.cn") && starts("oidc.eks.")
        || is_in("api.aws") && starts("oidc-eks.")
        || is_in("container.googleapis.com")
        || is_in("azure.com") && host.contains(".oic.")
    {
        Some(Kind::Kubernetes)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_loopback_without_anything_beside() {
        for (text, is_taken) in [
            ("https://issuer.example", true),
            ("https://issuer.example/realms/acme/", true),
            ("https://issuer.example:8443", true),
            ("http://127.0.0.1:4000", true),
            ("http://127.1:4000", true),
            ("http://[::1]:4000", true),
            ("http://localhost:4000", true),
            ("http://issuer.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("https://user@issuer.example", false),
            ("https://issuer.example?x", false),
            ("https://issuer.example#x", false),
            ("https://issuer.example.", false),
            ("https://iss\tuer.example", false),
            (" https://issuer.example", false),
            ("ftp://127.0.0.1", false),
            ("file:///etc/passwd", false),
            ("issuer.example", false),
            ("", false),
        ] {
            assert_eq!(parse(text).is_some(), is_taken, "{text}");
        }
    }

    #[test]
    fn hosts_of_built_in_kinds_are_known() {
        for (host, kind) in [
            ("token.actions.githubusercontent.com", Some(Kind::Github)),
            ("TOKEN.actions.GitHubUserContent.com", Some(Kind::Github)),
            ("token.actions.acme.ghe.com", Some(Kind::Github)),
            ("accounts.google.com", Some(Kind::Google)),
            ("login.microsoftonline.com", Some(Kind::Azure)),
            ("sts.windows.net", Some(Kind::Azure)),
            ("abc.tokens.sts.global.api.aws", Some(Kind::Aws)),
            ("oidc.eks.eu-west-1.amazonaws.com", Some(Kind::Kubernetes)),
            ("container.googleapis.com", Some(Kind::Kubernetes)),
            ("eu.oic.prod-aks.azure.com", Some(Kind::Kubernetes)),
            ("evilaccounts.google.com.example", None),
            ("evilaccounts.google.com", None),
            ("keycloak.acme.example", None),
        ] {
            let url = parse(&format!("https://{host}/x")).expect("an address");
            assert_eq!(kind_of_host(&url), kind, "{host}");
        }
    }
}
