//! Command lines as manifests.

use clap::Parser as _;
use rbuild_testutils::kubernetes::{faults, violations};
use serde_json::{Value, json};

use super::{
    arguments,
    files::Files,
    manifest::{Context, Order},
    print::{self, Format},
};
use crate::cli::{Cli, Command, Job, RegistryFlags};

fn job(arguments: &[&str]) -> Box<Job> {
    let line = ["rbuild", "job", "--builder-image", "r.example/rbuild:1"];
    let line = line.iter().chain(arguments);
    match Cli::try_parse_from(line)
        .unwrap_or_else(|error| panic!("{error}"))
        .command
    {
        Command::Job(job) => job,
        other => panic!("{other:?}"),
    }
}

fn order(job: &Job, context: Context, files: Files) -> Order<'_> {
    Order {
        name: "rbuild-test".to_owned(),
        namespace: Some("ci".to_owned()),
        pod: &job.pod,
        arguments: vec!["--build-arg=PRICE=$(HOME) $5".to_owned()],
        context,
        files,
    }
}

fn value(object: impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

/// Everything that a pod may be told.
const ALL: [&str; 27] = [
    "--builder-command",
    "/kaniko/executor",
    "--job-label",
    "team=a",
    "--service-account",
    "builder",
    "--image-pull-secret",
    "pull",
    "--request",
    "cpu=500m",
    "--request",
    "memory=1Gi",
    "--limit",
    "memory=4Gi",
    "--node-selector",
    "kubernetes.io/arch=amd64",
    "--registry-secret",
    "regcred",
    "--deadline",
    "90s",
    "--ttl",
    "1m",
    "--run-as-user",
    "cluster",
    "-t",
    "r.example/app",
    ".",
];

#[test]
fn manifests_are_what_the_api_knows_and_restricted_admits() {
    let mut files = Files::default();
    files.add("Containerfile", "FROM scratch\n");
    files.add("secrets/0", "hunter2");
    let hidden = files.add_variable("context", "https://me:hunter2@git.example/a.git");
    let contexts = [
        (Context::Streamed, files.clone()),
        (
            Context::Address("https://git.example/a.git".to_owned()),
            Files::default(),
        ),
        (Context::Hidden(hidden), files),
    ];
    for flags in [&["."][..], &ALL] {
        let job = job(flags);
        for (context, files) in contexts.clone() {
            let order = order(&job, context, files);
            let made = value(order.job());
            assert_eq!(faults(&made), Vec::<String>::new(), "{made:#}");
            assert_eq!(
                violations(&made["spec"]["template"]["spec"]),
                Vec::<String>::new()
            );
            assert!(!made.to_string().contains("hunter2"), "{made:#}");
            if let Some(secret) = order.secret(None).map(value) {
                assert_eq!(faults(&secret), Vec::<String>::new(), "{secret:#}");
            }
        }
    }
}

#[test]
fn what_the_flags_say_is_in_the_job() {
    let job = job(&ALL);
    let made = value(order(&job, Context::Streamed, Files::default()).job());
    let spec = &made["spec"];
    assert_eq!(spec["activeDeadlineSeconds"], 90);
    assert_eq!(spec["ttlSecondsAfterFinished"], 60);
    assert_eq!(spec["backoffLimit"], 0);
    assert_eq!(made["metadata"]["labels"]["team"], "a");
    assert_eq!(made["metadata"]["labels"], spec["template"]["metadata"]["labels"]);
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "builder");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["restartPolicy"], "Never");
    assert_eq!(pod["imagePullSecrets"], json!([{ "name": "pull" }]));
    assert_eq!(pod["nodeSelector"], json!({ "kubernetes.io/arch": "amd64" }));
    assert_eq!(
        pod["securityContext"],
        json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } })
    );
    let container = &pod["containers"][0];
    assert_eq!(
        container["resources"],
        json!({ "requests": { "cpu": "500m", "memory": "1Gi" }, "limits": { "memory": "4Gi" } })
    );
    assert_eq!(container["command"], json!(["/kaniko/executor"]));
    // What the cluster would take for a variable is escaped.
    assert_eq!(
        container["args"],
        json!([
            "build",
            "--authfile=/etc/rbuild-logins/config.json",
            "--build-arg=PRICE=$$(HOME) $$5",
            "--",
            "-"
        ])
    );
    assert_eq!(
        (&container["stdin"], &container["stdinOnce"]),
        (&json!(true), &json!(true))
    );
    let logins = json!({ "secretName": "regcred", "defaultMode": 0o444,
        "items": [{ "key": ".dockerconfigjson", "path": "config.json" }] });
    assert_eq!(pod["volumes"][1]["secret"], logins);
}

