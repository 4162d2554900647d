//! What the requests mean (OCI distribution-spec, endpoints).

use std::sync::atomic::Ordering;

use serde_json::json;

use super::{
    Kind, Shared,
    content::{Content, digest},
    http::{Answer, Request},
    lock,
};

/// The kind of a request, its repository, and the digest, tag or upload that it names.
pub fn route(request: &Request) -> (Kind, String, String) {
    let method = request.method.as_str();
    let nowhere = |kind| (kind, String::new(), String::new());
    let path = match request.path.as_str() {
        "/v2/" | "/v2" => return nowhere(Kind::Ping),
        "/token" => return nowhere(Kind::Token),
        path => path.strip_prefix("/v2/").unwrap_or_default(),
    };
    let parts = [
        ("/blobs/uploads/", "upload"),
        ("/blobs/", "blob"),
        ("/manifests/", "manifest"),
        ("/tags/", "tags"),
        ("/referrers/", "referrers"),
    ];
    let found = parts
        .iter()
        .find_map(|(part, what)| path.rsplit_once(part).map(|found| (found, *what)));
    let Some(((repository, name), what)) = found else {
        return nowhere(Kind::Other);
    };
    let kind = match (what, method) {
        ("upload", "POST") if request.query("mount").is_some() => Kind::Mount,
        ("upload", "POST") => Kind::UploadStart,
        ("upload", "PATCH") => Kind::UploadChunk,
        ("upload", "PUT") => Kind::UploadFinish,
        ("upload", "DELETE") => Kind::UploadCancel,
        ("upload", "GET") => Kind::UploadStatus,
        ("blob", "HEAD") => Kind::BlobHead,
        ("blob", "GET") => Kind::BlobGet,
        ("blob", "DELETE") => Kind::BlobDelete,
        ("manifest", "HEAD") => Kind::ManifestHead,
        ("manifest", "GET") => Kind::ManifestGet,
        ("manifest", "PUT") => Kind::ManifestPut,
        ("manifest", "DELETE") => Kind::ManifestDelete,
        ("tags", "GET") => Kind::Tags,
        ("referrers", "GET") => Kind::Referrers,
        _ => Kind::Other,
    };
    (kind, repository.to_owned(), name.to_owned())
}

pub fn answer(request: &Request, kind: Kind, repository: &str, name: &str, shared: &Shared) -> Answer {
    let action = match kind {
        Kind::Token => return lock(&shared.auth).issue(request),
        Kind::BlobDelete | Kind::ManifestDelete => "delete",
        Kind::UploadStart
        | Kind::UploadChunk
        | Kind::UploadFinish
        | Kind::UploadCancel
        | Kind::UploadStatus => "push",
        Kind::Mount | Kind::ManifestPut => "push",
        _ => "pull",
    };
    if let Err(refusal) = lock(&shared.auth).check(request, repository, action) {
        return refusal;
    }
    let mut content = lock(&shared.content);
    match kind {
        Kind::Ping => Answer::json(200, &json!({})),
        Kind::BlobHead | Kind::BlobGet => blob(request, &content, repository, name),
        Kind::BlobDelete if content.delete_blob(repository, name) => Answer::new(202),
        Kind::BlobDelete => Answer::error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
        Kind::Mount => mount(
            request,
            &mut content,
            repository,
            shared.mounts.load(Ordering::Relaxed),
        ),
        Kind::UploadStart => begin(&mut content, repository),
        Kind::UploadChunk | Kind::UploadFinish | Kind::UploadCancel | Kind::UploadStatus => {
            upload(request, kind, &mut content, repository, name)
        }
        Kind::ManifestHead | Kind::ManifestGet => manifest(&content, repository, name),
        Kind::ManifestPut => put_manifest(request, &mut content, repository, name),
        Kind::ManifestDelete if content.delete_manifest(repository, name) => Answer::new(202),
        Kind::ManifestDelete => Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        Kind::Tags => tags(request, &content, repository),
        Kind::Referrers => referrers(&content, repository, name),
        Kind::Token | Kind::Other => Answer::error(404, "UNSUPPORTED", "no such endpoint"),
    }
}

