//! How Kaniko's flags are read.

use super::flags::Given;

fn parse(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Given, String> {
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let given = Given::parse(&arguments, |name| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    given.map_err(|error| error.to_string())
}

#[test]
fn forms() {
    let given = parse(
        &[
            "-d",
            "a",
            "-db",
            "-d=c",
            "--destination",
            "d",
            "--destination=e",
            "-f",
            "D",
            "--cache",
            "--cache-run-layers=false",
            "--tarPath",
            "t",
            "--customPlatform=linux/arm64",
            "--target=",
        ],
        &[],
    )
    .unwrap();
    assert_eq!(
        given.all("destination").collect::<Vec<_>>(),
        ["a", "b", "c", "d", "e"]
    );
    assert_eq!(
        (given.one("dockerfile"), given.one("tar-path")),
        (Some("D"), Some("t"))
    );
    assert_eq!(
        (given.one("custom-platform"), given.one("target")),
        (Some("linux/arm64"), None)
    );
    assert!(given.on("cache").unwrap() && !given.on("cache-run-layers").unwrap());
    assert!(!given.on("insecure").unwrap() && given.on("cache-copy-layers").unwrap());
    assert!(given.notices().is_empty());
}

#[test]
fn mistakes() {
    for (arguments, expected) in [
        (&["--nosuch"][..], "unknown flag --nosuch"),
        (&["--cach=true"], "unknown flag --cach; there is --cache"),
        (&["-x"], "unknown flag -x"),
        (&["context"], "context: expected a flag"),
        (&["-"], "-: expected a flag"),
        (&["--"], "unknown flag --"),
        (&["--destination"], "--destination needs a value"),
        (
            &["--no-push=perhaps"],
            "--no-push=perhaps: expected true or false",
        ),
    ] {
        assert_eq!(parse(arguments, &[]).unwrap_err(), expected);
    }
    let given = parse(&["--push-retry=x", "--registry-map=a=b;c"], &[]).unwrap();
    assert!(given.number("push-retry").is_err() && given.pairs("registry-map").is_err());
}

#[test]
fn the_environment_says_what_arguments_do_not() {
    let environment = [
        ("KANIKO_NO_PUSH", "true"),
        ("KANIKO_TARGET", "of-environment"),
        ("KANIKO_REGISTRY_MAP", "a=b;c=d/e"),
        ("KANIKO_DIR", "/k"),
    ];
    let given = parse(&["--target", "of-argument"], &environment).unwrap();
    assert!(given.on("no-push").unwrap());
    assert_eq!(
        (given.one("target"), given.one("kaniko-dir")),
        (Some("of-argument"), Some("/k"))
    );
    assert_eq!(given.pairs("registry-map").unwrap(), [("a", "b"), ("c", "d/e")]);
}

#[test]
fn what_changes_nothing_is_said() {
    let given = parse(
        &[
            "--snapshotMode=redo",
            "--cleanup",
            "--use-new-run=true",
            "--force",
        ],
        &[],
    )
    .unwrap();
    let notices = given.notices();
    assert_eq!(notices.len(), 4);
    assert!(
        notices
            .iter()
            .any(|line| line.starts_with("--snapshot-mode changes nothing: "))
    );
}
