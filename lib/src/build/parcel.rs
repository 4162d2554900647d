//! A build made ready to be sent to another machine: the Containerfile, and the files of the context in a tar.

use std::{
    fs::File,
    io::{Read, Write},
};

use super::{
    Build, NamedContext,
    error::{BuildError, Problem},
    input::{Input, Sources},
    solver,
};
use crate::{
    Digest, layer,
    registry::Reference,
    store::Store,
    tree::{self, Tree},
};

/// The level of zstd. The network is seldom faster than this.
const FASTEST: i32 = 1;

/// What another machine needs of this one for a build.
pub struct Parcel {
    file: String,
    text: String,
    images: Vec<Reference>,
    sources: Sources,
}

impl Build {
    /// Reads the Containerfile and finds the files of the context.
    ///
    /// # Errors
    /// When these cannot be read, when the Containerfile has mistakes, or when the context is remote: such a one is for
    /// the other machine to fetch.
    pub fn parcel(&self, store: &Store) -> Result<Parcel, BuildError> {
        if let super::Context::Remote(_) = &self.context {
            let message = "a remote context is not sent: it is fetched by whoever builds".to_owned();
            return Err(Problem::Unsupported(message).into());
        }
        let (input, sources) = Input::read(self, store, None)?;
        let mut images: Vec<Reference> = solver::images(self, &input)?
            .iter()
            .filter(|name| !self.contexts.iter().any(|(known, _)| known == *name))
            .filter_map(|name| name.parse().ok())
            .collect();
        images.extend(self.contexts.iter().filter_map(|(_, context)| match context {
            NamedContext::Image(crate::Locator::Registry(image)) => Some(image.clone()),
            _ => None,
        }));
        Ok(Parcel {
            file: input.text.file.clone(),
            text: input.text.source.to_string(),
            images,
            sources,
        })
    }
}

impl Parcel {
    /// Where the Containerfile was found.
    pub fn containerfile_name(&self) -> &str {
        &self.file
    }

    /// The Containerfile.
    pub fn containerfile(&self) -> &str {
        &self.text
    }

    /// The images that the build takes from registries, as far as the Containerfile says.
    pub fn images(&self) -> &[Reference] {
        &self.images
    }

    /// Writes the files of the context as a tar in one zstd frame, so that whoever reads it knows whether it is whole. What
    /// the ignore file hides is not in it.
    ///
    /// # Errors
    /// When a file cannot be read or changes meanwhile, or `out` fails.
    pub fn write_context(&self, out: impl Write) -> Result<(), BuildError> {
        self.sources.context()?.with_tree(|tree| self.write(tree, out))
    }

    fn write(&self, tree: &Tree, out: impl Write) -> Result<(), BuildError> {
        let changes = tree::diff(&Tree::new(), tree);
        let open = |digest: &Digest| self.open(digest);
        let contents = layer::Sources::new(&open, &changes);
        let mut frame = zstd::Encoder::new(out, FASTEST).map_err(layer::Error::Write)?;
        frame.include_checksum(true).map_err(layer::Error::Write)?;
        layer::write_tar(&changes, &contents, &mut frame)?;
        frame.finish().map_err(layer::Error::Write)?;
        Ok(())
    }

    /// The tar that the context is, if it is one.
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, layer::Error> {
        let Some(tar) = self.sources.tarball(digest) else {
            return Err(layer::Error::NoSuchLayer(*digest));
        };
        let file = File::open(&tar.path).map_err(layer::Error::disk("cannot open", &tar.path))?;
        Ok(Box::new(file))
    }
}
