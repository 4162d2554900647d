//! FROM, `--from`, ONBUILD.

use rbuild::build::NamedContext;

use crate::common::case;

/// `--from` takes a number or a name.
#[test]
fn names_and_numbers() {
    case("FROM scratch AS a\nCOPY f /f\nFROM scratch\nCOPY g /g\nFROM scratch\nCOPY --from=0 /f /0\nCOPY --from=a /f /a\nCOPY --from=1 /g /1")
        .file("f", "f\n")
        .file("g", "g\n")
        .makes("/0 f644 f\n/1 f644 g\n/a f644 f");
}

/// A later stage cannot be named.
#[test]
fn no_later_stage() {
    let case = case("FROM scratch AS first\nCOPY --from=later /x /x\nFROM scratch AS later\nCOPY f /x");
    case.file("f", "")
        .with(|build| build.target("first"))
        .fails("later");
}

/// Stages that the target does not need are not built.
#[test]
fn only_what_is_needed() {
    case("FROM nosuch.invalid/image AS bad\nCOPY none /none\nFROM scratch\nCOPY f /f")
        .file("f", "")
        .makes("/f f644");
    let target = case("FROM scratch AS a\nCOPY f /f\nFROM scratch\nCOPY none /none").file("f", "");
    target.with(|build| build.target("a")).makes("/f f644");
}

/// Quotes in global arguments are gone when FROM uses them.
#[test]
fn quoted_base() {
    case("ARG I=\"busybox\"\nARG T='latest'\nFROM ${I}:${T} AS x\nFROM x\nENV Q=1").makes("");
}

/// Named contexts: a directory for `--from`, and in place of an image.
#[test]
fn named_contexts() {
    let case = case("FROM scratch\nCOPY --from=other /q /q").file("d/q", "q\n");
    case.with(|build| build).fails("other");
    let room = tempfile::tempdir().unwrap();
    std::fs::write(room.path().join("q"), "q\n").unwrap();
    let directory = NamedContext::Directory(room.path().to_owned());
    let case = crate::common::case("FROM scratch\nCOPY --from=other /q /q");
    case.with(|build| build.build_context("other", directory))
        .makes("/q f644 q");
}

/// Triggers run first in the child, and not in its children; they leave no history of their own in the parent.
#[test]
fn onbuild() {
    let case = case(
        "FROM busybox AS b
         ONBUILD RUN echo trigger $X > /o
         ONBUILD COPY f /f
         ONBUILD ENV Q=1
         ENV X=1
         FROM b AS c
         RUN cat /o > /c
         FROM c
         RUN ls /f /c > /ls",
    );
    let Some(made) = case.file("f", "").made() else {
        return;
    };
    made.tree("/c f644 trigger 1\n/f f644\n/ls f644 /c\\n/f\n/o f644 trigger 1")
        .history(
            "(ENV X=1)
         RUN /bin/sh -c echo trigger $X > /o # buildkit
         COPY f /f # buildkit
         (ENV Q=1)
         RUN /bin/sh -c cat /o > /c # buildkit
         RUN /bin/sh -c ls /f /c > /ls # buildkit",
        );
}

/// Triggers of the last stage are stored as written; some instructions cannot be one.
#[test]
fn stored_triggers() {
    let made =
        case("FROM scratch\nENV PATH=/b\nONBUILD ADD . /x\nONBUILD RUN <<E\necho hi\nE").with(|build| build);
    let Some(made) = made.made() else { return };
    made.config("Env [\"PATH=/b\"]\nOnBuild [\"ADD . /x\",\"RUN <<E\\necho hi\\nE\"]")
        .history("(ENV PATH=/b)");
    for wrong in ["ONBUILD RUN x", "FROM x", "MAINTAINER x"] {
        case(&format!("FROM scratch\nONBUILD {wrong}")).fails("ONBUILD");
    }
}

/// The layers of a base image are those of the base image, byte for byte.
#[test]
fn layers_of_the_base_are_untouched() {
    let made = case("FROM busybox\nCOPY f /f").file("f", "").made().unwrap();
    made.layers(1);
}
