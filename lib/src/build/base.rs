//! What a `FROM` names.

use std::sync::Arc;

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
    image::{BASE_NAME, Blobs, Descriptor, Image, Platform},
    plan::{
        graph::{self, Base},
        key::prefixed,
    },
    registry::without_password,
    store::{self, Store},
};

/// What a process finds in `PATH` when its image says nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The image that a stage, which is not built on another, is built on.
pub(super) async fn image(shared: &Arc<Shared>, plan: &graph::Stage) -> Result<Image, BuildError> {
    let platform = platform(shared, plan.platform.as_deref())?;
    match &plan.base {
        Base::Image(name) => {
            let (mut image, reference) = find(shared, name, &platform).await?;
            if let Some(reference) = reference {
                image.record_base(&reference)?;
            }
            Ok(image)
        }
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
    Ok(find(shared, name, platform).await?.0)
}

/// An image by name, and its name in a registry if it is from there.
pub(super) type Found = (Image, Option<Reference>);

async fn find(shared: &Arc<Shared>, name: &str, platform: &Platform) -> Result<Found, BuildError> {
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
        Some((_, NamedContext::Remote(address))) => Err(Problem::Value(format!(
            "the named context is {}: COPY can take files from it, FROM needs an image",
            without_password(address)
        ))
        .into()),
        // `oci-archive:base.tar` and its like; what names no transport is a reference, and so is `store:1`.
        None if let Ok(locator) = name.parse::<Locator>()
            && !matches!(locator, Locator::Store(_)) =>
        {
            at(shared, &locator, platform).await
        }
        None => in_a_registry(shared, name, platform).await,
    };
    let (image, reference) = found.map_err(|error: BuildError| error.about_base(name))?;
    check_platform(shared, name, &image, platform);
    Ok((image, reference))
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

async fn at(shared: &Arc<Shared>, locator: &Locator, platform: &Platform) -> Result<Found, BuildError> {
    match locator {
        Locator::Registry(reference) => {
            return referenced(shared, &reference.clone().or_latest(), platform).await;
        }
        Locator::Store(name) => return Ok((of_store(shared, name, platform).await?, None)),
        _ => {}
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
    Ok((image, None))
}

/// An image by a name that may lack its registry: what is here already is not looked for elsewhere.
async fn in_a_registry(shared: &Arc<Shared>, name: &str, platform: &Platform) -> Result<Found, BuildError> {
    let candidates = shared.registry.candidates(name)?;
    if candidates.len() > 1 {
        for candidate in candidates {
            if let Some(found) = here(shared, &candidate.or_latest(), platform).await? {
                return Ok(found);
            }
        }
    }
    let reference = shared.registry.locate(name).await?;
    referenced(shared, &reference.or_latest(), platform).await
}

/// What a name in a registry stood for when it was last asked.
#[derive(Serialize, Deserialize)]
struct Pulled {
    descriptor: Descriptor,
    /// Records of older versions do not have it.
    reference: Option<String>,
}

async fn referenced(
    shared: &Arc<Shared>,
    reference: &Reference,
    platform: &Platform,
) -> Result<Found, BuildError> {
    if let Some(found) = here(shared, reference, platform).await? {
        return Ok(found);
    }
    // Once for all stages: what the name stands for may change meanwhile.
    let key = (reference.to_string(), platform.to_string());
    let find = || pull_and_keep(shared, reference, platform);
    shared.pulled.get(key, find).await
}

async fn pull_and_keep(
    shared: &Arc<Shared>,
    reference: &Reference,
    platform: &Platform,
) -> Result<Found, BuildError> {
    let (key, places) = (pulled_key(reference, platform), places(shared, reference)?);
    let (pulled, ()) = tokio::join!(pull_from(shared, places, platform), get_ready_to_run(shared));
    let (image, place) = pulled?;
    let origin = Origin::Registry(place);
    let descriptor = image.encode()?.descriptor.clone();
    let (store, name) = (shared.store.clone(), reference.to_string());
    let image = shared
        .blocking(move || {
            store.put_image(&image)?;
            let value = serde_json::to_value(Pulled {
                descriptor: descriptor.clone(),
                reference: Some(name),
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
    Ok((image, Some(reference.clone())))
}

/// Finds out what runs processes while the registry is asked: on a base that was not here, nothing was run before.
async fn get_ready_to_run(shared: &Arc<Shared>) {
    if shared.graph.runs() && !shared.options.pull {
        // Whoever runs something finds out why it cannot be done.
        let _ = shared.engine().await;
    }
}

/// An image of a registry's name that is in the store, or was pulled before and need not be again.
async fn here(
    shared: &Arc<Shared>,
    reference: &Reference,
    platform: &Platform,
) -> Result<Option<Found>, BuildError> {
    if let Some(image) = in_store(shared, reference, platform).await? {
        return Ok(Some((image, None)));
    }
    if shared.options.pull {
        return Ok(None);
    }
    let Some(image) = pulled_before(shared, &pulled_key(reference, platform), platform).await? else {
        return Ok(None);
    };
    let first = places(shared, reference)?.into_iter().next();
    let origin = Origin::Registry(first.unwrap_or_else(|| reference.clone()));
    shared.layers.know_image(image.layers(), &origin);
    Ok(Some((image, Some(reference.clone()))))
}

/// Where to look for an image.
fn places(shared: &Shared, reference: &Reference) -> Result<Vec<Reference>, BuildError> {
    let places = shared.registry.places(reference);
    places.map_err(|error| Problem::Value(format!("a mirror: {error}")).into())
}

/// Manifest and config of an image, and the first place that has it; else, why the last place has not.
async fn pull_from(
    shared: &Shared,
    places: Vec<Reference>,
    platform: &Platform,
) -> Result<(Image, Reference), BuildError> {
    let mut failed = None;
    for place in places {
        match pull(shared, &place, platform).await {
            Ok(image) => return Ok((image, place)),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| Problem::Value("there is no registry to ask".to_owned()).into()))
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

/// An image of the store, for which no registry's name is known.
async fn of_store(shared: &Arc<Shared>, name: &str, platform: &Platform) -> Result<Image, BuildError> {
    let (store, name, platform) = (shared.store.clone(), name.to_owned(), platform.clone());
    let load = move || Ok(Image::load(&store, &store.find(&name)?, &platform)?);
    let image = shared.blocking(load).await?;
    base_origins(shared, &image);
    Ok(image)
}

/// Layers that came with the base of a base: its annotations say where from.
fn base_origins(shared: &Shared, image: &Image) {
    let name = image.annotations().get(BASE_NAME);
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
            let Some(Pulled { descriptor, .. }) = pulled else {
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

/// The images of registries that builds with this store were built on: manifests, and where they came from.
pub(crate) fn pulled(store: &Store) -> Result<Vec<(Reference, Descriptor)>, store::Error> {
    let known = |record: store::Record| {
        let pulled: Pulled = serde_json::from_value(record.value).ok()?;
        Some((pulled.reference?.parse().ok()?, pulled.descriptor))
    };
    Ok(store.steps()?.into_iter().filter_map(known).collect())
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

/// The named context that a name in `COPY --from` or a mount stands for, if it is none with an image.
pub(super) fn named_files<'a>(shared: &'a Shared, name: &str) -> Option<&'a NamedContext> {
    let context = shared
        .options
        .contexts
        .iter()
        .rev()
        .find(|(known, _)| same_name(known, name));
    match context {
        Some((_, NamedContext::Image(_))) | None => None,
        Some((_, files)) => Some(files),
    }
}
