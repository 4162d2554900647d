//! What is done again, and why.

use std::{fs, time::SystemTime};

use crate::common::{Room, may_run};

const WORK: &str = "FROM busybox
ENV E=1
COPY a /a
RUN cat /a > /b
COPY c /c
RUN cat /c > /d
";

/// A room with the files of [`WORK`], which was built there.
fn built() -> Option<Room> {
    if !may_run() {
        return None;
    }
    let room = Room::new();
    room.write("a", "a\n");
    room.write("c", "c\n");
    let (_, steps) = room.steps(room.build(WORK));
    let expected = ["COPY a /a", "RUN cat /a > /b", "COPY c /c", "RUN cat /c > /d"];
    assert_eq!(
        steps,
        expected.map(|step| format!("{step}: not built here before"))
    );
    Some(room)
}

#[track_caller]
fn how(steps: &[String]) -> Vec<&str> {
    steps
        .iter()
        .map(|step| step.rsplit_once(": ").unwrap().1)
        .collect()
}

/// The same again runs nothing, and gives the same image.
#[test]
fn unchanged() {
    let Some(room) = built() else { return };
    let (first, _) = room.steps(room.build(WORK));
    let (second, steps) = room.steps(room.build(WORK));
    assert_eq!(how(&steps), ["cached"; 4]);
    assert_eq!(first.digest(), second.digest());
    room.flat(&second);
}

/// A changed file redoes its COPY and what depends on that; what comes before is left alone.
#[test]
fn a_changed_file() {
    let Some(room) = built() else { return };
    room.write("c", "changed\n");
    let (image, steps) = room.steps(room.build(WORK));
    assert_eq!(
        how(&steps),
        ["cached", "cached", "c changed", "the layers below changed"]
    );
    let flat = room.flat(&image);
    assert_eq!(
        flat.tree["/d"].kind,
        rbuild_testutils::flat::Kind::File(b"changed\n".to_vec())
    );
    room.write("c", "c\n");
    assert_eq!(how(&room.steps(room.build(WORK)).1), ["cached"; 4]);
}

/// What was made before a step failed is not made again.
#[test]
fn after_a_failure() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    room.write("a", "a\n");
    let text = |last| format!("FROM busybox\nCOPY a /a\nRUN cat /a > /b\nRUN {last}\n");
    assert!(room.run(room.build(&text("exit 3"))).is_err());
    let (image, steps) = room.steps(room.build(&text("cat /b > /c")));
    assert_eq!(how(&steps)[..2], ["cached"; 2]);
    let flat = room.flat(&image);
    assert_eq!(
        flat.tree["/c"].kind,
        rbuild_testutils::flat::Kind::File(b"a\n".to_vec())
    );
}

/// A file that was written to again before a clock could tell is seen to have changed.
#[test]
fn changed_at_once() {
    let room = Room::new();
    let text = "FROM scratch\nCOPY a /a\n";
    for round in 0..20 {
        let content = format!("{round:04}");
        room.write("a", &content);
        let image = room.run(room.build(text)).unwrap();
        let flat = room.flat(&image);
        assert_eq!(
            flat.tree["/a"].kind,
            rbuild_testutils::flat::Kind::File(content.into_bytes())
        );
    }
}

/// A time alone is no change, a mode is one.
#[test]
fn times_and_modes() {
    let Some(room) = built() else { return };
    let file = fs::File::options().append(true).open(room.path("c")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(how(&room.steps(room.build(WORK)).1), ["cached"; 4]);
    let mut mode = file.metadata().unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
    file.set_permissions(mode).unwrap();
    assert_eq!(
        how(&room.steps(room.build(WORK)).1)[2..],
        ["c changed", "the layers below changed"]
    );
}

/// A changed line is a new command; one that only changes the config redoes the RUNs that see it. What comes after a
/// step that makes the same layer as before is not done again.
#[test]
fn changed_lines() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    room.write("a", "a\n");
    room.write("c", "c\n");
    let build = |text: &str| {
        let build = room
            .build(text)
            .arg("SOURCE_DATE_EPOCH", "1")
            .rewrite_timestamps();
        room.steps(build).1
    };
    build(WORK);
    let line = WORK.replace("cat /c > /d", "cat /c > /e");
    assert_eq!(how(&build(&line))[2..], ["cached", "the command changed"]);
    let variable = line.replace("E=1", "E=2");
    assert_eq!(
        how(&build(&variable)),
        [
            "cached",
            "the variable E changed",
            "cached",
            "the variable E changed"
        ]
    );
    let label = WORK.replace("ENV E=1", "ENV E=1\nLABEL l=1");
    assert_eq!(how(&build(&label)), ["cached"; 4]);
}

/// A file in the context that no COPY takes does not matter.
#[test]
fn other_files() {
    let Some(room) = built() else { return };
    room.write("other", "");
    assert_eq!(how(&room.steps(room.build(WORK)).1), ["cached"; 4]);
}

/// Without the cache everything is done again, and remembered.
#[test]
fn no_cache() {
    let Some(room) = built() else { return };
    assert_eq!(
        how(&room.steps(room.build(WORK).no_cache()).1),
        ["the cache is off"; 4]
    );
    assert_eq!(how(&room.steps(room.build(WORK)).1), ["cached"; 4]);
}

