//! Tags, referrers, and taking manifests away.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

use oci_client::secrets::RegistryAuth;
use reqwest::StatusCode;

use super::{Cause, Error, Kind, Reference, Registry, auth::Access, host::Host, retry::Failure};
use crate::{Digest, image::Descriptor};

/// Tags asked for at once.
const PAGE: usize = 1000;

impl Registry {
    /// All tags of a repository, as the registry sorts them.
    pub async fn tags(&self, at: &Reference) -> Result<Vec<String>, Error> {
        let at = at.without_selector();
        let mut tags: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let page = self.tags_after(&at, tags.last().cloned()).await?;
            let (known, size) = (tags.len(), page.len());
            tags.extend(page.into_iter().filter(|tag| seen.insert(tag.clone())));
            // Registries may give fewer than they are asked for: only a page with nothing new in it is the last.
            match tags.len() == known {
                false => {}
                true if size == PAGE => {
                    let message = format!("after the first {PAGE} tags it gives the same ones again");
                    return Err(Error::new(&at, Cause::Protocol(message)));
                }
                true => return Ok(tags),
            }
        }
    }

    async fn tags_after(&self, at: &Reference, last: Option<String>) -> Result<Vec<String>, Error> {
        if self.shows_certificate(at)? {
            return self.own_tags(at, PAGE, last.as_deref()).await;
        }
        let question = |question: super::oci::Question| {
            let last = last.clone();
            async move {
                let (client, about) = (question.client, question.about);
                // The login was lent before; this is for those who have none.
                let login = RegistryAuth::Anonymous;
                client
                    .list_tags(&about, &login, Some(PAGE), last.as_deref())
                    .await
            }
        };
        match self.ask(at, question).await {
            Err(error) if error.is_busy() => self.own_tags(at, PAGE, last.as_deref()).await,
            answer => Ok(answer?.tags),
        }
    }

    /// The manifests that refer to an image as their subject: signatures, attestations, bills of materials. With
    /// `artifact_type`, only those of that type.
    ///
    /// Registries without this list are asked for the tag that stands in for it (OCI distribution-spec, referrers tag
    /// schema). Nobody vouches that what refers to an image is meant well, or true.
    pub async fn referrers(
        &self,
        at: &Reference,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Error> {
        let at = at.without_selector().with_digest(self.must_digest(at).await?);
        let mut found = match self.shows_certificate(&at)? {
            true => self.own_referrers(&at).await?,
            false => self.referrers_asked(&at, artifact_type).await?,
        };
        // Registries need not filter.
        found.retain(|descriptor| artifact_type.is_none() || descriptor.artifact_type() == artifact_type);
        Ok(found)
    }

    async fn referrers_asked(
        &self,
        at: &Reference,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Error> {
        let question = |question: super::oci::Question| {
            let kind = artifact_type.map(str::to_owned);
            async move {
                question
                    .client
                    .pull_referrers(&question.about, kind.as_deref())
                    .await
            }
        };
        let index = match self.ask(at, question).await {
            Err(error) if error.is_busy() => return self.own_referrers(at).await,
            answer => answer?,
        };
        let descriptors = index.manifests.into_iter().map(|entry| {
            let value = serde_json::to_value(entry)?;
            serde_json::from_value::<Descriptor>(value)
        });
        let unreadable = |error| {
            let message = format!("the list of referrers cannot be read: {error}");
            Error::new(at, Cause::Protocol(message))
        };
        descriptors.collect::<Result<_, _>>().map_err(unreadable)
    }

    /// The digest that a name stands for, which must be there.
    pub(super) async fn must_digest(&self, at: &Reference) -> Result<Digest, Error> {
        let found = match at.digest() {
            Some(digest) => Some(digest),
            None => self.digest(at).await?,
        };
        found.ok_or_else(|| {
            let message = String::new();
            let kind = Kind::Image;
            Error::new(at, Cause::NotFound { kind, message })
        })
    }

    /// Takes a manifest away, and with it all tags that point to it. Its blobs stay until the registry collects them.
    ///
    /// A tag is looked up first, as many registries delete by digest only.
    pub async fn delete(&self, at: &Reference) -> Result<(), Error> {
        let digest = self.must_digest(at).await?;
        let path = format!("/v2/{}/manifests/{digest}", at.repository());
        let tried = AtomicBool::new(false);
        let attempt = async || -> Result<(), Failure> {
            let again = tried.swap(true, Ordering::Relaxed);
            let delete = |host: &Host| host.client.delete(host.url(&path));
            let response = self.request(at, &Access::delete(at), delete).await?;
            // It was there before: what was lost is only the answer.
            if response.status() == StatusCode::NOT_FOUND && again {
                return Ok(());
            }
            let good = [StatusCode::ACCEPTED, StatusCode::OK, StatusCode::NO_CONTENT];
            self.expect(response, at, Kind::Image, &good).await.map(drop)
        };
        self.inner.settings.retry.run(at, attempt).await
    }
}
