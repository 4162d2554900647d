//! Errors, each as the user sees it, whole.

use std::ffi::OsString;

use rbuild_testutils::{
    need,
    registry::{Auth, Fault, Kind, TestRegistry},
};

use crate::common::{BUSYBOX, PROGRAM, Place, Ran, push_busybox};

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
    place.run(["build", "-q", "app"]).failed(
        125,
        "\
error: there is no Containerfile and no Dockerfile in app
hint: name the file with -f FILE
",
    );
}

#[test]
fn no_such_file_in_the_context() {
    let place = Place::new();
    place.write("app/main.py", "");
    build(&place, "FROM scratch\nCOPY mian.py /\n").failed(
        125,
        "\
error: \"mian.py\" is not in the context app
 --> app/Containerfile:2:1
  |
2 | COPY mian.py /
  | [CARETS]
hint: did you mean \"main.py\"?
",
    );
}

#[test]
fn a_file_that_an_ignore_file_hides() {
    let place = Place::new();
    place.write("app/main.py", "");
    place.write("app/.dockerignore", "*.py\n");
    build(&place, "FROM scratch\nCOPY main.py /\n").failed(
        125,
        "\
error: \"main.py\" is not in the context app
 --> app/Containerfile:2:1
  |
2 | COPY main.py /
  | [CARETS]
hint: it is there, but app/.dockerignore hides it
",
    );
}

#[test]
fn syntax_errors() {
    build(&Place::new(), "FROM scratch\nCOPPY a /\nENV\n").failed(
        125,
        "\
error: unknown instruction COPPY
 --> app/Containerfile:2:1
  |
2 | COPPY a /
  | [CARETS]
  = help: did you mean COPY?
error[InvalidInstruction]: ENV needs at least one argument
 --> app/Containerfile:3:1
  |
3 | ENV
  | [CARETS]
",
    );
}

#[test]
fn an_unknown_base() {
    let registry = TestRegistry::start();
    build(&Place::new(), &format!("FROM {}/nothing:1\n", registry.host())).failed(
        125,
        "\
error: cannot use the image 127.0.0.1:[PORT]/nothing:1: 127.0.0.1:[PORT]/nothing:1: no such image in the registry \
(MANIFEST_UNKNOWN: manifest unknown)
 --> app/Containerfile:1:6
  |
1 | FROM 127.0.0.1:[PORT]/nothing:1
  |      [CARETS]
hint: check the spelling of the name and the tag
",
    );
}

#[test]
fn a_registry_that_is_down() {
    // Port 1 of loopback: nothing listens there.
    build(&Place::new(), "FROM 127.0.0.1:1/app\n").failed(
        125,
        "\
error: cannot use the image 127.0.0.1:[PORT]/app: 127.0.0.1:[PORT]/app:latest: cannot reach 127.0.0.1:[PORT]: Connection refused (os error 111)
 --> app/Containerfile:1:6
  |
1 | FROM 127.0.0.1:[PORT]/app
  |      [CARETS]
hint: check that the registry runs and that its name and port are right
",
    );
}

#[test]
fn a_wrong_password() {
    let registry = TestRegistry::with_auth(Auth::basic("me", "right"));
    let place = Place::new();
    // The password is "wrong".
    let login = format!(
        r#"{{"auths": {{"{}": {{"auth": "bWU6d3Jvbmc="}}}}}}"#,
        registry.host()
    );
    place.write("home/.docker/config.json", &login);
    build(&place, &format!("FROM {}/app\n", registry.host())).failed(
        125,
        "\
error: cannot use the image 127.0.0.1:[PORT]/app: 127.0.0.1:[PORT]/app:latest: the registry refuses access: \
user \"me\" from [DIR]/home/.docker/config.json was not accepted; log in with `rbuild login 127.0.0.1:[PORT]` (UNAUTHORIZED: authentication required)
 --> app/Containerfile:1:6
  |
1 | FROM 127.0.0.1:[PORT]/app
  |      [CARETS]
",
    );
}

