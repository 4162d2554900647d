//! Tags and referrers by our own requests: where a client certificate is to be shown, which oci-client cannot, and where a
//! registry asks to wait before the next question.

use reqwest::{StatusCode, header::ACCEPT};
use serde::Deserialize;

use super::{
    Cause, Error, Kind, Reference, Registry, auth::Access, host::Host, oci::tls_error, retry::Failure,
    tls::HostCertificates,
};
use crate::image::{Descriptor, Index, MediaType, SMALL};

/// The answer to a question for tags (OCI distribution-spec, listing tags). Some say `null` for none.
#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Registry {
    /// Whether a certificate of ours is to be shown to the host of `at`.
    pub(super) fn shows_certificate(&self, at: &Reference) -> Result<bool, Error> {
        let directories = self.inner.settings.certificates_of(at.host());
        let certificates = HostCertificates::read(&directories).map_err(|why| tls_error(at, why))?;
        Ok(certificates.has_identity())
    }

    /// One page of tags, those after `last`.
    pub(super) async fn own_tags(
        &self,
        at: &Reference,
        page: usize,
        last: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let after = last.map(|last| format!("&last={last}")).unwrap_or_default();
        let path = format!("/v2/{}/tags/list?n={page}{after}", at.repository());
        let body = self.document(at, Kind::Repository, &path).await?;
        let unreadable = |error| {
            Error::new(
                at,
                Cause::Protocol(format!("the list of tags cannot be read: {error}")),
            )
        };
        let tags: Tags = serde_json::from_slice(&body).map_err(unreadable)?;
        Ok(tags.tags.unwrap_or_default())
    }

    /// What refers to the manifest of `at`, which has a digest: as the registry lists it, or what stands in for the list.
    pub(super) async fn own_referrers(&self, at: &Reference) -> Result<Vec<Descriptor>, Error> {
        let path = format!("/v2/{}/referrers/{}", at.repository(), at.selector());
        let found = match self.document(at, Kind::Image, &path).await {
            Err(error) if error.is_not_found() => self.referrers_by_tag(at).await?,
            found => Some(found?),
        };
        let Some(bytes) = found else { return Ok(Vec::new()) };
        let index = Index::parse(&bytes).map_err(|error| Error::new(at, Cause::Image(error)))?;
        Ok(index.manifests)
    }

    /// The referrers tag schema.
    async fn referrers_by_tag(&self, at: &Reference) -> Result<Option<bytes::Bytes>, Error> {
        let stand_in = at.selector().replace(':', "-");
        let wrong = |error: super::ParseReferenceError| Error::new(at, Cause::Protocol(error.to_string()));
        match self.manifest(&at.with_tag(&stand_in).map_err(wrong)?).await {
            Ok(fetched) => Ok(Some(fetched.bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn document(&self, at: &Reference, kind: Kind, path: &str) -> Result<bytes::Bytes, Error> {
        let get = |host: &Host| {
            host.get(path)
                .header(ACCEPT, format!("{}, application/json", MediaType::ImageIndex))
        };
        let attempt = async || -> Result<_, Failure> {
            let response = self.request(at, &Access::pull(at), get).await?;
            let response = self.expect(response, at, kind, &[StatusCode::OK]).await?;
            self.body(response, at, SMALL as usize).await
        };
        self.inner.settings.retry.run(at, attempt).await
    }
}
