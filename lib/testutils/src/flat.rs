//! What an image in an OCI layout comes to, read by means of its own: every digest is computed again, and the layers
//! are flattened as an unpacking runtime would do it.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use flate2::bufread::MultiGzDecoder;
use serde_json::Value;

use crate::registry::digest;

/// An image, flattened.
#[derive(Clone, Debug)]
pub struct Flat {
    /// Digest of the manifest.
    pub digest: String,
    /// The manifest.
    pub manifest: Value,
    /// The config.
    pub config: Value,
    /// The paths that each layer speaks of, as they are in its tar; lowest layer first.
    pub entries: Vec<Vec<String>>,
    /// Every path but the root, absolute; bytes that are not UTF-8 are replaced.
    pub tree: BTreeMap<String, Entry>,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Type and what goes with it.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// By full name.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The first of its names, where a file has several.
    pub linked: Option<String>,
}

/// The type of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file and its bytes.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Symlink(String),
    /// A named pipe.
    Fifo,
    /// A device: `c` or `b`, and its numbers.
    Device(char, u32, u32),
}

impl Flat {
    /// Reads the only image of a layout.
    ///
    /// # Errors
    /// If anything is missing, or is not what its digest, its size or its diff ID says.
    pub fn read(layout: &Path) -> Result<Self> {
        let index = json(&fs::read(layout.join("index.json"))?)?;
        let entries = list(&index, "manifests");
        ensure!(entries.len() == 1, "one image, and not {}", entries.len());
        Self::of(&[layout], &entries[0])
    }

    /// Reads the image that a descriptor names, each blob from the first of some layouts that has it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of(layouts: &[&Path], descriptor: &Value) -> Result<Self> {
        let manifest = json(&blob(layouts, descriptor)?)?;
        let config = json(&blob(layouts, &manifest["config"])?)?;
        let (layers, diff_ids) = (list(&manifest, "layers"), list(&config["rootfs"], "diff_ids"));
        ensure!(
            layers.len() == diff_ids.len(),
            "{} layers, {} diff IDs",
            layers.len(),
            diff_ids.len()
        );
        let history = list(&config, "history");
        let with_layer = history
            .iter()
            .filter(|entry| entry["empty_layer"] != true)
            .count();
        ensure!(
            history.is_empty() || with_layer == layers.len(),
            "{} layers, {with_layer} history entries that made one",
            layers.len()
        );
        let (mut tree, mut entries) = (BTreeMap::new(), Vec::new());
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let tar = uncompressed(blob(layouts, layer)?, layer)?;
            ensure!(*diff_id == digest(&tar), "{diff_id} is not the tar's digest");
            apply(&mut tree, &tar).with_context(|| format!("layer {diff_id}"))?;
            entries.push(names(&tar)?);
        }
        mark_links(&mut tree);
        Ok(Self {
            digest: text(&descriptor["digest"])?.to_owned(),
            manifest,
            config,
            entries,
            tree: tree.into_iter().map(|(path, (_, entry))| (path, entry)).collect(),
        })
    }

    /// How many layers it has.
    pub fn layers(&self) -> usize {
        list(&self.manifest, "layers").len()
    }

    /// What made the layers, and what made none (in parentheses).
    pub fn history(&self) -> Vec<String> {
        let line = |entry: &Value| {
            let text = entry["created_by"].as_str().unwrap_or_default();
            match entry["empty_layer"] == true {
                true => format!("({text})"),
                false => text.to_owned(),
            }
        };
        list(&self.config, "history").iter().map(line).collect()
    }
}

fn json(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).context("not JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is not a string"))
}

/// The bytes of a blob, which must be what the descriptor says.
fn blob(layouts: &[&Path], descriptor: &Value) -> Result<Vec<u8>> {
    let named = text(&descriptor["digest"])?;
    let paths = layouts
        .iter()
        .map(|layout| layout.join("blobs").join(named.replace(':', "/")));
    let there = paths.clone().find(|path| path.exists()).or(paths.clone().next());
    let path: PathBuf = there.context("no layouts")?;
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    ensure!(
        digest(&bytes) == named,
        "{named} has the digest {}",
        digest(&bytes)
    );
    ensure!(
        descriptor["size"] == bytes.len(),
        "{named} has {} bytes",
        bytes.len()
    );
    Ok(bytes)
}

