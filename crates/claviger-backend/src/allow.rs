//! Which projects may point at which secrets of a vault that others use too.

use claviger_core::Id;

/// In a rule, stands for every project; written out so that nobody gives it by leaving something
/// out.
const ANY_PROJECT: &str = "any-project";

/// Which projects may use which names. By default none may use any.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Allow(Vec<Rule>);

impl Allow {
    /// Whatever at least one of these rules allows.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// Every name to every project: for a vault whose secrets are reached only through the
    /// definitions they belong to.
    pub fn everything() -> Self {
        Self(vec![Rule {
            project: None,
            names: vec![NamePattern(ANY.to_owned())],
        }])
    }

    /// # Errors
    /// The fault of the rule and the remedy; nothing of the rule is in it.
    pub fn parse_rule(project: &str, names: &[String]) -> Result<Rule, String> {
        let project = Rule::parse_project(project)?;
        let names = names.iter().map(|name| NamePattern::parse(name));
        Ok(Rule {
            project,
            names: names.collect::<Result<_, _>>()?,
        })
    }

    /// The same rules, their patterns spelled as the vault's names are compared.
    #[must_use]
    pub(crate) fn folded(mut self, fold: impl Fn(&str) -> String) -> Self {
        for pattern in self.0.iter_mut().flat_map(|rule| &mut rule.names) {
            pattern.0 = fold(&pattern.0);
        }
        self
    }

    /// Whether there is any name that this project may use.
    pub fn names(&self, project: &Id) -> bool {
        self.0
            .iter()
            .any(|rule| rule.is_for(project) && !rule.names.is_empty())
    }

    /// Whether definitions of this project may point at the secret of this name.
    pub fn allows(&self, project: &Id, secret: &str) -> bool {
        self.patterns(project)
            .any(|pattern| pattern.matches(secret))
    }

    /// Whether they may point at the secret of this full name. Nothing general says so: only a
    /// pattern that spells out the part before the name, and with it region and account.
    pub fn allows_in_full(&self, project: &Id, arn: &str) -> bool {
        self.patterns(project)
            .any(|pattern| pattern.is_arn() && pattern.matches(arn))
    }

    /// The patterns that spell out where a secret is, for whichever project.
    pub fn in_full(&self) -> impl Iterator<Item = &str> {
        let all = self.0.iter().flat_map(|rule| &rule.names);
        all.filter(|pattern| pattern.is_arn())
            .map(|pattern| pattern.0.as_str())
    }

    fn patterns(&self, project: &Id) -> impl Iterator<Item = &NamePattern> {
        let rules = self.0.iter().filter(move |rule| rule.is_for(project));
        rules.flat_map(|rule| &rule.names)
    }
}

/// Lets one project, or all of them, use some names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// `None` is every project.
    pub project: Option<Id>,
    /// The names, each by one of these at least.
    pub names: Vec<NamePattern>,
}

impl Rule {
    fn is_for(&self, project: &Id) -> bool {
        self.project.as_ref().is_none_or(|only| only == project)
    }

    /// # Errors
    /// The fault and the remedy.
    pub fn parse_project(text: &str) -> Result<Option<Id>, &'static str> {
        match Id::parse("project", text) {
            Ok(_) if text == ANY_PROJECT => Ok(None),
            Ok(id) if id.as_str() == text => Ok(Some(id)),
            Ok(_) | Err(_) => Err("is not a project; write the id of one, or \"any-project\""),
        }
    }
}

/// Stands for a whole segment, and at the end for one or more.
const ANY: &str = "*";

/// Names by their segments between `/`: `acme/*` or `*/stripe/key`; `*` alone is every name. Never
/// by part of a segment, because `acme*` would let `acme` use the names of `acme-corp`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamePattern(String);

