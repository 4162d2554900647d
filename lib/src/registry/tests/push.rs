//! Pushing: what is there is not sent, what is sent arrives.

use std::io::{self, Read};

use rbuild_testutils::registry::{Fault, Kind, TestRegistry};

use super::{QUICK, client, layer, name, noise, run};
use crate::{
    event::{self, Moved},
    image::MediaType,
    registry::{Anonymous, Error, Registry},
};

const SIZE: usize = 900_000;

fn push(
    client: &Registry,
    registry: &TestRegistry,
    bytes: &[u8],
    from: Option<&str>,
) -> Result<Moved, Error> {
    let copy = bytes.to_vec();
    let source = move || Ok(Box::new(io::Cursor::new(copy.clone())) as Box<dyn Read + Send>);
    run(client.push_blob(
        &name(registry, "app:1"),
        &layer(bytes),
        from,
        &source,
        &event::ignore(),
    ))
}

#[test]
fn one_request_for_all_bytes() {
    let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
    assert_eq!(push(&client(), &registry, &bytes, None).unwrap(), Moved::Copied);
    assert!(registry.blob("app", &layer(&bytes).digest.to_string()).unwrap() == bytes);
    assert_eq!(
        (
            registry.count(Kind::UploadFinish),
            registry.count(Kind::UploadChunk)
        ),
        (1, 0)
    );
}

#[test]
fn what_is_there_is_not_sent() {
    let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
    registry.put_blob("app", &bytes);
    assert_eq!(push(&client(), &registry, &bytes, None).unwrap(), Moved::Existed);
    assert_eq!(registry.count(Kind::UploadStart), 0);
}

#[test]
fn mounts_from_another_repository() {
    let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
    registry.put_blob("base", &bytes);
    assert_eq!(
        push(&client(), &registry, &bytes, Some("base")).unwrap(),
        Moved::Mounted
    );
    assert_eq!(registry.count(Kind::UploadFinish), 0);
    assert!(registry.blob("app", &layer(&bytes).digest.to_string()).is_some());
}

#[test]
fn a_mount_answered_with_an_upload_is_gone_on_with() {
    let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
    registry.put_blob("base", &bytes);
    registry.refuse_mounts();
    assert_eq!(
        push(&client(), &registry, &bytes, Some("base")).unwrap(),
        Moved::Copied
    );
    assert_eq!(
        (registry.count(Kind::Mount), registry.count(Kind::UploadStart)),
        (1, 0)
    );
    let mounted = run(client().mount_blob(&name(&registry, "other"), layer(&bytes).digest, "base"));
    assert!(!mounted.unwrap());
    assert_eq!(registry.count(Kind::UploadCancel), 1);
}

#[test]
fn a_mount_that_is_refused_is_no_error() {
    for status in [400, 401, 403, 404, 405] {
        let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
        registry.fault(Kind::Mount, 9, Fault::Status(status));
        assert_eq!(
            push(&client(), &registry, &bytes, Some("base")).unwrap(),
            Moved::Copied,
            "{status}"
        );
        let mounted = run(client().mount_blob(&name(&registry, "other"), layer(&bytes).digest, "base"));
        assert!(!mounted.unwrap(), "{status}");
    }
}

#[test]
fn what_passes_is_retried() {
    let table = [
        (Kind::UploadFinish, 1, Fault::Reset(500_000)),
        (Kind::UploadFinish, 3, Fault::Status(502)),
        (Kind::UploadFinish, 1, Fault::Status(404)),
        (Kind::UploadStart, 3, Fault::Status(500)),
        (Kind::UploadStart, 1, Fault::LoseAnswer),
        (Kind::BlobHead, 1, Fault::Status(503)),
        (Kind::UploadStart, 1, Fault::RetryAfter(429, "0".to_owned())),
    ];
    for (kind, times, fault) in table {
        let what = format!("{kind:?} {fault:?}");
        let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
        registry.fault(kind, times, fault);
        assert_eq!(
            push(&client(), &registry, &bytes, None).unwrap(),
            Moved::Copied,
            "{what}"
        );
        assert!(
            registry.blob("app", &layer(&bytes).digest.to_string()).unwrap() == bytes,
            "{what}"
        );
    }
}

