//! Runs a program in one of the kinds of place that rbuild must work in: `cage restricted PROGRAM ARGUMENT…`, as root.
//!
//! The program starts in an empty directory that belongs to its user, and is its `HOME` and `TMPDIR`. What it cannot
//! see is gone afterwards.

use std::{
    env,
    process::{Command, ExitCode},
};

use rbuild_testutils::cages::{Cage, inside};

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let cage = words.next().and_then(|name| cage(name.to_str()?));
    let (Some(cage), Some(program)) = (cage, words.next()) else {
        eprintln!("usage: cage root|pod-root|rootless|rootless-single|restricted PROGRAM [ARGUMENT]...");
        return ExitCode::from(2);
    };
    let arguments: Vec<_> = words.collect();
    inside(cage, |room| {
        let status = Command::new(&program)
            .args(&arguments)
            .current_dir(room)
            .env("HOME", room)
            .env("TMPDIR", room)
            .status();
        let status = status.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        assert!(status.success(), "{}: {status}", program.display());
    });
    ExitCode::SUCCESS
}

fn cage(name: &str) -> Option<Cage> {
    Some(match name {
        "root" => Cage::Root,
        "pod-root" => Cage::PodRoot,
        "rootless" => Cage::Rootless,
        "rootless-single" => Cage::RootlessSingle,
        "restricted" => Cage::Restricted,
        _ => return None,
    })
}
