//! Tags and referrers, which oci-client lists, and deleting.

use rbuild_testutils::{
    registry::{Auth, Fault, Kind, TestRegistry},
    web::{Reply, WebServer},
};
use serde_json::json;

use super::{QUICK, client, name, run};
use crate::{
    Digest,
    image::{MediaType, docker},
    registry::{Explicit, Reference, Registry},
};

fn with_tags(registry: &TestRegistry, tags: &[&str]) {
    for tag in tags {
        registry.put_manifest("app", tag, MediaType::ImageIndex.as_ref(), tag.as_bytes());
    }
}

#[test]
fn tags_in_pages_and_deleting() {
    let registry = TestRegistry::start();
    let mut tags: Vec<String> = (0..2500).map(|n| format!("v{n}")).collect();
    with_tags(&registry, &tags.iter().map(String::as_str).collect::<Vec<_>>());
    tags.sort();
    let at = name(&registry, "app:v7");
    assert_eq!(run(client().tags(&at)).unwrap(), tags);
    // Three pages, and one that is empty.
    assert_eq!(registry.count(Kind::Tags), 4);
    run(client().delete(&at)).unwrap();
    assert_eq!(registry.manifest("app", "v7"), None);
    let again = run(client().delete(&at)).unwrap_err().to_string();
    assert_eq!(again, format!("{at}: no such image in the registry"));
}

/// A registry that answers every question for tags like this, whatever was asked.
fn always(tags: usize) -> (WebServer, Reference) {
    let tags: Vec<String> = (0..tags).map(|n| format!("v{n}")).collect();
    let body = json!({ "name": "app", "tags": tags }).to_string();
    let server = WebServer::start(move |asked| match asked.target.as_str() {
        "/v2/" => Reply::ok("{}"),
        _ => Reply::ok(body.clone()),
    });
    let at = format!("{}/app", server.host()).parse().unwrap();
    (server, at)
}

#[test]
fn registries_that_know_no_pages() {
    for tags in [0, 1, 999, 1001] {
        let (_server, at) = always(tags);
        assert_eq!(run(client().tags(&at)).unwrap().len(), tags);
    }
    let (_server, at) = always(1000);
    let error = run(client().tags(&at)).unwrap_err().to_string();
    let expected =
        "the server's answer makes no sense: after the first 1000 tags it gives the same ones again";
    assert_eq!(error, format!("{at}: {expected}"));
}

#[test]
fn an_answer_of_null_is_an_empty_list() {
    let server = WebServer::start(|_| Reply::ok(r#"{"name":"app","tags":null}"#));
    let at: Reference = format!("{}/app", server.host()).parse().unwrap();
    assert!(run(client().tags(&at)).unwrap().is_empty());
}

#[test]
fn every_login_works() {
    for auth in [Auth::basic("me", "secret"), Auth::token("me", "secret")] {
        let registry = TestRegistry::with_auth(auth);
        with_tags(&registry, &["a", "b"]);
        let at = name(&registry, "app");
        let keychain = |password| Explicit::new(&registry.host(), "me", password, "--creds");
        let good = Registry::builder().keychain(keychain("secret")).build();
        run(async {
            assert_eq!(good.tags(&at).await.unwrap(), ["a", "b"]);
            registry.expire_tokens();
            assert_eq!(good.tags(&at).await.unwrap(), ["a", "b"], "after tokens expired");
        });
        let bad = Registry::builder().keychain(keychain("wrong")).build();
        for client in [bad, client()] {
            let error = run(client.tags(&at)).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("rbuild login"), "{text}");
        }
    }
}

#[test]
fn anonymous_tokens_are_enough_where_they_are_given() {
    let registry = TestRegistry::with_auth(Auth::Token {
        username: "me".to_owned(),
        password: "secret".to_owned(),
        identity: "identity".to_owned(),
        anonymous_pull: true,
    });
    with_tags(&registry, &["a"]);
    run(async {
        let (client, at) = (client(), name(&registry, "app"));
        assert_eq!(client.tags(&at).await.unwrap(), ["a"]);
        let tokens = registry.count(Kind::Token);
        assert_eq!(client.tags(&at).await.unwrap(), ["a"]);
        assert_eq!(registry.count(Kind::Token), tokens, "the token is used again");
    });
}

#[test]
fn failures_that_pass_and_failures_that_do_not() {
    let registry = TestRegistry::start();
    with_tags(&registry, &["a"]);
    let at = name(&registry, "app");
    let busy = Fault::RetryAfter(429, "0".to_owned());
    for fault in [Fault::Status(503), busy, Fault::Truncate(3)] {
        registry.fault(Kind::Tags, 2, fault.clone());
        assert_eq!(run(client().tags(&at)).unwrap(), ["a"], "{fault:?}");
    }
    let unknown = name(&registry, "nonesuch");
    let table = [
        (
            &unknown,
            None,
            "no such repository in the registry (NAME_UNKNOWN: repository name not known to registry)",
        ),
        (
            &at,
            Some(Fault::Status(500)),
            "the server answers 500 Internal Server Error (FAULT: this is a test)",
        ),
        (
            &at,
            Some(Fault::Status(400)),
            "the registry refuses: FAULT: this is a test",
        ),
    ];
    for (at, fault, expected) in table {
        if let Some(fault) = fault {
            registry.fault(Kind::Tags, QUICK.attempts as usize, fault);
        }
        let error = run(client().tags(at)).unwrap_err().to_string();
        assert_eq!(error, format!("{at}: {expected}"));
    }
}

/// A token that fits into no header makes oci-client panic, if it is let at one.
#[test]
fn a_token_that_is_none() {
    let server = WebServer::start(|asked| match asked.target.as_str() {
        target if target.starts_with("/token") => Reply::ok(r#"{"token":"a\nb"}"#),
        _ => {
            let realm = format!("http://{}/token", asked.header("host").unwrap_or_default());
            Reply::status(401, "").with("WWW-Authenticate", &format!("Bearer realm=\"{realm}\""))
        }
    });
    let at: Reference = format!("{}/app", server.host()).parse().unwrap();
    let error = run(client().tags(&at)).unwrap_err().to_string();
    assert!(
        error.ends_with("the token server sends no usable token"),
        "{error}"
    );
}

fn artifact(kind: &str, subject: Digest) -> Vec<u8> {
    let empty =
        json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of("{}"), "size": 2 });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.as_ref(),
        "artifactType": kind,
        "config": empty,
        "layers": [],
        "subject": { "mediaType": MediaType::ImageManifest.as_ref(), "digest": subject, "size": 9 },
        "annotations": { "about": kind },
    });
    manifest.to_string().into_bytes()
}

