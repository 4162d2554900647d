//! Numbers of inodes are given again.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::OFlags;

use super::{
    super::{Farm, Special},
    Bench, small,
};
use crate::exec::{Network, RunSpec, User};

/// A run that is never started.
fn spec(farm: &Arc<Farm>) -> RunSpec {
    RunSpec {
        lowers: Vec::new(),
        farm: Some(farm.clone()),
        upper: PathBuf::new(),
        work: PathBuf::new(),
        spare: PathBuf::new(),
        argv: Vec::new(),
        env: Vec::new(),
        cwd: "/".into(),
        user: User::default(),
        mounts: Vec::new(),
        network: Network::Host,
        hostname: "bench".to_owned(),
    }
}

/// Makes many things that have owners and modes of their own, and takes them away.
fn make_and_remove(bench: &Bench) {
    let (view, asker) = (&bench.view, bench.asker(7));
    let root = view.root();
    let names: Vec<String> = (0..300).map(|number| format!("tmp/{number}")).collect();
    view.make_directory(&bench.asker(0), root, b"tmp", 0o1777)
        .unwrap();
    let tmp = view.find(&asker, root, b"tmp", false).unwrap();
    view.set_mode(&bench.asker(0), &tmp.into(), 0o777).unwrap();
    for (number, name) in names.iter().enumerate() {
        let name = name.as_bytes();
        let made = match number % 3 {
            0 => view.make_special(&asker, root, name, 0o4711, Special::Fifo),
            1 => view.make_directory(&asker, root, name, 0o711),
            _ => view.make_link(&asker, b"nowhere", root, name),
        };
        made.unwrap();
    }
    for (number, name) in names.iter().enumerate() {
        view.remove(&asker, root, name.as_bytes(), number % 3 == 1)
            .unwrap();
    }
    view.remove(&bench.asker(0), root, b"tmp", true).unwrap();
}

#[test]
fn what_is_gone_says_nothing_of_what_gets_its_number() {
    let what_runs_see = |bench: &mut Bench| {
        let spec = spec(&bench.farm);
        bench.view.mount_all(&spec).unwrap();
        let devices = bench.view.find(&bench.asker(0), bench.view.root(), b"/dev", true);
        let devices = fs::read_dir(devices.unwrap().real_path().unwrap()).unwrap();
        let mut paths: Vec<String> = devices
            .map(|entry| format!("/dev/{}", entry.unwrap().file_name().display()))
            .chain(["/proc", "/proc/self", "/proc/mounts", "/sys", "/etc/hosts"].map(str::to_owned))
            .collect();
        paths.sort();
        let tell = |path: String| {
            let told = bench.tell(&path);
            (path, told.mode, told.uid, told.gid)
        };
        paths.into_iter().map(tell).collect::<Vec<_>>()
    };
    let mut fresh = Bench::new(&small());
    let expected = what_runs_see(&mut fresh);
    let mut used = Bench::new(&small());
    make_and_remove(&used);
    assert_eq!(what_runs_see(&mut used), expected);
}

#[test]
fn files_that_others_make_are_not_taken_for_what_was_there() {
    let bench = Bench::new(&small());
    let asker = bench.asker(7);
    drop(bench.open("mine", OFlags::WRONLY | OFlags::CREATE).unwrap());
    let mine = bench
        .view
        .find(&asker, bench.view.root(), b"mine", false)
        .unwrap();
    bench
        .view
        .set_owner(&bench.asker(0), &mine.clone().into(), Some(7), Some(8))
        .unwrap();
    assert_eq!(bench.tell("mine").uid, 7);
    let number = mine.key().number;
    drop(mine);
    let place = bench.farm.root().join("mine");
    let born = |place: &Path| fs::metadata(place).unwrap().created();
    let Ok(before) = born(&place) else {
        // A file system that does not say has numbers that are not given again.
        return;
    };
    for _ in 0..100 {
        fs::remove_file(&place).unwrap();
        // Two births at the same tick of the kernel's clock cannot be told apart.
        std::thread::sleep(std::time::Duration::from_millis(5));
        fs::write(&place, "").unwrap();
        if fs::metadata(&place).unwrap().ino() == number {
            assert_ne!(born(&place).unwrap(), before);
            assert_eq!(bench.tell("mine").uid, 0);
            return;
        }
    }
}
