//! The happy path against docker's own registry.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rbuild_testutils::{DockerRegistry, make_certificates, need};
use serde_json::json;

use super::{client, layer, noise, run};
use crate::{
    event::{self, Moved},
    image::{Descriptor, MediaType, Platform},
    registry::{Anonymous, Builder, Explicit, Reference, Registry},
};

/// Pushes an image of one layer and gives back its manifest.
async fn push(client: &Registry, at: &Reference, bytes: &[u8], from: Option<&str>) -> (Descriptor, Moved) {
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let (sink, layer) = (event::ignore(), layer(bytes));
    let of = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        move || Ok(Box::new(io::Cursor::new(bytes.clone())) as Box<dyn io::Read + Send>)
    };
    let how = client
        .push_blob(at, &layer, from, &of(bytes), &sink)
        .await
        .unwrap();
    let config_blob = Descriptor::of(MediaType::ImageConfig, config);
    client
        .push_blob(at, &config_blob, None, &of(config), &sink)
        .await
        .unwrap();
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageManifest.as_ref(), "config": config_blob, "layers": [layer]
    }))
    .unwrap();
    let descriptor = Descriptor::of(MediaType::ImageManifest, &manifest);
    assert_eq!(
        client
            .push_manifest(at, &MediaType::ImageManifest, manifest.into())
            .await
            .unwrap(),
        descriptor.digest
    );
    (descriptor, how)
}

#[test]
fn pushes_mounts_pulls_lists_and_deletes() {
    let Some(real) = DockerRegistry::start() else {
        return;
    };
    let chunked = Registry::builder().chunk_size(1 << 20).build();
    let (bytes, others) = (noise(5_000_000), noise(2_500_000));
    let at = |rest: &str| format!("{}/{rest}", real.host()).parse::<Reference>().unwrap();
    run(async {
        let client = client();
        let (manifest, how) = push(&client, &at("team/app:1"), &bytes, None).await;
        assert_eq!(how, Moved::Copied);
        assert_eq!(
            push(&client, &at("team/app:2"), &bytes, None).await,
            (manifest.clone(), Moved::Existed)
        );
        assert_eq!(
            push(&client, &at("other:1"), &bytes, Some("team/app")).await,
            (manifest.clone(), Moved::Mounted)
        );
        assert!(
            !client
                .mount_blob(&at("other"), layer(&others).digest, "team/app")
                .await
                .unwrap()
        );
        assert_eq!(
            push(&chunked, &at("chunked"), &others, Some("team/app")).await.1,
            Moved::Copied
        );

        let found = client
            .resolve(&at("team/app:1"), &Platform::new("linux", "amd64", None))
            .await
            .unwrap();
        assert_eq!(found.manifest.descriptor, manifest);
        let mut pulled = Vec::new();
        client
            .pull_blob(&at("other"), &layer(&bytes), &mut pulled, &event::ignore())
            .await
            .unwrap();
        assert!(pulled == bytes);

        let mut tags = client.tags(&at("team/app")).await.unwrap();
        tags.sort();
        assert_eq!(tags, ["1", "2"]);
        client.delete(&at("team/app:1")).await.unwrap();
        assert_eq!(client.digest(&at("team/app:2")).await.unwrap(), None);
    });
}

/// `secret`, by bcrypt.
const PASSWORDS: &str = "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";

#[test]
fn logs_in_with_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("htpasswd");
    fs::write(&file, PASSWORDS).unwrap();
    let auth = json!({ "htpasswd": { "realm": "test", "path": file } });
    let Some(real) = DockerRegistry::start_with(json!({}), auth) else {
        return;
    };
    let at: Reference = format!("{}/team/app:1", real.host()).parse().unwrap();
    let bytes = noise(100_000);
    let with_password = |password| Explicit::new(real.host(), "me", password, "--creds");
    let good = Registry::builder().keychain(with_password("secret")).build();
    run(push(&good, &at, &bytes, None));
    let bad = Registry::builder().keychain(with_password("wrong")).build();
    let error = run(bad.manifest(&at)).unwrap_err().to_string();
    assert!(
        error.contains("user \"me\" from --creds was not accepted"),
        "{error}"
    );
}

/// A `certs.d` with these files for a host.
fn certs_d(made: &Path, host: &str, files: &[&str]) -> PathBuf {
    let certs_d = made.join(format!("certs.d-{}", files.len()));
    let of_host = certs_d.join(host);
    fs::create_dir_all(&of_host).unwrap();
    for file in files {
        fs::copy(made.join(file), of_host.join(file)).unwrap();
    }
    certs_d
}

fn builder() -> Builder {
    Registry::builder().keychain(Anonymous).retry(super::QUICK)
}

#[test]
fn trusts_by_certificate() {
    let Some(openssl) = need("openssl") else { return };
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path();
    make_certificates(&openssl, made);
    for want_client in [false, true] {
        let authorities = if want_client {
            vec![made.join("ca.crt")]
        } else {
            Vec::new()
        };
        let tls = json!({ "certificate": made.join("server.cert"), "key": made.join("server.key"), "clientcas": authorities });
        let Some(real) = DockerRegistry::start_with(json!({ "tls": tls }), json!({})) else {
            return;
        };
        let at: Reference = format!("{}/app:1", real.host()).parse().unwrap();
        let try_with = |builder: Builder| run(builder.build().digest(&at)).map_err(|error| error.to_string());
        let authority = certs_d(made, real.host(), &["ca.crt"]);
        let both = certs_d(made, real.host(), &["ca.crt", "client.cert", "client.key"]);

        assert_eq!(try_with(builder().certificates(&both)), Ok(None));
        let error = try_with(builder()).unwrap_err();
        let expected = format!(
            "{at}: no secure connection to {}: its certificate is not trusted",
            real.host()
        );
        assert!(error.starts_with(&expected), "{error}");
        let tags = |builder: Builder| run(builder.build().tags(&at)).unwrap_err().to_string();
        assert!(tags(builder().certificates(&both)).contains("where a client certificate is needed"));
        for builder in [
            builder().certificates(&authority),
            builder().insecure(real.host()),
        ] {
            // It gets through to the registry, which has no such repository.
            let through = tags(builder).contains("no such repository");
            assert_eq!(through, !want_client);
        }
        for builder in [builder().certificates(authority), builder().insecure(real.host())] {
            match try_with(builder) {
                Ok(found) => assert!(found.is_none() && !want_client),
                Err(error) => assert!(
                    want_client && error.contains("if it wants a client certificate"),
                    "{error}"
                ),
            }
        }
    }
}