fn blob(request: &Request, content: &Content, repository: &str, name: &str) -> Answer {
    let Some(bytes) = content.blob(repository, name) else {
        return Answer::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    let answer = |status| {
        let answer = Answer::new(status).with("Content-Type", "application/octet-stream");
        answer
            .with("Docker-Content-Digest", name)
            .with("Accept-Ranges", "bytes")
    };
    let Some(range) = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes="))
    else {
        return answer(200).body(&bytes);
    };
    let (first, last) = range.split_once('-').unwrap_or((range, ""));
    let first = first.parse::<usize>().unwrap_or(0);
    let end = last
        .parse::<usize>()
        .map_or(bytes.len(), |last| bytes.len().min(last + 1));
    match bytes.get(first..end) {
        Some(part) if !part.is_empty() => {
            let range = format!("bytes {first}-{}/{}", end - 1, bytes.len());
            answer(206).with("Content-Range", &range).body(part)
        }
        _ => Answer::error(416, "RANGE_INVALID", "no such range"),
    }
}

fn mount(request: &Request, content: &mut Content, repository: &str, allowed: bool) -> Answer {
    let digest = request.query("mount").unwrap_or_default();
    if allowed && content.mount(repository, digest, request.query("from").unwrap_or_default()) {
        return created(&format!("/v2/{repository}/blobs/{digest}"), digest);
    }
    begin(content, repository)
}

fn created(location: &str, digest: &str) -> Answer {
    Answer::new(201)
        .with("Location", location)
        .with("Docker-Content-Digest", digest)
}

fn begin(content: &mut Content, repository: &str) -> Answer {
    let id = content.begin_upload();
    accepted(repository, &id, 0)
}

fn accepted(repository: &str, id: &str, size: usize) -> Answer {
    let answer = Answer::new(202).with(
        "Location",
        &format!("/v2/{repository}/blobs/uploads/{id}?state={size}"),
    );
    answer.with("Range", &format!("0-{}", size.saturating_sub(1)))
}

fn upload(request: &Request, kind: Kind, content: &mut Content, repository: &str, id: &str) -> Answer {
    let Some(bytes) = content.upload(id) else {
        return Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    };
    if let Some(range) = request.header("content-range")
        && !range.starts_with(&format!("{}-", bytes.len()))
    {
        return Answer::error(416, "RANGE_INVALID", "not where the last part ended");
    }
    bytes.extend_from_slice(&request.body);
    let size = bytes.len();
    match kind {
        Kind::UploadCancel => {
            content.end_upload(id);
            Answer::new(204)
        }
        Kind::UploadFinish => {
            let bytes = content.end_upload(id).unwrap_or_default();
            let claimed = request.query("digest").unwrap_or_default();
            if digest(&bytes) != claimed {
                return Answer::error(
                    400,
                    "DIGEST_INVALID",
                    "provided digest did not match uploaded content",
                );
            }
            content.put_blob(repository, bytes);
            created(&format!("/v2/{repository}/blobs/{claimed}"), claimed)
        }
        Kind::UploadStatus => accepted(repository, id, size).status(204),
        _ => accepted(repository, id, size),
    }
}

fn manifest(content: &Content, repository: &str, name: &str) -> Answer {
    match content.manifest(repository, name) {
        Some(manifest) => {
            let answer = Answer::new(200)
                .with("Content-Type", &manifest.media_type)
                .body(&manifest.bytes);
            answer.with("Docker-Content-Digest", &digest(&manifest.bytes))
        }
        None => Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
    }
}

fn put_manifest(request: &Request, content: &mut Content, repository: &str, name: &str) -> Answer {
    if name.starts_with("sha256:") && name != digest(&request.body) {
        return Answer::error(
            400,
            "DIGEST_INVALID",
            "provided digest did not match uploaded content",
        );
    }
    match content.missing(repository, &request.body) {
        Err(error) => return Answer::error(400, "MANIFEST_INVALID", &error.to_string()),
        Ok(Some(missing)) => return Answer::error(400, "MANIFEST_BLOB_UNKNOWN", &missing),
        Ok(None) => {}
    }
    let media_type = request.header("content-type").unwrap_or_default();
    let digest = content.put_manifest(repository, name, media_type, request.body.clone());
    created(&format!("/v2/{repository}/manifests/{digest}"), &digest)
}

fn tags(request: &Request, content: &Content, repository: &str) -> Answer {
    let Some(tags) = content.tags(repository) else {
        return Answer::error(404, "NAME_UNKNOWN", "repository name not known to registry");
    };
    let last = request.query("last").unwrap_or_default();
    let most = request
        .query("n")
        .and_then(|n| n.parse().ok())
        .unwrap_or(usize::MAX);
    let rest: Vec<&String> = tags.iter().filter(|tag| tag.as_str() > last).collect();
    let page: Vec<&String> = rest.iter().copied().take(most).collect();
    let answer = Answer::json(200, &json!({ "name": repository, "tags": page }));
    match page.last().filter(|_| page.len() < rest.len()) {
        Some(last) => answer.with(
            "Link",
            &format!("</v2/{repository}/tags/list?n={most}&last={last}>; rel=\"next\""),
        ),
        None => answer,
    }
}

fn referrers(content: &Content, repository: &str, subject: &str) -> Answer {
    let found = content.referrers(repository, subject);
    let manifests: Vec<_> = found
        .iter()
        .map(|(digest, manifest, parsed)| {
            let artifact_type = parsed.get("artifactType").unwrap_or(&parsed["config"]["mediaType"]);
            json!({ "mediaType": manifest.media_type, "digest": digest, "size": manifest.bytes.len(), "artifactType": artifact_type, "annotations": parsed["annotations"] })
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests });
    Answer::json(200, &index).with("Content-Type", "application/vnd.oci.image.index.v1+json")
}
