//! `rbuild check`, and times and compression of `rbuild build`.

use std::{ffi::OsStr, fs};

use rbuild_testutils::need;
use serde_json::Value;

use crate::common::{PROGRAM, Place};

const FILE: &str = "FROM scratch AS Base\nCOPY a /\nMAINTAINER me\nWORKDIR x\n";

#[test]
fn findings_in_words() {
    let place = Place::new();
    place.write("app/Containerfile", FILE);
    let ran = place.run(["check", "app"]);
    assert_eq!(ran.code, Some(1));
    let expected = "\
warning[StageNameCasing]: stage name Base should be in lower case
 --> app/Containerfile:1:17
  |
1 | FROM scratch AS Base
  |                 [CARETS]
";
    assert!(ran.stdout.starts_with(expected), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("warning[MaintainerDeprecated]"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("warning[WorkdirRelativePath]"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.ends_with("0 errors, 3 warnings\n"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
    assert_eq!(place.run(["build", "--check", "app"]).stdout, ran.stdout);
}

#[test]
fn nothing_found() {
    let place = Place::new();
    place.write("app/Containerfile", "FROM scratch\nCOPY a /\n");
    assert_eq!(
        place.run(["check", "app"]).succeeded().stdout,
        "app/Containerfile: nothing found\n"
    );
    let skipped = "# check=skip=StageNameCasing,MaintainerDeprecated,WorkdirRelativePath\n";
    place.write("app/Containerfile", &format!("{skipped}{FILE}"));
    place.run(["check", "app"]).succeeded();
}

#[test]
fn findings_for_programs() {
    let place = Place::new();
    place.write("app/Containerfile", "FROM scratch\nCOPPY a /\n");
    let ran = place.run(["check", "--format", "json", "app"]);
    assert_eq!(ran.code, Some(1));
    let rows: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(rows[0]["severity"], "error");
    assert_eq!(rows[0]["help"], "did you mean COPY?");
    assert_eq!((&rows[0]["line"], &rows[0]["column"]), (&2.into(), &1.into()));
    assert_eq!(
        (&rows[0]["end_line"], &rows[0]["end_column"]),
        (&2.into(), &6.into())
    );

    let log: Value = serde_json::from_str(&place.run(["check", "--format", "sarif", "app"]).stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(22));
    let result = &run["results"][0];
    assert_eq!(result["level"], "error");
    let place_of = &result["locations"][0]["physicalLocation"];
    assert_eq!(place_of["artifactLocation"]["uri"], "app/Containerfile");
    assert_eq!(place_of["region"]["startLine"], 2);
}

#[test]
fn a_file_may_ask_for_no_findings_at_all() {
    let place = Place::new();
    place.write(
        "app/Containerfile",
        "# check=error=true\nFROM scratch AS Base\nENV A=1\n",
    );
    let ran = place.run(["build", "app"]);
    assert_eq!(ran.code, Some(125));
    assert!(
        ran.stderr
            .starts_with("error: stage name Base should be in lower case\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_time_makes_images_the_same() {
    let place = Place::new();
    place.write(
        "app/Containerfile",
        "FROM scratch\nCOPY <<EOF /f\ntext\nEOF\nWORKDIR /d\n",
    );
    let build = |flag: &str| {
        let root = place.path(&format!("store{flag}"));
        let arguments = [
            "--root".as_ref(),
            root.as_os_str(),
            "build".as_ref(),
            "-q".as_ref(),
            flag.as_ref(),
        ];
        place
            .run(arguments.into_iter().chain(["app".as_ref()]))
            .succeeded()
            .stdout
    };
    assert_eq!(build("--timestamp=1000"), build("--timestamp=0001000"));
    assert_ne!(build("--timestamp=1000"), build("--timestamp=2000"));
    let compressed = ["gzip", "zstd:1", "none"].map(|how| build(&format!("--compression={how}")));
    assert!(
        compressed[0] != compressed[1] && compressed[1] != compressed[2],
        "{compressed:?}"
    );
}

#[test]
fn one_processor_and_many_make_the_same() {
    if need("taskset").is_none() {
        return;
    }
    let place = Place::new();
    place.write(
        "app/Containerfile",
        "FROM scratch\nCOPY . /app\nCOPY large /again\n",
    );
    for number in 0..300 {
        let text = format!("{number} ").repeat(number * 7);
        place.write(&format!("app/{}/{number}", number % 7), &text);
    }
    fs::write(place.path("app/large"), half_random(3_000_000)).unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = allowed.unwrap().trim().split([',', '-']).next().unwrap();
    for how in ["gzip", "gzip:9", "zstd", "none"] {
        let build = |store: &str, before: &[&str]| {
            let build = ["build", "-q", "--timestamp=1000", "--compression", how, "app"];
            let words = [before, &[PROGRAM, "--root", store], &build].concat();
            let (program, arguments) = words.split_first().unwrap();
            let mut command = place.command_through(OsStr::new(program), arguments);
            place.finish(&command.output().unwrap()).succeeded().stdout
        };
        let one = build(&format!("one-{how}"), &["taskset", "-c", first]);
        let many = build(&format!("many-{how}"), &[]);
        assert!(one.starts_with("sha256:"), "{one}");
        assert_eq!(one, many, "{how}");
    }
}

/// Bytes that compress somewhat, and differently everywhere.
fn half_random(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 60) as u8
    };
    (0..length).map(|_| next()).collect()
}
