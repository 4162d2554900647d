//! The builds that are timed.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    bases::{FILES, LARGE, SMALL},
    registry::Registry,
    shell,
};

/// A Containerfile and what is in its context.
pub struct Workload {
    /// What it does, for the table.
    pub name: &'static str,
    /// The base image that it needs.
    pub base: &'static str,
    /// What other builders took for it on another machine.
    pub elsewhere: Elsewhere,
    containerfile: String,
    files: Files,
}

/// Cold and warm times of other builders, in seconds, all on one machine: 2 cores.
#[derive(Clone, Copy)]
pub struct Elsewhere {
    /// 1.45, which tells how fast that machine is.
    pub buildah: [f64; 2],
    /// The best of it, BuildKit 0.32 and Kaniko 1.28.
    pub best: [f64; 2],
}

/// What is in a context.
enum Files {
    Nothing,
    /// So many files of a few kB in `files/`.
    Small(usize),
    /// One file of so many bytes.
    One(u64),
}

/// All of them.
pub fn all(registry: &Registry) -> Vec<Workload> {
    let [small, large, files] = [SMALL, LARGE, FILES].map(|base| registry.name(base));
    let workload = |name, base, (buildah, best), containerfile, files| Workload {
        name,
        base,
        elsewhere: Elsewhere { buildah, best },
        containerfile,
        files,
    };
    let forty: String = (0..40).map(|n| format!("RUN echo {n} > /step-{n}\n")).collect();
    let write = "RUN while cat /usr/bin/bash /usr/bin/perl; do :; done | head -c 520000000 > /written";
    let sleepers: String = (0..4)
        .map(|n| format!("FROM {small} AS s{n}\nRUN sleep 3 && echo {n} > /slept\n"))
        .collect();
    let gathered: String = (0..4)
        .map(|n| format!("COPY --from=s{n} /slept /slept-{n}\n"))
        .collect();
    vec![
        workload(
            "one RUN, one COPY",
            SMALL,
            ([3.9, 0.13], [2.3, 0.06]),
            format!("FROM {small}\nRUN echo hi > /hi\nCOPY file /file\n"),
            Files::One(5_000),
        ),
        workload(
            "40 small RUNs",
            SMALL,
            ([13.4, 0.65], [5.5, 0.15]),
            format!("FROM {small}\n{forty}"),
            Files::Nothing,
        ),
        workload(
            "COPY of 20,000 files",
            SMALL,
            ([16.1, 4.6], [8.2, 0.44]),
            format!("FROM {small}\nCOPY files /files\n"),
            Files::Small(20_000),
        ),
        workload(
            "RUN touching 3 files of 1 GB",
            LARGE,
            ([13.3, 0.12], [13.3, 0.09]),
            format!("FROM {large}\nRUN touch /etc/hostname /etc/passwd /usr/bin/env\n"),
            Files::Nothing,
        ),
        workload(
            "RUN of 520 MB, COPY of 200 MB",
            SMALL,
            ([19.6, 0.60], [19.6, 0.11]),
            format!("FROM {small}\n{write}\nCOPY file /file\n"),
            Files::One(200_000_000),
        ),
        workload(
            "4 stages that sleep 3 s",
            SMALL,
            ([15.9, 0.48], [7.7, 0.09]),
            format!("{sleepers}FROM {small}\n{gathered}"),
            Files::Nothing,
        ),
        workload(
            "cp -a of 12,000 files",
            FILES,
            ([35.0, 0.26], [31.1, 0.26]),
            format!("FROM {files}\nRUN cp -a /data /copy\n"),
            Files::Nothing,
        ),
    ]
}

impl Workload {
    /// Its context. The files are written once, and stay: for minutes after many were deleted, ext4 is slow to make new
    /// ones.
    pub fn write(&self, dir: &Path) -> Result<PathBuf> {
        let name = self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let context = dir.join("contexts").join(name);
        if !context.exists() {
            let unfinished = context.with_extension("unfinished");
            shell::remove(&unfinished)?;
            fs::create_dir_all(&unfinished).with_context(|| unfinished.display().to_string())?;
            let mut text = Text::new(7);
            match self.files {
                Files::Nothing => {}
                Files::Small(count) => write_small_files(&unfinished.join("files"), count, &mut text)?,
                Files::One(size) => text.write(&unfinished.join("file"), size)?,
            }
            fs::rename(&unfinished, &context).with_context(|| context.display().to_string())?;
        }
        // The registry is another one each time.
        let containerfile = context.join("Dockerfile");
        fs::write(&containerfile, &self.containerfile)
            .with_context(|| containerfile.display().to_string())?;
        Ok(context)
    }
}

/// Files of up to 8 kB, a hundred to a directory.
pub fn write_small_files(dir: &Path, count: usize, text: &mut Text) -> Result<()> {
    for n in 0..count {
        let parent = dir.join(format!("d{}", n / 100));
        if n % 100 == 0 {
            fs::create_dir_all(&parent).with_context(|| parent.display().to_string())?;
        }
        let size = 100 + text.next() % 8_000;
        text.write(&parent.join(format!("f{n}")), size)?;
    }
    Ok(())
}

/// Bytes that look random but are the same each time, and compress to about half.
pub struct Text(u64);

impl Text {
    /// Another seed, other bytes.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// xorshift64.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Writes a file of so many bytes.
    fn write(&mut self, path: &Path, size: u64) -> Result<()> {
        let place = || path.display().to_string();
        let mut out = BufWriter::new(File::create(path).with_context(place)?);
        for at in (0..size).step_by(8) {
            let word = format!("{:08x}", self.next() as u32);
            let length = (size - at).min(8) as usize;
            out.write_all(&word.as_bytes()[..length]).with_context(place)?;
        }
        out.flush().with_context(place)
    }
}
