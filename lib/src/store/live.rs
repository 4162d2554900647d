//! Records that are read in parts: no digest can vouch for them without reading all. Like unpacked layers they are trusted in
//! the boot that wrote them: each begins with its name.

use std::{fs::File, os::unix::fs::FileExt};

use super::{
    Cache, Error, Store,
    cache::touch,
    disk::{self, Durability},
    unpacked::boot,
};
use crate::Digest;

impl Store {
    /// The file of a record that [`put_live`](Self::put_live) wrote in this boot, and where in it the record begins. It counts
    /// as used now.
    pub(crate) fn open_live(&self, cache: Cache, key: &Digest) -> Option<(File, u64)> {
        let boot = boot()?;
        let path = self.record_path(cache, key);
        let file = File::open(&path).ok()?;
        let mut stamp = vec![0; boot.len()];
        file.read_exact_at(&mut stamp, 0).ok()?;
        if stamp != boot.as_bytes() {
            return None;
        }
        touch(&path);
        Some((file, boot.len() as u64))
    }

    /// Writes a record that is to be read in parts; does nothing where boots have no names.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn put_live(&self, cache: Cache, key: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let Some(boot) = boot() else { return Ok(()) };
        let path = self.record_path(cache, key);
        let stamped = [boot.as_bytes(), bytes].concat();
        disk::publish(self.session()?.dir(), &path, &stamped, Durability::Rebuildable)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn records_of_another_boot_are_not_there() {
        let room = tempfile::tempdir().unwrap();
        let store = Store::open(room.path().join("store")).unwrap();
        let key = Digest::of("key");
        assert!(store.open_live(Cache::Contexts, &key).is_none());
        store.put_live(Cache::Contexts, &key, b"hello").unwrap();
        let path = store.record_path(Cache::Contexts, &key);
        let whole = fs::read(&path).unwrap();
        let (file, start) = store.open_live(Cache::Contexts, &key).unwrap();
        let mut read = [0; 5];
        file.read_exact_at(&mut read, start).unwrap();
        assert_eq!((&read, whole.len() as u64), (b"hello", start + 5));
        for (at, byte) in [(0, b'!'), (20, b'!')] {
            let mut other = whole.clone();
            other[at] = byte;
            fs::write(&path, other).unwrap();
            assert!(store.open_live(Cache::Contexts, &key).is_none());
        }
        fs::write(&path, &whole[..10]).unwrap();
        assert!(store.open_live(Cache::Contexts, &key).is_none());
    }
}
