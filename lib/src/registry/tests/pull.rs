//! Pulling: right bytes or an error, through everything that goes wrong on the way.

use std::{
    io::Read,
    sync::{Arc, Mutex},
    time::Duration,
};

use rbuild_testutils::registry::{Fault, Kind, TestRegistry};

use super::{QUICK, client, layer, name, noise, run};
use crate::{
    Event,
    event::{self, Moved},
    image::{Blobs, Descriptor, Image, MediaType, Platform},
    registry::{Anonymous, Error, Registry},
};

const SIZE: usize = 300_000;

/// Pulls a blob through a fault that happens so many times.
fn pull_with(fault: Option<(usize, Fault)>) -> (TestRegistry, Vec<u8>, Result<Vec<u8>, Error>) {
    let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
    registry.put_blob("app", &bytes);
    if let Some((times, fault)) = fault {
        registry.fault(Kind::BlobGet, times, fault);
    }
    let idle = Duration::from_millis(300);
    let client = Registry::builder()
        .keychain(Anonymous)
        .retry(QUICK)
        .idle_timeout(idle)
        .build();
    let mut out = Vec::new();
    let pulled = run(client.pull_blob(
        &name(&registry, "app"),
        &layer(&bytes),
        &mut out,
        &event::ignore(),
    ));
    (registry, bytes, pulled.map(|()| out))
}

#[test]
fn what_passes_is_retried_and_resumed() {
    let table = [
        (None, 1),
        (Some((1, Fault::Reset(100_000))), 2),
        (Some((3, Fault::Reset(50_000))), 4),
        (Some((1, Fault::Reset(0))), 2),
        (Some((3, Fault::Truncate(99_999))), 4),
        (Some((1, Fault::Stall(1000))), 2),
        (Some((1, Fault::Slow(100_000, Duration::from_millis(150)))), 1),
        (Some((1, Fault::LoseAnswer)), 2),
        (Some((3, Fault::Status(503))), 4),
        (Some((2, Fault::Status(500))), 3),
        (Some((1, Fault::RetryAfter(429, "0".to_owned()))), 2),
    ];
    for (fault, requests) in table {
        let what = format!("{fault:?}");
        let (registry, bytes, pulled) = pull_with(fault);
        assert!(pulled.unwrap() == bytes, "{what}");
        assert_eq!(registry.count(Kind::BlobGet), requests, "{what}");
    }
}

#[test]
fn a_resumed_pull_asks_only_for_the_rest() {
    let (registry, bytes, pulled) = pull_with(Some((1, Fault::Truncate(200_000))));
    assert!(pulled.unwrap() == bytes);
    assert_eq!(registry.blob_bytes_sent(), SIZE);
}

#[test]
fn a_registry_that_knows_no_ranges_is_resumed_too() {
    let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
    registry.put_blob("app", &bytes);
    registry.fault(Kind::BlobGet, 1, Fault::Truncate(200_000));
    registry.fault(Kind::BlobGet, 1, Fault::NoRange);
    let mut out = Vec::new();
    run(client().pull_blob(
        &name(&registry, "app"),
        &layer(&bytes),
        &mut out,
        &event::ignore(),
    ))
    .unwrap();
    assert!(out == bytes);
    assert_eq!(registry.blob_bytes_sent(), SIZE + 200_000);
}

#[test]
fn what_does_not_pass_is_an_error() {
    let table = [
        (Fault::Truncate(1000), "broke off after 4000 of 300000 bytes"),
        (
            Fault::Status(503),
            "the server answers 503 Service Unavailable (FAULT: this is a test)",
        ),
        (Fault::Status(418), "418"),
        (Fault::WrongBytes, "wrong content: expected sha256:"),
        (Fault::TooLong, "expected 300000 bytes, the registry has 300001"),
        (
            Fault::RetryAfter(429, "86400".to_owned()),
            "too busy, and asks to come back in 86400 s",
        ),
        (Fault::Status(404), "no such blob in the registry"),
    ];
    for (fault, expected) in table {
        let (registry, _, pulled) = pull_with(Some((99, fault)));
        let error = pulled.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(
            error.starts_with(&format!("{}/app: ", registry.host())),
            "{error}"
        );
    }
}

#[test]
fn an_empty_blob_is_a_blob() {
    let registry = TestRegistry::start();
    registry.put_blob("app", b"");
    let mut out = Vec::new();
    run(client().pull_blob(&name(&registry, "app"), &layer(b""), &mut out, &event::ignore())).unwrap();
    assert!(out.is_empty());
}

