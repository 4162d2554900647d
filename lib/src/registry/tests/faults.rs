//! Everything that can be asked of a registry, through everything that it can do wrong: what goes wrong once costs nothing
//! but another request, and what stays wrong ends with an error that names host, repository and cause.

use std::{io::Cursor, time::Duration};

use rbuild_testutils::registry::{Auth, Fault, Kind, TestRegistry};

use super::{QUICK, layer, name, noise, run};
use crate::{
    Digest, event,
    image::MediaType,
    registry::{Error, Explicit, Reference, Registry, Retry},
};

/// What every line of the table begins with, and how every failure may end: `OPERATION, FAULT: TEXT`.
const TEXTS: &str = include_str!("faults.txt");

const OPERATIONS: [(&str, Kind); 13] = [
    ("get a token", Kind::Token),
    ("pull a manifest", Kind::ManifestGet),
    ("look up a digest", Kind::ManifestHead),
    ("pull a blob", Kind::BlobGet),
    ("look for a blob", Kind::BlobHead),
    ("begin an upload", Kind::UploadStart),
    ("push a blob", Kind::UploadFinish),
    ("push a chunk", Kind::UploadChunk),
    ("mount a blob", Kind::Mount),
    ("push a manifest", Kind::ManifestPut),
    ("list tags", Kind::Tags),
    ("list referrers", Kind::Referrers),
    ("delete", Kind::ManifestDelete),
];

