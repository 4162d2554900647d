//! Command lines of others, and what becomes of them.

use super::translate;

fn translated(line: &str) -> Result<(String, usize), String> {
    let words = line.split(' ').map(Into::into);
    let translated = translate(words)?;
    let words: Vec<String> = translated
        .arguments
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    Ok((words.join(" "), translated.notices.len()))
}

#[test]
fn what_is_taken() {
    for (line, expected, notices) in [
        ("rbuild build -t a .", "rbuild build -t a .", 0),
        (
            "docker build --rm --force-rm -t a -f F --target T --build-arg K=V .",
            "docker build -t a -f F --target T --build-arg K=V .",
            0,
        ),
        (
            "docker buildx build --load --progress=rawjson --provenance=false .",
            "docker build --progress=json .",
            0,
        ),
        (
            "/usr/bin/podman build --layers --pull=always --isolation=chroot --format oci .",
            "/usr/bin/podman build --pull .",
            0,
        ),
        (
            "buildah bud --pull=never --jobs 4 --ulimit nofile=1 -m 1g .",
            "buildah build .",
            3,
        ),
        ("rbuild bud --network host -- --rm", "rbuild bud -- --rm", 0),
        ("docker image build --call=check .", "docker build --check .", 0),
        ("docker image ls -a", "docker images", 0),
        ("docker images -a", "docker images", 0),
        ("podman image rm -f a", "podman rmi a", 0),
        ("docker rmi --force a", "docker rmi a", 0),
        ("docker inspect --type=image a", "docker inspect --as-docker a", 0),
        (
            "podman inspect --type image a -f x",
            "podman inspect --as-docker a -f x",
            0,
        ),
        ("podman images --format json", "podman images --format json", 0),
        ("docker --version", "docker version", 0),
        ("docker ls a", "docker ls a", 0),
        ("rbuild rm --rm", "rbuild rm --rm", 0),
        ("docker", "docker", 0),
    ] {
        assert_eq!(translated(line), Ok((expected.to_owned(), notices)), "{line}");
    }
}

#[test]
fn what_is_refused_with_a_word_on_why() {
    for (line, expected) in [
        (
            "docker build --volume a:b .",
            "--volume cannot be had: use RUN --mount in the Containerfile",
        ),
        (
            "podman build -v a:b .",
            "--volume cannot be had: use RUN --mount in the Containerfile",
        ),
        (
            "docker build --network none .",
            "--network none: say it where it is meant: RUN --network=none",
        ),
        (
            "docker build --network=none .",
            "--network none: say it where it is meant: RUN --network=none",
        ),
        (
            "docker build --sbom=true .",
            "--sbom true: attestations are not made",
        ),
        (
            "docker run a",
            "run is about containers, and this program only builds and moves images",
        ),
    ] {
        assert_eq!(translated(line), Err(expected.to_owned()), "{line}");
    }
}