fn uncompressed(blob: Vec<u8>, layer: &Value) -> Result<Vec<u8>> {
    let media_type = text(&layer["mediaType"])?;
    let mut tar = Vec::new();
    match media_type.rsplit(['.', '+']).next() {
        Some("tar") => return Ok(blob),
        Some("gzip") => MultiGzDecoder::new(&blob[..]).read_to_end(&mut tar)?,
        Some("zstd") => zstd::Decoder::new(&blob[..])?.read_to_end(&mut tar)?,
        _ => anyhow::bail!("media type {media_type}"),
    };
    Ok(tar)
}

/// The names in a tar, in its order.
fn names(tar: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in tar::Archive::new(tar).entries()? {
        names.push(String::from_utf8_lossy(&entry?.path_bytes()).into_owned());
    }
    Ok(names)
}

/// Paths and what is there, with a number that hard links share.
type Numbered = BTreeMap<String, (usize, Entry)>;

/// Applies a layer: first what it removes, then what it has (OCI image-spec `layer.md`).
fn apply(tree: &mut Numbered, tar: &[u8]) -> Result<()> {
    for entry in tar::Archive::new(tar).entries()? {
        let path = path_of(&entry?.path_bytes());
        let (parent, name) = path.rsplit_once('/').unwrap_or_default();
        if name == ".wh..wh..opq" {
            tree.retain(|path, _| !below(path, parent));
        } else if let Some(name) = name.strip_prefix(".wh.") {
            let gone = format!("{parent}/{name}");
            tree.retain(|path, _| *path != gone && !below(path, &gone));
        }
    }
    let mut next = tree.values().map(|(number, _)| number + 1).max().unwrap_or(0);
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = path_of(&entry.path_bytes());
        if path == "/"
            || path
                .rsplit('/')
                .next()
                .is_some_and(|name| name.starts_with(".wh."))
        {
            continue;
        }
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        ensure!(
            parent.is_empty() || tree.contains_key(parent),
            "{path} comes before its directory"
        );
        let link = entry.header().entry_type().is_hard_link();
        let found = if link {
            let target = path_of(&entry.link_name_bytes().unwrap_or_default());
            tree.get(&target)
                .with_context(|| format!("{path} is a link to {target}, which is not there"))?
                .clone()
        } else {
            (next, read(&mut entry).with_context(|| path.clone())?)
        };
        next += 1;
        if found.1.kind != Kind::Directory {
            tree.retain(|other, _| !below(other, &path));
        }
        tree.insert(path, found);
    }
    Ok(())
}

fn below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn path_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix("./").unwrap_or(&text);
    format!("/{}", text.trim_matches('/'))
}

fn read(entry: &mut tar::Entry<'_, &[u8]>) -> Result<Entry> {
    let mut xattrs = BTreeMap::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        if let Some(name) = extension.key()?.strip_prefix("SCHILY.xattr.") {
            xattrs.insert(name.to_owned(), extension.value_bytes().to_vec());
        }
    }
    let header = entry.header().clone();
    let device = |kind| -> Result<Kind> {
        Ok(Kind::Device(
            kind,
            header.device_major()?.unwrap_or(0),
            header.device_minor()?.unwrap_or(0),
        ))
    };
    let kind = match header.entry_type() {
        tar::EntryType::Regular => {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            Kind::File(bytes)
        }
        tar::EntryType::Directory => Kind::Directory,
        tar::EntryType::Symlink => {
            Kind::Symlink(String::from_utf8_lossy(&entry.link_name_bytes().unwrap_or_default()).into_owned())
        }
        tar::EntryType::Fifo => Kind::Fifo,
        tar::EntryType::Char => device('c')?,
        tar::EntryType::Block => device('b')?,
        other => anyhow::bail!("entry type {other:?}"),
    };
    Ok(Entry {
        kind,
        mode: header.mode()? & 0o7777,
        uid: header.uid()?,
        gid: header.gid()?,
        mtime: header.mtime()?,
        xattrs,
        linked: None,
    })
}

/// Says of every file with several names which is the first.
fn mark_links(tree: &mut Numbered) {
    let mut names: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (path, (number, _)) in &*tree {
        names.entry(*number).or_default().push(path.clone());
    }
    for group in names.into_values().filter(|group| group.len() > 1) {
        for path in &group {
            if let Some((_, entry)) = tree.get_mut(path) {
                entry.linked = Some(group[0].clone());
            }
        }
    }
}