fn faults() -> [(&'static str, Fault); 13] {
    [
        ("a reset", Fault::Reset(0)),
        ("a lost answer", Fault::LoseAnswer),
        ("half an answer", Fault::Truncate(1)),
        ("a slow body", Fault::Slow(64, Duration::from_micros(1))),
        ("wrong bytes", Fault::WrongBytes),
        ("too many bytes", Fault::TooLong),
        ("a wrong digest", Fault::WrongDigestHeader),
        ("401", Fault::Status(401)),
        ("403", Fault::Status(403)),
        ("404", Fault::Status(404)),
        ("429", Fault::RetryAfter(429, "0".to_owned())),
        ("429 for an hour", Fault::RetryAfter(429, "3600".to_owned())),
        ("500", Fault::Status(500)),
    ]
}

/// A registry with something of each kind, and what that is.
struct Bench {
    registry: TestRegistry,
    client: Registry,
    at: Reference,
    image: Vec<u8>,
    blob: Vec<u8>,
}

impl Bench {
    fn new(retry: Retry) -> Self {
        let registry = TestRegistry::with_auth(Auth::token("me", "secret"));
        let (image, blob) = (b"{\"layers\":[]}".to_vec(), noise(5000));
        registry.put_blob("team/app", &blob);
        let at = name(&registry, "team/app:1");
        let keychain = Explicit::new(&registry.host(), "me", "secret", "--creds");
        let client = Registry::builder()
            .keychain(keychain)
            .retry(retry)
            .chunk_size(4000)
            .build();
        Self {
            registry,
            client,
            at,
            image,
            blob,
        }
    }

    /// Does it through a fault, and says whether what came of it is right.
    fn attempt(&self, kind: Kind, times: usize, (what, fault): &(&str, Fault)) -> Result<bool, Error> {
        self.registry.behave();
        self.registry.expire_tokens();
        let manifest = MediaType::ImageManifest;
        self.registry
            .put_manifest("team/app", "1", manifest.as_ref(), &self.image);
        self.registry.fault(kind, times, fault.clone());
        match kind {
            Kind::BlobGet | Kind::BlobHead | Kind::Mount => run(self.with_a_blob(kind)),
            // More than one chunk, or just one; never what is there already.
            Kind::UploadChunk => run(self.push([what.as_bytes(), &noise(7000)].concat())),
            Kind::UploadStart | Kind::UploadFinish => run(self.push(what.as_bytes().to_vec())),
            Kind::ManifestPut => run(self.tag(format!("{{\"layers\":[],\"new\":\"{what}\"}}").into_bytes())),
            _ => run(self.with_an_image(kind)),
        }
    }

    async fn with_an_image(&self, kind: Kind) -> Result<bool, Error> {
        let (client, at) = (&self.client, &self.at);
        Ok(match kind {
            Kind::ManifestHead => client.digest(at).await? == Some(Digest::of(&self.image)),
            Kind::Tags => client.tags(at).await? == ["1"],
            Kind::Referrers => client.referrers(at, None).await?.is_empty(),
            Kind::ManifestDelete => {
                client.delete(at).await?;
                self.registry.manifest("team/app", "1").is_none()
            }
            _ => client.manifest(at).await?.bytes == self.image,
        })
    }

    async fn with_a_blob(&self, kind: Kind) -> Result<bool, Error> {
        let (client, blob) = (&self.client, layer(&self.blob));
        Ok(match kind {
            Kind::BlobHead => client.has_blob(&self.at, blob.digest).await?,
            Kind::Mount => {
                let to = name(&self.registry, "team/other");
                client.mount_blob(&to, blob.digest, "team/app").await?
            }
            _ => {
                let mut pulled = Vec::new();
                client
                    .pull_blob(&self.at, &blob, &mut pulled, &event::ignore())
                    .await?;
                pulled == self.blob
            }
        })
    }

    async fn tag(&self, bytes: Vec<u8>) -> Result<bool, Error> {
        let to = name(&self.registry, "team/app:2");
        let sent = bytes.clone().into();
        self.client
            .push_manifest(&to, &MediaType::ImageManifest, sent)
            .await?;
        Ok(self.registry.manifest("team/app", "2") == Some(bytes))
    }

    async fn push(&self, bytes: Vec<u8>) -> Result<bool, Error> {
        let (blob, owned) = (layer(&bytes), bytes.clone());
        let source = move || Ok(Box::new(Cursor::new(owned.clone())) as Box<dyn std::io::Read + Send>);
        let sink = event::ignore();
        self.client
            .push_blob(&self.at, &blob, None, &source, &sink)
            .await?;
        Ok(self.registry.blob("team/app", &blob.digest.to_string()) == Some(bytes))
    }

    /// An error without what differs from run to run, or by who notices first that a connection is gone.
    fn normal(&self, error: &Error) -> String {
        let host = self.registry.host();
        assert!(error.place().starts_with(&format!("{host}/team/")), "{error}");
        let text = error.to_string().replace(&host, "HOST");
        for before_the_reason in ["cannot reach HOST: ", " of 5000 bytes: "] {
            if let Some((start, reason)) = text.split_once(before_the_reason) {
                assert!(!reason.is_empty(), "{text}");
                return format!("{start}{before_the_reason}…");
            }
        }
        text
    }
}

#[test]
fn what_stays_wrong_is_an_error_that_says_where_and_why() {
    let mut texts = String::new();
    for (operation, kind) in OPERATIONS {
        let bench = Bench::new(Retry { attempts: 2, ..QUICK });
        for fault in faults() {
            let outcome = match bench.attempt(kind, 99, &fault) {
                Ok(true) => "right".to_owned(),
                Ok(false) => "not there".to_owned(),
                Err(error) => bench.normal(&error),
            };
            texts += &format!("{operation}, {}: {outcome}\n", fault.0);
        }
    }
    assert!(texts == TEXTS, "the table should be\n{texts}");
}

#[test]
fn what_goes_wrong_once_is_tried_again() {
    let passing = [
        "a reset",
        "a lost answer",
        "half an answer",
        "a slow body",
        "429",
        "500",
    ];
    for (operation, kind) in OPERATIONS {
        let bench = Bench::new(QUICK);
        for fault in faults().iter().filter(|(what, _)| passing.contains(what)) {
            let outcome = bench.attempt(kind, 1, fault);
            // Whether a layer can be mounted is only asked once: without, it is pushed.
            let right = matches!(outcome, Ok(true)) || kind == Kind::Mount && fault.0 == "429";
            assert!(right, "{operation}, {}: {outcome:?}", fault.0);
        }
    }
}
