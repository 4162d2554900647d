//! Steps that run under supervision make the very layers that they make in a root of mounts.

use std::{fs::File, thread, time::Duration};

use rbuild::exec::{Engine, Isolation, ProbeConfig};
use rbuild_testutils::skip;

use crate::common::{Room, engine};

/// The digests of a build, by mounts and under supervision; they must be one.
#[track_caller]
fn same(containerfile: &str) {
    same_in(&Room::new(), containerfile);
}

#[track_caller]
fn same_in(room: &Room, containerfile: &str) {
    if !both_work(room) {
        return;
    }
    let [mounted, supervised] = [Isolation::Mounts, Isolation::Supervised].map(|isolation| {
        let build = room
            .build(containerfile)
            .arg("SOURCE_DATE_EPOCH", "1500000000")
            .rewrite_timestamps()
            .secret("word", "open sesame")
            .isolation(isolation)
            .no_cache();
        let built = room.run(build);
        let built = built.unwrap_or_else(|error| panic!("{isolation:?}: {}", crate::common::chain(&error)));
        // Where they differ, this says how.
        let flat = room.flat(&built);
        let seen: Vec<String> = flat
            .tree
            .iter()
            .map(|entry| format!("{entry:?}"))
            .chain(flat.entries.into_iter().flatten())
            .collect();
        (built.digest().to_string(), seen)
    });
    let differs: Vec<_> = std::iter::zip(&mounted.1, &supervised.1)
        .filter(|(a, b)| a != b)
        .take(5)
        .collect();
    assert!(differs.is_empty(), "{containerfile}: {differs:#?}");
    assert_eq!(mounted.0, supervised.0, "{containerfile}");
}

fn both_work(room: &Room) -> bool {
    if engine().is_none_or(|engine| !engine.mounts()) {
        skip("there is no root of mounts to compare with");
        return false;
    }
    let supervised = Engine::probe(&ProbeConfig {
        isolation: Isolation::Supervised,
        ..ProbeConfig::new(room.dir.path())
    });
    match supervised {
        Ok(_) => true,
        Err(error) => {
            skip(&error.to_string());
            false
        }
    }
}

#[test]
fn files_and_directories() {
    same(
        "FROM busybox
RUN mkdir -p /a/b /a/c && echo 1 > /a/b/f && echo 2 >> /etc/passwd && rm /etc/group && touch /a/empty
RUN rm -r /a/b && mkdir /a/b && echo 3 > /a/b/g && mv /a/c /a/d && mv /a/empty /a/d/full && truncate -s 3 /a/d/full
RUN rm -r /a && echo file > /a
RUN rm /a && mkdir /a && ln -s /etc/passwd /a/link && ln -s nowhere /a/dangling && cat /a/link > /a/copy
RUN mv /a/copy /a/link && sed -i s/root/toor/ /a/link && cd /a && pwd > here && ls -a / /a /dev > all",
    );
}

