//! All commands but `build`.

use std::process::Command;

use crate::common::Place;

#[test]
fn version_and_help_go_to_standard_output() {
    let place = Place::new();
    let version = format!("rbuild {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(place.run(["version"]).succeeded().stdout, version);
    assert_eq!(place.run(["--version"]).succeeded().stdout, version);
    assert!(
        place
            .run(["build", "--help"])
            .succeeded()
            .stdout
            .contains("--build-context <NAME=WHERE>")
    );
}

#[test]
fn a_wrong_command_line_is_an_error_of_our_own() {
    let ran = Place::new().run(["build", "-o", "type=zip", "."]);
    let expected = "\
error: invalid value 'type=zip' for '--output <SPEC>': unknown type \"zip\"; known are registry, oci, docker, oci-archive, local, tar

For more information, try '--help'.
";
    ran.failed(125, expected);
}

#[test]
fn an_empty_store_has_no_images() {
    let place = Place::new();
    assert_eq!(
        place.run(["images"]).succeeded().stdout,
        "NAME  DIGEST  CREATED  SIZE\n"
    );
    assert_eq!(place.run(["images", "--json"]).succeeded().stdout, "[]\n");
    assert_eq!(
        place.run(["prune"]).succeeded().stdout,
        "removed 0 files and layers, 0 B\n"
    );
}

#[test]
fn du_adds_up_to_what_du_says() {
    let place = Place::new();
    place.run(["images"]).succeeded();
    let ours = place.run(["du"]).succeeded().stdout;
    let total = ours
        .lines()
        .find(|line| line.starts_with("total"))
        .and_then(|line| line.split(' ').next_back());
    let theirs = Command::new("du")
        .args(["-s", "--block-size=1"])
        .arg(place.path("store"))
        .output()
        .unwrap();
    let theirs = String::from_utf8(theirs.stdout).unwrap();
    assert_eq!(total, theirs.split('\t').next());
}

#[test]
fn a_name_that_is_not_there_cannot_be_removed() {
    let expected = "\
error: no image \"nothing\" in [DIR]/store
hint: `rbuild images` lists those there are
";
    Place::new().run(["rmi", "nothing"]).failed(125, expected);
}

#[test]
fn a_directory_that_is_no_store_is_left_alone() {
    let place = Place::new();
    place.write("precious/file", "");
    let ran = place.run(["--root", "precious", "images"]);
    ran.failed(
        125,
        "error: [DIR]/precious is not a store of rbuild: it holds \"file\"\n",
    );
}
