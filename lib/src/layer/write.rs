//! A list of changes to a tar.

use std::{
    io::{BufWriter, ErrorKind, Read, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{
    Contents, Error,
    index::BUFFER,
    tar::{BLOCK, Fields, OPAQUE, WHITEOUT, XATTR, header, padding, record},
};
use crate::tree::{Change, Content, Kind, Metadata, Node, What};

/// Writes a layer's tar: entries in the order given, whole seconds, no user names, PAX headers where ustar does not
/// reach. The bytes depend on nothing but the arguments.
///
/// # Errors
/// When contents cannot be read or do not have the size they should, when a path or an attribute cannot be said in a
/// tar, or `out` fails.
pub fn write_tar(changes: &[Change], contents: &dyn Contents, out: impl Write) -> Result<(), Error> {
    let out = BufWriter::with_capacity(BUFFER, out);
    let mut writer = Writer {
        out,
        contents,
        buffer: vec![0; BUFFER],
    };
    for change in changes {
        writer.change(change)?;
    }
    // Two zero blocks are the end.
    writer.put(&[0; 2 * BLOCK])?;
    writer.out.flush().map_err(Error::Write)
}

struct Writer<'a, W> {
    out: W,
    contents: &'a dyn Contents,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<'_, W> {
    fn change(&mut self, Change { path, what }: &Change) -> Result<(), Error> {
        let name = path.as_os_str().as_bytes();
        let whiteout = Metadata::default();
        match what {
            What::Node(node) => {
                reserved(path)?;
                self.node(path, node)
            }
            What::HardLink(target) => {
                reserved(path)?;
                let fields = Fields {
                    name,
                    link: target.as_os_str().as_bytes(),
                    kind: b'1',
                    ..Fields::default()
                };
                self.header(path, &whiteout, fields)
            }
            What::Whiteout => {
                let file = path
                    .file_name()
                    .ok_or_else(|| unrepresentable(path, "the root cannot be removed"))?;
                let file = [WHITEOUT.as_bytes(), file.as_bytes()].concat();
                self.marker(path, path.parent().unwrap_or(Path::new("")), &file)
            }
            What::Opaque => self.marker(path, path, OPAQUE.as_bytes()),
        }
    }

    fn marker(&mut self, path: &Path, directory: &Path, name: &[u8]) -> Result<(), Error> {
        let directory = directory.as_os_str().as_bytes();
        let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        let name = &[directory, slash, name].concat();
        self.header(
            path,
            &Metadata::default(),
            Fields {
                name,
                kind: b'0',
                ..Fields::default()
            },
        )
    }

    fn node(&mut self, path: &Path, Node { metadata, kind }: &Node) -> Result<(), Error> {
        let name = path.as_os_str().as_bytes();
        let mut fields = Fields {
            name,
            ..Fields::default()
        };
        let directory = if name.is_empty() {
            b"./".to_vec()
        } else {
            [name, b"/"].concat()
        };
        fields.kind = match kind {
            Kind::File(content) => {
                fields.size = content.size;
                b'0'
            }
            Kind::Directory => {
                fields.name = &directory;
                b'5'
            }
            Kind::Symlink(target) => {
                fields.link = target.as_bytes();
                b'2'
            }
            Kind::Fifo => b'6',
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                fields.device = Some((*major, *minor));
                if matches!(kind, Kind::CharDevice { .. }) {
                    b'3'
                } else {
                    b'4'
                }
            }
        };
        self.header(path, metadata, fields)?;
        if let Kind::File(content) = kind {
            self.data(path, content)
        } else {
            Ok(())
        }
    }

    fn header(&mut self, path: &Path, metadata: &Metadata, mut fields: Fields<'_>) -> Result<(), Error> {
        fields.mode = metadata.mode;
        fields.uid = metadata.uid.into();
        fields.gid = metadata.gid.into();
        fields.mtime = metadata.mtime;
        let (block, overflow) = header(&fields);
        let mut records = Vec::new();
        for (key, value) in said_otherwise(&fields, &overflow)
            .ok_or_else(|| unrepresentable(path, "a number is too large"))?
        {
            record(&mut records, key.as_bytes(), &value);
        }
        for (name, value) in &metadata.xattrs {
            if name.as_bytes().contains(&b'=') {
                return Err(unrepresentable(path, "an extended attribute has '=' in its name"));
            }
            record(&mut records, &[XATTR.as_bytes(), name.as_bytes()].concat(), value);
        }
        if !records.is_empty() {
            self.extended(&records)?;
        }
        self.put(&block)
    }

    /// An extended header, for the entry that follows it.
    fn extended(&mut self, records: &[u8]) -> Result<(), Error> {
        let size = records.len() as u64;
        let fields = Fields {
            name: b"pax_header",
            mode: 0o644,
            kind: b'x',
            size,
            ..Fields::default()
        };
        let (block, _) = header(&fields);
        self.put(&block)?;
        self.put(records)?;
        self.pad(size)
    }

    fn data(&mut self, path: &Path, content: &Content) -> Result<(), Error> {
        if content.size == 0 {
            return Ok(());
        }
        let changed = || Error::Changed {
            path: path.to_owned(),
            expected: content.size,
        };
        let mut source = self.contents.open(content)?;
        let mut left = content.size;
        loop {
            // One byte more than is left, to notice when there is more.
            let length =
                usize::try_from(left + 1).map_or(self.buffer.len(), |more| more.min(self.buffer.len()));
            let length = match source.read(&mut self.buffer[..length]) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(Error::Disk {
                        action: "cannot read",
                        path: path.to_owned(),
                        source,
                    });
                }
            };
            left = left.checked_sub(length as u64).ok_or_else(changed)?;
            self.out.write_all(&self.buffer[..length]).map_err(Error::Write)?;
        }
        drop(source);
        if left > 0 {
            return Err(changed());
        }
        self.pad(content.size)
    }

    fn pad(&mut self, size: u64) -> Result<(), Error> {
        self.put(&[0; BLOCK][..padding(size) as usize])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(Error::Write)
    }
}