#[test]
fn a_lost_answer_is_not_a_lost_blob() {
    let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
    registry.fault(Kind::UploadFinish, 1, Fault::LoseAnswer);
    assert_eq!(push(&client(), &registry, &bytes, None).unwrap(), Moved::Existed);
    assert_eq!(registry.count(Kind::UploadFinish), 1);
}

#[test]
fn chunks_where_told_and_where_one_request_is_too_large() {
    let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
    let chunked = Registry::builder()
        .keychain(Anonymous)
        .retry(QUICK)
        .chunk_size(400_000)
        .build();
    registry.fault(Kind::UploadChunk, 1, Fault::Status(503));
    assert_eq!(push(&chunked, &registry, &bytes, None).unwrap(), Moved::Copied);
    assert_eq!(registry.count(Kind::UploadChunk), 4);
    assert!(registry.blob("app", &layer(&bytes).digest.to_string()).unwrap() == bytes);

    let registry = TestRegistry::start();
    registry.fault(Kind::UploadFinish, 1, Fault::Status(413));
    assert_eq!(push(&client(), &registry, &bytes, None).unwrap(), Moved::Copied);
    assert_eq!(registry.count(Kind::UploadChunk), 1);
}

#[test]
fn what_does_not_pass_is_an_error() {
    let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
    registry.fault(Kind::UploadFinish, 99, Fault::Status(507));
    let error = push(&client(), &registry, &bytes, None).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{}/app: the server answers 507 Insufficient Storage (FAULT: this is a test)",
            registry.host()
        )
    );

    let wrong = move || Ok(Box::new(io::Cursor::new(vec![0u8; SIZE])) as Box<dyn Read + Send>);
    let at = name(&TestRegistry::start(), "app");
    let registry = TestRegistry::start();
    let pushed = run(client().push_blob(
        &name(&registry, "app"),
        &layer(&bytes),
        None,
        &wrong,
        &event::ignore(),
    ));
    assert!(pushed.unwrap_err().to_string().contains("DIGEST_INVALID"));
    let pushed = run(client().push_blob(&at, &layer(&bytes), None, &wrong, &event::ignore()));
    assert!(pushed.unwrap_err().to_string().contains("Connection refused"));
}

#[test]
fn a_source_that_fails_is_named() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let (registry, bytes) = (TestRegistry::start(), noise(SIZE));
    let source = || Ok(Box::new(Failing) as Box<dyn Read + Send>);
    let pushed = run(client().push_blob(
        &name(&registry, "app"),
        &layer(&bytes),
        None,
        &source,
        &event::ignore(),
    ));
    let error = pushed.unwrap_err();
    assert!(error.to_string().contains("cannot read sha256:"), "{error}");
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "the disk is gone"
    );
}

#[test]
fn manifests_by_tag_and_by_digest() {
    let registry = TestRegistry::start();
    let manifest = br#"{"schemaVersion":2,"manifests":[]}"#;
    let (client, index) = (client(), MediaType::ImageIndex);
    let digest = run(client.push_manifest(&name(&registry, "app:1"), &index, manifest[..].into())).unwrap();
    let same = run(client.push_manifest(&name(&registry, "other"), &index, manifest[..].into())).unwrap();
    let stands = |rest: &str| run(client.names(&name(&registry, rest), digest));
    assert_eq!(["app:1", "app:2", "nobody:1"].map(stands), [true, false, false]);
    assert!(!run(
        client.names(&name(&registry, "app:1"), layer(b"else").digest)
    ));
    assert_eq!(
        (digest, registry.manifest("app", "1").as_deref()),
        (same, Some(&manifest[..]))
    );
    assert_eq!(
        registry.manifest("other", &digest.to_string()).as_deref(),
        Some(&manifest[..])
    );
    let wrong = name(&registry, "app").with_digest(crate::Digest::of("x"));
    assert!(run(client.push_manifest(&wrong, &index, manifest[..].into())).is_err());
}