#[test]
fn a_blob_with_a_wrong_digest() {
    let registry = TestRegistry::start();
    push_busybox(&registry);
    registry.fault(Kind::BlobGet, 1000, Fault::WrongBytes);
    let containerfile = format!("FROM {}/busybox\nRUN true\n", registry.host());
    build(&Place::new(), &containerfile).failed(
        125,
        "\
error: cannot use the image 127.0.0.1:[PORT]/busybox: 127.0.0.1:[PORT]/busybox: wrong content: \
expected sha256:cf272ac82c11a5a27fffe26e1b6c6df05cdb095247b66f78c6e47d3635dcb7f2, \
got sha256:fc23b4de782e29b0ce4a988e9f4fac1c2d9418b27c1d6ad0d01cd168b58f6696
 --> app/Containerfile:1:6
  |
1 | FROM 127.0.0.1:[PORT]/busybox
  |      [CARETS]
",
    );
}

#[test]
fn a_run_that_fails() {
    build(
        &Place::new(),
        "FROM busybox\nRUN echo to stdout; echo to stderr >&2; exit 7\n",
    )
    .failed(
        7,
        "\
error: the command ended with exit code 7
 --> app/Containerfile:2:1
  |
2 | RUN echo to stdout; echo to stderr >&2; exit 7
  | [CARETS]
last output:
  to stdout
  to stderr
",
    );
}

/// An ordinary user who has no subordinate ids, and insists on mounts.
#[test]
fn no_subordinate_ids() {
    let Some(setpriv) = need("setpriv") else { return };
    let place = Place::new();
    place.write("app/Containerfile", "FROM busybox\nRUN true\n");
    place.open_to_everyone();
    let base = format!("busybox=oci-layout://{}", place.copy_of_busybox().display());
    let program = place.copy_of_program();
    let user = ["--reuid=61001", "--regid=61001", "--clear-groups"].map(OsString::from);
    let build = [
        "build",
        "-q",
        "--isolation=mounts",
        "--build-context",
        &base,
        "app",
    ]
    .map(OsString::from);
    let arguments = user.into_iter().chain([program.into_os_string()]).chain(build);
    place
        .finish(&place.command_through(setpriv, arguments).output().unwrap())
        .failed(
            125,
            "\
error: isolation by mounts is not available in this environment: /etc/subuid has no range for 61001
 --> app/Containerfile:2:1
  |
2 | RUN true
  | [CARETS]
hint: as root, add a range: echo 61001:100000:65536 >> /etc/subuid
",
        );
}

/// The same with subordinate ids, where no user namespaces can be made.
#[test]
fn no_user_namespaces() {
    let Some(unshare) = need("unshare") else { return };
    let place = Place::new();
    place.write("app/Containerfile", "FROM busybox\nRUN true\n");
    place.write("ids", "root:100000:65536\n");
    let script = "mount --bind ids /etc/subuid && mount --bind ids /etc/subgid &&
        echo 0 > /proc/sys/user/max_user_namespaces &&
        exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" build -q --isolation=mounts \
             --build-context busybox=oci-layout://\"$1\" app";
    let arguments = ["--map-root-user", "--mount", "sh", "-c", script, PROGRAM, BUSYBOX];
    place
        .finish(&place.command_through(unshare, arguments).output().unwrap())
        .failed(
            125,
            "\
error: isolation by mounts is not available in this environment: user namespaces are not available \
(sysctl user.max_user_namespaces is 0)
  caused by: No space left on device (os error 28)
 --> app/Containerfile:2:1
  |
2 | RUN true
  | [CARETS]
hint: run as root with CAP_SYS_ADMIN, or allow user namespaces: sysctl user.max_user_namespaces (must not be 0), \
kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)
",
        );
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
    place.finish(&command.output().unwrap()).failed(
        125,
        "\
error: cannot write the layer
  caused by: cannot write to [DIR]/store/tmp
  caused by: No space left on device (os error 28)
 --> app/Containerfile:2:1
  |
2 | COPY big /
  | [CARETS]
hint: `rbuild prune` frees space; --root DIR or RBUILD_ROOT puts the store elsewhere
",
    );
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
