//! Manifests: by name, by digest, and for a platform out of an index. Their bytes are kept as they came.

use bytes::Bytes;
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::Deserialize;

use super::{Cause, Error, Kind, Reference, Registry, auth::Access, host::Host, retry::Failure};
use crate::{
    Digest,
    image::{self, Descriptor, Index, MediaType, MediaTypeExt, Platform, SMALL, docker},
};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A manifest or an index, byte for byte as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// What it is, its digest and its size.
    pub descriptor: Descriptor,
    /// The bytes themselves.
    pub bytes: Bytes,
}

/// What a name stands for on one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The index that the name points to, if it is one.
    pub index: Option<Fetched>,
    /// The image's manifest.
    pub manifest: Fetched,
}

impl Resolved {
    /// The digest that the name points to: of the index if there is one.
    pub fn digest(&self) -> Digest {
        self.index.as_ref().unwrap_or(&self.manifest).descriptor.digest
    }
}

impl Registry {
    /// The manifest that a name stands for on this platform.
    ///
    /// An image that is no index is given back whatever platform it is for; its config says which.
    pub async fn resolve(&self, at: &Reference, platform: &Platform) -> Result<Resolved, Error> {
        let top = self.manifest(at).await?;
        if !top.descriptor.media_type.is_index() {
            return Ok(Resolved {
                index: None,
                manifest: top,
            });
        }
        let failed = |error| Error::new(at, Cause::Image(error));
        let index = Index::parse(&top.bytes).map_err(failed)?;
        let chosen = index.select(platform, top.descriptor.digest).map_err(failed)?;
        let manifest = self.manifest(&at.with_digest(chosen.digest)).await?;
        if manifest.descriptor.media_type.is_index() {
            return Err(failed(image::Error::Nesting { index: chosen.digest }));
        }
        Ok(Resolved {
            index: Some(top),
            manifest,
        })
    }

    /// The manifest or index that a name stands for, its digest checked.
    pub async fn manifest(&self, at: &Reference) -> Result<Fetched, Error> {
        let (mirrors, own) = self.mirrors(at)?;
        for mirror in &mirrors {
            if let Ok(found) = self.manifest_once(mirror).await {
                return Ok(found);
            }
        }
        let retry = self.inner.settings.retry;
        retry.run(&own, || self.manifest_once(&own)).await
    }

    /// Who is asked once before the registry itself, and that one, whose answer counts if nobody else has a good one.
    fn mirrors(&self, at: &Reference) -> Result<(Vec<Reference>, Reference), Error> {
        let mut sources = self.sources(at)?;
        let own = sources.pop().unwrap_or_else(|| at.clone());
        Ok((sources, own))
    }

    async fn manifest_once(&self, at: &Reference) -> Result<Fetched, Failure> {
        let path = manifest_path(at);
        let get = |host: &Host| host.get(&path).header(ACCEPT, accepted());
        let response = self.request(at, &Access::pull(at), get).await?;
        let response = self.expect(response, at, Kind::Image, &[StatusCode::OK]).await?;
        let (header_type, header_digest) = (content_type(&response), content_digest(&response));
        let bytes = self.body(response, at, SMALL as usize).await?;
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
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        Ok(Fetched { descriptor, bytes })
    }

