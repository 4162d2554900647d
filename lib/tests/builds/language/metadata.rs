//! Owners, modes, times and links of what is copied.

use crate::common::case;

/// Files of the context become root's, those of a stage keep their owner.
#[test]
fn owners_come_from_stages_only() {
    case(
        "FROM busybox AS a
         RUN mkdir -m 711 /d && echo x > /d/f && chown -R 5:6 /d && chmod 640 /d/f
         FROM busybox
         COPY f /c
         COPY --from=a /d /d
         COPY --from=a /d/f /new/f
         COPY --from=a --chown=9 /d /d9",
    )
    .file("f", "f\n")
    .makes(
        "/c f644 f
         /d d755
         /d/f f640 5:6 x
         /d9 d755 9:9
         /d9/f f640 9:9 x
         /new d755
         /new/f f640 5:6 x",
    );
}

/// `--chown` takes numbers and names: `7` is `7:7`, `daemon` its group, `:8` is `0:8`, an unknown name is root.
#[test]
fn chown() {
    case(
        "FROM busybox
         COPY --chown=7 f /a
         COPY --chown=7:8 f /b
         COPY --chown=:8 f /c
         COPY --chown=daemon f /d
         COPY --chown=nosuch:nogrp f /e",
    )
    .file("f", "")
    .makes("/a f644 7:7\n/b f644 7:8\n/c f644 0:8\n/d f644 2:2\n/e f644");
    case("FROM scratch\nCOPY --chown=daemon f /f")
        .file("f", "")
        .fails("daemon");
}

/// `--chmod` octal applies to all, its permissions also to directories that it makes; symbolic modes go by what is there.
#[test]
fn chmod() {
    case(
        "FROM scratch
         COPY --chmod=640 d /p
         COPY --chmod=u=rwX,go=rX d /q
         COPY --chmod=4755 f /r/f",
    )
    .file("f", "")
    .file("d/q", "")
    .mode("d/q", 0o600)
    .directory("d/s")
    .mode("d/s", 0o700)
    .makes(
        "/p d640
         /p/q f640
         /p/s d640
         /q d755
         /q/q f644
         /q/s d755
         /r d755
         /r/f f4755",
    );
}

/// Without `--chmod`, files keep their modes with set-id bits, and directories below the copied one, too.
#[test]
fn modes_are_kept() {
    case("FROM scratch\nCOPY . /o/")
        .file("f", "")
        .mode("f", 0o6711)
        .file("d/g", "")
        .mode("d", 0o1777)
        .makes("/o d755\n/o/d d1777\n/o/d/g f644\n/o/f f6711");
}

/// An existing directory keeps mode and owner; nested ones take those of the source.
#[test]
fn existing_directories() {
    case(
        "FROM busybox
         RUN mkdir -m 700 -p /t && mkdir -m 700 /t/sub && chown 3:3 /t /t/sub
         COPY src /t",
    )
    .file("src/sub/f", "")
    .mode("src/sub", 0o751)
    .makes("/t d700 3:3\n/t/sub d751\n/t/sub/f f644");
}

/// Copied files and directories have the source's times, made ones the build's.
#[test]
fn times() {
    let case = case("FROM scratch\nCOPY d /x\nCOPY d/f /made/f\nCOPY <<E /h\nE").file("d/f", "");
    case.made().unwrap().times(
        "/h f644 @now
         /made d755 @now
         /made/f f644 @then
         /x d755 @then
         /x/f f644 @then",
    );
}

/// Names of one file stay so inside one source, not across sources.
#[test]
fn hard_links() {
    case("FROM scratch\nCOPY d /d\nCOPY d/a d/b /e/")
        .file("d/a", "x\n")
        .hard_link("d/b", "d/a")
        .makes("/d d755\n/d/a f644 x\n/d/b f644 =/d/a\n/e d755\n/e/a f644 x\n/e/b f644 x");
}

/// Empty directories are copied, too.
#[test]
fn empty_directories() {
    case("FROM scratch\nCOPY e /e\nCOPY . /all/")
        .directory("e")
        .directory("n/m")
        .makes("/all d755\n/all/e d755\n/all/n d755\n/all/n/m d755\n/e d755");
}

/// SOURCE_DATE_EPOCH is the time of the image and its history, and with rewriting the latest of any file.
#[test]
fn source_date_epoch() {
    let containerfile = "FROM scratch\nWORKDIR /w\nCOPY f /f\nCOPY <<E /h\nE\nENV A=1";
    let plain = case(containerfile)
        .file("f", "")
        .arg("SOURCE_DATE_EPOCH", "900000000");
    let made = plain
        .made()
        .unwrap()
        .times("/f f644 @then\n/h f644 @900000000\n/w d755 @900000000");
    let created = "1998-07-09T16:00:00Z";
    assert_eq!(made.0.config["created"], created);
    for entry in made.0.config["history"].as_array().unwrap() {
        assert_eq!(entry["created"], created);
    }
    let rewritten = case(containerfile)
        .file("f", "")
        .arg("SOURCE_DATE_EPOCH", "900000000");
    let rewritten = rewritten.with(rbuild::Build::rewrite_timestamps).made().unwrap();
    rewritten.times("/f f644 @900000000\n/h f644 @900000000\n/w d755 @900000000");
}
