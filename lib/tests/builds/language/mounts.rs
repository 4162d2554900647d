//! `RUN --mount`.

use crate::common::case;

/// From the context and from a stage; read-only unless `rw`, and then thrown away; mount points are not kept.
#[test]
fn bind() {
    case(
        "FROM busybox AS s
         RUN mkdir /d && echo z > /d/z
         FROM busybox
         WORKDIR /w
         RUN --mount=target=/m --mount=type=bind,from=s,source=/d,target=n,rw cat /m/f n/z > /o; echo w > n/w; touch /m/q 2>/dev/null || echo ro >> /o
         RUN ls /m /w/n 2>/dev/null >> /o; true",
    )
    .file("f", "f\n")
    .makes("/o f644 f\\nz\\nro\n/w d755");
}

/// A file can be mounted, and keys go by any case.
#[test]
fn bind_of_a_file() {
    case("FROM busybox\nRUN --mount=Type=bind,Src=d/f,Target=/etc/f cat /etc/f > /o")
        .file("d/f", "f\n")
        .makes("/o f644 f");
}

/// The root cannot be a target; an unknown type or key is an error; `from` is not expanded.
#[test]
fn mistakes() {
    for (mount, words) in [
        ("target=/", "/"),
        ("type=nosuch,target=/m", "nosuch"),
        ("target=/m,nosuch=1", "nosuch"),
        ("target=/m,from=$X", "from"),
        ("type=bind,target=/m,source=none", "none"),
    ] {
        case(&format!("FROM busybox\nRUN --mount={mount} true")).fails(words);
    }
}

/// A cache is shared by its id, lasts, and leaves nothing in the image.
#[test]
fn cache() {
    case(
        "FROM busybox
         RUN --mount=type=cache,target=/c,id=x echo 1 > /c/f; ls /c > /o
         RUN --mount=type=cache,target=/c2,id=x,ro ls /c2 >> /o; touch /c2/y 2>/dev/null || echo ro >> /o
         RUN --mount=type=cache,target=/c ls /c >> /o
         RUN --mount=type=cache,target=/m,mode=0700,uid=5,gid=6 stat -c '%a %u %g' /m >> /o
         RUN ls -d /c /c2 /m >> /o 2>/dev/null; true",
    )
    .makes("/o f644 f\\nf\\nro\\n700 5 6");
}

/// A tmpfs is empty, hides what is below, and is gone afterwards.
#[test]
fn tmpfs() {
    case(
        "FROM busybox
         RUN mkdir /d && touch /d/below
         RUN --mount=type=tmpfs,target=/d --mount=type=tmpfs,target=/t,size=1m ls -A /d /t > /o && touch /t/a /d/a
         RUN ls /d >> /o",
    )
    .makes("/d d755\n/d/below f644\n/o f644 /d:\\n\\n/t:\\nbelow");
}

/// A secret is a file of its own mode, a variable, or both; an optional one may be absent.
#[test]
fn secrets() {
    let secret = "RUN --mount=type=secret,id=s";
    case(&format!(
        "FROM busybox
         {secret} cat /run/secrets/s | wc -c > /o; stat -c '%a %u' /run/secrets/s >> /o
         {secret},target=/t,mode=0444,uid=5 stat -c '%a %u' /t >> /o
         {secret},env=V echo ${{#V}} >> /o; test -e /run/secrets/s || echo variable only >> /o
         {secret},env=V,target=/both wc -c < /both >> /o; echo ${{#V}} >> /o
         RUN --mount=type=secret,id=none test -e /run/secrets/none || echo absent >> /o
         RUN ls /run/secrets /t /both >> /o 2>/dev/null; true"
    ))
    .with(|build| build.secret("s", "hidden"))
    .makes("/o f644 6\\n400 0\\n444 5\\n6\\nvariable only\\n6\\n6\\nabsent");
    case("FROM busybox\nRUN --mount=type=secret,id=s,required true").fails("\"s\"");
}

/// Values of mounts are expanded.
#[test]
fn expansion() {
    case("FROM busybox\nARG D=d\nRUN --mount=source=${D}/f,target=/$D cat /d > /o")
        .file("d/f", "f\n")
        .makes("/o f644 f");
}

/// An agent's socket is where a variable says, and has the mode and owner that the mount says.
#[test]
fn agents() {
    let room = tempfile::tempdir().unwrap();
    let socket = room.path().join("agent");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let with_agent =
        |lines: &str| case(&format!("FROM busybox\n{lines}")).with(|build| build.ssh("default", &socket));
    with_agent(
        "RUN --mount=type=ssh stat -c '%a %u %g' $SSH_AUTH_SOCK > /o
         RUN --mount=type=ssh,mode=0666,uid=7,gid=8,target=/s stat -c '%a %u %g' /s >> /o; echo $SSH_AUTH_SOCK >> /o
         RUN test -z \"$SSH_AUTH_SOCK\"",
    )
    .makes("/o f644 600 0 0\\n666 7 8\\n/s");
    with_agent("USER 7\nRUN --mount=type=ssh,uid=7 test -S $SSH_AUTH_SOCK -a -w $SSH_AUTH_SOCK").makes("");
    with_agent("USER 7\nRUN --mount=type=ssh,uid=8 test ! -w $SSH_AUTH_SOCK").makes("");
    case("FROM busybox\nRUN --mount=type=ssh,required true").fails("\"default\"");
    case("FROM busybox\nRUN --mount=type=ssh test -z \"$SSH_AUTH_SOCK\"").makes("");
}

/// A cache can begin with what a stage has, which stays as it is; whoever shares it how sees what was left.
#[test]
fn beginnings_of_caches() {
    case(
        "FROM busybox AS s
         RUN mkdir /d && echo 1 > /d/f
         FROM busybox
         RUN --mount=type=cache,target=/c,from=s,source=/d,sharing=locked cat /c/f > /o; echo 2 > /c/f
         RUN --mount=type=cache,target=/c,from=s,source=/d,sharing=locked cat /c/f >> /o
         RUN --mount=type=cache,target=/p,sharing=private ls /p >> /o; touch /p/kept
         RUN --mount=type=cache,target=/p,sharing=private ls /p >> /o
         RUN --mount=from=s,source=/d,target=/c cat /c/f >> /o",
    )
    .makes("/o f644 1\\n2\\nkept\\n1");
}
