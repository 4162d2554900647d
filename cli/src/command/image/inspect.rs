//! `rbuild inspect`

use std::io::{self, Write};

use anyhow::{Context as _, Result};
use rbuild::{
    Reference,
    copy::Source,
    image::{Image, Index, MediaTypeExt, read_small},
};
use serde_json::{Value, json};

use super::{
    find::{find, platform_or_host},
    template,
};
use crate::{
    cli::Inspect,
    command::{session::Session, shared::print},
};

/// Says what an image is.
pub async fn run(options: &Inspect, session: &Session) -> Result<()> {
    let platform = platform_or_host(options.platform.as_ref());
    let source = find(&options.image, session).await?.open(&platform).await?;
    if options.raw {
        return bytes(&document(&source).await?);
    }
    let image = source.image(&platform).await?;
    if options.config {
        return bytes(&image.encode()?.config);
    }
    if options.as_docker {
        let described = described_by_docker(&options.image, &source, &image);
        return print(&match &options.format {
            Some(template) => template::fill(template, &described)? + "\n",
            None => serde_json::to_string_pretty(&[described])? + "\n",
        });
    }
    let mut described = describe(&source, &image)?;
    if source.descriptor().media_type.is_index() {
        let index = Index::parse(&document(&source).await?)?;
        let platforms = index.manifests.iter().filter(|entry| !entry.is_attestation());
        let platforms = platforms.filter_map(|entry| Some(entry.platform.as_ref()?.to_string()));
        described["platforms"] = platforms.collect::<Vec<_>>().into();
    }
    print(&match &options.format {
        Some(template) => template::fill(template, &described)? + "\n",
        None => serde_json::to_string_pretty(&described)? + "\n",
    })
}

/// The manifest or the index.
async fn document(source: &Source) -> Result<Vec<u8>> {
    let (blobs, descriptor) = (source.blobs().clone(), source.descriptor().clone());
    Ok(tokio::task::spawn_blocking(move || read_small(&*blobs, &descriptor)).await??)
}

fn describe(source: &Source, image: &Image) -> Result<Value> {
    let encoded = image.encode()?;
    let layers = image.layers().iter().map(|layer| {
        let blob = &layer.descriptor;
        json!({ "digest": blob.digest, "diffId": layer.diff_id, "size": blob.size, "mediaType": blob.media_type })
    });
    let size: u64 = image.layers().iter().map(|layer| layer.descriptor.size).sum();
    Ok(json!({
        "place": source.place(),
        "digest": source.descriptor().digest,
        "mediaType": source.descriptor().media_type,
        "manifest": encoded.descriptor.digest,
        "platform": image.platform().to_string(),
        "created": image.config().created,
        "size": size,
        "annotations": image.annotations(),
        "config": image.config().config,
        "layers": layers.collect::<Vec<_>>(),
    }))
}

/// What programs look for that know `docker inspect`. An image's ID is its digest, as where docker keeps images as
/// containerd does.
fn described_by_docker(name: &str, source: &Source, image: &Image) -> Value {
    let digest = source.descriptor().digest.to_string();
    let config = image.config();
    let name = name.parse::<Reference>().ok();
    let tags = name.iter().map(|name| name.clone().or_latest().familiar());
    let digests = name
        .iter()
        .map(|name| format!("{}@{digest}", name.without_selector().familiar()));
    let size: u64 = image.layers().iter().map(|layer| layer.descriptor.size).sum();
    let layers: Vec<_> = image.layers().iter().map(|layer| layer.diff_id).collect();
    json!({
        "Id": digest,
        "RepoTags": tags.collect::<Vec<_>>(),
        "RepoDigests": digests.collect::<Vec<_>>(),
        "Digest": digest,
        "Created": config.created,
        "Author": config.author,
        "Architecture": image.platform().architecture,
        "Os": image.platform().os,
        "Size": size,
        "Config": config.config,
        "Labels": config.config.labels,
        "RootFS": { "Type": "layers", "Layers": layers },
        "Annotations": image.annotations(),
    })
}

fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}
