//! The seeds of the fuzz targets for images, each held to what its target holds anything to.

use std::{fs, io::Read as _, path::Path};

use rbuild::{
    Locator, Reference,
    image::{Config, Index, Manifest, Platform},
    layer::{LayerIndex, decompress, index},
    tree::Tree,
};

/// Name and bytes of each seed of a target; there are some.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/corpus")
        .join(target);
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let seeds: Vec<_> = entries
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .collect();
    assert!(!seeds.is_empty());
    seeds
}

#[test]
fn layers() {
    let mut accepted = 0;
    for (name, bytes) in seeds("layer") {
        let mut tar = Vec::new();
        decompress(&bytes[..]).unwrap().read_to_end(&mut tar).unwrap();
        let Ok(layer) = index(&tar[..], None) else {
            continue;
        };
        let mut saved = Vec::new();
        layer.save(&mut saved).unwrap();
        assert_eq!(LayerIndex::load(&saved[..]).unwrap(), layer, "{name}");
        accepted += usize::from(Tree::new().apply(&layer.changes).is_ok());
    }
    assert!(accepted > 5, "{accepted}");
}

#[test]
fn manifests() {
    for (name, bytes) in seeds("manifest") {
        if let Ok(manifest) = Manifest::parse(&bytes) {
            let written = serde_json::to_vec(&manifest).unwrap();
            assert_eq!(Manifest::parse(&written).unwrap(), manifest, "{name}");
        }
        if let Ok(index) = Index::parse(&bytes) {
            let written = serde_json::to_vec(&index).unwrap();
            assert_eq!(Index::parse(&written).unwrap(), index, "{name}");
        }
    }
}

#[test]
fn configs() {
    for (name, bytes) in seeds("config") {
        let config = Config::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = serde_json::to_vec(&config).unwrap();
        assert_eq!(Config::parse(&written).unwrap(), config, "{name}");
    }
}

#[test]
fn references() {
    for (_, bytes) in seeds("reference") {
        let text = String::from_utf8(bytes).unwrap();
        let mut known = false;
        if let Ok(reference) = text.parse::<Reference>() {
            assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
            known = true;
        }
        if let Ok(place) = text.parse::<Locator>() {
            assert_eq!(place.to_string().parse::<Locator>().unwrap(), place);
            known = true;
        }
        if let Ok(platform) = text.parse::<Platform>() {
            assert_eq!(platform.to_string().parse::<Platform>().unwrap(), platform);
            known = true;
        }
        assert!(known, "{text}");
    }
}