/// The records for what does not fit into the header block, sorted by key; `None` if there is no way to say it.
fn said_otherwise<'a>(
    fields: &Fields<'a>,
    overflow: &[&'static str],
) -> Option<Vec<(&'static str, Vec<u8>)>> {
    let mut records = Vec::new();
    for &key in overflow {
        let value = match key {
            "path" => fields.name.to_vec(),
            "linkpath" => fields.link.to_vec(),
            "uid" => fields.uid.to_string().into_bytes(),
            "gid" => fields.gid.to_string().into_bytes(),
            "size" => fields.size.to_string().into_bytes(),
            "mtime" => fields.mtime.to_string().into_bytes(),
            _ => return None,
        };
        // Values are UTF-8 but for those after this record (POSIX.1 pax, "hdrcharset").
        if std::str::from_utf8(&value).is_err() && records.first().is_none_or(|(key, _)| *key != "hdrcharset")
        {
            records.insert(0, ("hdrcharset", b"BINARY".to_vec()));
        }
        records.push((key, value));
    }
    records[..].sort_by_key(|(key, _)| (*key != "hdrcharset", *key));
    Some(records)
}

/// A file whose name says that it is a whiteout would become one.
fn reserved(path: &Path) -> Result<(), Error> {
    let reserved = path
        .iter()
        .any(|name| name.as_bytes().starts_with(WHITEOUT.as_bytes()));
    if reserved {
        Err(unrepresentable(
            path,
            "names that begin with .wh. say what is gone",
        ))
    } else {
        Ok(())
    }
}

fn unrepresentable(path: &Path, why: &'static str) -> Error {
    Error::Unrepresentable {
        path: path.to_owned(),
        why,
    }
}
