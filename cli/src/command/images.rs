//! `rbuild images`

use anyhow::{Result, ensure};
use rbuild::{
    Reference,
    image::{Image, Platform},
    store::{Named, Store},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    image::template,
    shared::{print, table},
};
use crate::{
    cli::Images,
    options::{Pair, human},
};

/// A line of the list.
#[derive(Serialize)]
struct Row {
    name: Option<String>,
    digest: String,
    created: Option<String>,
    /// Of all layers as they are stored, in bytes.
    size: Option<u64>,
}

/// Lists the images in the store.
pub fn run(options: &Images, store: &Store) -> Result<()> {
    let mut names = options.names.clone();
    for Pair { name, value } in &options.filter {
        ensure!(
            name == "reference" && !value.contains(['*', '?', '[']),
            "--filter {name}={value}: images are found by reference=NAME, without patterns"
        );
        names.push(value.parse()?);
    }
    let wanted = |name: Option<&String>| match name.and_then(|name| name.parse::<Reference>().ok()) {
        _ if names.is_empty() => true,
        Some(name) => names.iter().any(|wanted| is_meant(wanted, &name)),
        None => false,
    };
    let rows: Vec<Row> = store
        .images()?
        .into_iter()
        .filter(|named| wanted(named.name.as_ref()))
        .map(|named| row(store, named))
        .collect();
    if options.json {
        return print(&(serde_json::to_string_pretty(&rows)? + "\n"));
    }
    if let Some(format) = &options.format {
        let lines = rows
            .iter()
            .map(|row| Ok(template::fill(format, &fields(row))? + "\n"));
        return print(&lines.collect::<Result<String>>()?);
    }
    if options.quiet {
        return print(
            &rows
                .iter()
                .map(|row| format!("{}\n", row.digest))
                .collect::<String>(),
        );
    }
    let mut cells = vec![["NAME", "DIGEST", "CREATED", "SIZE"].map(str::to_owned)];
    cells.extend(rows.iter().map(cells_of));
    print(&table(&cells))
}

/// A name without a tag means all of its tags.
fn is_meant(wanted: &Reference, name: &Reference) -> bool {
    let any_tag = wanted.tag().is_none() && wanted.digest().is_none();
    wanted == name || (any_tag && wanted.name() == name.name())
}

/// An image for another platform, or one that is damaged, is listed by what its name says.
fn row(store: &Store, named: Named) -> Row {
    let image = Image::load(store, &named.descriptor, &Platform::host()).ok();
    Row {
        name: named.name,
        digest: named.descriptor.digest.to_string(),
        created: image.as_ref().and_then(|image| image.config().created.clone()),
        size: image.map(|image| image.layers().iter().map(|layer| layer.descriptor.size).sum()),
    }
}

/// A row by the names that docker has for its fields.
fn fields(row: &Row) -> Value {
    let none = "<none>";
    let name = row.name.as_ref().map(|name| name.parse::<Reference>());
    let (repository, tag) = match &name {
        Some(Ok(name)) => (name.without_selector().familiar(), name.tag()),
        _ => (none.to_owned(), None),
    };
    json!({
        "Repository": repository,
        "Tag": tag.unwrap_or(none),
        "Name": row.name,
        "ID": row.digest.chars().skip("sha256:".len()).take(12).collect::<String>(),
        "Digest": row.digest,
        "CreatedAt": row.created,
        "Size": row.size.map(human),
    })
}

fn cells_of(row: &Row) -> [String; 4] {
    let unknown = || "-".to_owned();
    let familiar = |name: &String| match name.parse::<Reference>() {
        Ok(reference) => reference.familiar(),
        Err(_) => name.clone(),
    };
    [
        row.name.as_ref().map_or_else(unknown, familiar),
        row.digest.chars().take("sha256:".len() + 12).collect(),
        row.created.as_deref().and_then(minute).unwrap_or_else(unknown),
        row.size.map_or_else(unknown, human),
    ]
}

/// `2026-11-21 09:04`, in UTC.
fn minute(timestamp: &str) -> Option<String> {
    let timestamp: jiff::Timestamp = timestamp.parse().ok()?;
    Some(timestamp.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_for_people() {
        let row = Row {
            name: Some("docker.io/library/app:1".into()),
            digest: rbuild::Digest::of("").to_string(),
            created: Some("2026-11-21T11:04:40.020153583+02:00".into()),
            size: Some(1_500_000),
        };
        assert_eq!(
            cells_of(&row),
            ["app:1", "sha256:e3b0c44298fc", "2026-11-21 09:04", "1.5 MB"]
        );
        let bare = Row {
            name: None,
            created: Some("then".into()),
            size: None,
            ..row
        };
        assert_eq!(cells_of(&bare), ["-", "sha256:e3b0c44298fc", "-", "-"]);
    }
}
