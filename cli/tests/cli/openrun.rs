//! OpenRun's three ways to have an app built, each spoken as that manager speaks it, with a registry that wants TLS, a
//! client's certificate and a login.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use rbuild_testutils::{
    DockerRegistry,
    flat::{Flat, Kind},
    make_certificates, need,
};
use serde_json::json;

use crate::{
    common::{PROGRAM, Place},
    serve::{Server, client::Form},
};

/// What OpenRun calls the image of an app.
const IMAGE: &str = "cli-app_prd_2xk:5d41402abc";
/// `secret`, by bcrypt.
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// A registry that wants a login (`me`, `secret`) and a client's certificate. Those that it takes are in `certs`.
pub fn strict_registry(place: &Place) -> Option<DockerRegistry> {
    let (openssl, made) = (need("openssl")?, place.path("certs"));
    fs::create_dir(&made).unwrap();
    make_certificates(&openssl, &made);
    let file = place.write("htpasswd", HTPASSWD);
    let tls = json!({ "certificate": made.join("server.cert"), "key": made.join("server.key"),
        "clientcas": [made.join("ca.crt")] });
    let auth = json!({ "htpasswd": { "realm": "test", "path": file } });
    DockerRegistry::start_with(json!({ "tls": tls }), auth)
}

/// The registry, its certificates, and the source of an app.
struct Room {
    place: Place,
    registry: DockerRegistry,
}

impl Room {
    fn new() -> Option<Self> {
        let place = Place::new();
        let registry = strict_registry(&place)?;
        let text = "FROM scratch AS build\nARG VERSION\nCOPY src /src\nLABEL version=$VERSION\n";
        place.write("app/deploy/Containerfile", text);
        place.write("app/src/main.py", "print(1)\n");
        symlink("main.py", place.path("app/src/link")).unwrap();
        Some(Self { place, registry })
    }

    /// A secret with the login, as a file of docker's.
    fn write_login(&self, file: &str) {
        let login = json!({ "auths": { self.registry.host(): { "auth": "bWU6c2VjcmV0" } } });
        self.place.write(file, &login.to_string());
    }

    fn cert(&self, name: &str) -> PathBuf {
        self.place.path("certs").join(name)
    }

    /// What is in the registry under a name; every digest of it is checked.
    #[track_caller]
    fn check(&self, image: &str) {
        let own = self.place.path("client");
        fs::create_dir_all(&own).unwrap();
        for (from, to) in [
            ("ca.crt", "registry.crt"),
            ("client.cert", "client.cert"),
            ("client.key", "client.key"),
        ] {
            fs::copy(self.cert(from), own.join(to)).unwrap();
        }
        let from = format!("docker://{}/{image}", self.registry.host());
        let flags = ["--cert-dir", "client", "--creds", "me:secret"];
        let copy = ["copy", "--quiet", &from, "oci:out"];
        self.place.run(copy.into_iter().chain(flags)).succeeded();
        let flat = Flat::read(&self.place.path("out")).unwrap();
        assert_eq!(flat.tree["/src/main.py"].kind, Kind::File(b"print(1)\n".to_vec()));
        assert_eq!(flat.config["config"]["Labels"]["version"], "7");
    }
}

/// A directory as that manager packs it: in the order of names, directories without a slash, symlinks without their
/// targets.
fn pack(directory: &Path) -> Vec<u8> {
    fn add(tar: &mut tar::Builder<impl std::io::Write>, root: &Path, directory: &Path) {
        let mut entries: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mut header = tar::Header::new_ustar();
            header.set_metadata(&metadata);
            header.set_path(path.strip_prefix(root).unwrap()).unwrap();
            if !metadata.is_file() {
                header.set_size(0);
            }
            header.set_cksum();
            let bytes = if metadata.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            tar.append(&header, &bytes[..]).unwrap();
            if metadata.is_dir() {
                add(tar, root, &path);
            }
        }
    }
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    add(&mut tar, directory, directory);
    tar.into_inner().unwrap().finish().unwrap()
}

