//! Tags, and taking manifests away.

use reqwest::{Response, StatusCode, header::LINK};
use serde::Deserialize;

use super::{Cause, Error, Kind, Reference, Registry, auth::Access, host::Host, retry::Failure};

/// Tags asked for at once.
const PAGE: usize = 1000;
/// More of an answer is not read.
const MAX_PAGE: usize = 16 << 20;

#[derive(Deserialize)]
struct Tags {
    /// Some registries say `null` for none.
    tags: Option<Vec<String>>,
}

impl Registry {
    /// All tags of a repository, as the registry sorts them.
    pub async fn tags(&self, at: &Reference) -> Result<Vec<String>, Error> {
        let at = at.without_selector();
        let retry = self.inner.settings.retry;
        let mut tags: Vec<String> = Vec::new();
        let mut next = Some(format!("/v2/{}/tags/list?n={PAGE}", at.repository()));
        while let Some(path) = next {
            let (page, link) = retry.run(&at, || self.tags_page(&at, &path)).await?;
            next = link.filter(|link| *link != path && !page.is_empty());
            tags.extend(page);
        }
        Ok(tags)
    }

    async fn tags_page(&self, at: &Reference, path: &str) -> Result<(Vec<String>, Option<String>), Failure> {
        let response = self
            .request(at, &Access::pull(at), |host: &Host| host.get(path))
            .await?;
        let response = self
            .expect(response, at, Kind::Repository, &[StatusCode::OK])
            .await?;
        let next = next_page(&response);
        let body = self.body(response, at, MAX_PAGE).await?;
        let page: Tags = serde_json::from_slice(&body).map_err(|error| {
            Error::new(
                at,
                Cause::Protocol(format!("the list of tags cannot be read: {error}")),
            )
        })?;
        Ok((page.tags.unwrap_or_default(), next))
    }

    /// Takes a manifest away, and with it all tags that point to it. Its blobs stay until the registry collects them.
    ///
    /// A tag is looked up first, as many registries delete by digest only.
    pub async fn delete(&self, at: &Reference) -> Result<(), Error> {
        let digest = match at.digest() {
            Some(digest) => digest,
            None => self.digest(at).await?.ok_or_else(|| {
                Error::new(
                    at,
                    Cause::NotFound {
                        kind: Kind::Image,
                        message: String::new(),
                    },
                )
            })?,
        };
        let path = format!("/v2/{}/manifests/{digest}", at.repository());
        let retry = self.inner.settings.retry;
        retry
            .run(at, async || {
                let delete = |host: &Host| host.client.delete(host.url(&path));
                let response = self.request(at, &Access::delete(at), delete).await?;
                self.expect(
                    response,
                    at,
                    Kind::Image,
                    &[StatusCode::ACCEPTED, StatusCode::OK, StatusCode::NO_CONTENT],
                )
                .await
            })
            .await
            .map(drop)
    }
}

/// The path in `Link: <URL>; rel="next"` (RFC 5988); only its path and query count, so that no other host is asked.
fn next_page(response: &Response) -> Option<String> {
    let value = response.headers().get(LINK)?.to_str().ok()?;
    let (target, parameters) = value.trim().strip_prefix('<')?.split_once('>')?;
    if !parameters.contains("next") {
        return None;
    }
    let url = response.url().join(target).ok()?;
    Some(match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    })
}
