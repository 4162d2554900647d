use std::{fs, process::Command};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rbuild_testutils::{
    DockerRegistry,
    kubernetes::{Fate, Script, faults, kubeconfig, violations},
    make_certificates, need,
};
use serde_json::{Value, json};

use super::{Room, says};

#[test]
fn what_is_asked_for_is_what_the_roles_need() {
    let room = Room::with_fate(says(&["done"], 0));
    room.job(&["--push", "-t", "r.example/a", "--name", "mine"]);
    let mut asked = room.cluster.asked();
    asked.sort();
    asked.dedup();
    let api = "/api/v1/namespaces/builds";
    let jobs = "/apis/batch/v1/namespaces/builds/jobs";
    assert_eq!(
        asked,
        [
            format!("DELETE {jobs}/mine"),
            format!("GET {api}/pods"),
            format!("GET {api}/pods/mine-x7k2p/attach"),
            format!("GET {api}/pods/mine-x7k2p/log"),
            format!("POST {api}/secrets"),
            format!("POST {jobs}"),
        ]
    );
}

#[test]
fn the_secret_is_the_jobs_and_has_what_is_secret() {
    let room = Room::with_fate(says(&["done"], 0));
    room.place.write("token", "hunter2");
    let flags = ["--creds", "r.example=me:hunter3", "--secret", "id=t,src=token"];
    room.job(&[&["--push", "-t", "r.example/a"][..], &flags].concat());
    let (job, secret) = (&room.cluster.made("Job")[0], &room.cluster.made("Secret")[0]);
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&json!("Job"), &job["metadata"]["uid"])
    );
    let content = |name: &str| {
        let data = secret["data"].as_object().unwrap();
        let (_, value) = data.iter().find(|(key, _)| key.ends_with(name)).unwrap();
        String::from_utf8(BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap()
    };
    assert_eq!(content("-Containerfile"), "FROM scratch\nCOPY file /\n");
    assert_eq!(content("-secrets_0"), "hunter2");
    let login = BASE64_STANDARD.encode("me:hunter3");
    assert!(content("config.json").contains(&login));
    assert!(!job.to_string().contains("hunter") && !job.to_string().contains(&login));
}

