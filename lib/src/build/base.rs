//! What a `FROM` names.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    NamedContext,
    error::{BuildError, Problem},
    layers::Origin,
    scope::Scope,
    solver::Shared,
    stage::Stage,
};
use crate::{
    Digest, Hasher, Locator, Reference, archive,
    image::{Blobs, Descriptor, Image, Platform},
    plan::{
        graph::{self, Base},
        key::prefixed,
    },
    store,
};

/// What a process finds in `PATH` when its image says nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The image that a stage, which is not built on another, is built on.
pub(super) async fn image(shared: &Arc<Shared>, plan: &graph::Stage) -> Result<Image, BuildError> {
    let platform = platform(shared, plan.platform.as_deref())?;
    match &plan.base {
        Base::Image(name) => named(shared, name, &platform).await,
        Base::Scratch | Base::Stage(_) => Ok(Image::scratch(&platform)),
    }
}

fn platform(shared: &Shared, text: Option<&str>) -> Result<Platform, BuildError> {
    match text {
        Some(text) => Ok(text.parse().map_err(|error| Problem::Value(format!("{error}")))?),
        None => Ok(shared.options.platform.clone().unwrap_or_else(Platform::host)),
    }
}

/// An image by name: a named context, an image of the store, an image of a registry.
pub(super) async fn named(
    shared: &Arc<Shared>,
    name: &str,
    platform: &Platform,
) -> Result<Image, BuildError> {
    let context = shared
        .options
        .contexts
        .iter()
        .rev()
        .find(|(known, _)| same_name(known, name));
    let found = match context {
        Some((_, NamedContext::Image(locator))) => at(shared, locator, platform).await,
        Some((_, NamedContext::Directory(path))) => Err(Problem::Value(format!(
            "the named context is the directory {}: COPY can take files from it, FROM needs an image",
            path.display()
        ))
        .into()),
        // `oci-archive:base.tar` and its like; what names no transport is a reference.
        None if let Ok(locator) = name.parse::<Locator>() => at(shared, &locator, platform).await,
        None => match name.parse::<Reference>() {
            Ok(reference) => referenced(shared, &reference, platform).await,
            Err(error) => Err(Problem::Value(error.to_string()).into()),
        },
    };
    let image = found.map_err(|error: BuildError| error.about_base(name))?;
    check_platform(shared, name, &image, platform);
    Ok(image)
}

/// `busybox` and `docker.io/library/busybox:latest` are the same name.
fn same_name(known: &str, name: &str) -> bool {
    let normal = |text: &str| {
        text.parse::<Reference>()
            .ok()
            .map(|reference| reference.or_latest().to_string())
    };
    known == name || (normal(known).is_some() && normal(known) == normal(name))
}

fn check_platform(shared: &Shared, name: &str, image: &Image, wanted: &Platform) {
    let found = image.platform();
    if found.serves(wanted).is_none() {
        shared.tell(crate::Event::Warning {
            message: format!("the base image {name} is for {found}, and {wanted} is wanted"),
            line: None,
        });
    }
}

async fn at(shared: &Arc<Shared>, locator: &Locator, platform: &Platform) -> Result<Image, BuildError> {
    if let Locator::Registry(reference) = locator {
        return referenced(shared, reference, platform).await;
    }
    let (locator, platform) = (locator.clone(), platform.clone());
    let (blobs, image) = shared
        .blocking(move || {
            let archive = archive::Archive::open(&locator)?;
            let image = archive.image(&platform)?;
            Ok((Arc::new(archive), image))
        })
        .await?;
    shared.layers.know_image(image.layers(), &Origin::Blobs(blobs));
    Ok(image)
}

/// What a name in a registry stood for when it was last asked.
#[derive(Serialize, Deserialize)]
struct Pulled {
    descriptor: Descriptor,
}

