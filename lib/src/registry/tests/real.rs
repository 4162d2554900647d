//! The happy path against docker's own registry.

use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rbuild_testutils::need;

use super::{client, layer, noise, run};
use crate::{
    event::{self, Moved},
    image::{Descriptor, MediaType, Platform},
    registry::{Reference, Registry},
};

/// A running docker-registry; it is killed when this is dropped.
struct Real {
    process: Child,
    host: String,
    _directory: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(program: &Path) -> Real {
    let directory = tempfile::tempdir().unwrap();
    let host = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let config = serde_json::json!({
        "version": "0.1",
        "log": { "level": "error" },
        "storage": { "filesystem": { "rootdirectory": directory.path().join("data") }, "delete": { "enabled": true } },
        "http": { "addr": host },
    });
    // JSON is YAML.
    let file = directory.path().join("config.yml");
    fs::write(&file, config.to_string()).unwrap();
    let process = Command::new(program)
        .args(["serve".as_ref(), file.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let real = Real {
        process,
        host,
        _directory: directory,
    };
    let begun = Instant::now();
    while TcpStream::connect(&real.host).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "docker-registry does not come up"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    real
}

/// Pushes an image of one layer and gives back its manifest.
async fn push(client: &Registry, at: &Reference, bytes: &[u8], from: Option<&str>) -> (Descriptor, Moved) {
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let (sink, layer) = (event::ignore(), layer(bytes));
    let of = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        move || Ok(Box::new(io::Cursor::new(bytes.clone())) as Box<dyn io::Read + Send>)
    };
    let how = client
        .push_blob(at, &layer, from, &of(bytes), &sink)
        .await
        .unwrap();
    let config_blob = Descriptor::of(MediaType::ImageConfig, config);
    client
        .push_blob(at, &config_blob, None, &of(config), &sink)
        .await
        .unwrap();
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageManifest.as_ref(), "config": config_blob, "layers": [layer]
    }))
    .unwrap();
    let descriptor = Descriptor::of(MediaType::ImageManifest, &manifest);
    assert_eq!(
        client
            .push_manifest(at, &MediaType::ImageManifest, manifest.into())
            .await
            .unwrap(),
        descriptor.digest
    );
    (descriptor, how)
}

#[test]
fn pushes_mounts_pulls_lists_and_deletes() {
    let Some(program) = need("docker-registry") else {
        return;
    };
    let real = start(&program);
    let chunked = Registry::builder().chunk_size(1 << 20).build();
    let (bytes, others) = (noise(5_000_000), noise(2_500_000));
    let at = |rest: &str| format!("{}/{rest}", real.host).parse::<Reference>().unwrap();
    run(async {
        let client = client();
        let (manifest, how) = push(&client, &at("team/app:1"), &bytes, None).await;
        assert_eq!(how, Moved::Copied);
        assert_eq!(
            push(&client, &at("team/app:2"), &bytes, None).await,
            (manifest.clone(), Moved::Existed)
        );
        assert_eq!(
            push(&client, &at("other:1"), &bytes, Some("team/app")).await,
            (manifest.clone(), Moved::Mounted)
        );
        assert!(
            !client
                .mount_blob(&at("other"), layer(&others).digest, "team/app")
                .await
                .unwrap()
        );
        assert_eq!(
            push(&chunked, &at("chunked"), &others, Some("team/app")).await.1,
            Moved::Copied
        );

        let found = client
            .resolve(&at("team/app:1"), &Platform::new("linux", "amd64", None))
            .await
            .unwrap();
        assert_eq!(found.manifest.descriptor, manifest);
        let mut pulled = Vec::new();
        client
            .pull_blob(&at("other"), &layer(&bytes), &mut pulled, &event::ignore())
            .await
            .unwrap();
        assert!(pulled == bytes);

        let mut tags = client.tags(&at("team/app")).await.unwrap();
        tags.sort();
        assert_eq!(tags, ["1", "2"]);
        client.delete(&at("team/app:1")).await.unwrap();
        assert_eq!(client.digest(&at("team/app:2")).await.unwrap(), None);
    });
}
