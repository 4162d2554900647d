//! Logins, certificates, mirrors, retries.

use std::fs;

use rbuild_testutils::{
    DockerRegistry, make_certificates, need,
    registry::{Auth, Fault, Kind, TestRegistry},
};
use serde_json::json;

use super::Room;
use crate::common::{BUSYBOX, push_busybox};

#[test]
fn logins_are_in_a_directory_of_their_own() {
    let room = Room::with(TestRegistry::with_auth(Auth::basic("me", "secret")));
    room.place.write("app/Dockerfile", "FROM scratch\nLABEL a=b\n");
    let name = room.name("out");
    let login = |auth: &str| json!({ "auths": { room.registry.host(): { "auth": auth } } }).to_string();
    // me:secret, me:wrong
    room.place.write("k/.docker/config.json", &login("bWU6c2VjcmV0"));
    room.place.write("other/config.json", &login("bWU6d3Jvbmc="));
    let arguments = ["-c", "app", "-d", &name, "--kaniko-dir", "k"];
    room.run(&arguments).succeeded();
    assert!(room.run(&arguments[..4]).code != Some(0));
    let mut command = room.command(&arguments[..4]);
    room.place
        .finish(&command.env("KANIKO_DIR", "k").output().unwrap())
        .succeeded();
    let mut command = room.command(&arguments);
    let failed = room.place.finish(
        &command
            .env("DOCKER_CONFIG", room.place.path("other"))
            .output()
            .unwrap(),
    );
    assert!(failed.code != Some(0), "{}", failed.stderr);
}

/// A registry with TLS that wants a client's certificate: what is trusted by which flag, in each direction.
#[test]
fn certificates() {
    let Some(openssl) = need("openssl") else { return };
    let room = Room::new();
    let made = room.place.path("certificates");
    fs::create_dir(&made).unwrap();
    make_certificates(&openssl, &made);
    let tls = |authorities: &[&str]| {
        let authorities: Vec<_> = authorities.iter().map(|name| made.join(name)).collect();
        json!({ "tls": { "certificate": made.join("server.cert"), "key": made.join("server.key"), "clientcas": authorities } })
    };
    let Some(open) = DockerRegistry::start_with(tls(&[]), json!({})) else {
        return;
    };
    let Some(strict) = DockerRegistry::start_with(tls(&["ca.crt"]), json!({})) else {
        return;
    };
    let to = |registry: &DockerRegistry, flags: &[String]| {
        let name = format!("{}/out", registry.host());
        let mut arguments = vec!["-c", "app", "-d", &name];
        arguments.extend(flags.iter().map(String::as_str));
        room.run(&arguments)
    };
    let host = open.host();
    assert!(to(&open, &[]).stderr.contains("certificate"));
    for flag in [
        "--skip-tls-verify".to_owned(),
        "--insecure".to_owned(),
        format!("--skip-tls-verify-registry={host}"),
        format!("--insecure-registry={host}"),
        format!("--registry-certificate={host}={}", made.join("ca.crt").display()),
    ] {
        to(&open, &[flag]).succeeded();
    }
    let of_client = format!(
        "--registry-client-cert={}={},{}",
        strict.host(),
        made.join("client.cert").display(),
        made.join("client.key").display()
    );
    let authority = format!(
        "--registry-certificate={}={}",
        strict.host(),
        made.join("ca.crt").display()
    );
    assert!(to(&strict, std::slice::from_ref(&authority)).code != Some(0));
    to(&strict, &[authority, of_client]).succeeded();
    // The other direction: flags of pushes do nothing for it.
    room.place
        .write("app/Dockerfile", &format!("FROM {host}/out\nLABEL a=b\n"));
    let name = room.name("out");
    let pull = |flag: &str| room.run(&["-c", "app", "-d", &name, flag]);
    for flag in ["--skip-tls-verify", "--insecure"] {
        assert!(pull(flag).stderr.contains("certificate"), "{flag}");
    }
    for flag in [
        "--skip-tls-verify-pull",
        "--insecure-pull",
        &format!("--insecure-registry={host}"),
    ] {
        pull(flag).succeeded();
    }
}

#[test]
fn mirrors() {
    let room = Room::new();
    push_busybox(&room.registry);
    let hub = format!("docker://{}/library/busybox:1", room.registry.host());
    room.place
        .run(["copy", "--quiet", &format!("oci:{BUSYBOX}"), &hub])
        .succeeded();
    let host = room.registry.host();
    // Nobody is there.
    let nobody = "127.0.0.1:1";
    for (base, flags) in [
        ("busybox:1", vec![format!("--registry-mirror={host}")]),
        (
            "busybox:1",
            vec![format!("--registry-map=index.docker.io={host}")],
        ),
        (
            &format!("{nobody}/busybox"),
            vec![format!("--registry-map={nobody}={host}")],
        ),
        (
            &format!("{nobody}/a"),
            vec![format!(
                "--registry-map={nobody}=127.0.0.1:2;{nobody}={host}/moved"
            )],
        ),
        (
            &format!("{host}/busybox"),
            vec![format!("--registry-map={host}={nobody}")],
        ),
    ] {
        if base.ends_with("/a") {
            let moved = format!("docker://{host}/moved/a:latest");
            room.place
                .run(["copy", "--quiet", &format!("oci:{BUSYBOX}"), &moved])
                .succeeded();
        }
        room.place
            .write("app/Dockerfile", &format!("FROM {base}\nCOPY f /f\n"));
        let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        flags.push("--image-download-retry=0");
        assert!(room.image(&flags).layers() == 2, "{base}");
    }
    let map = format!("--registry-map={host}={nobody}");
    let name = room.name("out");
    let only = [
        "-c",
        "app",
        "-d",
        &name,
        &map,
        "--image-download-retry=0",
        "--skip-default-registry-fallback",
    ];
    let failed = room.run(&only);
    assert!(
        failed.stderr.contains("cannot reach 127.0.0.1:[PORT]"),
        "{}",
        failed.stderr
    );
}

#[test]
fn retries() {
    let room = Room::of("COPY f /f");
    let name = room.name("out");
    for (flag, kind) in [
        ("--push-retry", Kind::ManifestPut),
        ("--image-download-retry", Kind::ManifestGet),
    ] {
        for (retries, works) in [("0", false), ("1", true)] {
            room.registry.fault(kind, 1, Fault::Status(503));
            let ran = room.run(&["-c", "app", "-d", &name, flag, retries]);
            assert_eq!(ran.code == Some(0), works, "{flag} {retries}: {}", ran.stderr);
        }
    }
}