async fn referenced(
    shared: &Arc<Shared>,
    reference: &Reference,
    platform: &Platform,
) -> Result<Image, BuildError> {
    let reference = reference.clone().or_latest();
    if let Some(image) = in_store(shared, &reference, platform).await? {
        return Ok(image);
    }
    let key = pulled_key(&reference, platform);
    let origin = Origin::Registry(reference.clone());
    if !shared.options.pull
        && let Some(image) = pulled_before(shared, &key, platform).await?
    {
        shared.layers.know_image(image.layers(), &origin);
        return Ok(image);
    }
    let image = pull(shared, &reference, platform).await?;
    let descriptor = image.encode()?.descriptor.clone();
    let store = shared.store.clone();
    let image = shared
        .blocking(move || {
            store.put_image(&image)?;
            let value = serde_json::to_value(Pulled {
                descriptor: descriptor.clone(),
            })
            .map_err(|error| Problem::Value(error.to_string()))?;
            store.put_step(
                &key,
                &store::Record {
                    layers: Vec::new(),
                    blobs: vec![descriptor],
                    value,
                },
            )?;
            Ok(image)
        })
        .await?;
    shared.layers.know_image(image.layers(), &origin);
    Ok(image)
}

/// Manifest and config of an image in a registry.
async fn pull(shared: &Shared, reference: &Reference, platform: &Platform) -> Result<Image, BuildError> {
    let manifest = shared.registry.resolve(reference, platform).await?.manifest;
    let config = crate::image::Manifest::parse(&manifest.bytes)?.config;
    let config = shared.registry.blob_bytes(reference, &config).await?;
    Ok(Image::parse(
        manifest.descriptor,
        manifest.bytes.to_vec(),
        config.to_vec(),
    )?)
}

/// An image that was built or copied here under this name.
async fn in_store(
    shared: &Arc<Shared>,
    reference: &Reference,
    platform: &Platform,
) -> Result<Option<Image>, BuildError> {
    let (store, name, platform) = (shared.store.clone(), reference.to_string(), platform.clone());
    let image = shared
        .blocking(move || match store.resolve(&name)? {
            Some(descriptor) => Ok(Some(Image::load(&store, &descriptor, &platform)?)),
            None => Ok(None),
        })
        .await?;
    if let Some(image) = &image {
        // Layers of its own base may never have been fetched; the registry of its name may have them.
        shared
            .layers
            .know_image(image.layers(), &Origin::Registry(reference.clone()));
        base_origins(shared, image);
    }
    Ok(image)
}

/// Layers that came with the base of a base: its annotations say where from.
fn base_origins(shared: &Shared, image: &Image) {
    let name = image.annotations().get("org.opencontainers.image.base.name");
    if let Some(Ok(reference)) = name.map(|name| name.parse::<Reference>()) {
        shared
            .layers
            .know_image(image.layers(), &Origin::Registry(reference));
    }
}

async fn pulled_before(
    shared: &Arc<Shared>,
    key: &Digest,
    platform: &Platform,
) -> Result<Option<Image>, BuildError> {
    let (store, key, platform) = (shared.store.clone(), *key, platform.clone());
    shared
        .blocking(move || {
            let record = store.get_step(&key);
            let pulled = record.and_then(|record| serde_json::from_value::<Pulled>(record.value).ok());
            let Some(Pulled { descriptor }) = pulled else {
                return Ok(None);
            };
            // Manifest or config may have been pruned: then the registry is asked again.
            Ok(match Blobs::has(&store, &descriptor) {
                Ok(true) => Image::load(&store, &descriptor, &platform).ok(),
                _ => None,
            })
        })
        .await
}

fn pulled_key(reference: &Reference, platform: &Platform) -> Digest {
    let mut hasher = Hasher::new();
    for part in ["rbuild pulled 1", &reference.to_string(), &platform.to_string()] {
        prefixed(&mut hasher, part.as_bytes());
    }
    hasher.finish()
}

/// What a stage on an image has in its environment from the start. `PATH` gets a default, also on scratch.
pub(super) fn environment(stage: &mut Stage) {
    let mut scope = Scope::default();
    for entry in &stage.image.config().config.env {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        scope.set(name, value);
    }
    if scope.get("PATH").is_none() {
        scope.set("PATH", PATH);
        stage.image.config_mut().config.set_env("PATH", PATH);
    }
    stage.scope = scope;
}

/// A directory that a name in `COPY --from` or a mount stands for.
pub(super) fn named_directory<'a>(shared: &'a Shared, name: &str) -> Option<&'a Path> {
    let context = shared
        .options
        .contexts
        .iter()
        .rev()
        .find(|(known, _)| same_name(known, name));
    match context {
        Some((_, NamedContext::Directory(path))) => Some(path),
        _ => None,
    }
}