#[test]
fn tells_how_far_it_is() {
    let (registry, bytes) = (TestRegistry::start(), noise(3 << 20));
    registry.put_blob("app", &bytes);
    let told = Arc::new(Mutex::new(Vec::new()));
    let of_sink = Arc::clone(&told);
    let sink: event::Sink = Arc::new(move |event| of_sink.lock().unwrap().push(event));
    let mut out = Vec::new();
    run(client().pull_blob(&name(&registry, "app"), &layer(&bytes), &mut out, &sink)).unwrap();
    let told = told.lock().unwrap();
    let place = format!("{}/app", registry.host());
    assert!(matches!(&told[0], Event::TransferStarted { size: 3145728, place: at, .. } if *at == place));
    let progress = |event: &Event| match event {
        Event::TransferProgress { bytes, .. } => Some(*bytes),
        _ => None,
    };
    let progress: Vec<u64> = told.iter().filter_map(progress).collect();
    assert!(
        progress.is_sorted() && progress.len() > 2 && progress.last() == Some(&(3 << 20)),
        "{progress:?}"
    );
    assert!(matches!(
        told.last(),
        Some(Event::TransferFinished {
            how: Moved::Copied,
            ..
        })
    ));
}

/// Puts an image for a platform, and gives the entry of an index for it.
fn put_image(registry: &TestRegistry, architecture: &str) -> Descriptor {
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
    );
    registry.put_blob("app", config.as_bytes());
    let config = Descriptor::of(MediaType::ImageConfig, config.as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageManifest.as_ref(), "config": config, "layers": []
    });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    registry.put_manifest("app", architecture, MediaType::ImageManifest.as_ref(), &bytes);
    let mut entry = Descriptor::of(MediaType::ImageManifest, &bytes);
    entry.platform = Some(Platform::new("linux", architecture, None));
    entry
}

fn put_index(registry: &TestRegistry) -> Descriptor {
    let entries = [put_image(registry, "amd64"), put_image(registry, "arm64")];
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageIndex.as_ref(), "manifests": entries
    });
    let bytes = serde_json::to_vec(&index).unwrap();
    registry.put_manifest("app", "1", MediaType::ImageIndex.as_ref(), &bytes);
    Descriptor::of(MediaType::ImageIndex, &bytes)
}

#[test]
fn resolves_a_name_for_a_platform() {
    let registry = TestRegistry::start();
    let index = put_index(&registry);
    for architecture in ["amd64", "arm64"] {
        let platform = Platform::new("linux", architecture, None);
        let found = run(client().resolve(&name(&registry, "app:1"), &platform)).unwrap();
        assert_eq!(found.digest(), index.digest);
        assert_eq!(found.index.unwrap().descriptor, index);
        assert_eq!(
            found.manifest.bytes,
            registry.manifest("app", architecture).unwrap()
        );
        let alone =
            run(client().resolve(&name(&registry, &format!("app:{architecture}")), &platform)).unwrap();
        assert_eq!((alone.index, alone.manifest), (None, found.manifest));
    }
    let error =
        run(client().resolve(&name(&registry, "app:1"), &Platform::new("linux", "s390x", None))).unwrap_err();
    assert!(error.to_string().contains("linux/s390x"), "{error}");
    assert!(
        error.to_string().ends_with("it has linux/amd64, linux/arm64"),
        "{error}"
    );
}

#[test]
fn says_the_digest_of_a_name() {
    let registry = TestRegistry::start();
    let index = put_index(&registry);
    assert_eq!(
        run(client().digest(&name(&registry, "app:1"))).unwrap(),
        Some(index.digest)
    );
    assert_eq!(run(client().digest(&name(&registry, "app:2"))).unwrap(), None);
    assert_eq!(
        (
            registry.count(Kind::ManifestHead),
            registry.count(Kind::ManifestGet)
        ),
        (2, 0)
    );
}

#[test]
fn a_manifest_that_is_not_what_its_name_says_is_refused() {
    let registry = TestRegistry::start();
    let index = put_index(&registry);
    let by_digest = name(&registry, "app").with_digest(index.digest);
    for (fault, at) in [
        (Fault::WrongBytes, &by_digest),
        (Fault::WrongDigestHeader, &name(&registry, "app:1")),
    ] {
        registry.fault(Kind::ManifestGet, 1, fault);
        let error = run(client().manifest(at)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{at}: wrong content")), "{error}");
    }
}

#[test]
fn a_blocking_reader_loads_an_image() {
    let registry = TestRegistry::start();
    let index = put_index(&registry);
    let at = name(&registry, "app:1");
    run(async {
        let repository = client().repository(&at);
        let work = move || {
            let image = Image::load(&repository, &index, &Platform::new("linux", "arm64", None)).unwrap();
            assert_eq!(image.config().architecture, "arm64");
            let missing = layer(b"missing");
            assert!(!repository.has(&missing).unwrap());
            let error = repository
                .open(&missing)
                .unwrap()
                .read_to_end(&mut Vec::new())
                .unwrap_err();
            assert!(error.to_string().contains("has no blob sha256:"), "{error}");
        };
        tokio::task::spawn_blocking(work).await.unwrap();
    });
}
