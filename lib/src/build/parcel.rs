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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::*;
    use crate::build::Context;

    const CONTAINERFILE: &str = "\
ARG VERSION=1
FROM debian:$VERSION AS tools
FROM named AS named-stage
FROM tools
COPY --from=named-stage /a /a
COPY --from=r.example/other:2 /b /b
RUN --mount=from=mounted,target=/m true
FROM scratch AS unused
COPY --from=r.example/not-needed / /
";

    /// A context in a directory, and a store.
    fn room() -> (tempfile::TempDir, Store) {
        let room = tempfile::tempdir().unwrap();
        let app = room.path().join("app");
        fs::create_dir_all(app.join("deep")).unwrap();
        for (name, text) in [
            ("Containerfile", CONTAINERFILE),
            (".dockerignore", "*.log\n!kept.log\n"),
            ("deep/file", "content"),
            ("a.log", "hidden"),
            ("kept.log", "kept"),
        ] {
            fs::write(app.join(name), text).unwrap();
        }
        let store = Store::open(room.path().join("store")).unwrap();
        (room, store)
    }

    /// Names and contents of a tar in one frame.
    fn files(frame: &[u8]) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(zstd::Decoder::new(frame).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            if entry.header().entry_type().is_file() {
                files.insert(name, text);
            }
        }
        files
    }

    #[test]
    fn a_directory_and_a_tar_of_it_come_to_the_same() {
        let (room, store) = room();
        let build = Build::context(room.path().join("app")).target("2");
        let parcel = build.parcel(&store).unwrap();
        assert_eq!(parcel.containerfile(), CONTAINERFILE);
        let mut sent = Vec::new();
        parcel.write_context(&mut sent).unwrap();
        let found = files(&sent);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!((&*found["deep/file"], &*found["kept.log"]), ("content", "kept"));

        let tar = room.path().join("context.tar.zst");
        fs::write(&tar, &sent).unwrap();
        let again = Build::from_context(Context::Tar(tar))
            .target("2")
            .parcel(&store)
            .unwrap();
        let mut sent_again = Vec::new();
        again.write_context(&mut sent_again).unwrap();
        assert_eq!(files(&sent_again), found);
        assert_eq!(again.images(), parcel.images());
    }

    #[test]
    fn images_are_those_that_the_target_needs() {
        let (room, store) = room();
        let named = NamedContext::Image("docker://r.example/named:3".parse().unwrap());
        let build = Build::context(room.path().join("app"))
            .target("2")
            .arg("VERSION", "12")
            .build_context("named", named)
            .build_context("mounted", NamedContext::Directory("/".into()));
        let parcel = build.parcel(&store).unwrap();
        let images: Vec<String> = parcel.images().iter().map(ToString::to_string).collect();
        assert_eq!(
            images,
            [
                "docker.io/library/debian:12",
                "r.example/other:2",
                "r.example/named:3"
            ]
        );
    }

    #[test]
    fn what_is_cut_anywhere_is_not_read() {
        let (room, store) = room();
        let mut sent = Vec::new();
        let parcel = Build::context(room.path().join("app")).parcel(&store).unwrap();
        parcel.write_context(&mut sent).unwrap();
        let tar = room.path().join("cut");
        for length in 0..sent.len() {
            fs::write(&tar, &sent[..length]).unwrap();
            let build = Build::from_context(Context::Tar(tar.clone()));
            assert!(build.parcel(&store).is_err(), "{length} of {} bytes", sent.len());
        }
    }

    #[test]
    fn a_remote_context_stays_where_it_is() {
        let (_room, store) = room();
        let build = Build::from_context(Context::Remote("https://git.example/a.git".to_owned()));
        let problem = build.parcel(&store).err().unwrap();
        assert!(matches!(problem.problem(), Problem::Unsupported(_)));
    }
}
