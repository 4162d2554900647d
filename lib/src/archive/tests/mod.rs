//! Tests of archives, by what they are about.

mod hostile;
mod interop;
mod round;

use std::path::Path;

use super::*;
use crate::{
    Place,
    image::{Image, Platform, fixture::Memory, read_small},
};

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// The locator of a kind of archive.
fn locator(kind: &str, path: &Path, name: Option<&str>) -> Locator {
    let place = Place {
        name: name.map(str::to_owned),
        ..Place::new(path)
    };
    match kind {
        "oci" => Locator::OciLayout(place),
        "oci-archive" => Locator::OciArchive(place),
        "docker-archive" => Locator::DockerArchive(place),
        _ => Locator::Directory(path.to_owned()),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// An error and its sources, as a user sees them.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// Reads every blob of an image, which checks sizes and digests.
fn read_all(blobs: &dyn Blobs, image: &Descriptor) -> Result<(), Error> {
    for blob in closure(blobs, image)? {
        read_small(blobs, &blob)?;
        assert!(blobs.has(&blob)?);
    }
    Ok(())
}
