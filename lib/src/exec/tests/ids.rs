//! Work done with the ids of a run.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, chown},
};

use rbuild_testutils::cages::Cage;

use super::{Error, on_each_bench};

#[test]
fn files_can_be_given_to_any_user() {
    on_each_bench(|bench| {
        let directory = bench.room.join("given");
        let file = directory.join("file");
        bench
            .engine
            .with_ids(|| {
                fs::create_dir(&directory)?;
                fs::write(&file, "")?;
                chown(&file, Some(33), Some(44))?;
                chown(&directory, Some(1), Some(65_000))
            })
            .unwrap();
        let seen = fs::metadata(&file).unwrap();
        assert_eq!((seen.uid(), seen.gid()) == (33, 44), bench.cage == Cage::Root);
        let mut spec = bench.script("stat -c '%u %g' /m/file /m; id -u");
        spec.lowers.insert(0, bench.room.join("layer"));
        fs::create_dir(bench.room.join("layer")).unwrap();
        // Only its owner can move a directory, since that changes its `..`.
        bench
            .engine
            .with_ids(|| fs::rename(&directory, bench.room.join("layer/m")))
            .unwrap();
        assert_eq!(bench.run(&spec).ok(), "33 44\n1 65000\n0\n");
        bench.engine.remove_tree(&bench.room.join("layer")).unwrap();
        assert!(!bench.room.join("layer").exists());
    });
}

#[test]
fn failures_and_panics_come_back_as_errors() {
    on_each_bench(|bench| {
        let error = bench.engine.with_ids(|| Err("it is broken")).unwrap_err();
        assert_eq!(error.to_string(), "it is broken");
        let long = "ü".repeat(10_000);
        let error = bench.engine.with_ids(|| Err(&long)).unwrap_err();
        assert!(error.to_string().starts_with("üüü"));
        if bench.cage == Cage::Rootless {
            let error = bench
                .engine
                .with_ids(|| -> Result<(), Error> { panic!("at the {}", "disco") });
            assert_eq!(error.unwrap_err().to_string(), "panicked: at the disco");
            let error = bench
                .engine
                .with_ids(|| -> Result<(), Error> { std::process::abort() });
            assert_eq!(
                error.unwrap_err().to_string(),
                "a child process was ended by signal 6"
            );
        }
    });
}

#[test]
fn what_is_produced_is_consumed() {
    on_each_bench(|bench| {
        let produce = |out: &mut dyn Write| (0..100_000_u32).try_for_each(|number| writeln!(out, "{number}"));
        let text = bench
            .engine
            .produce(produce, |input| {
                let mut text = String::new();
                input.read_to_string(&mut text).map(|_| text)
            })
            .unwrap()
            .unwrap();
        assert_eq!(text.lines().count(), 100_000);
        // A consumer that has had enough does not make the work fail.
        let first = bench.engine.produce(produce, |input| {
            let mut first = [0; 2];
            input.read_exact(&mut first).map(|()| first)
        });
        assert_eq!(&first.unwrap().unwrap(), b"0\n");
        let failed = bench.engine.produce(
            |out| {
                out.write_all(b"half").map_err(|error| error.to_string())?;
                Err("the disk is gone".to_owned())
            },
            |input| input.read_to_end(&mut Vec::new()).unwrap(),
        );
        assert_eq!(failed.unwrap_err().to_string(), "the disk is gone");
    });
}