#[test]
fn an_address_with_a_password_is_a_secret() {
    let room = Room::with_fate(says(&["done"], 0));
    let arguments = [
        "--push",
        "-t",
        "r.example/a",
        "https://me:hunter2@git.example/a.git",
    ];
    let ran = room.place.finish(&room.command(&arguments).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let job = &room.cluster.made("Job")[0];
    assert!(!job.to_string().contains("hunter2"), "{job}");
    assert!(
        !room
            .cluster
            .asked()
            .iter()
            .any(|asked| asked.ends_with("/attach"))
    );
    assert_eq!(room.cluster.objects(), Vec::<String>::new());
}

#[test]
fn a_cluster_that_refuses_is_quoted_and_left_clean() {
    for kind in ["Job", "Secret"] {
        let mut script = Script::new(says(&["done"], 0));
        script.forbidden = Some(kind.to_owned());
        let ran = Room::new(script).job(&["--push", "-t", "r.example/a"]);
        assert_eq!(ran.code, Some(125));
        assert!(
            ran.stderr
                .contains(&format!("error: cannot create the {kind} rbuild-")),
            "{}",
            ran.stderr
        );
        assert!(
            ran.stderr
                .contains(&format!("{kind} is forbidden: User cannot create it")),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn the_job_of_another_is_left_alone() {
    let room = Room::with_fate(Fate::Hangs(vec!["#1 of the other".to_owned()]));
    let flags = ["--push", "-t", "r.example/a", "--name", "same", "app"];
    let mut other = room.command(&flags).spawn().unwrap();
    assert!(room.cluster.wait_for_log("of the other"));
    let ran = room.place.finish(&room.command(&flags).output().unwrap());
    assert_eq!(ran.code, Some(125));
    assert!(
        ran.stderr.contains("Job \"same\" already exists"),
        "{}",
        ran.stderr
    );
    assert!(room.cluster.objects().contains(&"Job same".to_owned()));
    let kill = format!("kill -TERM {}", other.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(other.wait().unwrap().code(), Some(143));
}

#[test]
fn a_containerfile_with_mistakes_asks_for_nothing() {
    let room = Room::with_fate(says(&["done"], 0));
    room.place
        .write("app/Containerfile", "FROM scratch\nCOPIED file /\n");
    let ran = room.job(&["--push", "-t", "r.example/a"]);
    assert_eq!(ran.code, Some(125));
    assert!(ran.stderr.contains("COPIED"), "{}", ran.stderr);
    assert_eq!(room.cluster.asked(), Vec::<String>::new());
}

#[test]
fn a_dry_run_prints_what_would_be_asked_for() {
    let room = Room::with_fate(says(&["done"], 0));
    let flags = [
        "--dry-run=client",
        "-o",
        "json",
        "--push",
        "-t",
        "r.example/a",
        "--name",
        "mine",
    ];
    let ran = room.job(&flags).succeeded();
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    for object in list["items"].as_array().unwrap() {
        assert_eq!(faults(object), Vec::<String>::new());
        assert_eq!(object["metadata"]["namespace"], "builds");
    }
    assert_eq!(
        violations(&list["items"][1]["spec"]["template"]["spec"]),
        Vec::<String>::new()
    );
    let flags = [
        "--dry-run=client",
        "-o",
        "yaml",
        "--push",
        "-t",
        "r.example/a",
        "-n",
        "else",
    ];
    let ran = room.job(&flags).succeeded();
    assert!(
        ran.stdout.contains("\nkind: Job\n") && ran.stdout.contains("\n  namespace: else\n"),
        "{}",
        ran.stdout
    );
    assert_eq!(room.cluster.asked(), Vec::<String>::new());
}

#[test]
fn a_dry_run_needs_no_cluster() {
    let room = Room::with_fate(says(&[], 0));
    let flags = [
        "job",
        "--builder-image",
        "a",
        "--dry-run=client",
        "--push",
        "-t",
        "r.example/a",
        "app",
    ];
    let ran = room.place.run(flags).succeeded();
    assert!(!ran.stdout.contains("namespace:"), "{}", ran.stdout);
    let ran = room.place.run([
        "job",
        "--builder-image",
        "a",
        "--push",
        "-t",
        "r.example/a",
        "app",
    ]);
    assert_eq!(ran.code, Some(125));
    assert!(ran.stderr.contains("there is no cluster"), "{}", ran.stderr);
}

/// The server is no cluster, which is as good: what counts is whether it is spoken to.
#[test]
fn a_cluster_has_a_certificate() {
    let Some(openssl) = need("openssl") else { return };
    let room = Room::with_fate(says(&[], 0));
    let certs = room.place.path("certs");
    fs::create_dir(&certs).unwrap();
    make_certificates(&openssl, &certs);
    let tls = json!({ "certificate": certs.join("server.cert"), "key": certs.join("server.key") });
    let Some(server) = DockerRegistry::start_with(json!({ "tls": tls }), json!({})) else {
        return;
    };
    let server = format!("https://{}", server.host());
    let authority = BASE64_STANDARD.encode(fs::read(certs.join("ca.crt")).unwrap());
    for (more, expected) in [
        (json!({ "certificate-authority-data": authority }), "404"),
        (json!({ "certificate-authority": "certs/ca.crt" }), "404"),
        (json!({ "insecure-skip-tls-verify": true }), "404"),
        (json!({}), "ertificate"),
    ] {
        room.place.write("kubeconfig", &kubeconfig(&server, &more));
        let ran = room.job(&["--push", "-t", "r.example/a"]);
        assert_eq!(ran.code, Some(125));
        assert!(
            ran.stderr.contains("cannot create the Job"),
            "{more}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(expected), "{more}: {}", ran.stderr);
    }
}