    /// The digest that a name stands for, without its manifest; none if the registry does not have it.
    ///
    /// Registries that do not say the digest are asked for the manifest.
    pub async fn digest(&self, at: &Reference) -> Result<Option<Digest>, Error> {
        let (mirrors, own) = self.mirrors(at)?;
        for mirror in &mirrors {
            if let Ok(Some(digest)) = self.digest_once(mirror).await {
                return Ok(Some(digest));
            }
        }
        let retry = self.inner.settings.retry;
        let found = retry.run(&own, || self.digest_once(&own)).await;
        match found {
            Ok(Some(digest)) => Ok(Some(digest)),
            Ok(None) => Ok(Some(self.manifest(at).await?.descriptor.digest)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a name stands for this digest already where a push would put it, which is never a mirror. What goes wrong
    /// is left to the push, which says why.
    pub async fn names(&self, at: &Reference, digest: Digest) -> bool {
        let found = self.digest_with(at, &Access::push(at)).await;
        found.is_ok_and(|found| found == Some(digest))
    }

    async fn digest_once(&self, at: &Reference) -> Result<Option<Digest>, Failure> {
        self.digest_with(at, &Access::pull(at)).await
    }

    async fn digest_with(&self, at: &Reference, access: &Access) -> Result<Option<Digest>, Failure> {
        let path = manifest_path(at);
        let head = |host: &Host| host.client.head(host.url(&path)).header(ACCEPT, accepted());
        let response = self.request(at, access, head).await?;
        let response = self.expect(response, at, Kind::Image, &[StatusCode::OK]).await?;
        Ok(content_digest(&response))
    }

    /// Puts a manifest or index, under the tag of `at`, or under its own digest if `at` has none.
    ///
    /// Everything that it names must be in the repository already.
    pub async fn push_manifest(
        &self,
        at: &Reference,
        media_type: &MediaType,
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
        let put = |host: &Host| {
            let request = host
                .client
                .put(host.url(&path))
                .header(CONTENT_TYPE, media_type.to_string());
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
    pub async fn blob_bytes(&self, at: &Reference, blob: &Descriptor) -> Result<Bytes, Error> {
        if blob.size > SMALL {
            return Err(Error::new(
                at,
                Cause::TooLarge {
                    digest: blob.digest,
                    size: blob.size,
                    limit: SMALL,
                },
            ));
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
    [OCI_MANIFEST, OCI_INDEX, docker::MANIFEST, docker::MANIFEST_LIST].join(", ")
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
    media_type: Option<MediaType>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
}

/// What a manifest is: by its own word, the registry's, or its looks, in this order.
///
/// One that could be read as an image and as an index is refused, as the same digest would mean two things (OCI image-spec,
/// manifest.md, `mediaType`).
fn media_type(bytes: &[u8], header: Option<String>) -> Result<MediaType, Cause> {
    let shape: Shape = serde_json::from_slice(bytes)
        .map_err(|error| Cause::Protocol(format!("the manifest is not JSON of the right form: {error}")))?;
    let is_known = |media_type: &MediaType| media_type.is_index() || media_type.is_manifest();
    let header = header.map(|text| MediaType::from(text.as_str())).filter(is_known);
    let declared = shape.media_type.or(header);
    if shape.schema_version == Some(1) {
        return Err(Cause::Unsupported(docker::SCHEMA_1.to_owned()));
    }
    let looks_like = match (
        shape.manifests.is_some(),
        shape.layers.is_some() || shape.config.is_some(),
    ) {
        (true, true) => {
            return Err(Cause::Protocol(
                "it is a manifest and an index at once".to_owned(),
            ));
        }
        (true, false) => MediaType::ImageIndex,
        (false, _) => MediaType::ImageManifest,
    };
    match declared {
        None => Ok(looks_like),
        Some(declared) if declared.to_oci() == looks_like => Ok(declared),
        Some(declared) if is_known(&declared) => Err(Cause::Protocol(format!(
            "it is called {declared} but looks like {looks_like}"
        ))),
        Some(declared) => Err(Cause::Unsupported(declared.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_manifests_and_indexes_apart() {
        let table = [
            (r#"{"layers":[],"config":{}}"#, None, Ok(OCI_MANIFEST)),
            (r#"{"manifests":[]}"#, None, Ok(OCI_INDEX)),
            (
                r#"{"manifests":[]}"#,
                Some(docker::MANIFEST_LIST),
                Ok(docker::MANIFEST_LIST),
            ),
            (r#"{"layers":[]}"#, Some("text/plain"), Ok(OCI_MANIFEST)),
            (
                r#"{"layers":[],"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}"#,
                Some(OCI_MANIFEST),
                Ok(docker::MANIFEST),
            ),
            (r#"{"layers":[],"manifests":[]}"#, None, Err("at once")),
            (
                r#"{"layers":[],"mediaType":"application/vnd.oci.image.index.v1+json"}"#,
                None,
                Err("looks like"),
            ),
            (r#"{"manifests":[]}"#, Some(OCI_MANIFEST), Err("looks like")),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, None, Err("not supported")),
            (r#"{"mediaType":"application/x"}"#, None, Err("not supported")),
            ("<html>", Some(OCI_MANIFEST), Err("not JSON")),
        ];
        for (bytes, header, expected) in table {
            match (media_type(bytes.as_bytes(), header.map(str::to_owned)), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_ref(), expected, "{bytes}"),
                (Err(cause), Err(reason)) => assert!(cause.to_string().contains(reason), "{bytes}: {cause}"),
                (found, _) => panic!("{bytes}: {found:?}"),
            }
        }
    }
}
