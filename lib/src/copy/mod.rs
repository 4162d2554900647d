//! Images from any place to any other, byte for byte.
//!
//! [`copy`] opens the source, chooses what of it to take (an image, or an index with all its images), lists its blobs, and
//! moves those that the destination does not have, several at a time; manifests follow when all that they name is there.
//! Bytes and digests stay what they are, but where the destination has no place for them: a docker archive holds layers
//! uncompressed, and no manifest.
//!
//! - `source`: [`Source`]: an image wherever it is, open for reading
//! - `composed`: an image made of several, and of what is new
//! - `reading`: the source's blobs as a copy reads them: with progress, and no longer than somebody waits
//! - `origins`: an image of the store, some of whose layers may have stayed in a registry
//! - `push`: into a registry
//! - `local`: into the store, a layout, an archive or a directory
//! - `sync`: many images at once
//! - `referrers`: signatures and the like, which refer to an image

mod composed;
mod error;
mod local;
mod origins;
mod push;
mod reading;
mod referrers;
mod source;
mod sync;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use composed::Composed;
pub use error::Error;
pub use source::Source;
pub use sync::{Mirror, mirrored};

use crate::{
    Locator,
    archive::closure,
    event::{self, Event, Sink},
    image::{Descriptor, Image, Platform, resolve},
    registry::Registry,
    store::Store,
};
use reading::Reading;

/// Blobs that move at the same time.
const SIDE_BY_SIDE: usize = 4;

/// What to copy, and how.
#[derive(Clone)]
pub struct Options {
    all: bool,
    platform: Option<Platform>,
    tags: Vec<String>,
    referrers: bool,
    store: Option<Store>,
    sink: Sink,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            all: false,
            platform: None,
            tags: Vec::new(),
            referrers: false,
            store: None,
            sink: event::ignore(),
        }
    }
}

impl Options {
    /// The image for this machine's processor, under the name of the destination, and nothing more.
    pub fn new() -> Self {
        Self::default()
    }

    /// An index is copied whole, with the images of all platforms.
    pub fn all(mut self, all: bool) -> Self {
        self.all = all;
        self
    }

    /// The image for this platform; it is an error if there is none.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// One more name at the destination: in a registry a tag in the same repository, elsewhere any name.
    pub fn additional_tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Signatures, bills of materials and whatever else refers to the image come along.
    pub fn referrers(mut self, referrers: bool) -> Self {
        self.referrers = referrers;
        self
    }

    /// The store that `store:NAME` means, if it is not [`Store::open_default`].
    pub fn store(mut self, store: &Store) -> Self {
        self.store = Some(store.clone());
        self
    }

    /// Who is told what happens.
    pub fn on_event(mut self, on_event: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.sink = Arc::new(on_event);
        self
    }
}

/// Copies an image, and says what it is called at the destination: its manifest or index.
///
/// Blobs that are there already are not moved; one that another repository of the same registry has is mounted. Dropping
/// the future ends the copy. The destination then has some blobs more, and no new image.
///
/// # Errors
/// If the image cannot be read, is not valid, or cannot be written.
pub async fn copy(
    from: &Locator,
    to: &Locator,
    options: &Options,
    registry: &Registry,
) -> Result<Descriptor, Error> {
    if options.referrers {
        referrers::check(to)?;
    }
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let source = Source::open(from, &platform, options.store.as_ref(), registry).await?;
    write(&source, to, options, registry).await
}

/// Writes an image that is open, as [`copy`] does.
///
/// # Errors
/// As [`copy`].
pub async fn write(
    source: &Source,
    to: &Locator,
    options: &Options,
    registry: &Registry,
) -> Result<Descriptor, Error> {
    if options.referrers {
        referrers::check(to)?;
    }
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let reading = Arc::new(Reading::new(
        source,
        matches!(to, Locator::Registry(_)),
        &options.sink,
    ));
    // However this ends, threads that still read must not go on for long.
    let _guard = reading.guard();
    let image = choose(source, &reading, &platform, options).await?;
    check_digest(to, &image)?;
    let job = Job {
        source,
        reading: &reading,
        options,
        registry,
    };
    match to {
        Locator::Registry(to) => push::image(&job, &image, to).await?,
        to => local::write(&job, &image, to).await?,
    }
    if options.referrers {
        referrers::copy(&job, &image, to).await?;
    }
    (options.sink)(Event::Written {
        place: to.to_string(),
        manifest: image.digest,
    });
    Ok(image)
}

/// What the parts of a copy share.
struct Job<'a> {
    source: &'a Source,
    reading: &'a Arc<Reading>,
    options: &'a Options,
    registry: &'a Registry,
}

impl Job<'_> {
    /// All blobs of an image, manifests after what they name.
    async fn blobs(&self, image: &Descriptor) -> Result<Vec<Descriptor>, Error> {
        let (reading, image) = (self.reading.clone(), image.clone());
        blocking(move || Ok(closure(&*reading, &image)?)).await
    }
}

/// The index or the image that is meant.
async fn choose(
    source: &Source,
    reading: &Arc<Reading>,
    platform: &Platform,
    options: &Options,
) -> Result<Descriptor, Error> {
    let top = source.descriptor().clone();
    if options.all {
        return Ok(top);
    }
    let (reading, place) = (reading.clone(), source.place().to_owned());
    let (platform, insists) = (platform.clone(), options.platform.is_some());
    blocking(move || {
        let (image, _) = resolve(&*reading, &top, &platform)?;
        // An index has said so already.
        if insists && image.digest == top.digest {
            let found = Image::load(&*reading, &image, &platform)?.platform();
            if found.serves(&platform).is_none() {
                return Err(Error::Platform {
                    place,
                    found: Box::new(found),
                    wanted: Box::new(platform),
                });
            }
        }
        Ok(image)
    })
    .await
}

/// A destination with a digest takes that image only. Seen before anything moves.
fn check_digest(to: &Locator, image: &Descriptor) -> Result<(), Error> {
    let wanted = match to {
        Locator::Registry(reference) => reference.digest(),
        Locator::OciLayout(place) | Locator::OciArchive(place) => place.digest,
        _ => None,
    };
    match wanted {
        Some(wanted) if wanted != image.digest => Err(Error::Digest {
            place: to.to_string(),
            found: image.digest,
        }),
        _ => Ok(()),
    }
}

/// Work that blocks, in a thread for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await?
}
