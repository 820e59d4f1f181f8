use serde::Serialize;

use super::document::Document;
use crate::stop::Stop;

/// The beginning of a file: where an editor finds the schema.
const HEAD: &str = "\
    # yaml-language-server: $schema=claviger.schema.json\n\
    # The schema is what `claviger schema` prints; `claviger definition apply` applies this file.\n";

/// A file.
pub(crate) fn yaml(document: &Document) -> Result<String, Stop> {
    let text = serde_saphyr::to_string(document);
    let text = text.map_err(|error| Stop::failed(format!("no file can be written: {error}")))?;
    Ok(format!("{HEAD}{text}"))
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, Stop> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Stop::failed(format!("no JSON can be written: {error}")))?;
    Ok(text + "\n")
}
