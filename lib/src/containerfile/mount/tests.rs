use super::*;

fn parse(text: &str) -> Result<Mount, MountError> {
    Mount::parse(text, |value| Ok(value.replace("$x", "value")))
}

fn ok(text: &str) -> Mount {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn binds() {
    let bind = |from: Option<&str>, source: &str, read_only| MountKind::Bind {
        from: from.map(str::to_owned),
        source: source.to_owned(),
        read_only,
    };
    for (text, target, kind) in [
        ("target=/a", "/a", bind(None, "/", true)),
        ("type=bind,dst=n,rw", "n", bind(None, "/", false)),
        (
            "destination=/a,from=s,src=d/e/..",
            "/a",
            bind(Some("s"), "/d", true),
        ),
        ("TARGET=/a,Source=/s,RO=false", "/a", bind(None, "/s", false)),
        ("target=/a,readwrite=true", "/a", bind(None, "/", false)),
        ("target=/a,rw,readonly", "/a", bind(None, "/", true)),
        ("target=/$x", "/value", bind(None, "/", true)),
        ("\"target=/a,b\"", "/a,b", bind(None, "/", true)),
        ("rw", "", bind(None, "/", false)),
    ] {
        assert_eq!(
            ok(text),
            Mount {
                target: target.into(),
                kind
            },
            "{text}"
        );
    }
}

#[test]
fn caches() {
    let plain = |id: &str| MountKind::Cache {
        id: id.to_owned(),
        sharing: Sharing::Shared,
        from: None,
        source: "/".into(),
        read_only: false,
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    assert_eq!(ok("type=cache,target=/c//d/").kind, plain("/c/d"));
    assert_eq!(ok("type=CACHE,target=/c,id=i").kind, plain("i"));
    let full = MountKind::Cache {
        id: "i".into(),
        sharing: Sharing::Locked,
        from: Some("base".into()),
        source: "/s".into(),
        read_only: true,
        mode: 0o1777,
        uid: 3,
        gid: 4,
    };
    assert_eq!(
        ok("type=cache,target=/c,id=i,sharing=Locked,from=base,source=s,mode=1777,uid=3,gid=4,ro").kind,
        full
    );
}

#[test]
fn tmpfs() {
    assert_eq!(ok("type=tmpfs,target=/t").kind, MountKind::Tmpfs { size: None });
    assert_eq!(
        ok("type=tmpfs,target=/t,size=1m").kind,
        MountKind::Tmpfs { size: Some(1 << 20) }
    );
}

#[test]
fn secrets() {
    for (text, id, path, env) in [
        ("type=secret,id=a", "a", Some("/run/secrets/a"), None),
        ("type=secret,id=d/a", "d/a", Some("/run/secrets/a"), None),
        ("type=secret,source=a,target=/x/y", "a", Some("/x/y"), None),
        ("type=secret,target=/x/y", "y", Some("/x/y"), None),
        ("type=secret,id=a,env=A", "a", None, Some("A")),
        ("type=secret,id=a,env=A,target=/x", "a", Some("/x"), Some("A")),
        ("type=secret,required,id=a", "a", Some("/run/secrets/a"), None),
    ] {
        let MountKind::Secret {
            id: got_id,
            path: got_path,
            env: got_env,
            required,
            mode,
            uid,
            gid,
        } = ok(text).kind
        else {
            panic!("{text}: no secret")
        };
        assert_eq!(
            (got_id.as_str(), got_path.as_deref(), got_env.as_deref()),
            (id, path, env),
            "{text}"
        );
        assert_eq!(
            (required, mode, uid, gid),
            (text.contains("required"), 0o400, 0, 0),
            "{text}"
        );
    }
    let MountKind::Secret {
        required,
        mode,
        uid,
        gid,
        ..
    } = ok("type=secret,id=a,required=true,mode=0440,uid=1,gid=2").kind
    else {
        panic!("no secret")
    };
    assert_eq!((required, mode, uid, gid), (true, 0o440, 1, 2));
}

#[test]
fn ssh() {
    let ssh = |id: &str, required, mode| MountKind::Ssh {
        id: id.into(),
        required,
        mode,
        uid: 0,
        gid: 0,
    };
    assert_eq!(ok("type=ssh").kind, ssh("default", false, 0o600));
    assert_eq!(ok("type=ssh,id=x,required,mode=666").kind, ssh("x", true, 0o666));
}

#[test]
fn errors() {
    for (text, want) in [
        ("", "the value is empty"),
        (
            "a\"b",
            "a \" must stand at the beginning of a field or at its end",
        ),
        (
            "type=bnd,target=/a",
            "\"bnd\" is no type: it is bind, cache, tmpfs, secret or ssh",
        ),
        ("target=/a,ro=maybe", "\"maybe\" is no ro: it is true or false"),
        (
            "type=cache,sharing=all",
            "\"all\" is no sharing: it is shared, private or locked",
        ),
        ("type=cache,mode=9", "\"9\" is no mode: it is an octal number"),
        ("type=cache,mode=+7", "\"+7\" is no mode: it is an octal number"),
        ("type=cache,uid=a", "\"a\" is no uid: it is a number"),
        ("type=cache,gid=-1", "\"-1\" is no gid: it is a number"),
        (
            "type=tmpfs,size=x",
            "\"x\" is no size: it is a size such as 64m or 1g",
        ),
        ("tagret=/a", "there is no option tagret, did you mean target?"),
        ("whatsoever", "there is no option whatsoever"),
        ("target", "option target needs a value, target=…"),
        (
            "target=/a,from=$x",
            "from does not take variables; give the image a stage of its own",
        ),
        ("target=/a,mode=7", "bind mounts have no option mode"),
        ("type=tmpfs,uid=7", "tmpfs mounts have no option uid"),
        ("target=/a,required", "bind mounts have no option required"),
        ("target=/a,size=1", "bind mounts have no option size"),
        ("target=/a,sharing=shared", "bind mounts have no option sharing"),
        ("target=/a,env=A", "bind mounts have no option env"),
        ("type=secret,id=a,from=b", "secret mounts have no option from"),
        ("type=ssh,source=b", "ssh mounts have no option source"),
        (
            "type=secret,id=a,source=b",
            "id and source of a secret are the same thing: give one of them",
        ),
        ("type=secret", "a secret needs an id or a target"),
    ] {
        assert_eq!(parse(text).expect_err(text).to_string(), want, "{text}");
    }
}

#[test]
fn targets() {
    for (target, workdir, want) in [
        ("/a", "/w", Some("/a")),
        ("n", "/w", Some("/w/n")),
        ("n/../m", "", Some("/m")),
        ("", "/w", Some("/w")),
        ("../..", "/w", None),
        ("/", "/w", None),
        ("/a/..", "/w", None),
        ("", "/", None),
    ] {
        let got = ok(&format!("target={target}")).resolve_target(workdir);
        assert_eq!(got.ok().as_deref(), want, "{target} below {workdir}");
    }
}

#[test]
fn checks_before_expansion() {
    for (text, fine) in [
        ("target=/$x", true),
        ("nonsense", true),
        ("from=a$", true),
        ("FROM=$x", false),
        ("a\"b", false),
        ("", false),
    ] {
        assert_eq!(check(text).is_ok(), fine, "{text}");
    }
}
