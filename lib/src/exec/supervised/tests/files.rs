//! What programs do with files beyond opening them: they are watched, looked for within bounds, stood for, and looked
//! for in another root.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use rbuild_testutils::{
    cages::{Cage, inside},
    need,
};

use super::{Bench, compiled};
use crate::exec::User;

/// Checks what `files.c` says about something; Linux says the same to it in a container.
fn says(what: &str, user: User, expected: &str) {
    if need("busybox").is_none() || need("cc").is_none() {
        return;
    }
    let (_made, program) = compiled("files.c", &["-static"]);
    inside(Cage::Restricted, |room| {
        let bench = Bench::new(room);
        let mode = |path, mode| {
            fs::set_permissions(bench.root.join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::copy(&program, bench.root.join("program")).unwrap();
        mode("program", 0o711);
        fs::create_dir(bench.root.join("tmp")).unwrap();
        mode("tmp", 0o1777);
        bench.file("lower", 0o644, "lower");
        bench.file("hidden", 0o600, "secret");
        fs::create_dir(bench.root.join("closed")).unwrap();
        bench.file("closed/inner", 0o644, "in");
        mode("closed", 0o711);
        symlink("target", bench.root.join("link")).unwrap();
        assert_eq!(bench.run(&["/program", what], user).ok(), expected);
    });
}

#[test]
fn watched() {
    let expected = "made a\nmodified a\nwritten a\nattributes a\nfrom a\nto b\nremoved b\nmodified itself\nover\n\
        111111111\ndone\n";
    says("watches", User::default(), expected);
}

#[test]
fn within_bounds() {
    let expected = "\
        inner outer inner outer outer outer inner outer inner outer outer inner ok ok ok\n\
        inner XDEV inner XDEV XDEV XDEV inner XDEV inner XDEV XDEV XDEV XDEV XDEV XDEV\n\
        inner inner inner inner inner inner inner inner inner NOENT inner NOENT NOENT XDEV XDEV\n\
        inner outer inner outer outer LOOP LOOP LOOP LOOP LOOP outer inner ok LOOP LOOP\n\
        inner outer inner outer outer outer inner outer inner LOOP outer inner ok LOOP LOOP\n\
        inner outer inner outer outer XDEV inner outer inner XDEV outer inner XDEV XDEV XDEV\n\
        22 22 22 22 22 22 22 11 0 7 22 7\n1 0\ndone\n";
    says("bounds", User::default(), expected);
}

#[test]
fn stood_for() {
    let user = User {
        uid: 7,
        gid: 7,
        groups: Vec::new(),
    };
    let expected = "1 1 1 1\n1 target /link 1\n1 2 in1 1 1\n1 0\ndone\n";
    says("places", user, expected);
}

#[test]
fn another_root() {
    let once = "0 0 -1 1\n1\n";
    says("root", User::default(), &(once.repeat(3) + "1\n1\ndone\n"));
}
