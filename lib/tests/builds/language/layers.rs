//! What of a RUN's work is kept.

use crate::common::case;

const BEFORE: &str = "FROM busybox\nRUN mkdir -p /d/e && echo 1 > /d/f && echo 2 > /d/g && ln -s f /d/l\n";

fn after(run: &str, tree: &str) {
    case(&format!("{BEFORE}RUN {run}")).makes(tree);
}

/// Files and directories that are removed are gone; one that is made again is new.
#[test]
fn whiteouts() {
    after("rm -r /d", "");
    after("rm /d/f /d/l && rmdir /d/e", "/d d755\n/d/g f644 2");
    after("rm -r /d && mkdir /d && echo 3 > /d/h", "/d d755\n/d/h f644 3");
    after("rm -r /d && echo 3 > /d", "/d f644 3");
    case("FROM busybox\nRUN rm /etc/passwd && rm -r /var").makes("/etc/passwd gone\n/var gone");
}

/// Types replace one another.
#[test]
fn types() {
    after(
        "cd /d && rm f && mkdir f && rmdir e && ln -s g e && rm l && mkfifo l",
        "/d d755\n/d/e l777 -> g\n/d/f d755\n/d/g f644 2\n/d/l p644",
    );
}

/// Renames, of directories from lower layers, too.
#[test]
fn renames() {
    after(
        "mv /d /n && mv /n/f /n/g",
        "/n d755\n/n/e d755\n/n/g f644 1\n/n/l l777 -> f",
    );
}

/// Modes and owners alone, set-id and sticky bits, of files and directories.
#[test]
fn modes_and_owners() {
    after(
        "chmod 4750 /d/f && chown 7:8 /d/g && chmod 1777 /d/e && chown -h 9:9 /d/l && chmod g+s /d",
        "/d d2755\n/d/e d1777\n/d/f f4750 1\n/d/g f644 7:8 2\n/d/l l777 9:9 -> f",
    );
}

/// Hard links stay one file, in one layer and across.
#[test]
fn hard_links() {
    case("FROM busybox\nRUN mkdir /d && echo x > /d/a && ln /d/a /d/b && ln /d/a /d/c")
        .makes("/d d755\n/d/a f644 x\n/d/b f644 =/d/a\n/d/c f644 =/d/a");
}

/// Times are whole seconds, and kept; those of the build are now.
#[test]
fn times() {
    let case = case("FROM busybox\nRUN echo > /now && touch -d @1234 /then && mkdir /d && touch -d @99 /d");
    let Some(made) = case.made() else { return };
    let entry = |path: &str| made.0.tree[path].mtime;
    assert_eq!((entry("/then"), entry("/d")), (1234, 99));
    assert!(entry("/now") > 1_600_000_000);
}

/// A RUN that changes nothing makes an empty layer.
#[test]
fn nothing() {
    let Some(made) = case("FROM busybox\nRUN true").made() else {
        return;
    };
    made.tree("").layers(1).history("RUN /bin/sh -c true # buildkit");
}

/// Names that are not UTF-8, long, or odd.
#[test]
fn names() {
    let run = "mkdir /n && cd /n && touch -- -x ' a' 'b\\c' \"$(printf '\\303\\274')\" $(printf 'x%.0s' $(seq 200))";
    let long = "x".repeat(200);
    case(&format!("FROM busybox\nRUN {run}")).makes(&format!(
        "/n d755\n/n/ a f644\n/n/-x f644\n/n/b\\c f644\n/n/{long} f644\n/n/ü f644"
    ));
}

/// What is written in one RUN is there in the next one, on as many layers as there are.
#[test]
fn many_layers() {
    let lines: String = (0..70).map(|i| format!("RUN echo {i} >> /o\n")).collect();
    let Some(made) = case(&format!("FROM busybox\n{lines}RUN wc -l < /o > /n && rm /o")).made() else {
        return;
    };
    made.tree("/n f644 70").layers(71);
}