impl NamePattern {
    /// # Errors
    /// The fault and the remedy.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        // A name may begin with `/`, and then its pattern does.
        let segments = text.strip_prefix('/').unwrap_or(text);
        for segment in segments.split('/') {
            if segment.is_empty() {
                return Err(
                    "is empty or has an empty part between slashes; write whole names, or \
                    \"acme/*\" for everything under acme/",
                );
            }
            if segment != ANY && segment.contains(ANY) {
                return Err(
                    "has a * that is only part of a segment; * stands for a whole one, as \
                    in \"acme/*\"",
                );
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether it begins as an ARN does; no `*` can, because an ARN is one segment up to its name.
    fn is_arn(&self) -> bool {
        self.0.starts_with("arn:")
    }

    /// Whether the name is one of these.
    pub fn matches(&self, name: &str) -> bool {
        if self.0 == ANY {
            return true;
        }
        let mut segments = name.split('/');
        let mut patterns = self.0.split('/').peekable();
        while let Some(pattern) = patterns.next() {
            let Some(segment) = segments.next() else {
                return false;
            };
            let is_match = match pattern {
                ANY => !segment.is_empty(),
                exact => exact == segment,
            };
            if !is_match {
                return false;
            }
            if pattern == ANY && patterns.peek().is_none() {
                return segments.all(|rest| !rest.is_empty());
            }
        }
        segments.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(project: &str, names: &[&str]) -> Allow {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Allow::new(vec![Allow::parse_rule(project, &names).expect("valid")])
    }

    fn acme() -> Id {
        Id::from_static("acme")
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        assert!(!Allow::default().allows(&acme(), "acme/stripe"));
        assert!(!allow("acme", &[]).allows(&acme(), "acme/stripe"));
        assert!(Allow::everything().allows(&acme(), "a b//c/"));
    }

    #[test]
    fn a_rule_is_for_its_project_and_for_all_only_where_that_is_written_out() {
        let one = allow("acme", &["acme/*"]);
        assert!(one.allows(&acme(), "acme/stripe"));
        assert!(!one.allows(&Id::from_static("acme-corp"), "acme/stripe"));
        let all = allow("any-project", &["shared/*"]);
        assert!(all.allows(&acme(), "shared/stripe"));
        for text in ["", "*", " acme", "a/b", "é"] {
            assert!(Allow::parse_rule(text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_are_whole_segments() {
        for (pattern, name, is_match) in [
            ("acme/*", "acme/stripe", true),
            ("acme/*", "acme/prod/stripe", true),
            ("acme/*", "acme", false),
            ("acme/*", "acme/", false),
            ("acme/*", "acme//stripe", false),
            ("acme/*", "/acme/stripe", false),
            ("acme/*", "acme-corp/stripe", false),
            ("acme/*", "ACME/stripe", false),
            ("*/stripe", "prod/stripe", true),
            ("*/stripe", "/stripe", false),
            ("*/stripe", "prod/eu/stripe", false),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/c/d", false),
            ("acme", "acme", true),
            ("acme", "acme/stripe", false),
            ("/acme/*", "/acme/stripe", true),
            ("/acme/*", "acme/stripe", false),
            ("*", "/any/name at.all", true),
        ] {
            let parsed = NamePattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.matches(name), is_match, "{pattern} {name}");
        }
    }

    #[test]
    fn full_name_is_allowed_only_by_a_pattern_that_spells_out_where_it_leads() {
        let arn = |place: &str| format!("arn:aws:secretsmanager:{place}:secret:pay/stripe-AbCdEf");
        let (here, there) = (arn("eu-west-1:123456789012"), arn("us-east-1:123456789012"));
        for (pattern, is_allowed) in [
            (here.as_str(), true),
            (
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:pay/*",
                true,
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:pay",
                false,
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:pay/stripe",
                false,
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:210987654321:secret:pay/*",
                false,
            ),
            (there.as_str(), false),
            ("*", false),
            ("*/*", false),
            ("*/stripe-AbCdEf", false),
            ("pay/*", false),
        ] {
            let rule = allow("acme", &[pattern]);
            assert_eq!(rule.allows_in_full(&acme(), &here), is_allowed, "{pattern}");
            assert!(!rule.allows_in_full(&acme(), "pay/stripe"), "{pattern}");
            let other = Id::from_static("other");
            assert!(!rule.allows_in_full(&other, &here), "{pattern}");
        }
        assert!(!Allow::everything().allows_in_full(&acme(), &here));
    }

    #[test]
    fn patterns_by_parts_of_segments_are_refused_with_the_remedy() {
        for text in ["acme*", "*acme", "acme/**", "a/b*/c"] {
            let remedy = NamePattern::parse(text).expect_err(text);
            assert!(remedy.contains("whole one"), "{text}: {remedy}");
        }
        for text in ["", "/", "acme/", "acme//x", "//acme"] {
            let remedy = NamePattern::parse(text).expect_err(text);
            assert!(remedy.contains("empty part"), "{text}: {remedy}");
        }
    }
}
