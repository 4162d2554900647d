use super::*;

/// Rule and the text it is about, in order.
fn lint_with(source: &str, options: &Options<'_>) -> Vec<(&'static str, String)> {
    let file = Containerfile::parse(source).unwrap_or_else(|errors| panic!("{errors}"));
    let found = file.lint(options);
    found
        .into_iter()
        .map(|found| (found.name, source[found.span].to_owned()))
        .collect()
}

fn check(source: &str, want: &[(&str, &str)]) {
    let found = lint_with(source, &Options::default());
    let found: Vec<_> = found.iter().map(|(rule, text)| (*rule, text.as_str())).collect();
    assert_eq!(found, want, "{source}");
}

/// A stage from `scratch` with these lines.
fn body(lines: &str, want: &[(&str, &str)]) {
    check(&format!("FROM scratch\n{lines}"), want);
}

#[test]
fn names_are_unique() {
    let names: std::collections::BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
}

#[test]
fn stage_name_casing() {
    check("FROM a AS Build", &[("StageNameCasing", "Build")]);
    check("FROM a AS build-1", &[]);
}

#[test]
fn from_as_casing() {
    check("FROM a as b", &[("FromAsCasing", "as")]);
    check("from a AS b", &[("FromAsCasing", "AS")]);
    check("from a as b", &[]);
    check("FROM a As b", &[("FromAsCasing", "As")]);
}

#[test]
fn no_empty_continuation() {
    body(
        "RUN a \\\n\n\n b\nRUN c \\\n # fine\n d\nRUN e \\\n  \n f",
        &[("NoEmptyContinuation", ""), ("NoEmptyContinuation", "  ")],
    );
}

#[test]
fn consistent_instruction_casing() {
    check(
        "FROM a\nrun x\nUser y\nRUN z",
        &[
            ("ConsistentInstructionCasing", "run"),
            ("ConsistentInstructionCasing", "User"),
        ],
    );
    check("from a\nrun x\nRUN z", &[("ConsistentInstructionCasing", "RUN")]);
    check("from a\nrun x", &[]);
}

#[test]
fn stage_names() {
    check(
        "FROM a AS b\nFROM a AS B",
        &[("StageNameCasing", "B"), ("DuplicateStageName", "B")],
    );
    check("FROM a AS scratch", &[("ReservedStageName", "scratch")]);
    check("FROM a AS context", &[("ReservedStageName", "context")]);
}

#[test]
fn json_args_recommended() {
    body(
        "CMD a\nENTRYPOINT b",
        &[
            ("JSONArgsRecommended", "CMD a"),
            ("JSONArgsRecommended", "ENTRYPOINT b"),
        ],
    );
    body("CMD [\"a\"]", &[]);
    body("SHELL [\"/bin/bash\", \"-c\"]\nCMD a", &[]);
    check("FROM scratch AS a\nSHELL [\"x\"]\nFROM a\nCMD b", &[]);
}

#[test]
fn maintainer_deprecated() {
    body("MAINTAINER me", &[("MaintainerDeprecated", "MAINTAINER me")]);
}

#[test]
fn arguments_of_from() {
    check("ARG V=1\nFROM a:$V", &[]);
    check(
        "FROM a:$V",
        &[
            ("UndefinedArgInFrom", "a:$V"),
            ("InvalidDefaultArgInFrom", "a:$V"),
        ],
    );
    check("ARG V\nFROM a:${V}", &[("InvalidDefaultArgInFrom", "a:${V}")]);
    check("ARG V\nFROM ${V:-a}", &[]);
    check("ARG I\nFROM $I", &[("InvalidDefaultArgInFrom", "$I")]);
    check("ARG A=b\nARG I=${A}:c\nFROM $I", &[]);
    check("FROM --platform=$BUILDPLATFORM a", &[]);
    check(
        "FROM --platform=$BUILDPLATFROM a",
        &[("UndefinedArgInFrom", "$BUILDPLATFROM")],
    );
}

#[test]
fn suggestions_for_from() {
    let file = Containerfile::parse("ARG VERSION=1\nFROM a:$VERSOIN").expect("valid");
    let found = file.lint(&Options::default());
    assert_eq!(found[0].help.as_deref(), Some("did you mean $VERSION?"));
}

