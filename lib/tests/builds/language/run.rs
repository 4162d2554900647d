//! What a RUN sees.

use crate::common::case;

/// PATH, HOME and the like; umask; the shell's name.
#[test]
fn surroundings() {
    case("FROM busybox\nENV A=1\nARG B=2\nRUN env | grep -E '^(A|B|HOME|PATH|PWD)=' | sort > /o; umask >> /o; echo $0 >> /o").makes(
        "/o f644 A=1\\nB=2\\nHOME=/root\\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\\nPWD=/\\n0022\\n/bin/sh",
    );
}

/// The JSON form needs no shell, and searches PATH.
#[test]
fn json_form() {
    case("FROM busybox\nRUN [\"touch\", \"/a b\", \"/$HOME\"]\nRUN [\"nosuchprogram\"]").fails("127");
    case("FROM busybox\nRUN [\"touch\", \"/a b\", \"/$HOME\"]").makes("/$HOME f644\n/a b f644");
}

/// SHELL chooses the program of the shell form.
#[test]
fn shell() {
    case("FROM busybox\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN false; echo not reached").fails("exit code 1");
    case("FROM busybox\nSHELL [\"/bin/busybox\", \"touch\", \"/fixed\"]\nRUN /given")
        .makes("/fixed f644\n/given f644");
}

/// The code of the last command counts; a signal is 128 and its number.
#[test]
fn exit_codes() {
    case("FROM busybox\nRUN false; true").makes("");
    case("FROM busybox\nRUN exit 3").fails("exit code 3");
    case("FROM busybox\nRUN sh -c 'kill -9 $$'; exit $?").fails("signal 9");
}

/// Standard input is empty; nothing is a terminal.
#[test]
fn standard_input() {
    case("FROM busybox\nRUN cat > /o; for fd in 0 1 2; do test -t $fd || echo no $fd; done >> /o")
        .makes("/o f644 no 0\\nno 1\\nno 2");
}

/// /proc, /dev and /sys are there; what is put into /dev is not kept, nor what is mounted in /etc.
#[test]
fn devices() {
    case("FROM busybox\nRUN test -d /proc/self && test -c /dev/null && test -d /dev/shm && touch /dev/x && ls /etc/resolv.conf /etc/hosts > /o")
        .makes("/o f644 /etc/hosts\\n/etc/resolv.conf");
}

/// A process that is left behind neither holds up the build nor reaches a later step.
#[test]
fn left_behind() {
    case("FROM busybox\nRUN (sleep 300; touch /late) & setsid sleep 301 & echo started > /o\nRUN ps | grep -c '[s]leep' >> /o; true")
        .makes("/o f644 started\\n0");
}

/// An image with one program only: the mount points of a RUN are kept.
#[test]
fn on_scratch() {
    let case = case(
        "FROM busybox AS b\nFROM scratch\nCOPY --from=b /bin/busybox /busybox\nRUN [\"/busybox\",\"touch\",\"/x\"]",
    );
    let Some(made) = case.made() else { return };
    let added: Vec<&str> = made.0.tree.keys().map(String::as_str).collect();
    assert_eq!(added, ["/busybox", "/dev", "/proc", "/sys", "/x"]);
}

/// `--network=none` has no interface but its own, and no route; `--security=insecure` is refused.
#[test]
fn flags() {
    case("FROM busybox\nRUN --network=none wc -l < /proc/net/route > /n; ls /sys/class/net >> /n")
        .makes("/n f644 1\\nlo");
    case("FROM busybox\nRUN --security=insecure true").fails("insecure");
}

/// Root has the groups that list it, also where no USER says so; a group in USER leaves none.
#[test]
fn groups_of_root() {
    case(
        "FROM busybox
         RUN echo 'more:x:77:root,nobody' > /etc/group
         RUN id -G | tr ' ' '\\n' | grep -c 77 > /o
         USER 0:0
         RUN id -G | tr ' ' '\\n' | grep -c 77 >> /o; true",
    )
    .makes("/etc/group f644 more:x:77:root,nobody\n/o f644 1\\n0");
}

/// Also where the kernel lets nobody make them: then the step begins again, and nothing is left of its first attempt.
#[test]
fn device_nodes() {
    case(
        "FROM busybox
         RUN echo once >> /log && mknod /c c 1 3 && mknod -m 600 /b b 7 0 && chown 5:6 /b && test -c /c
         RUN mv /c /moved && test -b /b
         RUN rm /b && test -c /moved && mknod /p p && (mknod /none c 0 0 2> /dev/null || echo no > /whiteout)",
    )
    .makes("/log f644 once\n/moved c644 1,3\n/p p644\n/whiteout f644 no");
}
