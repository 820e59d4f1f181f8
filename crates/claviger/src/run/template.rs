//! Text with places for secrets: `{{ secret "ID" }}` and nothing else.

use std::fmt;

/// A text and its places.
#[derive(Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Secret(String),
    Text(String),
}

/// A place that is none.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    line: usize,
    column: usize,
    problem: &'static str,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, opened)) = rest.split_once("{{") {
            let at = |problem| Fault::at(text, text.len() - opened.len() - "{{".len(), problem);
            let (inside, after) = opened
                .split_once("}}")
                .ok_or_else(|| at("a {{ has no }}"))?;
            let id = secret(inside)
                .ok_or_else(|| at(r#"only secret "ID" can stand between {{ and }}"#))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Secret(id.to_owned()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }

    /// The same text with other names for its secrets.
    pub(crate) fn renamed<E>(self, name: impl Fn(&str) -> Result<String, E>) -> Result<Self, E> {
        let parts = self.parts.into_iter().map(|part| match part {
            Part::Secret(id) => Ok(Part::Secret(name(&id)?)),
            Part::Text(_) => Ok(part),
        });
        Ok(Self {
            parts: parts.collect::<Result<_, E>>()?,
        })
    }

    pub(crate) fn secrets(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().filter_map(|part| match part {
            Part::Secret(id) => Some(id),
            Part::Text(_) => None,
        })
    }

    /// The text with a value in each place.
    pub(crate) fn filled<'a, E>(
        &'a self,
        value: impl Fn(&'a str) -> Result<&'a str, E>,
    ) -> Result<String, E> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Secret(id) => value(id),
            Part::Text(text) => Ok(text.as_str()),
        });
        parts.collect()
    }
}

/// The ID in `secret "ID"`.
fn secret(inside: &str) -> Option<&str> {
    let named = inside.trim().strip_prefix("secret")?;
    let quoted = named.strip_prefix(char::is_whitespace)?.trim_start();
    let id = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (!id.is_empty() && !id.contains('"')).then_some(id)
}

impl Fault {
    fn at(text: &str, offset: usize, problem: &'static str) -> Self {
        let before = text.get(..offset).unwrap_or_default();
        let last = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: last.chars().count() + 1,
            problem,
        }
    }
}

/// Never with what stands there: it may be a value that was pasted.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            problem,
        } = self;
        write!(f, "line {line}, column {column}: {problem}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let template = Template::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        let values = |id| match id {
            "a" => Ok("{{ secret \"b\" }}"),
            "b" => Ok("B"),
            "projects/p/secrets/c" => Ok(""),
            _ => Err(()),
        };
        template.filled(values).unwrap()
    }

    #[test]
    fn each_place_gets_its_value_and_the_text_stays() {
        for (text, expected) in [
            ("", ""),
            ("no place }} { {\r\n", "no place }} { {\r\n"),
            (r#"{{ secret "b" }}"#, "B"),
            ("x={{secret\t\"b\"}}{{  secret  \"b\"  }}é\n", "x=BBé\n"),
            (r#"-{{ secret "projects/p/secrets/c" }}-"#, "--"),
            // A value is never looked into.
            (
                r#"{{ secret "a" }}{{ secret "b" }}"#,
                r#"{{ secret "b" }}B"#,
            ),
        ] {
            assert_eq!(filled(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_names_its_secrets() {
        let template = Template::parse(r#"{{ secret "a" }} {{ secret "b" }}"#).unwrap();
        assert_eq!(template.secrets().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(template.filled(|_| Err("none")), Err("none"));
        let full = |id: &str| Ok::<_, ()>(format!("projects/p/secrets/{id}"));
        let template = template.renamed(full).unwrap();
        let echoed = template.filled(Ok::<_, ()>).unwrap();
        assert_eq!(echoed, "projects/p/secrets/a projects/p/secrets/b");
        let template = Template::parse(r#"{{ secret "a" }}"#).unwrap();
        assert_eq!(template.renamed(|_| Err("none")).unwrap_err(), "none");
    }

    #[test]
    fn a_place_that_is_none_is_refused_with_line_and_column() {
        for inside in [
            "",
            " ",
            "secret",
            r#"secret """#,
            r#"secret"a""#,
            "secret 'a'",
            "secret a",
            r#"secret "a"#,
            r#"secret "a" "b""#,
            r#"secret "a" | trim"#,
            r#"secrets "a""#,
            r#"secret("a")"#,
            r#"- secret "a" -"#,
            r#"{ secret "a" "#,
            ".Values.key",
        ] {
            let text = format!("one: {{{{ secret \"a\" }}}}\né: {{{{{inside}}}}}\n");
            let fault = Template::parse(&text).unwrap_err();
            assert_eq!((fault.line, fault.column), (2, 4), "{text}");
            assert!(fault.to_string().contains(r#"secret "ID""#), "{fault}");
        }
        let fault = Template::parse("\n\n  {{ secret \"canary\"").unwrap_err();
        assert_eq!(fault.to_string(), "line 3, column 3: a {{ has no }}");
    }
}
