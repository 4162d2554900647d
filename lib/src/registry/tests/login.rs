//! Logging in: every way that works, and what is said about those that do not.

use std::{fs, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rbuild_testutils::registry::{Auth, Kind, TestRegistry};
use serde_json::json;

use super::{QUICK, client, layer, name, run};
use crate::{
    image::MediaType,
    registry::{DockerKeychain, Explicit, Keychain, LoginFile, Registry, Secret},
};

const BLOB: &[u8] = b"a blob behind a login";

fn guarded(auth: Auth) -> TestRegistry {
    let registry = TestRegistry::with_auth(auth);
    registry.put_blob("team/app", BLOB);
    registry
}

/// A client whose keychain is one configuration file.
fn with_config(directory: &Path, config: &serde_json::Value) -> Registry {
    let file = directory.join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    Registry::builder()
        .keychain(DockerKeychain::new(vec![file]))
        .retry(QUICK)
        .build()
}

fn auth(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// Whether the client gets at the blob, or what it says.
fn try_blob(client: &Registry, registry: &TestRegistry) -> Result<bool, String> {
    let at = name(registry, "team/app:1");
    run(client.has_blob(&at, layer(BLOB).digest))
        .map_err(|error| error.to_string().replace(&registry.host(), "HOST"))
}

#[test]
fn passwords_and_tokens_from_files() {
    for kind in [Auth::basic("me", "secret"), Auth::token("me", "secret")] {
        let registry = guarded(kind);
        let host = registry.host();
        let good = json!({ "auth": auth("me:secret") });
        let table = [
            json!({ "auths": { host.clone(): good } }),
            json!({ "auths": { format!("https://{host}/v1/"): good } }),
            json!({ "auths": { host.clone(): { "username": "me", "password": "secret" } } }),
            json!({ "auths": { format!("{host}/team"): good, host.clone(): { "auth": auth("other:wrong") } } }),
            json!({ "auths": { format!("{host}/team/app"): good, format!("{host}/team"): { "auth": auth("other:wrong") } } }),
        ];
        for config in table {
            let directory = tempfile::tempdir().unwrap();
            assert_eq!(
                try_blob(&with_config(directory.path(), &config), &registry),
                Ok(true),
                "{config}"
            );
        }
        let explicit = Registry::builder()
            .keychain(Explicit::new(&host, "me", "secret", "--creds"))
            .build();
        assert_eq!(try_blob(&explicit, &registry), Ok(true));
    }
}

#[test]
fn an_identity_token_is_exchanged() {
    let registry = guarded(Auth::token("me", "secret"));
    let directory = tempfile::tempdir().unwrap();
    let config =
        json!({ "auths": { registry.host(): { "auth": auth("me:"), "identitytoken": "identity-of-me" } } });
    assert_eq!(
        try_blob(&with_config(directory.path(), &config), &registry),
        Ok(true)
    );
}

#[test]
fn one_token_serves_many_requests_until_it_expires() {
    let registry = guarded(Auth::token("me", "secret"));
    let client = Registry::builder()
        .keychain(Explicit::new(&registry.host(), "me", "secret", "--creds"))
        .build();
    for _ in 0..3 {
        assert_eq!(try_blob(&client, &registry), Ok(true));
    }
    assert_eq!(
        (registry.count(Kind::Token), registry.count(Kind::BlobHead)),
        (1, 4)
    );
    registry.expire_tokens();
    assert_eq!(try_blob(&client, &registry), Ok(true));
    assert_eq!(
        (registry.count(Kind::Token), registry.count(Kind::BlobHead)),
        (2, 6)
    );
}

#[test]
fn anonymous_tokens_are_enough_to_pull_what_is_public() {
    let registry = guarded(Auth::Token {
        username: "me".to_owned(),
        password: "secret".to_owned(),
        identity: String::new(),
        anonymous_pull: true,
    });
    assert_eq!(try_blob(&client(), &registry), Ok(true));
    let mounted = run(client().mount_blob(&name(&registry, "team/other"), layer(BLOB).digest, "team/app"));
    assert!(!mounted.unwrap());
    let pushed = run(client().push_manifest(
        &name(&registry, "team/app:1"),
        &MediaType::ImageIndex,
        b"{}"[..].into(),
    ));
    let error = pushed.unwrap_err().to_string();
    assert!(
        error.contains("there is no such repository, or it wants a login, and there are no credentials"),
        "{error}"
    );
}

#[test]
fn says_what_was_tried() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json").display().to_string();
    let advice = "log in with `rbuild login HOST`";
    let refused = "(UNAUTHORIZED: authentication required)";
    let wrong = format!("user \"me\" from {file} was not accepted; {advice}");
    let none = format!("it wants a login, and there are no credentials for HOST in {file}; {advice}");
    let at_token_server = "(401 Unauthorized UNAUTHORIZED: incorrect username or password)";
    let table = [
        (
            Auth::basic("me", "secret"),
            true,
            format!("the registry refuses access: {wrong} {refused}"),
        ),
        (
            Auth::basic("me", "secret"),
            false,
            format!("the registry refuses access: {none} {refused}"),
        ),
        (
            Auth::token("me", "secret"),
            true,
            format!("login at http://HOST/token failed: {wrong} {at_token_server}"),
        ),
        (
            Auth::token("me", "secret"),
            false,
            format!("login at http://HOST/token failed: {none} {at_token_server}"),
        ),
    ];
    for (kind, credentials, expected) in table {
        let registry = guarded(kind);
        let entry = if credentials {
            json!({ registry.host(): { "auth": auth("me:wrong") } })
        } else {
            json!({})
        };
        let client = with_config(directory.path(), &json!({ "auths": entry }));
        // An answer to HEAD has no body, so there are no words of the registry in it.
        let at = name(&registry, "team/app:1");
        let error = run(client.manifest(&at))
            .unwrap_err()
            .to_string()
            .replace(&registry.host(), "HOST");
        assert_eq!(error, format!("HOST/team/app:1: {expected}"));
    }
}

/// Writes a credential helper, and returns the name that configuration files call it by.
fn helper(directory: &Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let file = directory.join(format!("docker-credential-{name}"));
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn helper_programs_are_asked() {
    let registry = guarded(Auth::token("me", "secret"));
    let (directory, host) = (tempfile::tempdir().unwrap(), registry.host());
    // Answers only if it is asked for the right server.
    let answer = |user: &str, secret: &str| {
        format!(
            r#"[ "$1" = get ] && [ "$(cat)" = {host} ] && echo '{{"ServerURL":"{host}","Username":"{user}","Secret":"{secret}"}}'"#
        )
    };
    helper(directory.path(), "good", &answer("me", "secret"));
    helper(directory.path(), "token", &answer("<token>", "identity-of-me"));
    helper(
        directory.path(),
        "empty",
        "echo credentials not found in native keychain; exit 1",
    );
    helper(
        directory.path(),
        "broken",
        "echo the keychain is locked >&2; exit 1",
    );
    helper(directory.path(), "babbling", "echo hello");
    let good = json!({ "auth": auth("me:secret") });
    let empty = "there are no credentials for HOST in FILE";
    let table = [
        (json!({ "credsStore": "good" }), Ok(true)),
        (json!({ "credsStore": "token" }), Ok(true)),
        (
            json!({ "credsStore": "broken", "credHelpers": { host.clone(): "good" } }),
            Ok(true),
        ),
        (
            json!({ "credsStore": "good", "auths": { host.clone(): {} } }),
            Ok(true),
        ),
        (
            json!({ "credsStore": "broken", "auths": { host.clone(): good } }),
            Ok(true),
        ),
        (json!({ "credsStore": "empty" }), Err(empty)),
        (json!({ "credHelpers": { "elsewhere": "good" } }), Err(empty)),
        (
            json!({ "credsStore": "broken" }),
            Err("docker-credential-broken: the keychain is locked"),
        ),
        (
            json!({ "credsStore": "babbling" }),
            Err("docker-credential-babbling: its answer cannot be read: expected value"),
        ),
        (
            json!({ "credsStore": "missing" }),
            Err("docker-credential-missing: cannot be run: No such file or directory"),
        ),
    ];
    for (config, expected) in table {
        let file = directory.path().join("config.json");
        fs::write(&file, config.to_string()).unwrap();
        let keychain = DockerKeychain::new(vec![file.clone()]).helpers(directory.path());
        let client = Registry::builder().keychain(keychain).retry(QUICK).build();
        match (try_blob(&client, &registry), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{config}"),
            (Err(error), Err(expected)) => {
                let expected = expected.replace("FILE", &file.display().to_string());
                assert!(error.contains(&expected), "{config}: {error}");
            }
            (found, _) => panic!("{config}: {found:?}"),
        }
    }
}

#[test]
fn a_file_that_cannot_be_understood_is_named() {
    let registry = guarded(Auth::basic("me", "secret"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json").display().to_string();
    let table = [
        (json!({ "auths": 1 }), format!("{file}: invalid type: integer")),
        (
            json!({ "auths": { registry.host(): { "auth": "***" } } }),
            format!("{file}: the auth of HOST is not base64 of user:password"),
        ),
    ];
    for (config, expected) in table {
        let error = try_blob(&with_config(directory.path(), &config), &registry).unwrap_err();
        let expected = format!("the credentials for HOST cannot be had: {expected}");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn a_login_is_good_or_it_is_not() {
    for kind in [Auth::basic("me", "secret"), Auth::token("me", "secret")] {
        let registry = guarded(kind);
        let host = registry.host();
        let check = |password: &str| {
            let keychain = Explicit::new(&host, "me", password, "a test");
            let client = Registry::builder().keychain(keychain).retry(QUICK).build();
            run(client.check_login(&host)).map_err(|error| error.to_string())
        };
        check("secret").unwrap();
        let error = check("wrong").unwrap_err();
        assert!(
            error.starts_with(&format!("{host}: ")) && error.contains("was not accepted"),
            "{error}"
        );
    }
}

/// User and password that a keychain has for a host.
fn kept(keychain: &DockerKeychain, host: &str) -> Option<(String, String)> {
    match keychain.credentials(host, "app").unwrap()?.secret {
        Secret::Password { username, password } => Some((username, password)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn logins_are_kept_beside_what_else_is_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/config.json");
    let file = LoginFile::new(&path);
    let keychain = DockerKeychain::new(vec![path.clone()]);
    for host in ["docker.io", "localhost:5000"] {
        assert!(!file.forget(host).unwrap());
        file.keep(host, "me", "a:b").unwrap();
        file.keep(host, "me", "c:d").unwrap();
        assert_eq!(kept(&keychain, host), Some(("me".into(), "c:d".into())));
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["detachKeys"] = json!("ctrl-e,e");
    fs::write(&path, config.to_string()).unwrap();
    assert!(file.forget("docker.io").unwrap());
    assert_eq!(kept(&keychain, "docker.io"), None);
    assert!(kept(&keychain, "localhost:5000").is_some());
    let config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(config["detachKeys"], "ctrl-e,e");
    fs::write(&path, "{").unwrap();
    assert!(file.keep("localhost:5000", "me", "x").is_err());
    assert_eq!(fs::read(&path).unwrap(), b"{");
}

#[test]
fn a_helper_keeps_what_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    fs::write(&path, r#"{"credsStore":"test"}"#).unwrap();
    let program = directory.path().join("docker-credential-test");
    let script = r#"#!/bin/sh
kept="$(dirname "$0")/kept"
case "$1" in
store) cat >"$kept" ;;
get) cat "$kept" 2>/dev/null || { echo credentials not found in native keychain; exit 1; } ;;
erase) rm "$kept" ;;
esac
"#;
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = LoginFile::new(&path).helpers(directory.path());
    let keychain = DockerKeychain::new(vec![path.clone()]).helpers(directory.path());
    file.keep("localhost:5000", "me", "secret").unwrap();
    assert_eq!(
        kept(&keychain, "localhost:5000"),
        Some(("me".into(), "secret".into()))
    );
    assert!(!fs::read_to_string(&path).unwrap().contains("auths"));
    assert!(file.forget("localhost:5000").unwrap());
    assert!(!file.forget("localhost:5000").unwrap());
}