#[test]
fn owners_and_modes() {
    same(
        "FROM busybox
RUN cp /bin/busybox /bin/own && chown 5:6 /bin/own && chmod 6755 /bin/own && chown 7 /bin/own && mkdir -m 1777 /t \
 && mkdir -m 2775 /s && chgrp 9 /s && touch /s/in && mkdir /s/dir && chmod 0 /s/in && stat -c '%n %a %u %g' /s /t /s/* /t > /seen
RUN chmod u+s /bin/own && chown -R 1000:1000 /s && umask 077 && touch /private && mkdir /closed && stat -c '%n %a %u %g' /* > /seen2
USER 1000:1000
RUN touch /t/mine /s/mine && mkdir /t/dir && id > /t/who && (touch /etc/no || echo denied > /t/denied) && (cat /private || echo closed >> /t/denied) && chmod 4755 /t/mine
USER root
RUN stat -c '%n %a %u %g' /t/* /s/* > /seen3 && chown 3:4 /t/mine && test -w /private && rm -r /t/dir",
    );
}

#[test]
fn hard_links_and_renames_across_layers() {
    same(
        "FROM busybox
RUN mkdir /d && echo one > /d/a && ln /d/a /d/b && ln /d/a /c && echo two > /d/x
RUN echo three > /d/b && chmod 600 /c && ln /d/x /d/y && mv /d/y /z && stat -c %h /d/a /d/b /d/x > /seen
RUN mv /d/a /moved && rm /d/b && ln /moved /again && mkdir /e && mv /d/x /e/x && ln -s x /e/l && ln /e/l /e/m
RUN mv /moved /e/x && touch -d '2001-02-03 04:05:06' /again && mv /e /f && ls -i /f | wc -l > /seen2",
    );
}

#[test]
fn pipes_devices_and_sockets() {
    same(
        "FROM busybox
RUN mkfifo /p && (echo through > /p & cat /p > /got) && mknod /n p && (mknod /c c 1 3 || true) && (mknod /b b 7 0 || true) \
 && ls -l /c /b /p | cut -c1-10 > /seen && (cat /c 2> /dev/null || echo closed > /closed) && rm -f /c
RUN cat < /dev/null > /nothing && head -c 8 /dev/zero | wc -c > /eight && readlink /proc/self/exe /dev/stdout | head -1 > /exe && echo out > /dev/stderr",
    );
}

#[test]
fn mounts_leave_nothing() {
    let room = Room::new();
    room.write("app/one", "1");
    room.write("app/dir/two", "2");
    same_in(
        &room,
        "FROM busybox AS other
RUN mkdir /made && echo of the other > /made/file
FROM busybox
RUN --mount=type=bind,source=app,target=/new/app --mount=type=secret,id=word cat /new/app/one /new/app/dir/two /run/secrets/word > /read
RUN --mount=type=cache,target=/var/cache/x echo kept > /var/cache/x/f && ls /var > /seen
RUN --mount=type=cache,target=/var/cache/x cat /var/cache/x/f > /from-cache
RUN --mount=type=tmpfs,target=/etc touch /etc/gone && ls /etc > /seen-etc; cat /etc/passwd >> /seen-etc || true
RUN --mount=from=other,source=/made,target=/made,rw cat /made/file > /read2 && echo more > /made/file && touch /made/new && ls /made >> /read2
RUN --mount=type=bind,from=other,target=/ro (touch /ro/x || echo read-only) > /read3 2> /dev/null; rmdir /ro 2> /dev/null || echo busy >> /read3
RUN mkdir /mnt/x && ls /mnt /new /made > /seen4 2>&1 || true",
    );
}

#[test]
fn scratch_gets_its_mount_points() {
    let room = Room::new();
    same_in(
        &room,
        "FROM busybox AS box
FROM scratch
COPY --from=box /bin/busybox /busybox
RUN [\"/busybox\", \"touch\", \"/file\"]",
    );
}

#[test]
fn scripts_users_and_processes() {
    same(
        "FROM busybox
RUN echo 'joe:x:1000:1000::/home/joe:/bin/sh' >> /etc/passwd && mkdir -p /home/joe && chown 1000:1000 /home/joe && printf '#!/bin/sh\\necho script $0 $@\\n' > /bin/say && chmod +x /bin/say
RUN say a b > /said && (cd /home && /bin/say > joe/said) && test ! -e /proc/1/environ -o -r /proc/self/status && sh -c 'exit 3' || echo $? > /code
RUN for i in 1 2 3 4 5 6 7 8 9; do (echo $i > /n$i) & done; wait; cat /n? | sort > /all && chroot /home /bin/sh -c true 2> /dev/null || echo no shell > /chrooted",
    );
}

#[test]
fn failures_are_told() {
    let room = Room::new();
    if !both_work(&room) {
        return;
    }
    let build = room
        .build("FROM busybox\nRUN echo so far && exit 7")
        .isolation(Isolation::Supervised);
    let error = crate::common::chain(&room.run(build).err().unwrap());
    assert!(error.contains('7'), "{error}");
    let build = room
        .build("FROM busybox\nRUN [\"/no/such\"]")
        .isolation(Isolation::Supervised);
    let error = crate::common::chain(&room.run(build).err().unwrap());
    assert!(error.contains("127"), "{error}");
}

/// A child that is forked while a program is unpacked has it open for writing for a moment.
#[test]
fn a_program_of_the_store_that_is_open_for_writing_is_waited_for() {
    let room = Room::new();
    if !both_work(&room) {
        return;
    }
    let build = |text: &str| {
        let build = room.build(text).isolation(Isolation::Supervised).no_cache();
        room.run(build)
            .unwrap_or_else(|error| panic!("{}", crate::common::chain(&error)))
    };
    build("FROM busybox\nRUN true\n");
    let layers = room.dir.path().join("store/layers/plain");
    let files = walkdir::WalkDir::new(&layers).into_iter().map(Result::unwrap);
    let program = files.filter(|file| file.file_type().is_file());
    let program = program.max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    let written = File::options().write(true).open(program.path()).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(500));
            drop(written);
        });
        build("FROM busybox\nRUN echo again\n");
    });
}
