//! What the errors say that users meet most: whole texts.

use std::net::TcpListener;

use rbuild_testutils::registry::{Fault, Kind, TestRegistry};

use super::{client, name, run};
use crate::registry::Reference;

#[test]
fn an_unknown_image() {
    let registry = TestRegistry::start();
    let at = name(&registry, "nonesuch:1");
    let error = run(client().manifest(&at)).unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(
        error.to_string(),
        format!("{at}: no such image in the registry (MANIFEST_UNKNOWN: manifest unknown)")
    );
}

#[test]
fn a_registry_that_is_down() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let at: Reference = format!("127.0.0.1:{port}/team/app:1").parse().unwrap();
    let error = run(client().manifest(&at)).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{at}: cannot reach 127.0.0.1:{port}: Connection refused (os error 111)")
    );
}

#[test]
fn a_host_that_does_not_exist() {
    let at: Reference = "registry.invalid/app:1".parse().unwrap();
    let error = run(client().manifest(&at)).unwrap_err().to_string();
    assert!(
        error.starts_with("registry.invalid/app:1: cannot reach registry.invalid: "),
        "{error}"
    );
}

#[test]
fn what_is_denied() {
    let registry = TestRegistry::start();
    registry.fault(Kind::ManifestGet, 1, Fault::Status(403));
    let at = name(&registry, "app:1");
    let error = run(client().manifest(&at)).unwrap_err().to_string();
    let host = registry.host();
    assert_eq!(
        error,
        format!(
            "{at}: the registry denies this: without a login, and there are no credentials for {host} in an empty keychain (FAULT: this is a test)"
        )
    );
}

#[test]
fn a_server_that_is_no_registry() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at: Reference = format!("{}/app:1", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            use std::io::Write as _;
            let _ = connection.and_then(|mut connection| connection.write_all(b"220 smtp ready\r\n"));
        }
    });
    let error = run(client().manifest(&at)).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!(
            "{at}: no secure connection to {}: it does not speak TLS",
            at.host()
        )),
        "{error}"
    );
}
