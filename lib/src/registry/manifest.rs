//! Manifests: by name, by digest, and for a platform out of an index. Their bytes are kept as they came.

use std::fmt;

use bytes::Bytes;
use oci_spec::image::{Descriptor, ImageIndex, Platform};
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::Deserialize;

use super::{Blob, Cause, Error, Kind, Reference, Registry, auth::Access, retry::Failure};
use crate::Digest;

/// Larger manifests are refused; registries take no more than 4 MiB (OCI distribution-spec, pushing manifests).
const MAX_MANIFEST: usize = 16 << 20;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A manifest or an index, byte for byte as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What it is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The bytes themselves.
    pub bytes: Bytes,
}

/// What a name stands for on one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The index that the name points to, if it is one.
    pub index: Option<Manifest>,
    /// The image's manifest.
    pub manifest: Manifest,
}

impl Manifest {
    /// Whether it lists manifests for several platforms.
    pub fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_INDEX | DOCKER_LIST)
    }
}

impl Resolved {
    /// The digest that the name points to: of the index if there is one.
    pub fn digest(&self) -> Digest {
        self.index.as_ref().unwrap_or(&self.manifest).digest
    }
}

impl Registry {
    /// The manifest that a name stands for on this platform.
    ///
    /// An image that is no index is given back whatever platform it is for; its config says which.
    pub async fn resolve(&self, at: &Reference, platform: &Platform) -> Result<Resolved, Error> {
        let top = self.manifest(at).await?;
        if !top.is_index() {
            return Ok(Resolved {
                index: None,
                manifest: top,
            });
        }
        let digest = choose(&top, platform).map_err(|cause| Error::new(at, cause))?;
        let manifest = self.manifest(&at.with_digest(digest)).await?;
        if manifest.is_index() {
            return Err(Error::new(
                at,
                Cause::Unsupported("an index in an index".to_owned()),
            ));
        }
        Ok(Resolved {
            index: Some(top),
            manifest,
        })
    }

    /// The manifest or index that a name stands for, its digest checked.
    pub async fn manifest(&self, at: &Reference) -> Result<Manifest, Error> {
        let retry = self.inner.settings.retry;
        retry.run(at, || self.manifest_once(at)).await
    }

    async fn manifest_once(&self, at: &Reference) -> Result<Manifest, Failure> {
        let path = manifest_path(at);
        let get = |host: &super::host::Host| host.get(&path).header(ACCEPT, accepted());
        let response = self.request(at, &Access::pull(at), get).await?;
        let response = self.expect(response, at, Kind::Image, &[StatusCode::OK]).await?;
        let (header_type, header_digest) = (content_type(&response), content_digest(&response));
        let bytes = self.body(response, at, MAX_MANIFEST).await?;
        let digest = Digest::of(&bytes);
        if let Some(expected) = at
            .digest()
            .or(header_digest)
            .filter(|expected| *expected != digest)
        {
            return Err(Error::new(
                at,
                Cause::WrongDigest {
                    expected,
                    actual: digest,
                },
            )
            .into());
        }
        let media_type = media_type(&bytes, header_type).map_err(|cause| Error::new(at, cause))?;
        Ok(Manifest {
            media_type,
            digest,
            bytes,
        })
    }