#[test]
fn platforms_of_from() {
    check(
        "FROM --platform=$TARGETPLATFORM a",
        &[("RedundantTargetPlatform", "$TARGETPLATFORM")],
    );
    check(
        "FROM --platform=linux/amd64 a",
        &[("FromPlatformFlagConstDisallowed", "linux/amd64")],
    );
    check("FROM --platform=linux/amd64 a AS base-amd64", &[]);
    check("FROM --platform=linux/$TARGETARCH a", &[]);
}

#[test]
fn workdir_relative_path() {
    body("WORKDIR a", &[("WorkdirRelativePath", "a")]);
    body("WORKDIR /a\nWORKDIR b", &[]);
    check("FROM scratch AS a\nWORKDIR /x\nFROM a\nWORKDIR y", &[]);
}

#[test]
fn undefined_variables() {
    body("COPY $a /b", &[("UndefinedVar", "$a")]);
    body("ARG a\nENV b=$a\nCOPY $b /c", &[]);
    body("ENV b=$b", &[("UndefinedVar", "$b")]);
    body("ENV PATH=/x:$PATH", &[]);
    body("ARG a=1 b=$a c=$d", &[("UndefinedVar", "$d")]);
    body("COPY ${a:-x} ${b+y} $1 /z", &[]);
    body("RUN echo $x", &[]);
    body(
        "RUN --mount=target=/$x,type=tmpfs a",
        &[("UndefinedVar", "target=/$x,type=tmpfs")],
    );
    body(
        "COPY <<A <<'B' /x/\n$a\nA\n$b\nB",
        &[("UndefinedVar", "<<A <<'B' /x/\n$a\nA")],
    );
    check(
        "FROM scratch AS a\nENV x=1\nFROM a\nUSER $x$y",
        &[("UndefinedVar", "$x$y")],
    );
    check("ARG V=1\nFROM scratch\nENV x=$V", &[("UndefinedVar", "$V")]);
    // Another base image may define anything.
    check(
        "FROM busybox\nENV VERSION=1\nUSER $x\nUSER $VERSOIN",
        &[("UndefinedVar", "$VERSOIN")],
    );
    let known = |index| (index == 0).then(|| vec!["x".to_owned()]);
    let options = Options {
        base_variables: Some(&known),
        ..Options::default()
    };
    let found = lint_with("FROM busybox\nUSER $x\nUSER $quite", &options);
    assert_eq!(found, [("UndefinedVar", "$quite".to_owned())]);
}

#[test]
fn multiple_instructions() {
    body(
        "CMD [\"a\"]\nRUN x\nCMD [\"b\"]",
        &[("MultipleInstructionsDisallowed", "CMD [\"a\"]")],
    );
    body(
        "HEALTHCHECK NONE\nHEALTHCHECK CMD x",
        &[("MultipleInstructionsDisallowed", "HEALTHCHECK NONE")],
    );
    check("FROM scratch AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]", &[]);
}

#[test]
fn legacy_key_value_format() {
    body(
        "ENV a b c\nLABEL d e\nENV f=g",
        &[("LegacyKeyValueFormat", "a b c"), ("LegacyKeyValueFormat", "d e")],
    );
    let file = Containerfile::parse("FROM scratch\nENV a b c").expect("valid");
    assert_eq!(
        file.lint(&Options::default())[0].help.as_deref(),
        Some("write ENV a=\"b c\"")
    );
}

#[test]
fn secrets() {
    body(
        "ARG GITHUB_TOKEN\nENV password=x DB_PASSWORD_FILE=y PUBLIC_KEY=z MONKEY=1 api_key=2",
        &[
            ("SecretsUsedInArgOrEnv", "GITHUB_TOKEN"),
            ("SecretsUsedInArgOrEnv", "password"),
            ("SecretsUsedInArgOrEnv", "api_key"),
        ],
    );
}

