//! Files behind URLs, for `ADD` and for contexts: kept in the store, and fetched again only if they changed.

use std::path::PathBuf;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::{
    error::{BuildError, Problem},
    fetch::Fetcher,
    select::Pick,
};
use crate::{
    Digest, Hasher,
    image::{Blobs, Descriptor, MediaType},
    plan::key::prefixed,
    registry::{Downloaded, Validators, without_password},
    store::{Incoming, Record, Store},
    tree::{Content, Kind, Metadata, Node, Origin, Tree},
};

/// What BuildKit calls a file whose URL has no path.
const UNNAMED: &str = "__unnamed__";

/// A file that was downloaded, and is in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Download {
    #[serde(skip, default = "empty")]
    pub blob: Descriptor,
    validators: Validators,
    /// What the server calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

fn empty() -> Descriptor {
    Descriptor::new(MediaType::Other(String::new()), Digest::of(""), 0)
}

impl Download {
    /// When it was last modified, seconds since 1970; if nobody knows, then.
    pub fn mtime(&self) -> i64 {
        self.validators.mtime().unwrap_or(0)
    }

    /// What a result depends on.
    pub fn fingerprint(&self) -> String {
        format!("{} modified {}", self.blob.digest, self.mtime())
    }

    /// What a context that is this file calls it: as the server does, else after the URL.
    pub fn name(&self, url: &str) -> String {
        let named = self.name.clone().or_else(|| last_component(url));
        named.unwrap_or_else(|| "download".to_owned())
    }

    /// A tree with nothing but the file.
    pub fn tree(&self, name: &str, store: &Store) -> Result<(Tree, Pick), BuildError> {
        let content = Content {
            size: self.blob.size,
            digest: Some(self.blob.digest),
            origin: Origin::Disk(self.path(store).into()),
        };
        let metadata = Metadata {
            mode: 0o600,
            mtime: self.mtime(),
            ..Metadata::default()
        };
        let (mut tree, name) = (Tree::new(), PathBuf::from(name));
        let kind = Kind::File(content);
        tree.insert(&name, Node { metadata, kind })?;
        let pick = Pick {
            named: name.clone(),
            real: name,
            kept: None,
        };
        Ok((tree, pick))
    }

    /// Where its bytes are.
    pub fn path(&self, store: &Store) -> PathBuf {
        store.layout().blob_path(&self.blob.digest)
    }
}

/// Downloads a file, unless it is known that it has not changed.
pub(super) async fn download(
    fetcher: &Fetcher,
    url: &str,
    checksum: Option<Digest>,
) -> Result<Download, BuildError> {
    let key = key(url);
    let known = recorded(fetcher, key).await?;
    if let (Some(known), Some(wanted)) = (&known, checksum)
        && known.blob.digest == wanted
    {
        // Whatever the server has now, it is not better than this.
        return Ok(known.clone());
    }
    let validators = known.as_ref().map(|known| &known.validators);
    let store = &fetcher.store;
    let begin = || store.new_blob().map_err(std::io::Error::other);
    let validators = validators.filter(|validators| !validators.is_empty());
    let found = fetcher
        .registry
        .download(url, validators, begin, &fetcher.sink)
        .await;
    let found = found.map_err(|error| Problem::Download {
        url: without_password(url),
        why: error.cause().to_string(),
    })?;
    let download = match (found, known) {
        (Some(new), _) => keep(fetcher, key, url, checksum, new).await?,
        (None, Some(known)) => known,
        (None, None) => return Err(Problem::Value(format!("{url} is said not to have changed")).into()),
    };
    check(url, checksum, &download)?;
    Ok(download)
}

fn check(url: &str, wanted: Option<Digest>, found: &Download) -> Result<(), BuildError> {
    match wanted {
        Some(expected) if expected != found.blob.digest => Err(Problem::Checksum {
            url: without_password(url),
            expected: expected.to_string(),
            actual: found.blob.digest.to_string(),
        }
        .into()),
        _ => Ok(()),
    }
}

/// The file as it was when it was last downloaded, if it is still there.
async fn recorded(fetcher: &Fetcher, key: Digest) -> Result<Option<Download>, BuildError> {
    if !fetcher.use_cache {
        return Ok(None);
    }
    let store = fetcher.store.clone();
    let look = move || {
        let record = store.get_step(&key)?;
        let mut download: Download = serde_json::from_value(record.value).ok()?;
        download.blob = record.blobs.into_iter().next()?;
        let is_there = Blobs::has(&store, &download.blob).unwrap_or(false);
        is_there.then_some(download)
    };
    fetcher.threads.run(move || Ok(look())).await
}

/// Keeps a file, and what is needed to ask whether it has changed. A file that is not what it must be is not kept.
async fn keep(
    fetcher: &Fetcher,
    key: Digest,
    url: &str,
    checksum: Option<Digest>,
    new: Downloaded<Incoming>,
) -> Result<Download, BuildError> {
    let media_type = MediaType::Other("application/octet-stream".to_owned());
    let download = Download {
        blob: Descriptor::new(media_type, new.digest, new.size),
        validators: new.validators,
        name: new.name,
    };
    check(url, checksum, &download)?;
    let (store, incoming) = (fetcher.store.clone(), new.out);
    let keep = move || {
        incoming.commit(&download.blob.digest)?;
        let value = serde_json::to_value(&download).map_err(|error| Problem::Value(error.to_string()))?;
        let record = Record {
            blobs: vec![download.blob.clone()],
            value,
            ..Record::default()
        };
        store.put_step(&key, &record)?;
        Ok(download)
    };
    fetcher.threads.run(keep).await
}

fn key(url: &str) -> Digest {
    let mut hasher = Hasher::new();
    for part in ["rbuild download 1", url] {
        prefixed(&mut hasher, part.as_bytes());
    }
    hasher.finish()
}

/// What ADD calls a file in a directory: after the URL alone, whatever the server says.
pub(super) fn file_name(url: &str) -> String {
    last_component(url).unwrap_or_else(|| UNNAMED.to_owned())
}

/// The last component of a URL's path, if it can be the name of a file.
fn last_component(url: &str) -> Option<String> {
    let path = decode(Url::parse(url).ok()?.path());
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    let fits = !matches!(name, "" | "." | "..") && !name.contains('\0');
    fits.then(|| name.to_owned())
}

/// Undoes the encoding of paths. What is wrongly encoded stays as it is.
fn decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match digits {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
            }
            None => {
                bytes.push(b'%');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (url, name) in [
            ("http://h/a/file.txt", "file.txt"),
            ("http://h/a/file?x=y/z#w", "file"),
            ("http://h/dir/", "dir"),
            ("http://h/a%20b", "a b"),
            ("http://h/a%2Fb", "b"),
            ("http://h/100%", "100%"),
            ("http://h/%zz%4", "%zz%4"),
            ("http://h/a/..", UNNAMED),
            ("http://h/a%2F..", UNNAMED),
            ("http://h/a%00", UNNAMED),
            ("http://h", UNNAMED),
            ("http://h/", UNNAMED),
            ("http://h/?file", UNNAMED),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }
}
