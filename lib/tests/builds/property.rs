//! Cached equals uncached: random builds are edited at random, and after each edit built in a store that stays and in a
//! new one. Both must come to the same image, or both to an error.
//!
//! The worlds are small and made of few words, so that builds have much in common: a key that leaves something out then
//! finds the result of another step. An edit changes mostly one thing, and every RUN writes down all that it sees.

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
use rbuild::{BuildError, Locator, Place, build::NamedContext, store::Store};
use rbuild_testutils::flat::Flat;

use crate::common::{Room, block_on, busybox, chain, may_run};

/// Edits in all where everything is tested, and elsewhere.
const ROUNDS: [u32; 2] = [500, 40];
/// Edits of one world, one after the other.
const EDITS: u32 = 10;

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

/// Why there is no image.
#[derive(Debug, PartialEq)]
struct Failure {
    /// Which `FROM` it is below, from one.
    stage: usize,
    error: String,
}

#[derive(Clone, Debug)]
enum Content {
    File(&'static str, u32),
    Link(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Base {
    Busybox,
    /// Busybox with something on top.
    Other,
    /// The stage before, if there is one.
    Before,
}

/// The words of a line, some of them empty, with `@` in place of the number of another stage.
#[derive(Clone, Debug)]
struct Line(Vec<&'static str>, Index);

#[derive(Clone, Debug)]
enum Edit {
    Write(&'static str, Content),
    Mode(&'static str, u32),
    Remove(&'static str),
    /// Nothing but other times, which every edit comes with.
    Touch,
    /// One word of a line becomes that of another line of its kind.
    Word(Index, Line, Index),
    Insert(Index, Line),
    Delete(Index),
    Swap(Index, Index),
    Base(Index, Base),
    Arg(Option<&'static str>),
    Timeless(bool),
}

const NAMES: [&str; 4] = ["a", "d/a", "d/x.txt", "z.txt"];
const MODES: [u32; 2] = [0o644, 0o755];
const BASES: [Base; 4] = [Base::Busybox, Base::Other, Base::Before, Base::Before];

fn content() -> impl Strategy<Value = Content> {
    let text = select(&["one\n", "two\n"][..]);
    prop_oneof![
        8 => (text, select(&MODES[..])).prop_map(|(text, mode)| Content::File(text, mode)),
        1 => select(&["a", "d", "nowhere"][..]).prop_map(Content::Link),
    ]
}

/// What every RUN leaves of what it sees, where every user can write.
const SEEN: &str = "{ id; pwd; echo $A $B $C $0; find /x /y /w /base /m /o | sort | xargs stat -c '%n %a %u %g'; \
                    sort /x/* /y/* /m/*; } 2>/dev/null >> /tmp/seen.$(id -u)";

/// A RUN gives the same result at any time, on any machine.
fn run() -> impl Strategy<Value = Vec<&'static str>> {
    let mounts = &[
        "",
        "",
        "--mount=target=/m",
        "--mount=from=@,target=/m",
        "--network=none",
    ];
    let commands = &[
        "echo $A $B >> /o",
        "mkdir -p /x /y/q && echo run > /x/r",
        "rm -rf /x",
        "rm -rf /y && mkdir /y",
        "mv /x /y/moved",
        "chmod -R u+rwx,g-w /x /y",
        "chown -R 5:6 /y",
        "rm -f /lnk && ln -s x /lnk",
        "rm -f /hard && ln /etc/passwd /hard && echo x >> /etc/group",
        "true",
    ];
    (select(&mounts[..]), select(&commands[..])).prop_map(|(mount, command)| vec!["RUN", mount, command])
}

/// Flags of every COPY: nothing more often than anything else.
fn flags() -> [impl Strategy<Value = &'static str>; 3] {
    [
        select(&["", "", "--link"][..]),
        select(&["", "", "--chown=1:2", "--chown=3", "--chown=nobody"][..]),
        select(&["", "", "--chmod=640", "--chmod=u=rwX,go="][..]),
    ]
}

fn copy() -> impl Strategy<Value = Vec<&'static str>> {
    let word = select(&["COPY", "COPY", "COPY", "ADD"][..]);
    let exclude = select(&["", "", "--exclude=*.txt"][..]);
    let sources = select(&[".", "[a]", "d", "*", "d/*", "*.txt", "<<E"][..]);
    let target = select(&["/x", "/x/", "/y/z/", "w/", "./", "/lnk/"][..]);
    (word, flags(), exclude, sources, target).prop_map(
        |(word, [link, owner, mode], exclude, source, target)| {
            vec![word, link, owner, mode, exclude, source, target]
        },
    )
}

fn copy_from() -> impl Strategy<Value = Vec<&'static str>> {
    let sources = select(&["/x*", "/y*", "/o*", "/etc/passwd", "/tmp/*", "/[alo]*"][..]);
    let target = select(&["/x/", "/from/", "w/"][..]);
    (flags(), sources, target).prop_map(|([link, owner, mode], source, target)| {
        vec!["COPY --from=@", link, owner, mode, source, target]
    })
}

fn config() -> impl Strategy<Value = Vec<&'static str>> {
    let lines = &[
        "ENV A=env",
        "ENV B=$A",
        "ENV B=two C=$B",
        "ARG A",
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
    ];
    select(&lines[..]).prop_map(|line| vec![line])
}

fn line() -> impl Strategy<Value = Line> {
    let words = prop_oneof![4 => run(), 4 => copy(), 2 => copy_from(), 4 => config()];
    (words, any::<Index>()).prop_map(|(words, other)| Line(words, other))
}

/// A stage, which every other time knows the build-arg from its beginning.
fn stage() -> impl Strategy<Value = (Base, Vec<Line>)> {
    (select(&BASES[..]), vec(line(), 1..5), option::of(any::<Index>())).prop_map(|(base, mut lines, arg)| {
        if let Some(index) = arg {
            lines.insert(0, Line(vec!["ARG A"], index));
        }
        (base, lines)
    })
}

fn world() -> impl Strategy<Value = World> {
    (
        vec(content(), NAMES.len()),
        vec(stage(), 1..4),
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
    let (name, index) = (|| select(&NAMES[..]), any::<Index>);
    prop_oneof![
        2 => (name(), content()).prop_map(|(name, content)| Edit::Write(name, content)),
        3 => (name(), select(&MODES[..])).prop_map(|(name, mode)| Edit::Mode(name, mode)),
        1 => name().prop_map(Edit::Remove),
        1 => Just(Edit::Touch),
        8 => (index(), line(), index()).prop_map(|(at, line, word)| Edit::Word(at, line, word)),
        3 => (index(), line()).prop_map(|(at, line)| Edit::Insert(at, line)),
        2 => index().prop_map(Edit::Delete),
        2 => (index(), index()).prop_map(|(a, b)| Edit::Swap(a, b)),
        3 => (index(), select(&BASES[..])).prop_map(|(at, base)| Edit::Base(at, base)),
        3 => option::of(select(&["one", "two"][..])).prop_map(Edit::Arg),
        1 => any::<bool>().prop_map(Edit::Timeless),
    ]
}

impl World {
    fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::Write(name, content) => _ = self.files.insert(name, content.clone()),
            Edit::Mode(name, new) => {
                if let Some(Content::File(_, mode)) = self.files.get_mut(name) {
                    *mode = *new;
                }
            }
            Edit::Remove(name) => _ = self.files.remove(name),
            Edit::Touch => {}
            Edit::Arg(arg) => self.arg = *arg,
            Edit::Timeless(timeless) => self.timeless = *timeless,
            Edit::Base(at, base) => {
                let stage = at.index(self.stages.len());
                self.stages[stage].0 = *base;
            }
            Edit::Word(at, line, word) => self.replace_word(at, line, word),
            Edit::Insert(at, line) => {
                let lines = self.lines_of(at);
                lines.insert(at.index(lines.len() + 1), line.clone());
            }
            Edit::Delete(at) => {
                let lines = self.lines_of(at);
                if !lines.is_empty() {
                    lines.remove(at.index(lines.len()));
                }
            }
            Edit::Swap(a, b) => {
                let lines = self.lines_of(a);
                if !lines.is_empty() {
                    let count = lines.len();
                    lines.swap(a.index(count), b.index(count));
                }
            }
        }
    }

    fn lines_of(&mut self, at: &Index) -> &mut Vec<Line> {
        let stage = at.index(self.stages.len());
        &mut self.stages[stage].1
    }

    fn replace_word(&mut self, at: &Index, new: &Line, word: &Index) {
        let lines = self.stages.iter_mut().flat_map(|stage| &mut stage.1);
        // Lines of a kind have equally many words, and no other kind has.
        let mut alike: Vec<&mut Line> = lines.filter(|line| line.0.len() == new.0.len()).collect();
        if !alike.is_empty() {
            let (chosen, word) = (at.index(alike.len()), word.index(new.0.len()));
            alike[chosen].0[word] = new.0[word];
        }
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
    fn outcome(&self, room: &Room, store: &Store) -> Result<String, Failure> {
        let other = NamedContext::Image(other(room));
        let mut build = room.build(&self.to_string()).build_context("other", other);
        if let Some(value) = self.arg {
            build = build.arg("A", value);
        }
        if self.timeless {
            build = build.arg("SOURCE_DATE_EPOCH", "1").rewrite_timestamps();
        }
        match block_on(build.run(store, &room.registry)) {
            Err(error) => Err(Failure::of(&error)),
            Ok(built) => {
                let descriptor = serde_json::to_value(built.descriptor()).unwrap();
                let flat = Flat::of(&[store.root(), &busybox(), &layout(room)], &descriptor);
                let flat = flat.unwrap_or_else(|error| panic!("not a valid image: {error:#}"));
                let own = flat.entries[1..].iter().enumerate();
                let layers: String = own
                    .map(|(i, names)| format!("layer {i}: {}\n", names.join(" ")))
                    .collect();
                Ok(match self.timeless {
                    true => [flat.digest.clone(), layers, in_words(flat, true)].join("\n"),
                    false => in_words(flat, false),
                })
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
impl Failure {
    fn of(error: &BuildError) -> Self {
        let at = error.at().expect("a place in the Containerfile");
        let before = at.source[..at.span.end].lines();
        Self {
            stage: before.filter(|line| line.starts_with("FROM ")).count(),
            error: chain(error),
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (base, lines)) in self.stages.iter().enumerate() {
            match base {
                Base::Before if number > 0 => writeln!(f, "FROM stage{} AS stage{number}", number - 1)?,
                Base::Other => writeln!(f, "FROM other AS stage{number}")?,
                _ => writeln!(f, "FROM busybox AS stage{number}")?,
            }
            for line in lines {
                let other = match number {
                    0 => "busybox".to_owned(),
                    _ => format!("stage{}", line.1.index(number)),
                };
                writeln!(f, "{}", line.to_string().replace('@', &other))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ["RUN", mount, command] = self.0[..] {
            return write!(f, "RUN {mount} {SEEN}; {command} 2>/dev/null || true");
        }
        let words: Vec<&str> = self.0.iter().copied().filter(|word| !word.is_empty()).collect();
        f.write_str(&words.join(" "))?;
        match words.contains(&"<<E") {
            true => f.write_str("\nline $A\nE"),
            false => Ok(()),
        }
    }
}

/// Where the second base image is.
fn layout(room: &Room) -> std::path::PathBuf {
    room.dir.path().join("other")
}

fn other(room: &Room) -> Locator {
    Locator::OciLayout(Place::new(layout(room)))
}

/// Makes the second base image.
fn make_other(room: &Room) {
    let build = room
        .build(
            "FROM busybox\nCOPY <<f /base/f\nf\nCOPY --chown=1 --chmod=700 <<f /x/base\nx\nf\nENV C=other\n",
        )
        .arg("SOURCE_DATE_EPOCH", "1");
    let cold = tempfile::tempdir().unwrap();
    let store = Store::open(cold.path()).unwrap();
    let built = block_on(build.run(&store, &room.registry)).unwrap();
    block_on(built.write_to(&other(room), &room.registry)).unwrap();
}

/// Builds in both stores; whether that came to an image.
fn round(world: &World, room: &Room) -> Result<bool, TestCaseError> {
    world.write(&room.context());
    let cached = world.outcome(room, &room.store);
    let cold = tempfile::tempdir().unwrap();
    let fresh = world.outcome(room, &Store::open(cold.path()).unwrap());
    let difference = match (&cached, &fresh) {
        (Ok(cached), Ok(fresh)) if cached == fresh => return Ok(true),
        (Ok(cached), Ok(fresh)) => difference(cached, fresh),
        // Where stages fail side by side, which one is first is a matter of chance.
        (Err(cached), Err(fresh)) if cached == fresh || cached.stage != fresh.stage => return Ok(false),
        _ => format!("cached: {cached:?}\nfresh: {fresh:?}"),
    };
    Err(TestCaseError::fail(format!("{world}\n{difference}")))
}

/// Some rounds, in a store that stays.
fn rounds(count: u32) {
    let room = Room::new();
    make_other(&room);
    let config = Config {
        cases: count / EDITS,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..Config::default()
    };
    // Builds that all fail alike would be equal, too.
    let built = AtomicU32::new(0);
    let edits = vec(edit(), EDITS as usize);
    let result = TestRunner::new(config).run(&(world(), edits), |(mut world, edits)| {
        world.write(&room.context());
        _ = world.outcome(&room, &room.store);
        for edit in &edits {
            let before = world.clone();
            world.apply(edit);
            match round(&world, &room)? {
                true => _ = built.fetch_add(1, Ordering::Relaxed),
                // The next edit is to be one of something that can be built.
                false => world = before,
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let built = built.into_inner();
    assert!(
        built * 2 >= count,
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