/// As the container command: in the source's directory, and what else is asked of it about images.
#[test]
fn command() {
    let Some(room) = Room::new() else { return };
    for program in ["docker", "podman"] {
        let link = room.place.path(program);
        symlink(PROGRAM, &link).unwrap();
        let run = |arguments: &[&str]| {
            let mut command = room.place.command_through(&link, arguments);
            let output = command.current_dir(room.place.path("app")).output().unwrap();
            room.place.finish(&output)
        };
        let build = |image: &str| {
            let file = "deploy/Containerfile";
            run(&["build", "-t", image, "-f", file, "--build-arg", "VERSION=7", "."]).succeeded();
        };
        assert_eq!(run(&["image", "ls", "--quiet", IMAGE]).succeeded().stdout, "");
        build(IMAGE);
        assert_ne!(run(&["image", "ls", "--quiet", IMAGE]).succeeded().stdout, "");
        // A dev image, up to a stage, and the images of the app that it replaces.
        let (repository, _) = IMAGE.split_once(':').unwrap();
        let dev = format!("{repository}:dev");
        run(&[
            "build",
            "-t",
            &dev,
            "-f",
            "deploy/Containerfile",
            "--target",
            "build",
            "--build-arg",
            "VERSION=7",
            ".",
        ])
        .succeeded();
        let filter = format!("reference={repository}");
        let list = [
            "images",
            "--filter",
            &filter,
            "--format",
            "{{.Repository}}:{{.Tag}}",
        ];
        assert_eq!(run(&list).succeeded().stdout, format!("{IMAGE}\n{dev}\n"));
        run(&["rmi", &dev]).succeeded();
        assert_eq!(run(&list).succeeded().stdout, format!("{IMAGE}\n"));
        // To the registry, with the certificates and the login where podman and docker look for them.
        let host = room.registry.host();
        let certs = format!("home/.config/containers/certs.d/{host}");
        for (from, to) in [
            ("ca.crt", "ca.crt"),
            ("client.cert", "client.cert"),
            ("client.key", "client.key"),
        ] {
            let text = fs::read_to_string(room.cert(from)).unwrap();
            room.place.write(&format!("{certs}/{to}"), &text);
        }
        let name = format!("{host}/{program}/{IMAGE}");
        run(&["tag", IMAGE, &name]).succeeded();
        run(&["login", "-u", "me", "-p", "secret", host]).succeeded();
        run(&["push", &name]).succeeded();
        room.check(&format!("{program}/{IMAGE}"));
        // An image that is given by its name, and what it is now.
        run(&["pull", &name]).succeeded();
        let format = "{{if .RepoDigests}}{{index .RepoDigests 0}}{{else}}{{.Id}}{{end}}";
        let found = run(&["image", "inspect", "--format", format, &name])
            .succeeded()
            .stdout;
        let digest = room.place.run(["digest", &name]).succeeded().stdout;
        assert_eq!(found.trim_end().rsplit_once('@').unwrap().1, digest.trim_end());
        for (arguments, expected) in [
            (
                vec!["inspect", "--format", "{{json .Config.Labels}}", IMAGE],
                "{\"version\":\"7\"}\n",
            ),
            (
                vec![
                    "inspect",
                    "-f",
                    "{{.Architecture}}",
                    "--platform=linux/amd64",
                    IMAGE,
                ],
                "amd64\n",
            ),
            (
                vec!["version", "--format", "{{.Server.Version}}"],
                concat!(env!("CARGO_PKG_VERSION"), "\n"),
            ),
        ] {
            assert_eq!(run(&arguments).succeeded().stdout, expected, "{arguments:?}");
        }
        let refused = run(&["images", "--format", "{{range .}}"]);
        assert!(refused.stderr.contains("is not understood"), "{}", refused.stderr);
        run(&["rmi", IMAGE, &name]).succeeded();
    }
}

/// As Kaniko's executor in a pod: the context on standard input, secrets as Kubernetes mounts them.
#[test]
fn kaniko() {
    let Some(room) = Room::new() else { return };
    let executor = room.place.path("executor");
    symlink(PROGRAM, &executor).unwrap();
    let host = room.registry.host();
    let image = format!("{host}/apps/{IMAGE}");
    // A secret of the type kubernetes.io/dockerconfigjson has its file by this name.
    room.write_login("kaniko/.docker/.dockerconfigjson");
    let shown = |name: &str| room.cert(name).display().to_string();
    let mut command = room.place.command_through(
        &executor,
        [
            "--context=tar://stdin".to_owned(),
            "--dockerfile=deploy/Containerfile".to_owned(),
            format!("--destination={image}"),
            "--build-arg".to_owned(),
            "VERSION=7".to_owned(),
            format!("--registry-certificate={host}={}", shown("ca.crt")),
            format!(
                "--registry-client-cert={host}={},{}",
                shown("client.cert"),
                shown("client.key")
            ),
            "--verbosity=debug".to_owned(),
        ],
    );
    // As the image has it.
    command.env("DOCKER_CONFIG", room.place.path("kaniko/.docker"));
    let app = pack(&room.place.path("app"));
    room.place.feed(command, &app).succeeded();
    room.check(&format!("apps/{IMAGE}"));
}

/// As a build machine, with the files that the manager's configuration names.
#[test]
fn delegated() {
    let Some(room) = Room::new() else { return };
    room.place.write("certs/password", "secret\n");
    let context = pack(&room.place.path("app"));
    let shown = |name: &str| room.cert(name).display().to_string();
    // The struct's fields have no other names in JSON than in Go.
    let meta = json!({
        "ImageTag": IMAGE,
        "ContainerFile": "deploy/Containerfile",
        "ContainerArgs": { "VERSION": "7" },
        "RegistryConfig": {
            "URL": room.registry.host(),
            "Project": "apps",
            "Type": "",
            "Username": "me",
            "Password": "",
            "PasswordFile": shown("password"),
            "CAFile": shown("ca.crt"),
            "ClientCertFile": shown("client.cert"),
            "ClientKeyFile": shown("client.key"),
            "Insecure": false,
            "AWSRegion": "",
        },
    });
    let files = room.place.path("certs");
    let server = Server::start(&["--registry-files", files.to_str().unwrap()]);
    server.post(&Form::new(&meta, &context)).is(200);
    room.check(&format!("apps/{IMAGE}"));
    // Certificates of one caller are not there for the next.
    let mut bare = meta.clone();
    for field in ["ClientCertFile", "ClientKeyFile"] {
        bare["RegistryConfig"][field] = "".into();
    }
    server.post(&Form::new(&bare, &context)).is(500);
    // Without the directory no file can be named.
    let server = Server::start(&[]);
    let answer = server.post(&Form::new(&meta, &context)).is(400);
    assert!(answer.body.contains("--registry-files"), "{}", answer.body);
}
