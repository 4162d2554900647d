//! Ignore files and `--exclude`.

use crate::common::case;

/// Comments, negation, anchors, `**`; the last match wins; the Containerfile may be hidden.
#[test]
fn patterns() {
    let rules = "# c\n*.log\n!keep.log\n**/*.tmp\n/a/b/m\nmodules\n!modules/x\n  READ*  \nContainerfile\n.dockerignore\n";
    case("FROM scratch\nCOPY . /")
        .file(".dockerignore", rules)
        .file("Containerfile", "")
        .file("a/b/k.tmp", "")
        .file("a/b/m", "")
        .file("a/b/n", "")
        .file("keep.log", "")
        .file("modules/x/y", "")
        .file("modules/z", "")
        .file("README.md", "")
        .file("x.log", "")
        .makes(
            "/a d755
             /a/b d755
             /a/b/n f644
             /keep.log f644
             /modules d755
             /modules/x d755
             /modules/x/y f644",
        );
}

/// A file below hidden directories can come back.
#[test]
fn a_file_comes_back() {
    case("FROM scratch\nCOPY . /")
        .file(".dockerignore", "*\n!s/t/f\n")
        .file("s/t/f", "")
        .file("s/g", "")
        .file("h", "")
        .makes("/s d755\n/s/t d755\n/s/t/f f644");
}

/// A hidden file is not there, and the error says who hides it.
#[test]
fn a_hidden_source() {
    case("FROM scratch\nCOPY a.log /")
        .file(".dockerignore", "*.log\n")
        .file("a.log", "")
        .fails("\"a.log\" is not in the context");
}

/// `.containerignore` beats `.dockerignore`, and a file beside the Containerfile beats both.
#[test]
fn which_file_counts() {
    let both = || {
        case("FROM scratch\nCOPY f* /")
            .file(".dockerignore", "f1\n")
            .file(".containerignore", "f2\n")
            .file("f1", "")
            .file("f2", "")
            .file("f3", "")
    };
    both().makes("/f1 f644\n/f3 f644");
    let own = both()
        .file("C", "FROM scratch\nCOPY f* /\n")
        .file("C.dockerignore", "f3\n");
    own.with(|build| build.containerfile_in_context("C"))
        .makes("/f1 f644\n/f2 f644");
}

/// Ignore files do not apply to `--from`.
#[test]
fn stages_are_not_ignored() {
    case("FROM scratch AS a\nCOPY <<E /s/x.log\nE\nFROM scratch\nCOPY --from=a /s /s")
        .file(".dockerignore", "**\n")
        .makes("/s d755\n/s/x.log f644");
}

/// A lone `!` is an error.
#[test]
fn a_lone_mark() {
    case("FROM scratch\nCOPY . /")
        .file(".dockerignore", "!\n")
        .fails(".dockerignore");
}

/// `--exclude` goes by the path in each source directory; what the source itself names stays.
#[test]
fn exclude() {
    case(
        "FROM scratch
         COPY --exclude=*.txt . /a/
         COPY --exclude=**/*.txt . /b/
         COPY --exclude=d/* --exclude=!d/keep . /c/
         COPY --exclude=*.txt to* /e/",
    )
    .file("top.txt", "")
    .file("d/b.txt", "")
    .file("d/keep", "")
    .makes(
        "/a d755
         /a/d d755
         /a/d/b.txt f644
         /a/d/keep f644
         /b d755
         /b/d d755
         /b/d/keep f644
         /c d755
         /c/d d755
         /c/d/keep f644
         /c/top.txt f644
         /e d755
         /e/top.txt f644",
    );
}
