//! Directories that were looked up are remembered, and no longer than they are where they were.

use super::*;

fn read(bench: &Bench, path: &str) -> Result<String, Errno> {
    let file = bench.open(path, OFlags::RDONLY)?;
    std::io::read_to_string(file).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn write(bench: &Bench, path: &str, text: &str) {
    let file = bench.open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC);
    std::io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
}

#[test]
fn what_is_moved_or_taken_away_is_not_found_any_more() {
    let bench = Bench::new(&Tree::new());
    let (view, asker) = (&bench.view, bench.asker(0));
    let root = view.root();
    let make = |path: &str| view.make_directory(&asker, root, path.as_bytes(), 0o755).unwrap();
    let rename = |from: &str, to: &str| {
        let flags = RenameFlags::empty();
        view.rename(&asker, (root, from.as_bytes()), (root, to.as_bytes()), flags)
    };
    for path in ["/a", "/a/in", "/b", "/b/in"] {
        make(path);
    }
    write(&bench, "/a/in/f", "a");
    write(&bench, "/b/in/f", "b");
    view.make_link(&asker, b"a", root, b"/link").unwrap();
    assert_eq!(read(&bench, "/link/in/f").as_deref(), Ok("a"));
    assert_eq!(read(&bench, "/a/in/f").as_deref(), Ok("a"));

    rename("/a", "/c").unwrap();
    assert_eq!(read(&bench, "/a/in/f"), Err(Errno::NOENT));
    assert_eq!(read(&bench, "/link/in/f"), Err(Errno::NOENT));
    rename("/b", "/a").unwrap();
    assert_eq!(read(&bench, "/link/in/f").as_deref(), Ok("b"));

    view.remove(&asker, root, b"/link", false).unwrap();
    view.make_link(&asker, b"c", root, b"/link").unwrap();
    assert_eq!(read(&bench, "/link/in/f").as_deref(), Ok("a"));

    view.remove(&asker, root, b"/c/in/f", false).unwrap();
    view.remove(&asker, root, b"/c/in", true).unwrap();
    assert_eq!(read(&bench, "/link/in/f"), Err(Errno::NOENT));
    make("/c/in");
    write(&bench, "/link/in/f", "new");
    assert_eq!(read(&bench, "/c/in/f").as_deref(), Ok("new"));
}

#[test]
fn a_file_that_was_made_is_touched_wherever_it_goes() {
    let bench = Bench::new(&Tree::new());
    let (view, asker) = (&bench.view, bench.asker(0));
    let root = view.root();
    for path in ["/a", "/a/b"] {
        view.make_directory(&asker, root, path.as_bytes(), 0o755).unwrap();
    }
    write(&bench, "/a/b/f", "text");
    let flags = RenameFlags::empty();
    view.rename(&asker, (root, b"/a/b"), (root, b"/moved"), flags)
        .unwrap();
    let file = view.find(&asker, root, b"/moved/f", false).unwrap();
    view.set_mode(&asker, &file.into(), 0o600).unwrap();
    let changes = bench.farm.changes(&bench.tree).unwrap();
    let paths: Vec<_> = changes
        .iter()
        .map(|change| change.path.display().to_string())
        .collect();
    assert_eq!(paths, ["a", "moved", "moved/f"], "{changes:?}");
}
