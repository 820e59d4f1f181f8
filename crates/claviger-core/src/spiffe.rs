//! SPIFFE ids, as their standard writes them.

/// Longest id.
const ID_BYTES_MAX: usize = 2048;

/// Longest name of a trust domain.
const DOMAIN_BYTES_MAX: usize = 255;

/// The trust domain of a workload's id: `spiffe://<trust domain>/<path>`. `None` of any other text,
/// ids of trust domains themselves included.
pub fn spiffe_trust_domain(id: &str) -> Option<&str> {
    let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
    let is_segment = |segment: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain)
    };
    let is_id = id.len() <= ID_BYTES_MAX && is_trust_domain(domain);
    (is_id && path.split('/').all(is_segment)).then_some(domain)
}

/// Whether a text is the name of a trust domain.
pub fn is_trust_domain(text: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    (1..=DOMAIN_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_workloads_are_taken() {
        for (id, expected) in [
            ("spiffe://acme.example/ns/etl", Some("acme.example")),
            ("spiffe://acme_1/A-z.0_9", Some("acme_1")),
            ("spiffe://acme.example", None),
            ("spiffe://acme.example/", None),
            ("spiffe://acme.example/ns/", None),
            ("spiffe://acme.example//ns", None),
            ("spiffe://acme.example/../ns", None),
            ("spiffe://acme.example/./ns", None),
            ("spiffe://acme.example/n%73", None),
            ("spiffe://acme.example/ns?x", None),
            ("spiffe://acme.example/ns#x", None),
            ("spiffe://acme.example/nß", None),
            ("spiffe://Acme.example/ns", None),
            ("spiffe://acme.example:8443/ns", None),
            ("spiffe://user@acme.example/ns", None),
            ("spiffe:///ns", None),
            ("SPIFFE://acme.example/ns", None),
            ("https://acme.example/ns", None),
            ("", None),
        ] {
            assert_eq!(spiffe_trust_domain(id), expected, "{id}");
        }
        let long = format!("spiffe://acme.example/{}", "a".repeat(2048));
        assert_eq!(spiffe_trust_domain(&long), None);
    }
}
