//! Cached equals uncached: random builds are edited at random and built on in one store, and each time again in a new
//! one. Both must come to the same image, or to the same error.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestCaseError, TestRunner},
};
use rbuild::store::Store;
use rbuild_testutils::flat::Flat;

use crate::common::{Room, busybox, chain, may_run};

/// Rounds in all where everything is tested, and elsewhere.
const ROUNDS: [u32; 2] = [500, 40];

/// What is built.
#[derive(Clone, Debug)]
struct World {
    files: BTreeMap<&'static str, Content>,
    /// Lines of each stage, without `FROM`.
    stages: Vec<(Base, Vec<Line>)>,
    /// The build-arg `A`.
    arg: Option<&'static str>,
    /// All times are those of the epoch, so that images can be compared byte by byte.
    timeless: bool,
}

#[derive(Clone, Debug)]
enum Content {
    File(&'static str, u32),
    Link(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Base {
    Busybox,
    /// The stage before, if there is one.
    Before,
}

/// A line, with `@` in place of the number of another stage.
#[derive(Clone, Debug)]
struct Line(String, Index);

#[derive(Clone, Debug)]
enum Edit {
    Write(&'static str, Content),
    Remove(&'static str),
    /// Nothing but other times, which every edit comes with.
    Touch,
    Replace(Index, Line),
    Insert(Index, Line),
    Delete(Index),
    Swap(Index, Index),
    Arg(Option<&'static str>),
    Timeless(bool),
}

const NAMES: [&str; 7] = ["a", "b", "d/a", "d/e/b", "d/x.txt", "e/y.txt", "z.txt"];

fn content() -> impl Strategy<Value = Content> {
    let text = select(&["", "one\n", "two\n", "three\n"][..]);
    prop_oneof![
        8 => (text, select(&[0o644, 0o600, 0o755][..])).prop_map(|(text, mode)| Content::File(text, mode)),
        1 => select(&["a", "d", "nowhere"][..]).prop_map(Content::Link),
    ]
}

/// What every RUN leaves of what it sees, where every user can write.
const SEEN: &str = "{ id; pwd; echo $A $B $C $0; } >> /tmp/seen.$(id -u)";

/// A RUN gives the same result at any time, on any machine.
fn run() -> impl Strategy<Value = String> {
    let mount = select(
        &[
            "",
            "",
            "",
            "--mount=target=/m ",
            "--mount=from=@,target=/m ",
            "--network=none ",
        ][..],
    );
    let command = select(
        &[
            "echo $A $B >> /o",
            "ls -R / > /l 2>/dev/null; true",
            "find /x /y /m -type f 2>/dev/null | sort | xargs cat > /all; true",
            "mkdir -p /x /y/q && echo run > /x/r",
            "rm -rf /x",
            "rm -rf /y && mkdir /y",
            "mv /x /y/moved 2>/dev/null; true",
            "chmod -R u+rwx,g-w /x /y 2>/dev/null; true",
            "chown -R 5:6 /y 2>/dev/null; true",
            "rm -f /lnk && ln -s x /lnk",
            "rm -f /hard && ln /etc/passwd /hard && echo x >> /etc/group",
            "pwd > /here; id -u >> /here",
            "cat /all /o > /both 2>/dev/null; true",
            "true",
        ][..],
    );
    (mount, command).prop_map(|(mount, command)| format!("RUN {mount}{SEEN}; {command}"))
}

fn copy() -> impl Strategy<Value = String> {
    let word = select(&["COPY", "COPY", "COPY", "ADD"][..]);
    let flags = select(
        &[
            "",
            "",
            "",
            "--chown=1:2 ",
            "--chmod=640 ",
            "--link ",
            "--exclude=*.txt ",
            "--chown=nobody ",
            "--link --chown=daemon ",
        ][..],
    );
    let sources = select(&[".", "a", "d", "d/", "*", "d/*", "*.txt", "a b", "e", "<<E"][..]);
    let target = select(&["/", "/x", "/x/", "/y/z/", "w", "./", "/lnk/", "/file"][..]);
    (word, flags, sources, target).prop_map(|(word, flags, sources, target)| {
        let body = if sources == "<<E" { "\nline $A\nE" } else { "" };
        format!("{word} {flags}{sources} {target}{body}")
    })
}

fn copy_from() -> impl Strategy<Value = String> {
    let sources = select(&["/x*", "/y*", "/o", "/etc/passwd", "/e*", "/[alo]*", "/w*/*"][..]);
    let target = select(&["/", "/x", "/x/", "/from/", "w"][..]);
    let flags = select(&["", "", "--chown=3 ", "--link "][..]);
    (sources, flags, target)
        .prop_map(|(source, flags, target)| format!("COPY --from=@ {flags}{source} {target}"))
}

/// A line; so often one that changes the config.
fn line(config_weight: u32) -> impl Strategy<Value = Line> {
    let config = select(
        &[
            "ENV A=env",
            "ENV B=$A",
            "ENV B=two C=$B",
            "ARG A",
            "ARG A=default",
            "ARG B=$A",
            "WORKDIR /w",
            "WORKDIR sub",
            "WORKDIR /x/y",
            "USER 5:6",
            "USER 0",
            "USER nobody",
            "LABEL l=$A",
            "CMD [\"c\"]",
            "ENTRYPOINT e",
            "VOLUME /x",
            "SHELL [\"/bin/sh\", \"-ec\"]",
        ][..],
    );
    let text = prop_oneof![4 => run(), 5 => copy(), 2 => copy_from(), config_weight => config.prop_map(str::to_owned)];
    (text, any::<Index>()).prop_map(|(text, index)| Line(text, index))
}

fn world() -> impl Strategy<Value = World> {
    let base = select(&[Base::Busybox, Base::Before, Base::Before][..]);
    (
        vec(content(), NAMES.len()),
        vec((base, vec(line(4), 0..6)), 1..4),
        option::of(select(&["one", "two"][..])),
        any::<bool>(),
    )
        .prop_map(|(contents, stages, arg, timeless)| World {
            files: NAMES.into_iter().zip(contents).collect(),
            stages,
            arg,
            timeless,
        })
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || select(&NAMES[..]);
    prop_oneof![
        4 => (name(), content()).prop_map(|(name, content)| Edit::Write(name, content)),
        1 => name().prop_map(Edit::Remove),
        1 => Just(Edit::Touch),
        2 => (any::<Index>(), line(10)).prop_map(|(at, line)| Edit::Replace(at, line)),
        2 => (any::<Index>(), line(10)).prop_map(|(at, line)| Edit::Insert(at, line)),
        1 => any::<Index>().prop_map(Edit::Delete),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Edit::Swap(a, b)),
        1 => option::of(select(&["one", "two"][..])).prop_map(Edit::Arg),
        1 => any::<bool>().prop_map(Edit::Timeless),
    ]
}

impl World {
    fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::Write(name, content) => _ = self.files.insert(name, content.clone()),
            Edit::Remove(name) => _ = self.files.remove(name),
            Edit::Touch => {}
            Edit::Arg(arg) => self.arg = *arg,
            Edit::Timeless(timeless) => self.timeless = *timeless,
            Edit::Insert(at, line) => {
                let stage = at.index(self.stages.len());
                let lines = &mut self.stages[stage].1;
                lines.insert(at.index(lines.len() + 1), line.clone());
            }
            Edit::Replace(at, line) => {
                if let Some(old) = self.line(at) {
                    *old = line.clone();
                }
            }
            Edit::Delete(at) => {
                let stage = at.index(self.stages.len());
                let lines = &mut self.stages[stage].1;
                if !lines.is_empty() {
                    lines.remove(at.index(lines.len()));
                }
            }
            Edit::Swap(a, b) => {
                let stage = a.index(self.stages.len());
                let lines = &mut self.stages[stage].1;
                if !lines.is_empty() {
                    let count = lines.len();
                    lines.swap(a.index(count), b.index(count));
                }
            }
        }
    }

    fn line(&mut self, at: &Index) -> Option<&mut Line> {
        let mut lines: Vec<&mut Line> = self.stages.iter_mut().flat_map(|stage| &mut stage.1).collect();
        let count = lines.len();
        (count > 0).then(|| lines.swap_remove(at.index(count)))
    }

    /// Writes the context, all of it. Every time is another one, as after a checkout.
    fn write(&self, context: &Path) {
        fs::remove_dir_all(context).unwrap();
        fs::create_dir(context).unwrap();
        for (name, content) in &self.files {
            let path = context.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content {
                Content::Link(target) => symlink(target, &path).unwrap(),
                Content::File(text, mode) => {
                    fs::write(&path, text).unwrap();
                    fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
                }
            }
        }
    }

    /// The image or the error, in words; with its digest only where that does not depend on times.
    fn outcome(&self, room: &Room, store: &Store) -> String {
        let mut build = room.build(&self.to_string());
        if let Some(value) = self.arg {
            build = build.arg("A", value);
        }
        if self.timeless {
            build = build.arg("SOURCE_DATE_EPOCH", "1").rewrite_timestamps();
        }
        match crate::common::block_on(build.run(store, &room.registry)) {
            Err(error) => format!("failed: {}", chain(&error)),
            Ok(built) => {
                let descriptor = serde_json::to_value(built.descriptor()).unwrap();
                let flat = Flat::of(&[store.root(), &busybox()], &descriptor);
                let flat = flat.unwrap_or_else(|error| panic!("not a valid image: {error:#}"));
                let own = flat.entries[1..].iter().enumerate();
                let layers: String = own
                    .map(|(i, names)| format!("layer {i}: {}\n", names.join(" ")))
                    .collect();
                match self.timeless {
                    true => [flat.digest.clone(), layers, in_words(flat, true)].join("\n"),
                    false => in_words(flat, false),
                }
            }
        }
    }
}

fn in_words(mut flat: Flat, times: bool) -> String {
    for entry in flat.tree.values_mut().filter(|_| !times) {
        entry.mtime = 0;
    }
    let lines = flat
        .tree
        .iter()
        .map(|(path, entry)| format!("{path} {entry:?}\n"));
    let config = &flat.config["config"];
    format!(
        "{config}\n{}\n{}",
        flat.history().join("\n"),
        lines.collect::<String>()
    )
}

/// The Containerfile.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (base, lines)) in self.stages.iter().enumerate() {
            match base {
                Base::Before if number > 0 => writeln!(f, "FROM stage{} AS stage{number}", number - 1)?,
                _ => writeln!(f, "FROM busybox AS stage{number}")?,
            }
            for Line(text, other) in lines {
                let other = match number {
                    0 => "busybox".to_owned(),
                    _ => format!("stage{}", other.index(number)),
                };
                writeln!(f, "{}", text.replace('@', &other))?;
            }
        }
        Ok(())
    }
}

