//! WORKDIR and USER.

use crate::common::case;

/// Relative ones join; variables are expanded; each but `/` makes a layer, even an empty one.
#[test]
fn directories_join() {
    let made = case(
        "FROM scratch\nENV PATH=/b D=/x\nWORKDIR a\nWORKDIR b/../c/\nWORKDIR $D/$N\nWORKDIR y\nWORKDIR y/..",
    )
    .made()
    .unwrap();
    made.tree("/a d755\n/a/c d755\n/x d755\n/x/y d755")
        .layers(5)
        .config("Env [\"PATH=/b\",\"D=/x\"]\nWorkingDir \"/x/y\"");
    let root = case("FROM scratch\nWORKDIR /").made().unwrap();
    root.layers(0).history("(WORKDIR /)");
}

/// What it makes belongs to USER; what is there stays as it is.
#[test]
fn directories_belong_to_the_user() {
    let made = case("FROM busybox\nUSER 5:6\nWORKDIR /n/m\nWORKDIR /etc")
        .made()
        .unwrap();
    made.tree("/n d755 5:6\n/n/m d755 5:6").layers(2);
}

/// The config keeps the path as written, symlinks and all.
#[test]
fn symlinks_are_kept() {
    let case =
        case("FROM busybox\nRUN mkdir /real && ln -s /real /ln\nWORKDIR /ln/sub\nCOPY f .").file("f", "");
    let Some(made) = case.made() else { return };
    made.tree("/ln l777 -> /real\n/real d755\n/real/sub d755\n/real/sub/f f644")
        .config("WorkingDir \"/ln/sub\"");
}

/// A RUN is there.
#[test]
fn a_run_starts_there() {
    case("FROM busybox\nWORKDIR /w\nRUN pwd > here && cd / && echo > top\nRUN pwd >> here")
        .makes("/top f644 \n/w d755\n/w/here f644 /w\\n/w");
}

/// Users and groups by name and number, looked up in the image; HOME follows; COPY stays root's.
#[test]
fn users() {
    case(
        "FROM busybox
         USER daemon
         RUN echo $(id -u) $(id -g) $HOME > /tmp/a
         USER 1234
         RUN echo $(id -u) $(id -g) $HOME > /tmp/b
         USER nobody:5
         RUN echo $(id -u) $(id -g) $(id -G) > /tmp/c
         COPY f /tmp/f",
    )
    .file("f", "")
    .makes(
        "/tmp/a f644 2:2 2 2 /sbin
         /tmp/b f644 1234:0 1234 0 /
         /tmp/c f644 65534:5 65534 5 5
         /tmp/f f644",
    );
}

/// A user that the image lacks stops a RUN and nothing else.
#[test]
fn unknown_users() {
    case("FROM busybox\nUSER nosuch\nRUN id").fails("no user \"nosuch\"");
    case("FROM busybox\nUSER nosuch\nCOPY f /f")
        .file("f", "")
        .makes("/f f644");
}
