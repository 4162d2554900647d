//! ARG, ENV and expansion.

use crate::common::case;

/// One ENV or LABEL line expands with the values from before it.
#[test]
fn one_line_at_once() {
    let case = case(
        "FROM scratch\nENV PATH=/b abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\nLABEL ${abc}k=\"v $abc\" s='$abc'",
    );
    case.made().unwrap().config(
        r#"Env ["PATH=/b","abc=bye","def=hello","ghi=bye"]
           Labels {"byek":"v bye","s":"$abc"}"#,
    );
}

/// `ARG a=1 b=$a` goes from left to right.
#[test]
fn args_see_those_before() {
    let case = case("FROM scratch\nARG a=1 b=${a}2\nENV PATH=/b X=$b");
    case.made().unwrap().config(r#"Env ["PATH=/b","X=12"]"#);
}

/// The last writer wins between ARG and ENV; a build-arg is as an ARG's default.
#[test]
fn the_last_writer_wins() {
    let arg_last = "FROM scratch\nENV PATH=/b X=env\nARG X=arg\nENV Y=$X";
    case(arg_last)
        .made()
        .unwrap()
        .config(r#"Env ["PATH=/b","X=env","Y=arg"]"#);
    let given = case(arg_last).arg("X", "cli");
    given.made().unwrap().config(r#"Env ["PATH=/b","X=env","Y=cli"]"#);
    let env_last = case("FROM scratch\nARG X=arg\nENV PATH=/b X=env\nENV Y=$X").arg("X", "cli");
    env_last
        .made()
        .unwrap()
        .config(r#"Env ["PATH=/b","X=env","Y=env"]"#);
}

/// A RUN sees them, too.
#[test]
fn variables_of_a_run() {
    case("FROM busybox\nENV X=env\nARG X=arg\nARG Y=\nARG Z\nRUN echo $X [${Y-no}] [${Z-no}] > /o")
        .makes("/o f644 arg [] [no]");
}

/// Global ARGs are for FROM lines; a stage that declares one has its value, or one of its own.
#[test]
fn global_args() {
    let case = case(
        "ARG G=g\nARG H=$G-h\nARG B=scratch\nFROM $B\nENV PATH=/b A=[$G]\nARG G\nARG H=own\nENV C=[$G][$H]",
    );
    case.made()
        .unwrap()
        .config(r#"Env ["PATH=/b","A=[]","C=[g][own]"]"#);
}

/// A stage inherits the ARGs of the stage it is built on, and the image has none.
#[test]
fn args_of_a_base_stage() {
    let case = case("FROM scratch AS a\nARG X=1\nENV PATH=/b\nFROM a\nENV Z=$X");
    case.made().unwrap().config(r#"Env ["PATH=/b","Z=1"]"#);
}

/// A build-arg that nothing declares is not seen, but proxies are; nothing records them.
#[test]
fn undeclared_args() {
    let case =
        case("FROM busybox\nRUN echo [$ZZ] $HTTP_PROXY $http_proxy > /o; env | grep -c ZZ >> /o; true");
    let made = case.arg("ZZ", "1").arg("HTTP_PROXY", "http://p:1").made();
    let Some(made) = made else { return };
    made.tree("/o f644 [] http://p:1 http://p:1\\n0")
        .config("")
        .history(
            "RUN /bin/sh -c echo [$ZZ] $HTTP_PROXY $http_proxy > /o; env | grep -c ZZ >> /o; true # buildkit",
        );
}

/// Platform arguments have values once declared.
#[test]
fn platform_args() {
    let case = case(
        "FROM --platform=$BUILDPLATFORM scratch\nARG TARGETOS TARGETARCH TARGETPLATFORM TARGETSTAGE\nENV PATH=/b A=$TARGETOS/$TARGETARCH=$TARGETPLATFORM B=$TARGETSTAGE",
    );
    let platform = rbuild::image::Platform::host();
    let expected = format!(r#"Env ["PATH=/b","A={platform}={platform}","B=default"]"#);
    case.made().unwrap().config(&expected);
}

/// Defaults and alternatives: with a colon, empty counts as unset.
#[test]
fn defaults() {
    let case = case(
        "FROM scratch\nARG A\nARG B=\nENV PATH=/b 1=${A-a} 2=${B-b} 3=${A:-a} 4=${B:-b} 5=${A+s} 6=${B+s} 7=${B:+s}",
    );
    case.made()
        .unwrap()
        .config(r#"Env ["PATH=/b","1=a","2=","3=a","4=b","5=","6=s","7="]"#);
}

/// Prefixes, suffixes, substitution.
#[test]
fn patterns() {
    let case = case(
        r"FROM scratch
          ARG s=foobarbaz v=a.b/c
          ENV PATH=/b A=${s#f*b} B=${s##f*b} C=${s%b*} D=${s%%b*} E=${s/ba/fo} F=${s//ba/fo} G=${v//\//_}",
    );
    case.made().unwrap().config(
        r#"Env ["PATH=/b","A=arbaz","B=az","C=foobar","D=foo","E=fooforbaz","F=fooforfoz","G=a.b_c"]"#,
    );
}

/// `${name:?}` of an unset variable is an error, and so is a modifier that nobody knows.
#[test]
fn wrong_expansions() {
    case("FROM scratch\nENV A=${u:?must be set}").fails("must be set");
    case("FROM scratch\nENV A=${u:=x}").fails("modifier");
}

/// Single quotes and backslashes protect; `$$` is empty.
#[test]
fn quotes() {
    let case = case(
        r#"FROM scratch
           ARG s=v
           ENV PATH=/b L=\${s} M='${s}' N="${s}" O=$s$$ P="a \"b\"" Q=two\ words"#,
    );
    case.made()
        .unwrap()
        .config(r#"Env ["PATH=/b","L=${s}","M=${s}","N=v","O=v","P=a \"b\"","Q=two words"]"#);
}

/// `ENV KEY rest of the line`, the old form.
#[test]
fn old_forms() {
    let case = case("FROM scratch\nENV PATH=/b\nENV a b c\nLABEL x y z");
    case.made()
        .unwrap()
        .config("Env [\"PATH=/b\",\"a=b c\"]\nLabels {\"x\":\"y z\"}");
}

/// In which instructions and flags variables have values; EXPOSE is cut into words only then.
#[test]
fn where_they_are_expanded() {
    let case = case(
        "FROM scratch
         ARG v=x ports=\"80 90\" s=SIGINT m=640 o=7:8 d=/d
         ENV PATH=/b
         LABEL $v-key=$v
         EXPOSE $ports ${v/x/70}/udp
         STOPSIGNAL $s
         VOLUME $d/v /e
         WORKDIR $d/w
         COPY --chown=$o --chmod=$m f$v $d/
         USER $o",
    );
    let made = case.file("fx", "text\n").made().unwrap();
    made.tree("/d d755\n/d/fx f640 7:8 text\n/d/w d755").config(
        r#"Env ["PATH=/b"]
               ExposedPorts {"70/udp":{},"80/tcp":{},"90/tcp":{}}
               Labels {"x-key":"x"}
               StopSignal "SIGINT"
               User "7:8"
               Volumes {"/d/v":{},"/e":{}}
               WorkingDir "/d/w""#,
    );
}

/// And where they are left as they are.
#[test]
fn where_they_are_not() {
    let case_of = |lines: &str| case(&format!("FROM scratch\nENV PATH=/b\nARG v=x\n{lines}"));
    case_of("SHELL [\"/$v\", \"-c\"]\nCMD $v\nENTRYPOINT [\"/$v\", \"${v}\"]\nHEALTHCHECK CMD [\"$v\"]")
        .made()
        .unwrap()
        .config(
            r#"Cmd ["/$v","-c","$v"]
               Entrypoint ["/$v","${v}"]
               Env ["PATH=/b"]
               Healthcheck {"Test":["CMD","$v"]}
               Shell ["/$v","-c"]"#,
        );
    case_of("COPY --exclude=$v . /d/")
        .file("x", "")
        .file("$v", "")
        .made()
        .unwrap()
        .tree("/d d755\n/d/x f644");
    case_of("COPY --from=$v f /").fails("$v");
}
