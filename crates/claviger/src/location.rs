use claviger_proto::v1::Location;

/// Where a value is, as `vault/secret#property@version`.
pub(crate) fn told(location: &Location) -> String {
    let mut text = location.vault.clone();
    if !location.secret.is_empty() {
        text.push('/');
        text.push_str(&location.secret);
    }
    for (mark, part) in [("#", &location.property), ("@", &location.version)] {
        if !part.is_empty() {
            text.push_str(mark);
            text.push_str(part);
        }
    }
    if location.whole {
        text.push_str(" (whole)");
    }
    text
}

/// The same; nothing where no place is named.
pub(crate) fn told_or_none(location: Option<&Location>) -> String {
    location.map(told).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_by_the_parts_that_it_has() {
        let mut location = Location {
            vault: "aws".to_owned(),
            secret: "prod/db".to_owned(),
            ..Default::default()
        };
        assert_eq!(told(&location), "aws/prod/db");
        location.whole = true;
        assert_eq!(told(&location), "aws/prod/db (whole)");
        location.whole = false;
        location.property = "password".to_owned();
        location.version = "7".to_owned();
        assert_eq!(told(&location), "aws/prod/db#password@7");
        assert_eq!(told_or_none(None), "");
        let default = Location {
            vault: "aws".to_owned(),
            ..Default::default()
        };
        assert_eq!(told_or_none(Some(&default)), "aws");
    }
}
