//! `registries.conf`, against registries in this process.

use std::fs;

use rbuild_testutils::registry::{Fault, Kind, TestRegistry};

use super::{QUICK, run};
use crate::{
    image::{Descriptor, MediaType},
    registry::{Anonymous, Cause, Reference, Registry},
};

/// A client with this configuration.
fn configured(text: &str) -> (Registry, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registries.conf");
    fs::write(&file, text).unwrap();
    (
        Registry::builder()
            .keychain(Anonymous)
            .retry(QUICK)
            .registries_conf(file)
            .build(),
        dir,
    )
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_when_it_fails() {
    let (mirror, own) = (TestRegistry::start(), TestRegistry::start());
    let text = format!(
        "[[registry]]\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{}/copies\"\n",
        own.host(),
        mirror.host()
    );
    let (client, _dir) = configured(&text);
    let bytes = b"a layer";
    let blob = Descriptor::of(MediaType::ImageLayer, bytes);
    mirror.put_blob("copies/app", bytes);
    own.put_blob("app", bytes);
    let manifest = br#"{"schemaVersion":2}"#;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    own.put_manifest("app", "1", media_type, manifest);
    mirror.put_manifest("copies/app", "1", media_type, manifest);
    let at: Reference = format!("{}/app:1", own.host()).parse().unwrap();
    let pull = || {
        run(async {
            let mut out = Vec::new();
            client.manifest(&at).await.unwrap();
            client.digest(&at).await.unwrap().unwrap();
            client
                .pull_blob(&at, &blob, &mut out, &crate::event::ignore())
                .await
                .unwrap();
            assert_eq!(out, bytes);
        });
    };
    pull();
    assert!(own.seen().is_empty(), "{:?}", own.seen());
    mirror.fault(Kind::ManifestGet, 9, Fault::Status(500));
    mirror.fault(Kind::BlobGet, 9, Fault::Status(503));
    pull();
    assert_eq!((own.count(Kind::ManifestGet), own.count(Kind::BlobGet)), (1, 1));
}

#[test]
fn a_blocked_registry_is_asked_for_nothing() {
    let registry = TestRegistry::start();
    let text = format!(
        "[[registry]]\nlocation = \"{}/secret\"\nblocked = true\n",
        registry.host()
    );
    let (client, _dir) = configured(&text);
    let at: Reference = format!("{}/secret/app:1", registry.host()).parse().unwrap();
    run(async {
        let pull = client.manifest(&at).await.unwrap_err();
        let push = client
            .push_manifest(&at, &MediaType::ImageManifest, "{}".into())
            .await
            .unwrap_err();
        for error in [pull, push] {
            assert!(matches!(error.cause(), Cause::Blocked), "{error}");
        }
    });
    assert!(registry.seen().is_empty());
}

#[test]
fn a_configuration_that_is_not_valid_is_named() {
    let (client, _dir) = configured("registry = 1\n");
    let error = client.candidates("alpine").unwrap_err().to_string();
    assert!(error.contains("registries.conf: "), "{error}");
}
