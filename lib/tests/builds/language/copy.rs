//! COPY: what is taken, and where it goes.

use crate::common::case;

/// A slash at the end of the target means a directory; the contents of a directory are copied, not itself.
#[test]
fn trailing_slashes() {
    case(
        "FROM scratch
         COPY f /x
         COPY f /y/
         COPY d /z
         COPY d/ /w/
         COPY f d /m/",
    )
    .file("f", "f\n")
    .file("d/q", "q\n")
    .makes(
        "/m d755
         /m/f f644 f
         /m/q f644 q
         /w d755
         /w/q f644 q
         /x f644 f
         /y d755
         /y/f f644 f
         /z d755
         /z/q f644 q",
    );
}

/// Relative targets are under WORKDIR.
#[test]
fn relative_targets() {
    case(
        "FROM scratch
         WORKDIR /w
         COPY f h
         COPY f .
         COPY d sub/",
    )
    .file("f", "f\n")
    .file("d/q", "q\n")
    .makes(
        "/w d755
         /w/f f644 f
         /w/h f644 f
         /w/sub d755
         /w/sub/q f644 q",
    );
}

/// Several files to a name without a slash overwrite one another, also when a wildcard finds them.
#[test]
fn the_last_of_several_wins() {
    case("FROM scratch\nCOPY f g /m\nCOPY *.txt /n")
        .file("f", "f\n")
        .file("g", "g\n")
        .file("a.txt", "a\n")
        .file("b.txt", "b\n")
        .makes("/m f644 g\n/n f644 b");
}

/// A wildcard takes hidden files, goes path by path, and flattens directories.
#[test]
fn wildcards() {
    case(
        "FROM scratch
         COPY * /o/
         COPY d?/x /q
         COPY */y /p/",
    )
    .file(".h", "h\n")
    .file("d1/x", "1\n")
    .file("d2/x", "2\n")
    .file("d2/y", "3\n")
    .makes(
        "/o d755
         /o/.h f644 h
         /o/x f644 2
         /o/y f644 3
         /p d755
         /p/y f644 3
         /q f644 2",
    );
}

/// A wildcard may find nothing; a plain name must be there.
#[test]
fn nothing_found() {
    case("FROM scratch\nCOPY f /f\nCOPY *.none /n/")
        .file("f", "")
        .makes("/f f644");
    case("FROM scratch\nCOPY none /n/")
        .file("f", "")
        .fails("\"none\" is not in the context");
}

/// `[[]` is the character itself; a backslash of the word is gone before names are matched; JSON takes names with blanks.
#[test]
fn odd_names() {
    case(
        r#"FROM scratch
           COPY a[[]0] /a
           COPY q\?m /q
           COPY ["sp ace", "/b c"]"#,
    )
    .file("a[0]", "1\n")
    .file("q?m", "2\n")
    .file("qxm", "3\n")
    .file("sp ace", "4\n")
    .makes("/a f644 1\n/b c f644 4\n/q f644 3");
}

/// A source cannot leave the context: `..` stops at its top.
#[test]
fn sources_stay_in_the_context() {
    case("FROM scratch\nCOPY ../f /a\nCOPY /f /b\nCOPY ./d/../f /c")
        .file("f", "f\n")
        .directory("d")
        .makes("/a f644 f\n/b f644 f\n/c f644 f");
}

/// A symlink that is named as a source is followed, inside the context; in a directory it is copied as it is.
#[test]
fn symlinks_as_sources() {
    case("FROM scratch\nCOPY lf /a\nCOPY ld /b\nCOPY dir /d")
        .file("real/r", "r\n")
        .file("f", "f\n")
        .link("lf", "f")
        .link("ld", "real")
        .link("dir/lf", "../f")
        .makes(
            "/a f644 f
             /b d755
             /b/r f644 r
             /d d755
             /d/lf l777 -> ../f",
        );
    case("FROM scratch\nCOPY out /a")
        .link("out", "/etc/passwd")
        .fails("\"out\" is not in the context");
}

/// Symlinks in the target are followed inside the root filesystem, also where they point nowhere.
#[test]
fn symlinks_in_targets() {
    case(
        "FROM busybox
         RUN mkdir /real && ln -s /real /link && ln -s ../../../real /up && ln -s nowhere /dang && ln -s real/g /file
         COPY f /link/
         COPY d /up
         COPY f /dang/h
         COPY f /file",
    )
    .file("f", "f\n")
    .file("d/x", "x\n")
    .makes(
        "/dang l777 -> nowhere
         /file l777 -> real/g
         /link l777 -> /real
         /nowhere d755
         /nowhere/h f644 f
         /real d755
         /real/f f644 f
         /real/g f644 f
         /real/x f644 x
         /up l777 -> ../../../real",
    );
}

/// An entry of a copied directory replaces a symlink of its name; a directory cannot.
#[test]
fn symlinks_inside_targets() {
    let base = "FROM busybox\nRUN mkdir /t /other && echo old > /t/real && ln -s real /t/link && ln -s /other /t/dl\n";
    case(&format!("{base}COPY src /t/"))
        .file("src/link", "new\n")
        .makes(
            "/other d755
         /t d755
         /t/dl l777 -> /other
         /t/link f644 new
         /t/real f644 old",
        );
    case(&format!("{base}COPY src /t/"))
        .file("src/dl/x", "")
        .fails("cannot copy");
}

/// With `--link`, nothing below is looked at: a symlink in the target is replaced.
#[test]
fn link_looks_at_nothing_below() {
    case("FROM busybox\nRUN mkdir /real && ln -s real /lnk\nCOPY --link f /lnk/f")
        .file("f", "f\n")
        .makes("/lnk d755\n/lnk/f f644 f\n/real d755");
}

/// Files do not replace directories, nor directories files.
#[test]
fn conflicts() {
    case("FROM busybox\nRUN echo x > /f\nCOPY d /f")
        .file("d/a", "")
        .fails("cannot copy");
    case("FROM busybox\nRUN mkdir -p /t/f\nCOPY src /t")
        .file("src/f", "")
        .fails("cannot copy");
}

/// `--parents` keeps the directories of the source, from the first `/./` on.
#[test]
fn parents() {
    case("FROM scratch\nCOPY --parents a/b/f /x/\nCOPY --parents a/./b/f /y/")
        .file("a/b/f", "f\n")
        .makes(
            "/x d755
             /x/a d755
             /x/a/b d755
             /x/a/b/f f644 f
             /y d755
             /y/b d755
             /y/b/f f644 f",
        );
}

/// Each COPY is one layer, and the history has it as written.
#[test]
fn history() {
    let case =
        case("FROM scratch\nARG N=f\nCOPY --chown=1:1 --chmod=600 $N /f\nCOPY [\"f\", \"/g\"]").file("f", "");
    let made = case.made().unwrap();
    made.layers(2).history(
        "(ARG N=f)
         COPY --chown=1:1 --chmod=600 f /f # buildkit
         COPY f /g # buildkit",
    );
}