#[test]
fn a_context_that_others_have_is_not_streamed() {
    let job = job(&["https://git.example/a.git"]);
    let address = Context::Address("https://git.example/a.git#$x".to_owned());
    let made = value(order(&job, address, Files::default()).job());
    let container = &made["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (&container["stdin"], &container["args"][3]),
        (&json!(null), &json!("https://git.example/a.git#$$x"))
    );
    assert_eq!(
        made["spec"]["template"]["spec"]["securityContext"]["runAsUser"],
        65532
    );

    let hidden = Context::Hidden("0-context".to_owned());
    let made = value(order(&job, hidden, Files::default()).job());
    let container = &made["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"][3], "$(RBUILD_CONTEXT)");
    let from = json!({ "secretKeyRef": { "name": "rbuild-test", "key": "0-context" } });
    assert_eq!(container["env"][3]["valueFrom"], from);
}

#[test]
fn printed_manifests_say_the_same_as_those_that_are_made() {
    let job = job(&ALL);
    let mut files = Files::default();
    files.add("Containerfile", "FROM scratch\nLABEL a=\"yes: no\"\n");
    let order = order(&job, Context::Streamed, files);
    let json: Value = serde_json::from_str(&print::manifests(&order, Format::Json).unwrap()).unwrap();
    assert_eq!(
        json["items"],
        json!([value(order.secret(None)), value(order.job())])
    );
    let yaml = print::manifests(&order, Format::Yaml).unwrap();
    let documents = yaml_rust2::YamlLoader::load_from_str(&yaml).unwrap();
    let read: Vec<Value> = documents.iter().map(from_yaml).collect();
    assert_eq!(Value::Array(read), json["items"], "{yaml}");
}

