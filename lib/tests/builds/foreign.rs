//! Layers as some tools make them: without the directories above their files, and with hard links into layers below.

use std::path::PathBuf;

use rbuild::{
    Build, Locator, Place,
    archive::Archive,
    build::Context,
    image::{Descriptor, History, Image, Layer, Platform},
    layer::{self, Compression, LocalContents},
    tree::{Change, Content, Kind, Metadata, Node, Origin, What},
};

use rbuild_testutils::flat;

use crate::common::{Room, busybox, may_run};

const NAME: &str = "example.org/odd:1";

#[test]
fn a_run_sees_what_the_layers_mean_together() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    odd_image(&room);
    let build = Build::from_context(Context::Empty).containerfile_text(format!(
        "FROM {NAME}\nRUN (stat -c '%n %a %u %Y' /sticky /closed; cat /closed/link) > /seen && touch /sticky/new\n"
    ));
    let built = room.run(build).unwrap();
    let flat = room.flat(&built);
    let seen = flat::Kind::File(b"/sticky 1777 7 1000\n/closed 700 0 1000\nhello".to_vec());
    assert_eq!(flat.tree["/seen"].kind, seen);
    let sticky = &flat.tree["/sticky"];
    assert_eq!((sticky.mode, sticky.uid), (0o1777, 7));
}

/// Busybox, two directories with modes and owners of their own, and a layer that does not say so.
fn odd_image(room: &Room) {
    let archive = Archive::open(&Locator::OciLayout(Place::new(busybox()))).unwrap();
    let mut image = archive.image(&Platform::host()).unwrap();
    for layer in image.layers() {
        room.store.fetch(&archive, &layer.descriptor).unwrap();
    }
    let below = [
        node("closed", 0o700, 0, Kind::Directory),
        node("closed/file", 0o644, 0, file("hello")),
        node("sticky", 0o1777, 7, Kind::Directory),
    ];
    let link = What::HardLink(PathBuf::from("closed/file"));
    let above = [
        Change {
            path: "closed/link".into(),
            what: link,
        },
        node("sticky/file", 0o644, 0, file("x")),
    ];
    append(room, &mut image, &below);
    append(room, &mut image, &above);
    let descriptor = room.store.put_image(&image).unwrap();
    room.store.tag(NAME, &descriptor).unwrap();
}

fn node(path: &str, mode: u32, uid: u32, kind: Kind) -> Change {
    let metadata = Metadata {
        mode,
        uid,
        mtime: 1000,
        ..Metadata::default()
    };
    Change {
        path: path.into(),
        what: What::Node(Node { metadata, kind }),
    }
}

fn file(text: &str) -> Kind {
    Kind::File(Content {
        size: text.len() as u64,
        digest: None,
        origin: Origin::Memory(text.as_bytes().into()),
    })
}

fn append(room: &Room, image: &mut Image, changes: &[Change]) {
    let mut tar = Vec::new();
    layer::write_tar(changes, &LocalContents, &mut tar).unwrap();
    let mut blob = room.store.new_blob().unwrap();
    let (index, packed) = layer::ingest(&tar[..], &mut blob, Compression::None).unwrap();
    blob.commit(&packed.digest).unwrap();
    let descriptor = Descriptor::new(packed.media_type, packed.digest, packed.size);
    let layer = Layer {
        descriptor,
        diff_id: index.diff_id,
    };
    image.append(layer, History::default());
}
