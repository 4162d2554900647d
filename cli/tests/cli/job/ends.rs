use std::process::Command;

use rbuild_testutils::kubernetes::{Fate, Script};

use super::{Room, owned, says};

#[test]
fn a_build_that_succeeds() {
    let room = Room::with_fate(says(&["#1 COPY file /", "done"], 0));
    let ran = room.job(&[
        "--push",
        "-t",
        "r.example/a",
        "--iidfile",
        "id",
        "--metadata-file",
        "meta",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    assert!(ran.stderr.contains("\n#1 COPY file /\ndone\n"), "{}", ran.stderr);
    let digest = format!("sha256:{}", "5".repeat(64));
    assert_eq!(std::fs::read_to_string(room.place.path("id")).unwrap(), digest);
    let metadata = std::fs::read_to_string(room.place.path("meta")).unwrap();
    assert!(metadata.contains(&digest));
}

#[test]
fn a_quiet_build_prints_the_digest() {
    let digest = format!("sha256:{}", "5".repeat(64));
    let room = Room::with_fate(says(&[&digest], 0));
    let ran = room.job(&["--push", "-t", "r.example/a", "-q"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.stdout, format!("{digest}\n"));
}

#[test]
fn a_build_that_fails() {
    let room = Room::with_fate(says(&["error: RUN exit 7 failed"], 7));
    let ran = room.job(&["--push", "-t", "r.example/a"]);
    assert_eq!(ran.code, Some(7));
    // The pod has said why, and nobody says it again.
    assert!(
        ran.stderr.ends_with("error: RUN exit 7 failed\n"),
        "{}",
        ran.stderr
    );
}

/// What a fate comes to: what is said at the end.
#[track_caller]
fn ends(fate: Fate, flags: &[&str], expected: &str) -> String {
    let room = Room::with_fate(fate);
    let ran = room.job(&[&["--push", "-t", "r.example/a"], flags].concat());
    assert_eq!(ran.code, Some(125), "{}", ran.stderr);
    let last = ran.stderr.lines().last().unwrap_or_default();
    assert_eq!(last, expected, "{}", ran.stderr);
    ran.stderr
}

#[test]
fn a_pod_without_a_node() {
    let why = "0/3 nodes are available: 3 Insufficient memory.";
    let said = ends(
        Fate::NoNode(why.to_owned()),
        &["--start-timeout", "3s"],
        &format!("error: the pod did not run within 3 s: Unschedulable: {why}"),
    );
    // It is told before, too: others may be waiting for room.
    assert!(
        said.contains(&format!("job: waiting: Unschedulable: {why}\n")),
        "{said}"
    );
}

#[test]
fn an_image_that_cannot_be_pulled() {
    let why = "failed to pull image \"r.example/rbuild:1\": not found";
    ends(
        Fate::NoImage(why.to_owned()),
        &[],
        &format!("error: the pod does not start: Failed: {why}"),
    );
    let why = "couldn't parse image name";
    ends(
        Fate::BadImageName(why.to_owned()),
        &[],
        &format!("error: the pod does not start: InvalidImageName: {why}"),
    );
}

#[test]
fn a_pod_that_is_deleted_half_way() {
    let said = ends(
        Fate::Deleted(owned(&["#1 COPY file /"])),
        &[],
        "error: the pod was deleted",
    );
    assert!(said.contains(" runs\n"), "{said}");
}

#[test]
fn a_pod_that_others_end() {
    ends(
        Fate::Evicted("The node was low on resource: ephemeral-storage.".to_owned()),
        &[],
        "error: the pod was ended: Evicted: The node was low on resource: ephemeral-storage.",
    );
    let said = ends(
        Fate::OutOfMemory(owned(&["#1 RUN make"])),
        &[],
        "error: the build was killed as it used more memory than the pod may: see --limit memory=…",
    );
    assert!(said.contains("#1 RUN make\n"), "{said}");
    ends(
        Fate::Late(owned(&["#1 RUN make"])),
        &["--deadline", "1s"],
        "error: the build took longer than --deadline lets it",
    );
}

#[test]
fn a_pod_that_cannot_be_made() {
    let why = "pods \"rbuild-\" is forbidden: violates PodSecurity \"restricted:latest\": host namespaces";
    ends(
        Fate::NoPod(why.to_owned()),
        &[],
        &format!("error: the cluster makes no pod: FailedCreate: {why}"),
    );
    let why = "pods \"rbuild-\" is forbidden: exceeded quota: builds";
    ends(
        Fate::NoPod(why.to_owned()),
        &["--start-timeout", "4s"],
        &format!("error: the pod did not run within 4 s: FailedCreate: {why}"),
    );
    let why = "MountVolume.SetUp failed for volume \"logins\" : secret \"regcred\" not found";
    ends(
        Fate::NoVolume(why.to_owned()),
        &["--registry-secret", "regcred", "--start-timeout", "3s"],
        &format!("error: the pod did not run within 3 s: FailedMount: {why}"),
    );
}

#[test]
fn a_signal_removes_everything() {
    for (signal, name, code) in [("INT", "SIGINT", 130), ("TERM", "SIGTERM", 143)] {
        let room = Room::with_fate(Fate::Hangs(owned(&["#1 RUN sleep infinity"])));
        let child = room
            .command(&["--push", "-t", "r.example/a", "app"])
            .spawn()
            .unwrap();
        assert!(room.cluster.wait_for_log("sleep"));
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let ran = room.place.finish(&child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(
            ran.stderr.ends_with(&format!("error: interrupted by {name}\n")),
            "{ran:?}"
        );
        assert_eq!(room.cluster.objects(), Vec::<String>::new());
    }
}

#[test]
fn failures_are_json_if_progress_is() {
    let room = Room::new(Script::new(Fate::Deleted(owned(&["{\"type\":\"step\"}"]))));
    let ran = room.job(&["--push", "-t", "r.example/a", "--progress", "json"]);
    for line in ran.stderr.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    assert!(
        ran.stderr.contains("\"message\":\"the pod was deleted\""),
        "{}",
        ran.stderr
    );
}
