//! `/proc/PID/maps`: what a process has mapped, by the names that files have in the root of the run.

use std::{ffi::OsStr, fs, io, os::unix::ffi::OsStrExt, path::Path};

use super::view::{Asker, View};

/// Says that a file has no name any more.
const GONE: &[u8] = b" (deleted)";

impl View {
    /// What a file in `/proc` says, if it is one of those that name what is mapped.
    pub(super) fn mapped(&self, asker: &Asker<'_>, real: &Path) -> io::Result<Option<Vec<u8>>> {
        if !matches!(real.file_name().and_then(OsStr::to_str), Some("maps" | "smaps")) {
            return Ok(None);
        }
        let Some(above) = real.parent() else {
            return Ok(None);
        };
        let process = super::process::of_directory(above).and_then(|process| asker.family.of(process));
        let Some(process) = process else { return Ok(None) };
        let text = fs::read(real)?;
        let program = fs::read_link(above.join("exe"))?;
        let name = |path: &Path| -> Option<Vec<u8>> {
            if let Some(seen) = self.mounts.path_of_real(path) {
                return Some(seen.into_os_string().into_encoded_bytes());
            }
            // Copies, which only the kernel has executed: the program and its loader.
            let is_copy = path.starts_with(self.farm.scratch());
            is_copy.then(|| match path == program {
                true => process.program().to_vec(),
                false => process.loader().to_vec(),
            })
        };
        Ok(Some(renamed(&text, name)))
    }
}

/// The same lines with other paths: those begin with the only slash after a blank.
fn renamed(text: &[u8], name: impl Fn(&Path) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let start = line.windows(2).position(|bytes| bytes == b" /");
        let (fields, path) = line.split_at(start.map_or(line.len(), |blank| blank + 1));
        let end = path.strip_suffix(b"\n").unwrap_or(path);
        let plain = end.strip_suffix(GONE).unwrap_or(end);
        let rest = path.get(plain.len()..).unwrap_or_default();
        let new = Some(plain)
            .filter(|path| !path.is_empty())
            .and_then(|path| name(Path::new(OsStr::from_bytes(path))));
        out.extend([fields, new.as_deref().unwrap_or(plain), rest].concat());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_renamed_and_nothing_else() {
        let text = b"55d0-55d1 r--p 00000000 fe:00 26 /store/root/bin/a b\n\
            7f00-7f01 rw-p 00000000 00:00 0 \n\
            7f02-7f03 r-xp 00001000 00:2e 7   /store/root/lib/x (deleted)\n\
            Rss:  4 kB\n\
            7f04-7f05 r-xp 00001000 00:2e 7   /memfd:x (deleted)\n\
            7ffc-7ffd rw-p 00000000 00:00 0   [stack]\n";
        let name = |path: &Path| {
            let below = path.strip_prefix("/store/root").ok()?;
            Some(Path::new("/").join(below).into_os_string().into_encoded_bytes())
        };
        let expected = "55d0-55d1 r--p 00000000 fe:00 26 /bin/a b\n\
            7f00-7f01 rw-p 00000000 00:00 0 \n\
            7f02-7f03 r-xp 00001000 00:2e 7   /lib/x (deleted)\n\
            Rss:  4 kB\n\
            7f04-7f05 r-xp 00001000 00:2e 7   /memfd:x (deleted)\n\
            7ffc-7ffd rw-p 00000000 00:00 0   [stack]\n";
        assert_eq!(String::from_utf8(renamed(text, name)).unwrap(), expected);
    }
}