fn from_yaml(yaml: &yaml_rust2::Yaml) -> Value {
    use yaml_rust2::Yaml;
    match yaml {
        Yaml::String(text) => json!(text),
        Yaml::Integer(number) => json!(number),
        Yaml::Boolean(value) => json!(value),
        Yaml::Array(list) => list.iter().map(from_yaml).collect(),
        Yaml::Hash(map) => map
            .iter()
            .map(|(key, value)| (key.as_str().unwrap().to_owned(), from_yaml(value)))
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// Which flags of `rbuild build` have which effect on the pod's command line: an example of each, and what comes of it. Those
/// that are not passed on are named below.
const PASSED: [(&[&str], &[&str]); 22] = [
    (&["-t", "r.example/a"], &["--tag=r.example/a"]),
    (&["--target", "s"], &["--target=s"]),
    (&["--build-arg", "A=1"], &["--build-arg=A=1"]),
    (&["--build-arg", "FROM_HERE"], &["--build-arg=FROM_HERE=here"]),
    (&["--build-arg", "MISSING"], &[]),
    (
        &["--build-context", "b=docker-image://debian"],
        &["--build-context=b=docker-image://debian"],
    ),
    (&["--label", "l=1"], &["--label=l=1"]),
    (&["--no-cache"], &["--no-cache"]),
    (
        &["--cache-from", "r.example/c:1"],
        &["--cache-from=type=registry,ref=r.example/c:1"],
    ),
    (
        &["--cache-to", "type=registry,ref=r.example/c,mode=min"],
        &["--cache-to=type=registry,ref=r.example/c,mode=min"],
    ),
    (&["--cache-mounts"], &["--cache-mounts"]),
    (&["--pull"], &["--pull"]),
    (&["--push"], &["--push"]),
    (
        &["-o", "type=registry,name=r.example/x"],
        &["--output=type=registry,name=r.example/x"],
    ),
    (&["--platform", "linux/arm64"], &["--platform=linux/arm64"]),
    (&["--quiet"], &["--quiet"]),
    (&["--compression", "zstd:7"], &["--compression=zstd:7"]),
    (&["--timestamp", "7"], &["--timestamp=7"]),
    (&["--rewrite-timestamp"], &["--rewrite-timestamp"]),
    (&["--squash"], &["--squash"]),
    (
        &["--secret", "id=a\"b,src=/dev/null"],
        &["--secret=\"id=a\"\"b\",src=/etc/rbuild/secrets/0"],
    ),
    (
        &["--source-image", "r.example/s", "--source-image-path", "/a:b"],
        &["--source-image=r.example/s", "--source-image-path=/a:b"],
    ),
];

/// Kept here, said by other means, or refused.
const KEPT: [&str; 9] = [
    "file",
    "iidfile",
    "metadata_file",
    "context",
    "check",
    "timings",
    "ssh",
    "isolation",
    "progress",
];

fn passed(flags: &[&str]) -> anyhow::Result<(Vec<String>, Files)> {
    let job = job(&[flags, &["."]].concat());
    let mut files = Files::default();
    let variables = |name: &str| (name == "FROM_HERE").then(|| "here".to_owned());
    let arguments = arguments::of(&job.build, &variables, &mut files)?;
    Ok((arguments, files))
}

#[test]
fn flags_of_build_are_passed_on() {
    for (flags, expected) in PASSED {
        let (arguments, _) = passed(flags).unwrap();
        let (always, own): (Vec<String>, Vec<String>) = arguments
            .into_iter()
            .partition(|one| one == "--progress=plain" || one == "--isolation=auto");
        assert_eq!(
            (always.len(), own),
            (2, expected.iter().map(|one| (*one).to_owned()).collect())
        );
    }
    let (arguments, _) = passed(&["--progress", "json", "--isolation", "supervised"]).unwrap();
    assert_eq!(arguments, ["--progress=json", "--isolation=supervised"]);
}

#[test]
fn no_flag_of_build_is_forgotten() {
    use clap::Args as _;
    let command = crate::cli::Build::augment_args(clap::Command::new("build"));
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let long = format!("--{}", argument.get_long().unwrap_or_default());
        let short = format!("-{}", argument.get_short().unwrap_or(' '));
        let passed = PASSED
            .iter()
            .any(|(flags, _)| flags.iter().any(|flag| *flag == long || *flag == short));
        assert!(passed || KEPT.contains(&id), "{id}");
    }
}

#[test]
fn what_a_pod_cannot_give_is_refused() {
    let cases: [(&[&str], &str); 7] = [
        (&["--check"], "rbuild check"),
        (&["--timings", "t.html"], "--timings"),
        (&["--ssh", "default"], "--ssh"),
        (
            &["--cache-from", "type=local,src=c"],
            "c: a pod cannot reach a cache",
        ),
        (
            &["--cache-to", "type=local,dest=c"],
            "c: a pod cannot reach a cache",
        ),
        (&["-o", "out"], "goes to a registry"),
        (&["--build-context", "b=/tmp"], "/tmp is on this machine"),
    ];
    for (flags, expected) in cases {
        let error = passed(flags).unwrap_err().to_string();
        assert!(error.contains(expected), "{flags:?}: {error}");
    }
}

#[test]
fn certificates_and_settings_for_registries_go_along() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["ca.crt", "own.cert", "own.key", "notes.txt"] {
        std::fs::write(directory.path().join(name), name).unwrap();
    }
    let conf = directory.path().join("registries.conf");
    std::fs::write(&conf, "unqualified-search-registries = []\n").unwrap();
    let flags = RegistryFlags {
        insecure: vec!["r.example".to_owned()],
        cert_dir: Some(directory.path().to_owned()),
        registries_conf: Some(conf),
        ..RegistryFlags::default()
    };
    let mut files = Files::default();
    let images = std::collections::BTreeSet::from(["r.example/a".to_owned()]);
    let arguments = super::registries::arguments(&flags, None, &images, &mut files).unwrap();
    assert_eq!(
        arguments,
        [
            "--insecure=r.example",
            "--cert-dir=/etc/rbuild/certificates",
            "--registries-conf=/etc/rbuild/registries.conf"
        ]
    );
    let paths: Vec<_> = files
        .entries()
        .iter()
        .filter_map(|entry| entry.path.as_deref())
        .collect();
    assert_eq!(
        paths,
        [
            "certificates/ca.crt",
            "certificates/own.cert",
            "certificates/own.key",
            "registries.conf"
        ]
    );
}
