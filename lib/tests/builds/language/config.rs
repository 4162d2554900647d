//! The instructions that change the config alone, and history.

use crate::common::case;

/// ENTRYPOINT clears an inherited CMD, unless CMD was set in the same stage.
#[test]
fn entrypoint_clears_cmd() {
    let base = "FROM scratch AS a\nENV PATH=/b\nCMD [\"c\"]\n";
    let config = |rest: &str| case(&format!("{base}{rest}")).made().unwrap();
    config("FROM a\nENTRYPOINT [\"e\"]").config("Entrypoint [\"e\"]\nEnv [\"PATH=/b\"]");
    config("ENTRYPOINT [\"e\"]").config("Cmd [\"c\"]\nEntrypoint [\"e\"]\nEnv [\"PATH=/b\"]");
    config("FROM a\nCMD [\"d\"]\nENTRYPOINT [\"e\"]")
        .config("Cmd [\"d\"]\nEntrypoint [\"e\"]\nEnv [\"PATH=/b\"]");
    case("FROM busybox\nENTRYPOINT [\"e\"]")
        .made()
        .unwrap()
        .config("Cmd gone\nEntrypoint [\"e\"]");
}

/// Shell forms use SHELL, which children inherit.
#[test]
fn shell_forms() {
    let case = case(
        "FROM busybox AS a
         SHELL [\"/bin/sh\",\"-xc\"]
         FROM a
         CMD foo
         ENTRYPOINT bar
         HEALTHCHECK CMD baz",
    );
    case.made().unwrap().config(
        r#"Cmd ["/bin/sh","-xc","foo"]
           Entrypoint ["/bin/sh","-xc","bar"]
           Healthcheck {"Test":["CMD-SHELL","baz"]}
           Shell ["/bin/sh","-xc"]"#,
    );
}

/// EXPOSE: ranges, protocols in any case, and `8080:80` is 80.
#[test]
fn expose() {
    let case_of = |line: &str| case(&format!("FROM scratch\nENV PATH=/b\n{line}"));
    case_of("ARG P=90\nEXPOSE 80 443/tcp 53/UDP $P-92/udp\nEXPOSE 8080:81").made().unwrap().config(
        r#"Env ["PATH=/b"]
           ExposedPorts {"443/tcp":{},"53/udp":{},"80/tcp":{},"81/tcp":{},"90/udp":{},"91/udp":{},"92/udp":{}}"#,
    );
    case_of("EXPOSE 80/foo").fails("foo");
}

/// VOLUME in words and in JSON; later changes there are kept; what only looks like JSON is words.
#[test]
fn volume() {
    let made = case("FROM scratch\nENV PATH=/b\nVOLUME /v [\"/w\"]\nVOLUME [\"/x\", \"/y z\"]\nCOPY f /x/f")
        .file("f", "");
    made.made().unwrap().tree("/x d755\n/x/f f644").config(
        r#"Env ["PATH=/b"]
           Volumes {"/v":{},"/x":{},"/y z":{},"[/w]":{}}"#,
    );
}

/// HEALTHCHECK has times in nanoseconds; NONE overrides the base's.
#[test]
fn healthcheck() {
    let all = case(
        "FROM scratch\nENV PATH=/b\nHEALTHCHECK --interval=1m30s --timeout=3s --start-period=5s --start-interval=500ms --retries=4 CMD [\"/c\",\"a\"]",
    );
    all.made().unwrap().config(
        r#"Env ["PATH=/b"]
           Healthcheck {"Test":["CMD","/c","a"],"Interval":90000000000,"Timeout":3000000000,"StartPeriod":5000000000,"StartInterval":500000000,"Retries":4}"#,
    );
    let none = case("FROM scratch AS a\nENV PATH=/b\nHEALTHCHECK CMD x\nFROM a\nHEALTHCHECK NONE");
    none.made()
        .unwrap()
        .config("Env [\"PATH=/b\"]\nHealthcheck {\"Test\":[\"NONE\"]}");
}

/// STOPSIGNAL is checked, and kept as written.
#[test]
fn stopsignal() {
    for signal in ["SIGKILL", "9"] {
        let made = case(&format!("FROM scratch\nENV PATH=/b\nSTOPSIGNAL {signal}"))
            .made()
            .unwrap();
        made.config(&format!("Env [\"PATH=/b\"]\nStopSignal \"{signal}\""));
    }
    case("FROM scratch\nSTOPSIGNAL SIGFOO").fails("SIGFOO");
}

/// LABEL: quotes, escapes, later values win; MAINTAINER is the author; labels may come from outside.
#[test]
fn labels() {
    let case =
        case("FROM scratch\nENV PATH=/b\nLABEL \"q k\"=\"v\\\"w\" m=x\\ y\nLABEL m=z\nMAINTAINER me <x@y>");
    let made = case.with(|build| build.label("out", "side")).made().unwrap();
    let made = made.config(
        r#"Env ["PATH=/b"]
           Labels {"m":"z","out":"side","q k":"v\"w"}"#,
    );
    assert_eq!(made.0.config["author"], "me <x@y>");
}

/// An image of nothing is valid, and has a PATH.
#[test]
fn scratch() {
    case("FROM scratch").made().unwrap().tree("").layers(0);
    let made = case("FROM scratch\nENV A=1").made().unwrap();
    made.config(r#"Env ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=1"]"#);
}

/// Every instruction has its own way to say what it did.
#[test]
fn history() {
    let case = case(
        "FROM busybox
         ARG A=1
         ENV B=2
         RUN echo hi
         COPY --chown=1:1 --chmod=644 f /f
         ADD f /g
         WORKDIR /w
         LABEL l=1
         EXPOSE 80
         USER 1
         CMD [\"x\"]
         ENTRYPOINT [\"y\"]
         VOLUME /v
         STOPSIGNAL 9
         HEALTHCHECK CMD z
         SHELL [\"/bin/sh\",\"-c\"]
         ONBUILD RUN q
         MAINTAINER m",
    );
    let Some(made) = case.file("f", "").made() else {
        return;
    };
    made.layers(4).history(
        "(ARG A=1)
         (ENV B=2)
         RUN |1 A=1 /bin/sh -c echo hi # buildkit
         COPY --chown=1:1 --chmod=644 f /f # buildkit
         ADD f /g # buildkit
         WORKDIR /w
         (LABEL l=1)
         (EXPOSE [80/tcp])
         (USER 1)
         (CMD [\"x\"])
         (ENTRYPOINT [\"y\"])
         (VOLUME [/v])
         (STOPSIGNAL 9)
         (HEALTHCHECK {Test:[CMD-SHELL z] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0})
         (SHELL [/bin/sh -c])
         (MAINTAINER m)",
    );
}
