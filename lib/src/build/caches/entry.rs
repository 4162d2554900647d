//! A result as an OCI manifest: its layer, and what else is known in annotations.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    Digest,
    build::{cache::Record, memo::Fingerprints},
    image::{Descriptor, Layer, Manifest, MediaType, MediaTypeExt},
};

/// What manifests of results say that they are.
const TYPE: &str = "application/vnd.rbuild.result.v1+json";
const KEY: &str = "rbuild.result.key";
const DIFF_ID: &str = "rbuild.result.diff-id";
const VALUE: &str = "rbuild.result.value";

/// The media type of the config of what is no image (OCI image-spec `manifest.md`).
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The config of what is no image.
pub(super) const EMPTY: &[u8] = b"{}";

/// What a cache has under a key.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::build) struct Entry {
    /// The layer that a step made, or the contents of a cache mount.
    pub layer: Option<Layer>,
    value: Value,
}

impl Entry {
    /// What a step left.
    pub fn of_step(record: &Record) -> Self {
        Self {
            layer: Some(record.layer.clone()),
            value: serde_json::json!({ "created": record.created }),
        }
    }

    /// What a COPY picks.
    pub fn of_picks(picks: &Fingerprints) -> Self {
        Self {
            layer: None,
            value: serde_json::json!({ "picks": picks }),
        }
    }

    /// The contents of a cache mount.
    pub fn of_contents(layer: Layer) -> Self {
        Self {
            layer: Some(layer),
            value: Value::Null,
        }
    }

    /// What a step left, if it is that.
    pub fn step(&self) -> Option<Record> {
        let created = self.value.get("created")?.as_str()?.to_owned();
        created.parse::<jiff::Timestamp>().ok()?;
        Some(Record {
            layer: self.layer.clone()?,
            created,
        })
    }

    /// What a COPY picks, if it is that.
    pub fn picks(&self) -> Option<Fingerprints> {
        serde_json::from_value(self.value.get("picks")?.clone()).ok()
    }

    /// The config of every entry.
    pub fn config() -> Descriptor {
        Descriptor::of(MediaType::Other(EMPTY_TYPE.to_owned()), EMPTY)
    }

    /// The manifest. The same for equal entries.
    pub fn to_bytes(&self, key: &Digest) -> serde_json::Result<Vec<u8>> {
        let mut annotations = BTreeMap::from([
            (KEY.to_owned(), key.to_string()),
            (VALUE.to_owned(), self.value.to_string()),
        ]);
        if let Some(layer) = &self.layer {
            annotations.insert(DIFF_ID.to_owned(), layer.diff_id.to_string());
        }
        // A manifest has at least one layer, were it an empty one.
        let layer = self.layer.as_ref().map(|layer| layer.descriptor.clone());
        serde_json::to_vec(&Manifest {
            schema_version: 2,
            media_type: Some(MediaType::ImageManifest),
            config: Self::config(),
            layers: vec![layer.unwrap_or_else(Self::config)],
            subject: None,
            annotations,
            other: Map::from_iter([("artifactType".to_owned(), TYPE.into())]),
        })
    }

    /// Reads a manifest that was found under a key; or why it is none of these.
    pub fn parse(bytes: &[u8], key: &Digest) -> Result<Self, String> {
        let manifest = Manifest::parse(bytes).map_err(|error| error.to_string())?;
        if manifest.other.get("artifactType").and_then(Value::as_str) != Some(TYPE) {
            return Err("it is something else".to_owned());
        }
        let said = |name: &str| manifest.annotations.get(name).map(String::as_str);
        if said(KEY) != Some(&key.to_string()) {
            return Err("it is the result of another step".to_owned());
        }
        let value = serde_json::from_str(said(VALUE).unwrap_or_default())
            .map_err(|error| format!("its value cannot be read: {error}"))?;
        let layer = match said(DIFF_ID) {
            None => None,
            Some(diff_id) => {
                let diff_id = diff_id.parse().map_err(|_| "its diff ID is no digest")?;
                Some(layer(&manifest.layers, diff_id)?)
            }
        };
        Ok(Self { layer, value })
    }
}

/// The one layer, without whatever else is said about it.
fn layer(layers: &[Descriptor], diff_id: Digest) -> Result<Layer, String> {
    match layers {
        [one] if one.media_type.is_layer() => Ok(Layer {
            descriptor: Descriptor::new(one.media_type.clone(), one.digest, one.size),
            diff_id,
        }),
        _ => Err("it has not one layer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let layer = Layer {
            descriptor: Descriptor::of(MediaType::ImageLayerGzip, b"blob"),
            diff_id: Digest::of("tar"),
        };
        Entry::of_step(&Record {
            layer,
            created: "2020-01-01T00:00:00Z".to_owned(),
        })
    }

    #[test]
    fn reads_what_it_writes() {
        let key = Digest::of("key");
        let picks = vec![vec![Digest::of("a")], vec![]];
        for entry in [entry(), Entry::of_picks(&picks)] {
            let bytes = entry.to_bytes(&key).unwrap();
            assert_eq!(Entry::parse(&bytes, &key).unwrap(), entry);
        }
        assert!(entry().step().is_some() && entry().picks().is_none());
        assert_eq!(Entry::of_picks(&picks).picks(), Some(picks));
    }

    #[test]
    fn takes_nothing_else() {
        let key = Digest::of("key");
        let text = String::from_utf8(entry().to_bytes(&key).unwrap()).unwrap();
        assert!(Entry::parse(text.as_bytes(), &Digest::of("another")).is_err());
        let table = [
            ("", "manifest"),
            ("{}", "manifest"),
            (&text[..text.len() / 2], "manifest"),
            (&text.replace(TYPE, "application/x"), "something else"),
            (&text.replace("tar+gzip", "config"), "one layer"),
            (
                &text.replace(&Digest::of("tar").to_string(), "sha256:1"),
                "diff ID",
            ),
            (&text.replace("{\\\"created", "created"), "value"),
        ];
        for (bytes, why) in table {
            let error = Entry::parse(bytes.as_bytes(), &key).unwrap_err();
            assert!(error.contains(why), "{bytes}: {error}");
        }
        let time = text.replace("2020-01-01", "2020-13-01");
        assert!(Entry::parse(time.as_bytes(), &key).unwrap().step().is_none());
    }
}
