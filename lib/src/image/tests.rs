use std::io::Read;

use proptest::prelude::*;
use serde_json::json;

use super::{fixture::Memory, *};
use crate::Digest;

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

#[test]
fn platforms_are_normalized() {
    let table = [
        ("linux/amd64", "linux/amd64"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/i686", "linux/386"),
        ("linux/riscv64", "linux/riscv64"),
        ("macos/arm64", "darwin/arm64"),
    ];
    for (text, normal) in table {
        assert_eq!(platform(text).to_string(), normal, "{text}");
        assert_eq!(platform(normal), platform(text), "{text}");
    }
    for text in [
        "",
        "linux",
        "linux/",
        "/amd64",
        "linux/arm/v7/x",
        "linux/amd 64",
        "lin\u{fc}x/amd64",
    ] {
        let error = text.parse::<Platform>().unwrap_err();
        assert!(error.to_string().contains("OS/ARCHITECTURE"), "{text}: {error}");
    }
}

#[test]
fn an_index_is_searched_for_what_runs() {
    let entry = |text: &str| {
        let mut descriptor = Descriptor::of(MediaType::ImageManifest, text.as_bytes());
        descriptor.platform = Some(platform(text));
        descriptor
    };
    let arms = [
        "linux/amd64",
        "linux/arm/v5",
        "linux/arm/v6",
        "linux/arm64",
        "linux/amd64/v2",
    ];
    // What there is, what is wanted, what is chosen.
    let table: [(&[&str], &str, Option<&str>); 12] = [
        (&arms, "linux/amd64", Some("linux/amd64")),
        (&arms, "linux/amd64/v2", Some("linux/amd64/v2")),
        (&arms, "linux/amd64/v3", Some("linux/amd64/v2")),
        (&arms, "linux/arm", Some("linux/arm/v6")),
        (&arms, "linux/arm/v5", Some("linux/arm/v5")),
        (&arms, "linux/arm64/v8", Some("linux/arm64")),
        (&arms, "linux/arm64/v9", Some("linux/arm64")),
        (&arms, "linux/s390x", None),
        (&arms, "windows/amd64", None),
        (&["linux/arm/v7"], "linux/arm/v6", None),
        (&["linux/amd64/v3"], "linux/amd64", None),
        (&[], "linux/amd64", None),
    ];
    for (have, wanted, chosen) in table {
        let index = Index::new(have.iter().map(|text| entry(text)).collect());
        let found = index.select(&platform(wanted), Digest::of("")).ok();
        let found = found.map(|entry| entry.platform.as_ref().unwrap().to_string());
        assert_eq!(found.as_deref(), chosen, "{wanted} of {have:?}");
    }
}

#[test]
fn an_index_without_the_platform_says_what_it_has() {
    let memory = Memory::default();
    let entries = ["linux/amd64", "linux/arm/v6"].map(|name| memory.put_image(&memory.image(name, &["x"])));
    let mut attestation = memory.put(MediaType::ImageManifest, b"{}");
    attestation.platform = Some(Platform::new("unknown", "unknown", None));
    attestation.annotations.insert(
        "vnd.docker.reference.type".to_owned(),
        "attestation-manifest".to_owned(),
    );
    let index = memory.put_index([entries.to_vec(), vec![attestation]].concat());
    let error = Image::load(&memory, &index, &platform("linux/s390x"))
        .unwrap_err()
        .to_string();
    let digest = index.digest;
    assert_eq!(
        error,
        format!("no image for linux/s390x in index {digest}; it has linux/amd64, linux/arm/v6")
    );
}

#[test]
fn an_only_entry_needs_no_platform() {
    let memory = Memory::default();
    let mut entry = memory.put_image(&memory.image("linux/riscv64", &["x"]));
    entry.platform = None;
    let index = memory.put_index(vec![entry.clone()]);
    let image = Image::load(&memory, &index, &platform("linux/amd64")).unwrap();
    assert_eq!(image.platform().to_string(), "linux/riscv64");
    let index = memory.put_index(vec![entry.clone(), entry]);
    assert!(matches!(
        Image::load(&memory, &index, &platform("linux/amd64")),
        Err(Error::NoPlatform { .. })
    ));
}

#[test]
fn indexes_nest_but_not_without_end() {
    let memory = Memory::default();
    let image = memory.put_image(&memory.image("linux/amd64", &["x"]));
    let mut index = image.clone();
    for depth in 1..6 {
        index = memory.put_index(vec![index]);
        let loaded = Image::load(&memory, &index, &platform("linux/amd64"));
        match depth {
            1..4 => assert_eq!(loaded.unwrap().encode().unwrap().descriptor.digest, image.digest),
            _ => assert!(matches!(loaded, Err(Error::Nesting { .. }))),
        }
    }
}

#[test]
fn what_was_read_is_written_as_it_was() {
    let memory = Memory::default();
    let descriptor = memory.docker_image();
    let image = Image::load(&memory, &descriptor, &platform("linux/amd64")).unwrap();
    let encoded = image.encode().unwrap();
    assert_eq!(encoded.descriptor, descriptor);
    assert_eq!(encoded.manifest, read_small(&memory, &descriptor).unwrap());
    assert_eq!(
        encoded.config,
        read_small(&memory, &encoded.config_descriptor).unwrap()
    );
    assert_eq!(Digest::of(&encoded.config), encoded.config_descriptor.digest);
}

#[test]
fn what_was_changed_is_written_as_oci() {
    let memory = Memory::default();
    let mut image = Image::load(&memory, &memory.docker_image(), &platform("linux/amd64")).unwrap();
    image.append(
        memory.layer("b", "b"),
        History {
            created_by: "COPY b /".to_owned(),
            ..History::default()
        },
    );
    image.note(History {
        created_by: "ENV a=b".to_owned(),
        ..History::default()
    });
    image.config_mut().config.set_env("a", "b");
    let encoded = image.encode().unwrap();
    let manifest = Manifest::parse(&encoded.manifest).unwrap();
    assert_eq!(manifest.media_type, Some(MediaType::ImageManifest));
    assert_eq!(manifest.config.media_type, MediaType::ImageConfig);
    let types: Vec<_> = manifest
        .layers
        .iter()
        .map(|layer| layer.media_type.clone())
        .collect();
    assert_eq!(types, [MediaType::ImageLayerGzip, MediaType::ImageLayerGzip]);
    assert_eq!(manifest.layers[0].other["urls"], json!(["x:"]));
    let config: serde_json::Value = serde_json::from_slice(&encoded.config).unwrap();
    assert_eq!(config["config"], json!({"Env": ["a=b"], "Surprise": 1}));
    assert_eq!(config["docker_version"], "1.2");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    assert_eq!(
        config["history"],
        json!([{"created_by": "COPY b /"}, {"created_by": "ENV a=b", "empty_layer": true}])
    );
    let again = Image::parse(
        encoded.descriptor.clone(),
        encoded.manifest.clone(),
        encoded.config.clone(),
    );
    assert_eq!(again.unwrap().layers()[1], image.layers()[1]);
    assert_eq!(image.clone().encode().unwrap(), encoded);
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let memory = Memory::default();
    let encoded = memory.image("linux/amd64", &["x"]).encode().unwrap();
    let parse = |manifest: String, config: &[u8]| {
        let descriptor = Descriptor::of(MediaType::ImageManifest, manifest.as_bytes());
        Image::parse(descriptor, manifest.into_bytes(), config.to_vec()).unwrap_err()
    };
    let manifest = String::from_utf8(encoded.manifest.clone()).unwrap();
    let no_layers = manifest.split("\"layers\"").next().unwrap().to_owned() + "\"layers\":[]}";
    assert!(matches!(
        parse(no_layers, &encoded.config),
        Error::LayerCount {
            layers: 0,
            diff_ids: 1,
            ..
        }
    ));
    assert!(matches!(
        parse(manifest.clone(), b"{}"),
        Error::ConfigDigest { .. }
    ));
    let artifact = manifest.replace("image.config.v1+json", "empty.v1+json");
    assert!(matches!(
        parse(artifact, &encoded.config),
        Error::MediaType { .. }
    ));
    let schema_1 = r#"{"schemaVersion":1,"name":"x","fsLayers":[]}"#.to_owned();
    assert!(parse(schema_1, b"").to_string().contains("schema 1"));
    for text in ["", "{", "[]", "null", "{\"schemaVersion\":2}"] {
        assert!(
            matches!(parse(text.to_owned(), b""), Error::Json { what: "manifest", .. }),
            "{text}"
        );
    }
    let sha512 = manifest.replacen("sha256:", "sha512:", 1);
    let Error::Json { source, .. } = parse(sha512, b"") else {
        panic!("no JSON error")
    };
    assert!(source.to_string().contains("only sha256 is"), "{source}");
}

#[test]
fn more_layers_than_any_image_has_are_refused() {
    let layer = json!(Descriptor::of(MediaType::ImageLayer, b""));
    let manifest = |count: usize| {
        let value = json!({ "schemaVersion": 2, "config": layer, "layers": vec![layer.clone(); count] });
        Manifest::parse(value.to_string().as_bytes())
    };
    assert!(manifest(1000).is_ok());
    let error = manifest(50_000).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooMany {
                count: 50_000,
                limit: 1000,
                ..
            }
        ),
        "{error}"
    );
    let index = json!({ "schemaVersion": 2, "manifests": vec![layer; 10_001] });
    let error = Index::parse(index.to_string().as_bytes()).unwrap_err();
    assert!(matches!(error, Error::TooMany { what: "index", .. }), "{error}");
}

