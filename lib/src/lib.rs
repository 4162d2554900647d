//! rbuild: parses Containerfiles and builds OCI images in userspace, with no daemon and no privileges.
//!
//! A [`Build`] says what to build. It runs into a [`Store`](store::Store), asks a [`Registry`](registry::Registry) for
//! base images where it must, and gives back a [`Built`] image that can be written to any [`Locator`]:
//!
//! ```
//! use rbuild::{Build, registry::Registry, store::Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! # let app = directory.path().join("app");
//! # std::fs::create_dir(&app)?;
//! # std::fs::write(app.join("Containerfile"), "FROM scratch\nARG VERSION\nLABEL version=$VERSION\nCOPY hello /\n")?;
//! # std::fs::write(app.join("hello"), "hello\n")?;
//! let store = Store::open(directory.path().join("store"))?;
//! let registry = Registry::from_environment();
//!
//! let image = Build::context(&app)
//!     .arg("VERSION", "1.2")
//!     .on_event(|event| eprintln!("{event:?}"))
//!     .run(&store, &registry)
//!     .await?;
//! assert_eq!(image.image().config().config.labels["version"], "1.2");
//!
//! let layout = format!("oci:{}:app", directory.path().join("layout").display());
//! image.write_to(&layout.parse()?, &registry).await?;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! An embedder needs no hook in its `main`, no global state and no particular flavour of tokio (with its timers and
//! its network enabled), and may run several builds at once. Dropping the future of a build stops it, and everything
//! that it started; [`Build::cancelled_by`] does so from outside, and lets the future end by itself:
//!
//! ```
//! use rbuild::{Build, build::Problem, exec::Cancel, registry::Registry, store::Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! # let store = Store::open(directory.path().join("store"))?;
//! # let registry = Registry::from_environment();
//! let cancel = Cancel::new()?;
//! cancel.cancel(); // from a signal handler, another thread, an event
//!
//! let build = Build::from_context(rbuild::build::Context::Empty)
//!     .containerfile_text("FROM scratch\nENV A=1\n")
//!     .cancelled_by(cancel);
//! let error = build.run(&store, &registry).await.err().ok_or("it was not cancelled")?;
//! assert!(matches!(error.problem(), Problem::Cancelled));
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! The rooms, from the text of a Containerfile to an image:
//!
//! - [`containerfile`]: text to instructions with spans; expansion; ignore files; lint. No I/O
//! - `plan`: which stages a target needs, and the keys of steps. No I/O
//! - [`build`]: the solver, and one file for each operation
//! - [`tree`]: a filesystem as a value; [`layer`]: tar in and out, digests, compression
//! - [`image`]: manifest, config, index as values
//! - [`store`]: blobs, step records, unpacked layers, locks, garbage collection
//! - [`registry`]: auth, pull, push; [`archive`]: layouts and archives on disk; [`Locator`]: any of these by name
//! - [`copy`](mod@copy): images from any of these places to any other
//! - [`edit`]: images changed without a build: layers added, the config changed, the base exchanged
//! - [`bundle`]: images as directories that ordinary tools edit, and back
//! - [`inspect`]: looking into images, and whether they are what they say
//! - [`exec`]: running processes; [`rootfs`]: unpacked layers made into something that a process can live in
//! - [`event`]: what a build tells while it works

pub mod archive;
pub mod build;
pub mod bundle;
pub mod containerfile;
pub mod copy;
mod digest;
pub mod edit;
pub mod event;
pub mod exec;
pub mod image;
mod in_words;
pub mod inspect;
pub mod layer;
mod locator;
mod plan;
pub mod registry;
pub mod rootfs;
pub mod store;
pub mod tree;

pub use build::{Build, BuildError, Built};
pub use copy::copy;
pub use digest::{Digest, Hasher, ParseDigestError};
pub use event::Event;
pub use in_words::in_words;
pub use locator::{Locator, ParseLocatorError, Place};
pub use registry::Reference;