#[test]
fn ignored_files() {
    let ignore = Ignore::parse("*.log\nsecret").expect("valid");
    let source = "# check=experimental=all\nFROM scratch\nCOPY a.log /secret/x ok http://h/a.log /\nCOPY --from=0 a.log /";
    let options = Options {
        ignore: Some(&ignore),
        ..Options::default()
    };
    let want = [
        ("CopyIgnoredFile", "a.log".to_owned()),
        ("CopyIgnoredFile", "/secret/x".to_owned()),
    ];
    assert_eq!(lint_with(source, &options), want);
    let everything = Ignore::parse("*").expect("valid");
    let options = Options {
        ignore: Some(&everything),
        check: Some("experimental=CopyIgnoredFile"),
        ..Options::default()
    };
    assert_eq!(
        lint_with("FROM scratch\nADD . /", &options),
        [("CopyIgnoredFile", ".".to_owned())]
    );
    let exceptions = Ignore::parse("*\n!a").expect("valid");
    let options = Options {
        ignore: Some(&exceptions),
        ..options
    };
    assert_eq!(lint_with("FROM scratch\nADD . /", &options), []);
    let options = Options {
        ignore: Some(&everything),
        ..Options::default()
    };
    assert_eq!(lint_with("FROM scratch\nADD . /", &options), []);
}

#[test]
fn descriptions() {
    let on = "# check=experimental=InvalidDefinitionDescription\n";
    for (source, want) in [
        (
            "# the version\nARG V=1\nFROM scratch",
            &[("InvalidDefinitionDescription", "the version")][..],
        ),
        ("# V is the version\nARG V=1\nFROM scratch", &[]),
        ("# the version\n\nARG V=1\nFROM scratch", &[]),
        (
            "# builds\nFROM scratch AS b",
            &[("InvalidDefinitionDescription", "builds")],
        ),
        (
            "# builds\n# b builds\nFROM scratch AS B",
            &[("StageNameCasing", "B")],
        ),
        ("# anything\nFROM scratch", &[]),
    ] {
        check(&format!("{on}{source}"), want);
    }
    check("# the version\nARG V=1\nFROM scratch", &[]);
}

#[test]
fn exposed_ports() {
    body(
        "EXPOSE 80 53/UDP 8080:80 [::1]:1:2/tcp 90/tcp",
        &[
            ("ExposeProtoCasing", "53/UDP"),
            ("ExposeInvalidFormat", "8080:80"),
            ("ExposeInvalidFormat", "[::1]:1:2/tcp"),
        ],
    );
}

#[test]
fn skipping() {
    let source = |check: &str| format!("{check}FROM scratch AS A\nMAINTAINER me\n");
    let both = [
        ("StageNameCasing", "A"),
        ("MaintainerDeprecated", "MAINTAINER me"),
    ];
    check(&source(""), &both);
    check(&source("# check=skip=StageNameCasing\n"), &both[1..]);
    check(
        &source("# check=skip=StageNameCasing, MaintainerDeprecated\n"),
        &[],
    );
    check(&source("# check=skip=all\n"), &[]);
    check(&source("# check=error=true\n"), &both);
    check(
        "FROM scratch AS A\n# check=skip=MaintainerDeprecated\nMAINTAINER me\nMAINTAINER you",
        &[
            ("StageNameCasing", "A"),
            ("MaintainerDeprecated", "MAINTAINER you"),
        ],
    );
}

#[test]
fn findings_as_errors() {
    let lint = |source: &str| {
        Containerfile::parse(source)
            .expect("valid")
            .lint(&Options::default())
    };
    assert_eq!(lint("FROM scratch AS A")[0].severity, Severity::Warning);
    assert_eq!(
        lint("# check=skip=JSONArgsRecommended;error=true\nFROM scratch AS A")[0].severity,
        Severity::Error
    );
}

#[test]
fn invalid_directives() {
    for (directive, help) in [
        ("skip=StageNameCasin", Some("did you mean StageNameCasing?")),
        (
            "error=maybe",
            Some("write for instance # check=skip=JSONArgsRecommended;error=true"),
        ),
        (
            "nonsense",
            Some("write for instance # check=skip=JSONArgsRecommended;error=true"),
        ),
    ] {
        let file = Containerfile::parse(&format!("# check={directive}\nFROM scratch AS A")).expect("valid");
        let found = file.lint(&Options::default());
        assert_eq!(
            (found.len(), found[0].name, found[0].help.as_deref()),
            (1, "InvalidDirective", help),
            "{directive}"
        );
    }
}

#[test]
fn base_images_for_another_platform() {
    let found = invalid_base_image_platform("alpine", "linux/amd64", "linux/arm64", 5..11);
    assert_eq!(
        (found.name, found.severity),
        ("InvalidBaseImagePlatform", Severity::Warning)
    );
}