#[test]
fn null_is_absent() {
    let text = json!({
        "architecture": "amd64", "os": "linux", "author": null, "history": null,
        "config": {
            "User": null, "ExposedPorts": null, "Env": null, "Entrypoint": null, "Cmd": null, "Volumes": null,
            "WorkingDir": null, "OnBuild": null, "Labels": null, "Healthcheck": null, "Shell": null,
            "ArgsEscaped": null, "StopSignal": null, "StopTimeout": null,
        },
        "rootfs": {"type": "layers", "diff_ids": null},
    });
    let config = Config::parse(text.to_string().as_bytes()).unwrap();
    assert_eq!(
        config,
        Config {
            architecture: "amd64".into(),
            os: "linux".into(),
            ..Config::default()
        }
    );
    let config = Config::parse(br#"{"config": null, "rootfs": null}"#).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn docker_s_fields_are_known() {
    let text = json!({
        "created": "2026-01-02T03:04:05Z", "author": "me",
        "architecture": "arm", "os": "linux", "variant": "v7",
        "config": {
            "User": "1:1", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=b"], "Entrypoint": ["e"], "Cmd": ["c"],
            "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1, "StartInterval": 2, "Retries": 3},
            "ArgsEscaped": true, "Volumes": {"/v": {}}, "WorkingDir": "/w", "OnBuild": ["RUN x"],
            "Labels": {"a": "b"}, "StopSignal": "9", "StopTimeout": 3, "Shell": ["sh"], "Hostname": "h",
        },
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [{"created": "2026-01-02T03:04:05Z", "created_by": "x", "comment": "c", "empty_layer": true}],
        "zeta": 1, "alpha": {"b": 1, "a": 2},
    });
    let config = Config::parse(text.to_string().as_bytes()).unwrap();
    assert_eq!(config.platform().to_string(), "linux/arm/v7");
    assert_eq!(config.config.healthcheck.as_ref().unwrap().retries, 3);
    assert_eq!(config.other.keys().collect::<Vec<_>>(), ["zeta", "alpha"]);
    // Text and not values, so that the order counts, too.
    assert_eq!(serde_json::to_string(&config).unwrap(), text.to_string());
}

#[test]
fn variables_keep_their_place() {
    let mut config = ContainerConfig {
        env: vec!["A=1".into(), "AB=2".into(), "C".into()],
        ..Default::default()
    };
    config.set_env("AB", "x=y");
    config.set_env("C", "3");
    config.set_env("D", "");
    assert_eq!(config.env, ["A=1", "AB=x=y", "C=3", "D="]);
    let table = [
        ("A", Some("1")),
        ("AB", Some("x=y")),
        ("D", Some("")),
        ("E", None),
        ("", None),
    ];
    for (name, value) in table {
        assert_eq!(config.get_env(name), value, "{name}");
    }
}

#[test]
fn large_documents_are_refused_unread() {
    let memory = Memory::default();
    let mut blob = memory.put(MediaType::ImageManifest, b"{}");
    blob.size = SMALL + 1;
    assert!(matches!(
        read_small(&memory, &blob),
        Err(BlobError::TooLarge { .. })
    ));
}

/// Reads in pieces, as a network might give them.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.1);
        self.0.read(&mut buffer[..count])
    }
}