/// A build-arg counts from its ARG on, for steps that can see it, and not at all without one.
#[test]
fn build_args() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    room.write("a", "a\n");
    let text = "FROM busybox\nRUN echo 1 > /1\nARG V\nCOPY a /a\nRUN echo 2 > /2\n";
    let build = |name: &str, value: &str| room.steps(room.build(text).arg(name, value)).1;
    build("V", "1");
    assert_eq!(how(&build("V", "1")), ["cached"; 3]);
    assert_eq!(
        how(&build("V", "2")),
        ["cached", "cached", "the variable V changed"]
    );
    build("V", "1");
    assert_eq!(
        how(&build("OTHER", "1")),
        ["cached", "cached", "the variable V changed"]
    );
}

/// Proxies and secrets are not part of any key.
#[test]
fn proxies_and_secrets() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    let text = "FROM busybox\nRUN --mount=type=secret,id=s,target=/s test -s /s\n";
    let build = |secret: &str, proxy: &str| {
        let build = room.build(text).secret("s", secret).arg("HTTP_PROXY", proxy);
        room.steps(build).1
    };
    build("one", "http://one");
    assert_eq!(how(&build("two", "http://two")), ["cached"]);
}

/// Stages have results of their own: a change in one leaves the other alone.
#[test]
fn two_stages() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    room.write("a", "a\n");
    room.write("b", "b\n");
    let text = "FROM busybox AS one\nCOPY a /a\nRUN cp /a /made\nFROM busybox\nCOPY b /b\nRUN cp /b /c\nCOPY --from=one /made /made\n";
    room.steps(room.build(text));
    room.write("a", "changed\n");
    let (_, steps) = room.steps(room.build(text));
    let expected = [
        "a changed",
        "the layers below changed",
        "cached",
        "cached",
        "/made changed",
    ];
    assert_eq!(how(&steps), expected);
    // What the RUN makes is the same, whatever else there is below.
    let other = text.replace("cp /a /made", "cp /a /made; echo other > /other");
    assert_eq!(
        how(&room.steps(room.build(&other)).1)[1..],
        ["the command changed", "cached", "cached", "cached"]
    );
}

/// With `--link`, a layer does not depend on what is below it.
#[test]
fn link() {
    let room = Room::new();
    room.write("a", "a\n");
    room.write("b", "b\n");
    let text = "FROM scratch\nCOPY b /b\nCOPY --link a /x/a\nCOPY a /y/a\n";
    room.steps(room.build(text));
    room.write("b", "changed\n");
    let (_, steps) = room.steps(room.build(text));
    assert_eq!(how(&steps), ["b changed", "cached", "the layers below changed"]);
}

/// COPY and ADD of the same archive to the same place are not the same, `--link` or not.
#[test]
fn copy_is_not_add() {
    for flag in ["", "--link "] {
        let room = Room::new();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o644);
        tar.append_data(&mut header, "inside", &b"i\n"[..]).unwrap();
        room.write("a", tar.into_inner().unwrap());
        let tree = |word: &str| {
            let built = room
                .run(room.build(&format!("FROM scratch\n{word} {flag}a /x/\n")))
                .unwrap();
            room.flat(&built).tree.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(tree("COPY"), ["/x", "/x/a"]);
        assert_eq!(tree("ADD"), ["/x", "/x/inside"]);
    }
}

/// A name below decides the owner, also with `--link`.
#[test]
fn names_of_owners() {
    let room = Room::new();
    room.write("f", "");
    let owner = |uid: u32| {
        room.write("passwd", format!("me:x:{uid}:{uid}::/:/bin/sh\n"));
        let text = "FROM scratch\nCOPY passwd /etc/passwd\nCOPY --link --chown=me f /f\n";
        let built = room.run(room.build(text)).unwrap();
        room.flat(&built).tree["/f"].uid
    };
    assert_eq!([owner(5), owner(6)], [5, 6]);
}

/// A result whose layer is gone, or whose record is damaged, is made again.
#[test]
fn lost_results() {
    let Some(room) = built() else { return };
    let root = room.store.root().to_owned();
    for directory in ["steps", "blobs/sha256", "trees"] {
        let damage = |path: &std::path::Path| match directory {
            "blobs/sha256" => fs::remove_file(path).unwrap(),
            _ => fs::write(path, "torn").unwrap(),
        };
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            damage(&entry.unwrap().path());
        }
        let built = room.run(room.build(WORK)).unwrap();
        room.flat(&built);
    }
}

/// Two RUNs that change nothing make the same layer. What they touched must not show where the other one is used.
#[test]
fn equal_layers_over_different_ones() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    let text = "FROM busybox\nCOPY a /d/a\nRUN chmod u+r /d/a && touch -r /d /d\nRUN cat /d/a > /o\n";
    for content in ["one\n", "two\n"] {
        room.write("a", content);
        let built = room.run(room.build(text)).unwrap();
        let found = room.flat(&built).tree["/o"].kind.clone();
        assert_eq!(
            found,
            rbuild_testutils::flat::Kind::File(content.as_bytes().to_vec())
        );
    }
}

/// A directory that was made anew hides what was in it, and no more than that where the same layer is used again.
#[test]
fn hidden_by_one_layer_only() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    room.write("d/q", "");
    let build = |run: &str| {
        let text = format!("FROM busybox\nCOPY d /d\nRUN {run}\nRUN ls /d > /o\n");
        let built = room
            .run(
                room.build(&text)
                    .arg("SOURCE_DATE_EPOCH", "1")
                    .rewrite_timestamps(),
            )
            .unwrap();
        (
            built.image().layers()[2].diff_id,
            room.flat(&built).tree["/o"].kind.clone(),
        )
    };
    let (anew, _) = build("rm -r /d && mkdir /d");
    room.write("d/r", "");
    let (removed, left) = build("rm /d/q");
    assert_eq!(anew, removed);
    assert_eq!(left, rbuild_testutils::flat::Kind::File(b"r\n".to_vec()));
}
