use claviger_stripe::live::BaseUrl;
use claviger_stripe::oauth::Reuse;

use super::*;

#[test]
fn without_a_table_stripe_itself_is_asked() {
    let stripe = Case::new().with_file("", "--data-dir /d").unwrap().stripe;
    let stripes_own = BaseUrl::parse("https://api.stripe.com", &["api.stripe.com"]).unwrap();
    assert_eq!(stripe.base_url, stripes_own);
    assert_eq!(stripe.timeout, Duration::from_secs(5));
    assert_eq!(stripe.checks_per_minute, 60);
    let connect = BaseUrl::parse("https://connect.stripe.com", &["connect.stripe.com"]).unwrap();
    assert_eq!(stripe.connect_url, Some(connect));
    assert_eq!(stripe.oauth_refresh_before, Duration::from_secs(90));
    assert_eq!(stripe.refresh_token_reuse, Reuse::Tolerated);
}

#[test]
fn another_address_is_taken_if_its_host_is_listed() {
    let text = r#"
[stripe]
hosts = ["127.0.0.1"]
base_url = "http://127.0.0.1:12111"
timeout = "1s"
checks_per_minute = 2
"#;
    let stripe = Case::new().with_file(text, "").unwrap().stripe;
    let stub = BaseUrl::parse("http://127.0.0.1:12111", &["127.0.0.1"]).unwrap();
    assert_eq!((stripe.base_url, stripe.checks_per_minute), (stub, 2));
    assert_eq!(stripe.timeout, Duration::from_secs(1));
    assert_eq!(stripe.connect_url, None, "its host is not listed");
}

#[test]
fn connects_address_is_judged_as_stripes_own_and_may_be_missing() {
    let text = r#"
[stripe]
hosts = ["127.0.0.1", "api.stripe.com"]
connect_url = "http://127.0.0.1:12111"
oauth_refresh_before = "10s"
refresh_token_reuse = "revokes"
"#;
    let stripe = Case::new().with_file(text, "").unwrap().stripe;
    let stub = BaseUrl::parse("http://127.0.0.1:12111", &["127.0.0.1"]).unwrap();
    assert_eq!(stripe.connect_url, Some(stub));
    assert_eq!(stripe.oauth_refresh_before, Duration::from_secs(10));
    assert_eq!(stripe.refresh_token_reuse, Reuse::Revokes);
    let old = "[stripe]\nhosts = [\"api.stripe.com\"]\n";
    let old = Case::new().with_file(old, "").unwrap().stripe;
    assert_eq!(old.connect_url, None);
    for (line, problem) in [
        (
            r#"connect_url = "https://connect.evil.test""#,
            "connect_url: names a host that may not be asked; add it to hosts if it is Stripe's or \
             a stub's",
        ),
        (
            r#"oauth_refresh_before = "1h""#,
            "oauth_refresh_before: is out of bounds; write 10s to 30m",
        ),
        (
            r#"refresh_token_reuse = "maybe""#,
            "refresh_token_reuse: is neither \"tolerated\" (as Stripe does) nor \"revokes\" (a \
             server that ends the connection when a spent refresh token is sent)",
        ),
    ] {
        let found = problems(&format!("[stripe]\n{line}\n"));
        assert_eq!(found, format!("c.toml:2: stripe.{problem}"));
    }
}

#[test]
fn an_address_that_may_not_be_asked_is_refused_with_its_line_and_not_repeated() {
    let not_listed =
        "names a host that may not be asked; add it to hosts if it is Stripe's or a stub's";
    for (stripe, problem) in [
        (r#"base_url = "https://stripe.evil.test""#, not_listed),
        (r#"base_url = "http://127.0.0.1:12111""#, not_listed),
        (
            r#"base_url = "http://api.stripe.com""#,
            "is not https (http is for 127.0.0.1, [::1] and localhost)",
        ),
        (
            r#"base_url = "https://user:pass@api.stripe.com""#,
            "has more than scheme, host and port; leave the rest out",
        ),
        (
            r#"base_url = "api.stripe.com""#,
            "is not a URL; write it as https://api.stripe.com",
        ),
    ] {
        let found = problems(&format!("[stripe]\n{stripe}\n"));
        assert_eq!(found, format!("c.toml:2: stripe.base_url: {problem}"));
    }
}

#[test]
fn a_list_of_hosts_without_stripes_own_needs_an_address() {
    assert_eq!(
        problems("[stripe]\nhosts = [\"stub.test\"]\n"),
        "c.toml:1: stripe.base_url: is missing; hosts does not list api.stripe.com, where it would be"
    );
    assert_eq!(
        problems("[stripe]\nhosts = [\"https://stub.test\"]\nbase_url = \"https://stub.test\"\n"),
        "c.toml:2: stripe.hosts[0]: is not a host alone; write it without scheme and port: \
         api.stripe.com\n\
         c.toml:3: stripe.base_url: names a host that may not be asked; add it to hosts if it is \
         Stripe's or a stub's"
    );
    let with_port =
        problems("[stripe]\nhosts = [\"127.0.0.1:80\"]\nbase_url = \"http://127.0.0.1:80\"\n");
    assert!(with_port.contains("without scheme and port"), "{with_port}");
    assert!(problems("[stripe]\nchecks_per_minute = 0\n").contains("stripe.checks_per_minute"));
    assert!(problems("[stripe]\ntimeout = \"1m\"\n").contains("stripe.timeout"));
}