proptest! {
    #[test]
    fn verified_reading_passes_what_is_right_and_nothing_else(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        piece in 1usize..50,
        change in 0usize..200,
    ) {
        let blob = Descriptor::of(MediaType::ImageLayer, &bytes);
        let read = |bytes: &[u8]| {
            let mut out = Vec::new();
            let result = Verified::new(Pieces(bytes, piece), &blob, "a test").read_to_end(&mut out);
            result.map(|_| out).map_err(|error| BlobError::from_read(error, blob.digest, "a test"))
        };
        prop_assert_eq!(&read(&bytes).unwrap(), &bytes);
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(read(&longer), Err(BlobError::Size { found: None, .. })));
        if let Some(at) = change.checked_rem(bytes.len()) {
            let shorter = matches!(
                read(&bytes[..at]),
                Err(BlobError::Size { found: Some(found), .. }) if found == at as u64
            );
            prop_assert!(shorter);
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(matches!(read(&other), Err(BlobError::Digest { .. })));
        }
    }

    #[test]
    fn configs_survive_writing_and_reading(
        env in proptest::collection::vec("[A-Z]{1,3}=\\PC{0,5}", 0..4),
        ports in proptest::collection::btree_set("[0-9]{1,4}/tcp", 0..3),
        labels in proptest::collection::btree_map("\\PC{1,4}", "\\PC{0,4}", 0..3),
        cmd in proptest::option::of(proptest::collection::vec("\\PC{0,4}", 0..3)),
        user in "\\PC{0,4}",
        args_escaped in any::<bool>(),
        retries in any::<i64>(),
        created_by in proptest::collection::vec("\\PC{0,6}", 0..4),
    ) {
        let healthcheck = Some(Healthcheck { retries, ..Healthcheck::default() });
        let config = Config {
            config: ContainerConfig {
                env, exposed_ports: ports, labels, cmd, user, args_escaped, healthcheck, ..Default::default()
            },
            history: created_by.into_iter().map(|by| History { created_by: by, ..Default::default() }).collect(),
            ..Config::default()
        };
        let bytes = serde_json::to_vec(&config).unwrap();
        prop_assert_eq!(&Config::parse(&bytes).unwrap(), &config);
    }

    #[test]
    fn nothing_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100), text in "[\\[\\]{}:,\"0-9a-z]{0,60}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            let _ = Config::parse(bytes);
            let _ = Manifest::parse(bytes);
            let _ = Index::parse(bytes);
        }
        let _ = text.parse::<Platform>();
    }
}
