//! The happy path against docker's own registry.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rbuild_testutils::{DockerRegistry, TokenServer, make_certificates, need};
use serde_json::json;

use super::{client, layer, noise, run};
use crate::{
    event::{self, Moved},
    image::{Descriptor, Index, MediaType, Platform},
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

#[test]
fn logs_in_with_tokens() {
    let Some(openssl) = need("openssl") else { return };
    let directory = tempfile::tempdir().unwrap();
    let tokens = TokenServer::start(&openssl, directory.path(), "me", "secret");
    let Some(real) = DockerRegistry::start_with(json!({}), tokens.config()) else {
        return;
    };
    let at: Reference = format!("{}/team/app:1", real.host()).parse().unwrap();
    let keychain = |password| Explicit::new(real.host(), "me", password, "--creds");
    let good = Registry::builder().keychain(keychain("secret")).build();
    run(async {
        let (manifest, _) = push(&good, &at, &noise(100_000), None).await;
        assert!(tokens.asked() <= 2, "one token to look, and one to push");
        assert_eq!(good.digest(&at).await.unwrap(), Some(manifest.digest));
        assert_eq!(good.tags(&at).await.unwrap(), ["1"]);
        let other: Reference = format!("{}/other:1", real.host()).parse().unwrap();
        let (_, how) = push(&good, &other, &noise(100_000), Some("team/app")).await;
        assert_eq!(how, Moved::Mounted, "with a token for both");
        good.delete(&at).await.unwrap();
    });
    for bad in [Registry::builder().keychain(keychain("wrong")).build(), client()] {
        let error = run(bad.manifest(&at)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{at}: login at http://")), "{error}");
        assert!(
            error.ends_with("(401 Unauthorized UNAUTHORIZED: who are you?)"),
            "{error}"
        );
    }
}

#[test]
fn certificates_and_a_password_together() {
    let Some(openssl) = need("openssl") else { return };
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path();
    make_certificates(&openssl, made);
    fs::write(made.join("htpasswd"), PASSWORDS).unwrap();
    let auth = json!({ "htpasswd": { "realm": "test", "path": made.join("htpasswd") } });
    let tls = json!({ "certificate": made.join("server.cert"), "key": made.join("server.key"), "clientcas": [made.join("ca.crt")] });
    let Some(real) = DockerRegistry::start_with(json!({ "tls": tls }), auth) else {
        return;
    };
    let at: Reference = format!("{}/team/app:1", real.host()).parse().unwrap();
    let certs = certs_d(made, real.host(), &["ca.crt", "client.cert", "client.key"]);
    let with = |password| {
        let keychain = Explicit::new(real.host(), "me", password, "--creds");
        Registry::builder()
            .keychain(keychain)
            .certificates(&certs)
            .build()
    };
    run(async {
        push(&with("secret"), &at, &noise(100_000), None).await;
        assert_eq!(with("secret").tags(&at).await.unwrap(), ["1"]);
        let error = with("wrong").tags(&at).await.unwrap_err().to_string();
        let expected =
            format!("{at}: the registry refuses access: user \"me\" from --creds was not accepted");
        assert!(error.starts_with(&expected.replace(":1:", ":")), "{error}");
    });
}

fn name_of(at: &Reference, repository: &str) -> Reference {
    format!("{}/{repository}:1", at.host()).parse().unwrap()
}

/// Lists something as referring to an image, as clients do where the registry knows no referrers.
async fn refer(client: &Registry, about: &Reference, image: &Descriptor) {
    let mut entry = image.clone();
    let kind = "application/x-sbom";
    entry.other.insert("artifactType".to_owned(), kind.into());
    let index = serde_json::to_vec(&Index::new(vec![entry])).unwrap();
    let tag = about.with_tag(&about.selector().replace(':', "-")).unwrap();
    let pushed = client.push_manifest(&tag, &MediaType::ImageIndex, index.into());
    pushed.await.unwrap();
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
        let with_certificate = builder().certificates(&both).build();
        let listed = name_of(&at, "listed");
        run(async {
            let (manifest, _) = push(&with_certificate, &listed, b"bytes", None).await;
            assert_eq!(with_certificate.tags(&listed).await.unwrap(), ["1"]);
            let about = listed.with_digest(manifest.digest);
            assert!(with_certificate.referrers(&about, None).await.unwrap().is_empty());
            refer(&with_certificate, &about, &manifest).await;
            let found = with_certificate.referrers(&listed, None).await.unwrap();
            assert_eq!(found[0].artifact_type(), Some("application/x-sbom"));
        });
        assert!(tags(builder().certificates(&both)).contains("no such repository"));
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