    /// The digest that a name stands for, without its manifest; none if the registry does not have it.
    ///
    /// Registries that do not say the digest are asked for the manifest.
    pub async fn digest(&self, at: &Reference) -> Result<Option<Digest>, Error> {
        let retry = self.inner.settings.retry;
        let found = retry.run(at, || self.digest_once(at)).await;
        match found {
            Ok(Some(digest)) => Ok(Some(digest)),
            Ok(None) => Ok(Some(self.manifest(at).await?.digest)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn digest_once(&self, at: &Reference) -> Result<Option<Digest>, Failure> {
        let path = manifest_path(at);
        let head = |host: &super::host::Host| host.client.head(host.url(&path)).header(ACCEPT, accepted());
        let response = self.request(at, &Access::pull(at), head).await?;
        let response = self.expect(response, at, Kind::Image, &[StatusCode::OK]).await?;
        Ok(content_digest(&response))
    }

    /// Puts a manifest or index, under the tag of `at`, or under its own digest if `at` has none.
    ///
    /// Everything that it names must be in the repository already.
    pub async fn push_manifest(
        &self,
        at: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Digest, Error> {
        let digest = Digest::of(&bytes);
        if let Some(expected) = at.digest().filter(|expected| *expected != digest) {
            return Err(Error::new(
                at,
                Cause::WrongDigest {
                    expected,
                    actual: digest,
                },
            ));
        }
        let selector = at.tag().map_or(digest.to_string(), str::to_owned);
        let path = format!("/v2/{}/manifests/{selector}", at.repository());
        let put = |host: &super::host::Host| {
            let request = host.client.put(host.url(&path)).header(CONTENT_TYPE, media_type);
            request.header(CONTENT_LENGTH, bytes.len()).body(bytes.clone())
        };
        let retry = self.inner.settings.retry;
        let response = retry
            .run(at, async || {
                let response = self.request(at, &Access::push(at), put).await?;
                self.expect(
                    response,
                    at,
                    Kind::Repository,
                    &[StatusCode::CREATED, StatusCode::OK],
                )
                .await
            })
            .await?;
        match content_digest(&response).filter(|actual| *actual != digest) {
            Some(actual) => Err(Error::new(
                at,
                Cause::WrongDigest {
                    expected: digest,
                    actual,
                },
            )),
            None => Ok(digest),
        }
    }

    /// A small blob in memory, such as an image's config; its digest and size are checked.
    pub async fn blob_bytes(&self, at: &Reference, blob: Blob) -> Result<Bytes, Error> {
        if blob.size > MAX_MANIFEST as u64 {
            let cause = Cause::Protocol(format!(
                "{} is too large to be a config: {} bytes",
                blob.digest, blob.size
            ));
            return Err(Error::new(at, cause));
        }
        let mut bytes = Vec::new();
        self.pull_blob(at, blob, &mut bytes, &crate::event::ignore())
            .await?;
        Ok(bytes.into())
    }
}

fn manifest_path(at: &Reference) -> String {
    format!("/v2/{}/manifests/{}", at.repository(), at.selector())
}

fn accepted() -> String {
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].join(", ")
}

fn content_type(response: &Response) -> Option<String> {
    let value = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_owned())
}

/// What the registry says the digest is; only one that can be checked counts.
fn content_digest(response: &Response) -> Option<Digest> {
    response
        .headers()
        .get("docker-content-digest")?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// The fields by which the kinds of manifests are told apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
}

/// What a manifest is: by its own word, the registry's, or its looks, in this order.
///
/// One that could be read as an image and as an index is refused, as the same digest would mean two things (OCI image-spec,
/// manifest.md, `mediaType`).
fn media_type(bytes: &[u8], header: Option<String>) -> Result<String, Cause> {
    let shape: Shape = serde_json::from_slice(bytes)
        .map_err(|error| Cause::Protocol(format!("the manifest is not JSON: {error}")))?;
    if shape.schema_version == Some(1) {
        let advice =
            "docker's schema 1, which tools stopped writing in 2017; push the image again with a current one";
        return Err(Cause::Unsupported(advice.to_owned()));
    }
    let is_image = shape.layers.is_some() || shape.config.is_some();
    let (looks_like, others) = match (shape.manifests.is_some(), is_image) {
        (true, true) => {
            return Err(Cause::Protocol(
                "it is a manifest and an index at once".to_owned(),
            ));
        }
        (true, false) => (OCI_INDEX, [OCI_MANIFEST, DOCKER_MANIFEST]),
        (false, _) => (OCI_MANIFEST, [OCI_INDEX, DOCKER_LIST]),
    };
    let known =
        |text: &String| [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].contains(&text.as_str());
    let declared = shape
        .media_type
        .or(header.filter(known))
        .unwrap_or_else(|| looks_like.to_owned());
    if !known(&declared) {
        return Err(Cause::Unsupported(declared));
    }
    if others.contains(&declared.as_str()) {
        return Err(Cause::Protocol(format!(
            "it is called {declared} but looks like {looks_like}"
        )));
    }
    Ok(declared)
}

/// The manifest in an index for a platform. With equal rights the first one wins.
fn choose(index: &Manifest, wanted: &Platform) -> Result<Digest, Cause> {
    let parsed: ImageIndex = serde_json::from_slice(&index.bytes)
        .map_err(|error| Cause::Protocol(format!("the index cannot be read: {error}")))?;
    let entries = parsed.manifests();
    let best = entries
        .iter()
        .filter_map(|entry| Some((fitness(entry.platform().as_ref(), wanted)?, entry)));
    let best = best
        .min_by_key(|(unfitness, _)| *unfitness)
        .map(|(_, entry)| entry);
    match best.or(match entries.as_slice() {
        [only] if only.platform().is_none() => Some(only),
        _ => None,
    }) {
        Some(entry) => digest_of(entry),
        None => {
            let mut available: Vec<String> = entries
                .iter()
                .filter_map(|entry| Some(Name(entry.platform().as_ref()?).to_string()))
                .collect();
            available.retain(|name| name != "unknown/unknown");
            available.dedup();
            Err(Cause::NoSuchPlatform {
                wanted: Name(wanted).to_string(),
                available: available.join(", "),
            })
        }
    }
}

fn digest_of(entry: &Descriptor) -> Result<Digest, Cause> {
    entry
        .digest()
        .to_string()
        .parse()
        .map_err(|error| Cause::Protocol(format!("the index has a bad digest: {error}")))
}

/// How far an entry is from what is wanted: 0 is it exactly, more is an older variant that still runs; none does not run.
fn fitness(offered: Option<&Platform>, wanted: &Platform) -> Option<u32> {
    let offered = offered?;
    if offered.os() != wanted.os() || offered.architecture() != wanted.architecture() {
        return None;
    }
    let architecture = wanted.architecture().to_string();
    let default = match architecture.as_str() {
        "arm64" => 8,
        "arm" => 7,
        _ => 1,
    };
    let level = |platform: &Platform| match platform
        .variant()
        .as_deref()
        .filter(|variant| !variant.is_empty())
    {
        None => Some(default),
        Some(variant) => variant.strip_prefix('v')?.parse::<u32>().ok(),
    };
    match (level(offered), level(wanted)) {
        (Some(offered), Some(wanted)) => wanted.checked_sub(offered),
        _ => (offered.variant() == wanted.variant()).then_some(0),
    }
}

/// Prints a platform as `os/architecture[/variant]`.
struct Name<'a>(&'a Platform);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.os(), self.0.architecture())?;
        match self.0.variant().as_deref() {
            None | Some("") => Ok(()),
            Some(variant) => write!(f, "/{variant}"),
        }
    }
}