#[test]
fn referrers_by_the_api_and_by_tag() {
    let registry = TestRegistry::start();
    let subject = b"{\"layers\":[]}";
    let digest = Digest::of(subject);
    registry.put_manifest("app", "v1", MediaType::ImageManifest.as_ref(), subject);
    let kinds = ["application/x-signature", "application/x-sbom"];
    let mut entries = Vec::new();
    for kind in kinds {
        let bytes = artifact(kind, digest);
        let put = registry.put_manifest(
            "app",
            &Digest::of(&bytes).to_string(),
            MediaType::ImageManifest.as_ref(),
            &bytes,
        );
        entries.push(json!({ "mediaType": MediaType::ImageManifest.as_ref(), "digest": put, "size": bytes.len(), "artifactType": kind }));
    }
    let index =
        json!({ "schemaVersion": 2, "mediaType": MediaType::ImageIndex.as_ref(), "manifests": entries });
    let stand_in = format!("sha256-{}", digest.hex());
    registry.put_manifest(
        "app",
        &stand_in,
        MediaType::ImageIndex.as_ref(),
        index.to_string().as_bytes(),
    );
    for has_api in [true, false] {
        for at in [
            name(&registry, "app:v1"),
            name(&registry, "app").with_digest(digest),
        ] {
            for (wanted, expected) in [(None, &kinds[..]), (Some(kinds[1]), &kinds[1..])] {
                if !has_api {
                    registry.fault(Kind::Referrers, 1, Fault::Status(404));
                }
                let found = run(client().referrers(&at, wanted)).unwrap();
                let mut types: Vec<_> = found
                    .iter()
                    .filter_map(|descriptor| descriptor.artifact_type())
                    .collect();
                types.sort_unstable_by(|a, b| b.cmp(a));
                assert_eq!(types, expected, "{at} {wanted:?}, with API: {has_api}");
                assert!(found.iter().all(|descriptor| descriptor.size > 0));
            }
        }
    }
}

#[test]
fn nothing_refers_to_an_image() {
    let registry = TestRegistry::start();
    registry.put_manifest("app", "v1", docker::MANIFEST, b"{\"layers\":[]}");
    let at = name(&registry, "app:v1");
    assert!(run(client().referrers(&at, None)).unwrap().is_empty());
    registry.fault(Kind::Referrers, 1, Fault::Status(404));
    assert!(run(client().referrers(&at, None)).unwrap().is_empty());
    let error = run(client().referrers(&name(&registry, "app:v2"), None))
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("app:v2: no such image in the registry"),
        "{error}"
    );
}
