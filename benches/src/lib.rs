//! Benchmarks of rbuild: `benches/` for single paths, `src/bin/compare` for whole builds beside other builders,
//! `src/bin/cages` for RUN steps in different places.

use std::{fs, io, path::Path, sync::Arc};

use rbuild::tree::{Change, Content, Kind, Metadata, Node, Origin, What};

/// Bytes that compress about as well as programs and texts do, the same on every machine.
pub fn sample(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        // xorshift; its words repeat as those of a language do, and some are new.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state % 4 {
            0 => bytes.extend_from_slice(&state.to_le_bytes()),
            _ => bytes.extend_from_slice(format!("word{} ", state >> 55).as_bytes()),
        }
    }
    bytes.truncate(length);
    bytes
}

/// A layer of so many files of this size in memory, a hundred in each directory.
pub fn layer(files: usize, size: usize) -> Vec<Change> {
    let node = |kind, mode| {
        What::Node(Node {
            metadata: Metadata {
                mode,
                ..Metadata::default()
            },
            kind,
        })
    };
    let mut changes = Vec::new();
    for file in 0..files {
        let directory = format!("directory-{:04}", file / 100);
        if file % 100 == 0 {
            changes.push(Change {
                path: directory.clone().into(),
                what: node(Kind::Directory, 0o755),
            });
        }
        let bytes: Arc<[u8]> = sample(size, file as u64).into();
        let content = Content {
            size: size as u64,
            digest: None,
            origin: Origin::Memory(bytes),
        };
        let path = format!("{directory}/file-{file:06}").into();
        changes.push(Change {
            path,
            what: node(Kind::File(content), 0o644),
        });
    }
    changes
}

/// The same as files below a directory.
///
/// # Errors
/// When the disk does not take them.
pub fn directory(root: &Path, files: usize, size: usize) -> io::Result<()> {
    for file in 0..files {
        let directory = root.join(format!("directory-{:04}", file / 100));
        if file % 100 == 0 {
            fs::create_dir(&directory)?;
        }
        fs::write(
            directory.join(format!("file-{file:06}")),
            sample(size, file as u64),
        )?;
    }
    Ok(())
}
