//! Errors, each as the user sees it, whole.

use rbuild_testutils::need;

use crate::common::{PROGRAM, Place, Ran};

/// Builds `app` with this Containerfile and nothing on the screen but the error.
fn build(place: &Place, containerfile: &str) -> Ran {
    place.write("app/Containerfile", containerfile);
    let base = concat!(
        "busybox=oci-layout://",
        env!("CARGO_MANIFEST_DIR"),
        "/../testdata/busybox"
    );
    place.run(["build", "-q", "--build-context", base, "app"])
}

#[test]
fn no_context() {
    Place::new().run(["build", "-q", "nowhere"]).failed(
        125,
        "\
error: cannot use the context nowhere
  caused by: No such file or directory (os error 2)
",
    );
}

#[test]
fn no_containerfile() {
    let place = Place::new();
    place.write("app/other", "");
    place.run(["build", "-q", "app"]).failed(125, "");
}

#[test]
fn no_such_file_in_the_context() {
    let place = Place::new();
    place.write("app/main.py", "");
    build(&place, "FROM scratch\nCOPY mian.py /\n").failed(125, "");
}

#[test]
fn a_file_that_an_ignore_file_hides() {
    let place = Place::new();
    place.write("app/main.py", "");
    place.write("app/.dockerignore", "*.py\n");
    build(&place, "FROM scratch\nCOPY main.py /\n").failed(125, "");
}

#[test]
fn a_syntax_error() {
    build(&Place::new(), "FROM scratch\nCOPPY a /\nENV\n").failed(125, "");
}

#[test]
fn an_unknown_base() {
    build(&Place::new(), "FROM oci-layout-of-nothing:1\n").failed(125, "");
}

#[test]
fn a_registry_that_is_down() {
    // Port 1 of loopback: nothing listens there.
    build(&Place::new(), "FROM 127.0.0.1:1/app\n").failed(125, "");
}

#[test]
fn a_run_that_fails() {
    let place = Place::new();
    build(
        &place,
        "FROM busybox\nRUN echo to stdout; echo to stderr >&2; exit 7\n",
    )
    .failed(7, "");
}

#[test]
fn a_disk_that_fills_up() {
    let Some(unshare) = need("unshare") else { return };
    let place = Place::new();
    place.write("app/Containerfile", "FROM scratch\nCOPY big /\n");
    std::fs::write(place.path("app/big"), incompressible(4 << 20)).unwrap();
    std::fs::create_dir(place.path("store")).unwrap();
    let script = "mount -t tmpfs -o size=2m tmpfs \"$RBUILD_ROOT\" && exec \"$0\" build -q app";
    let mut command = place.command_through(
        unshare,
        ["--map-root-user", "--mount", "sh", "-c", script, PROGRAM],
    );
    place.finish(&command.output().unwrap()).failed(125, "");
}

/// Bytes that do not get smaller.
fn incompressible(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}