/// Some rounds, in a store that stays.
fn rounds(count: u32) {
    let warm = Room::new();
    let config = Config {
        cases: count,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..Config::default()
    };
    // Builds that all fail alike would be equal, too.
    let built = AtomicU32::new(0);
    let result = TestRunner::new(config).run(&(world(), vec(edit(), 1..4)), |(mut world, edits)| {
        world.write(&warm.context());
        world.outcome(&warm, &warm.store);
        for edit in &edits {
            world.apply(edit);
        }
        world.write(&warm.context());
        let cached = world.outcome(&warm, &warm.store);
        let cold = tempfile::tempdir().unwrap();
        let fresh = world.outcome(&warm, &Store::open(cold.path()).unwrap());
        let failed = |outcome: &str| outcome.starts_with("failed");
        if !failed(&fresh) {
            built.fetch_add(1, Ordering::Relaxed);
        }
        // Where two stages fail, which one is first is a matter of chance.
        match cached == fresh || failed(&cached) && failed(&fresh) {
            true => Ok(()),
            false => Err(TestCaseError::fail(format!(
                "{world}\n{}",
                difference(&cached, &fresh)
            ))),
        }
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let built = built.into_inner();
    assert!(
        built * 5 >= count,
        "only {built} of {count} builds came to an image"
    );
}

fn difference(cached: &str, fresh: &str) -> String {
    let only = |mark, these: &str, those: &str| -> String {
        let lines = these
            .lines()
            .filter(|line| !those.lines().any(|other| other == *line));
        lines.map(|line| format!("{mark} {line}\n")).collect()
    };
    only("cached:", cached, fresh) + &only("fresh:", fresh, cached)
}

#[test]
fn cached_equals_uncached() {
    if !may_run() {
        return;
    }
    let all = std::env::var_os("RBUILD_TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
    let each = ROUNDS[usize::from(!all)] / 2;
    thread::scope(|scope| {
        scope.spawn(|| rounds(each));
        scope.spawn(|| rounds(each));
    });
}
