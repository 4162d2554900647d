//! What differs between two images.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;
use serde_json::Value;

use super::Error;
use crate::{
    Digest,
    image::{Config, Image, Layer},
    tree::{Kind, Metadata, Node, Tree},
};

/// Which layers two images share, and which only one has; lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerDifference {
    /// The layers that both begin with.
    pub shared: Vec<LayerFacts>,
    /// Above these, in the first.
    pub removed: Vec<LayerFacts>,
    /// Above these, in the second.
    pub added: Vec<LayerFacts>,
}

/// A layer, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerFacts {
    /// Of the blob.
    pub digest: Digest,
    /// Of the tar.
    pub diff_id: Digest,
    /// Of the blob, in bytes.
    pub size: u64,
}

/// A field of the config that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// Its names, with dots between: `config.Env`.
    pub field: String,
    /// In the first image.
    pub old: Option<Value>,
    /// In the second.
    pub new: Option<Value>,
}

/// A path that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathDifference {
    /// From the root of the image.
    pub path: String,
    /// What happened to it.
    pub change: PathChange,
    /// In which ways it changed: `content`, `mode`, `owner`, `time`, `attributes`, `target`, `type`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<&'static str>,
    /// In the first image: bytes of a regular file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_size: Option<u64>,
    /// In the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_size: Option<u64>,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathChange {
    /// Only the second image has it.
    Added,
    /// Both have it, but not the same.
    Changed,
    /// Only the first image has it.
    Removed,
}

/// Compares the layers of two images, by their content whatever its compression.
pub fn compare_layers(old: &Image, new: &Image) -> LayerDifference {
    let same = old
        .layers()
        .iter()
        .zip(new.layers())
        .take_while(|(old, new)| old.diff_id == new.diff_id)
        .count();
    let facts = |layers: &[Layer]| -> Vec<LayerFacts> {
        let facts = |layer: &Layer| LayerFacts {
            digest: layer.descriptor.digest,
            diff_id: layer.diff_id,
            size: layer.descriptor.size,
        };
        layers.iter().map(facts).collect()
    };
    let (shared, added) = new.layers().split_at(same);
    let removed = old.layers().get(same..).unwrap_or_default();
    LayerDifference {
        shared: facts(shared),
        removed: facts(removed),
        added: facts(added),
    }
}

/// Compares the configs of two images field by field; layers and history aside.
///
/// # Errors
/// None that can be named: encoding to memory does not fail.
pub fn compare_configs(old: &Config, new: &Config) -> Result<Vec<FieldDifference>, Error> {
    let (old, new) = (fields(old)?, fields(new)?);
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&String| old.get(*name) != new.get(*name);
    let difference = |name: &String| FieldDifference {
        field: name.clone(),
        old: old.get(name).cloned(),
        new: new.get(name).cloned(),
    };
    Ok(names.into_iter().filter(differs).map(difference).collect())
}

fn fields(config: &Config) -> Result<BTreeMap<String, Value>, Error> {
    let mut value = serde_json::to_value(config).map_err(|source| {
        Error::Config(crate::image::Error::Json {
            what: "config",
            digest: Digest::of(""),
            source,
        })
    })?;
    if let Value::Object(map) = &mut value {
        map.remove("rootfs");
        map.remove("history");
    }
    let mut fields = BTreeMap::new();
    flatten(String::new(), value, &mut fields);
    Ok(fields)
}

fn flatten(name: String, value: Value, fields: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let name = if name.is_empty() {
                    key
                } else {
                    format!("{name}.{key}")
                };
                flatten(name, value, fields);
            }
        }
        value => _ = fields.insert(name, value),
    }
}

/// Compares the files of two images, by path. What is below a path that only one has is told, too.
pub fn compare_trees(old: &Tree, new: &Tree) -> Vec<PathDifference> {
    let mut differences = Vec::new();
    let mut before = old.walk().peekable();
    let mut after = new.walk().peekable();
    loop {
        let (was, is) = match (before.peek(), after.peek()) {
            (None, None) => return differences,
            (Some(was), Some(is)) if was.path == is.path => (before.next(), after.next()),
            (Some(was), Some(is)) if was.path < is.path => (before.next(), None),
            (Some(_), None) => (before.next(), None),
            _ => (None, after.next()),
        };
        let Some(path) = is.as_ref().or(was.as_ref()).map(|found| found.path.clone()) else {
            return differences;
        };
        differences.extend(difference(
            &path,
            was.map(|found| found.node),
            is.map(|found| found.node),
        ));
    }
}

fn difference(path: &Path, old: Option<&Node>, new: Option<&Node>) -> Option<PathDifference> {
    let (change, ways) = match (old, new) {
        (Some(old), Some(new)) if old == new => return None,
        (Some(old), Some(new)) => (PathChange::Changed, ways(old, new)),
        (Some(_), None) => (PathChange::Removed, Vec::new()),
        _ => (PathChange::Added, Vec::new()),
    };
    Some(PathDifference {
        path: Path::new("/").join(path).to_string_lossy().into_owned(),
        change,
        ways,
        old_size: old.and_then(size),
        new_size: new.and_then(size),
    })
}

fn size(node: &Node) -> Option<u64> {
    match &node.kind {
        Kind::File(content) => Some(content.size),
        _ => None,
    }
}

fn ways(old: &Node, new: &Node) -> Vec<&'static str> {
    let Metadata {
        mode,
        uid,
        gid,
        mtime,
        xattrs,
    } = &old.metadata;
    let of_new = &new.metadata;
    let kind = match (&old.kind, &new.kind) {
        (old, new) if std::mem::discriminant(old) != std::mem::discriminant(new) => Some("type"),
        (Kind::File(old), Kind::File(new)) if old != new => Some("content"),
        (Kind::Symlink(old), Kind::Symlink(new)) if old != new => Some("target"),
        (old, new) if old != new => Some("device"),
        _ => None,
    };
    let others = [
        (*mode != of_new.mode).then_some("mode"),
        ((*uid, *gid) != (of_new.uid, of_new.gid)).then_some("owner"),
        (*mtime != of_new.mtime).then_some("time"),
        (*xattrs != of_new.xattrs).then_some("attributes"),
    ];
    kind.into_iter().chain(others.into_iter().flatten()).collect()
}
