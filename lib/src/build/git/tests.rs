//! Repositories of a daemon in this process.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, thread};

use rbuild_testutils::git::{GitServer, Repository};
use tempfile::TempDir;

use super::*;
use crate::tree::{Kind, Tree};

const NOW: i64 = 1_500_000_000;

struct Room {
    _directory: TempDir,
    store: Store,
    access: Access,
}

impl Room {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self {
            store: Store::open(directory.path().join("store")).unwrap(),
            access: Access {
                cancel: Cancel::new().unwrap(),
                secrets: Vec::new(),
                ssh: Vec::new(),
            },
            _directory: directory,
        }
    }

    fn resolve(&self, wanted: &Wanted) -> Result<Commit, String> {
        resolve(&self.access, wanted).map_err(|error| error.to_string())
    }

    fn fetch(&self, wanted: &Wanted) -> Result<Arc<Tarball>, String> {
        let commit = self.resolve(wanted)?;
        let found = fetch(&self.access, &self.store, wanted, &commit, None, NOW);
        found.map_err(|error| error.to_string())
    }

    /// The files in words: `PATH MODE [TEXT | -> TARGET]`.
    fn files(&self, wanted: &Wanted) -> Vec<String> {
        let tarball = self.fetch(wanted).unwrap();
        words(&tarball)
    }
}

fn words(tarball: &Tarball) -> Vec<String> {
    let tree: Tree = tarball.tree().unwrap();
    let line = |walked: crate::tree::Walked<'_>| {
        let metadata = &walked.node.metadata;
        assert_eq!((metadata.uid, metadata.gid, metadata.mtime), (0, 0, NOW));
        let rest = match &walked.node.kind {
            Kind::File(_) => {
                let bytes = tarball.bytes(&walked.path).unwrap().unwrap();
                format!(" {}", String::from_utf8_lossy(&bytes))
            }
            Kind::Symlink(target) => format!(" -> {}", target.display()),
            _ => "/".to_owned(),
        };
        format!("{} {:o}{rest}", walked.path.display(), metadata.mode)
    };
    tree.walk().map(line).collect()
}

fn wanted(address: &str) -> Wanted {
    Wanted {
        source: GitSource::parse(address).unwrap().unwrap(),
        keep_git_dir: false,
        checksum: None,
    }
}

/// A branch `main`, a branch `other`, a tag with a message, and one without.
fn with_history(server: &GitServer) -> (Repository, [String; 3]) {
    let repository = server.repository("repo");
    let first = repository.write("file", "one").commit("first");
    repository.git(&["tag", "--annotate", "v1", "--message", "version 1"]);
    let second = repository.write("file", "two").commit("second");
    repository.git(&["tag", "light"]);
    repository.git(&["branch", "other"]);
    let third = repository.write("file", "three").commit("third");
    (repository, [first, second, third])
}

#[test]
fn references_become_commits() {
    let Some(server) = GitServer::start() else { return };
    let (_repository, [first, second, third]) = with_history(&server);
    let (room, url) = (Room::new(), server.url("repo"));
    for (reference, expected) in [
        ("", &third),
        ("#main", &third),
        ("#refs/heads/other", &second),
        ("?branch=other", &second),
        ("#light", &second),
        ("#v1", &first),
        ("?tag=v1", &first),
        ("?ref=refs/tags/v1", &first),
        (&format!("#{second}"), &second),
        (&format!("?ref=v1&checksum={}", &first[..9]), &first),
    ] {
        let found = room.resolve(&wanted(&format!("{url}{reference}"))).unwrap();
        assert_eq!(found.id, *expected, "{reference}");
    }
    let with_checksum = |checksum: &str| Wanted {
        checksum: Some(checksum.to_owned()),
        ..wanted(&format!("{url}#v1"))
    };
    assert_eq!(
        room.resolve(&with_checksum(&first.to_uppercase())).unwrap().id,
        first
    );
    for (wanted, expected) in [
        (
            with_checksum(&second),
            format!("{url}: expected {second}, got {first}"),
        ),
        (
            wanted(&format!("{url}#none")),
            format!("cannot use the git repository {url}: it has no branch, tag or commit \"none\""),
        ),
        (
            wanted(&format!("{url}#{}", &first[..10])),
            "commits are named by all their digits".to_owned(),
        ),
        (
            wanted(&server.url("nowhere")),
            format!("cannot use the git repository {}", server.url("nowhere")),
        ),
    ] {
        let error = room.resolve(&wanted).unwrap_err();
        assert!(error.contains(&expected), "{error}");
    }
    server.repository("empty");
    let error = room.resolve(&wanted(&server.url("empty"))).unwrap_err();
    assert!(error.ends_with("it is empty"), "{error}");
}

#[test]
fn files_have_metadata_that_depends_on_nobody() {
    let Some(server) = GitServer::start() else { return };
    let repository = server.repository("repo");
    repository.write("dir/program", "#!").write("a/b/file", "text");
    // What archives leave out, checkouts do not.
    repository.write(".gitattributes", "dir export-ignore\n");
    let program = repository.path().join("dir/program");
    fs::set_permissions(program, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("b/file", repository.path().join("a/link")).unwrap();
    std::os::unix::fs::symlink("a/b", repository.path().join("short")).unwrap();
    repository.commit("all");
    let (room, url) = (Room::new(), server.url("repo"));
    let expected = [
        ".gitattributes 644 dir export-ignore\n",
        "a 755/",
        "a/b 755/",
        "a/b/file 644 text",
        "a/link 777 -> b/file",
        "dir 755/",
        "dir/program 755 #!",
        "short 777 -> a/b",
    ];
    assert_eq!(room.files(&wanted(&url)), expected);
    for subdir in ["a/b", "/a/b/", "short", "a/../a/b"] {
        assert_eq!(
            room.files(&wanted(&format!("{url}#:{subdir}"))),
            ["file 644 text"],
            "{subdir}"
        );
    }
    for subdir in ["b", "a/b/file", "a/b/file/x"] {
        let error = room.fetch(&wanted(&format!("{url}#:{subdir}"))).err().unwrap();
        assert!(
            error.contains(&format!("has no directory {subdir:?}")),
            "{subdir}: {error}"
        );
    }
}

#[test]
fn what_was_fetched_is_there_for_the_next_build() {
    let Some(server) = GitServer::start() else { return };
    let (repository, [first, ..]) = with_history(&server);
    let (room, main) = (Room::new(), wanted(&server.url("repo")));
    assert_eq!(room.files(&main), ["file 644 three"]);
    let commit = room.resolve(&main).unwrap();
    server.served();
    let made = recorded(&room.store, &main, &commit, None).unwrap();
    let kept = Tarball::of_layer(&made.layer, made.index, &room.store);
    assert_eq!(words(&kept), ["file 644 three"]);
    assert!(recorded(&room.store, &main, &commit, Some(1)).is_none());
    assert_eq!(server.served(), 0);
    // Only what is new is fetched, also what is older.
    repository.write("file", "four").commit("fourth");
    assert_eq!(room.files(&main), ["file 644 four"]);
    assert_eq!(
        room.files(&wanted(&format!("{}#{first}", server.url("repo")))),
        ["file 644 one"]
    );
    server.served();
    assert_eq!(room.files(&main), ["file 644 four"]);
    assert_eq!(server.served(), 1, "to ask what the branch is");
}

#[test]
fn a_store_that_a_killed_build_left() {
    let Some(server) = GitServer::start() else { return };
    with_history(&server);
    let (room, main) = (Room::new(), wanted(&server.url("repo")));
    room.fetch(&main).unwrap();
    let contexts = room.store.root().join("contexts");
    let home = fs::read_dir(contexts).unwrap().next().unwrap().unwrap().path();
    fs::write(home.join("unsound"), "").unwrap();
    fs::remove_dir_all(home.join("repository/objects")).unwrap();
    fs::write(home.join("repository/shallow.lock"), "").unwrap();
    assert_eq!(room.files(&main), ["file 644 three"]);
    assert!(!home.join("unsound").exists());
}

#[test]
fn submodules_come_along() {
    let Some(server) = GitServer::start() else { return };
    let inner = server.repository("inner");
    inner.write("deep", "inner").commit("inner");
    let middle = server.repository("middle");
    middle.write("file", "middle");
    middle.git(&["submodule", "--quiet", "add", "../inner", "inner"]);
    middle.commit("middle");
    let outer = server.repository("outer");
    outer.git(&["submodule", "--quiet", "add", &server.url("middle"), "sub/middle"]);
    outer.commit("outer");
    let (room, url) = (Room::new(), server.url("outer"));
    let all = room.files(&wanted(&format!("{url}#:sub/middle")));
    assert!(all.contains(&"file 644 middle".to_owned()), "{all:?}");
    assert!(all.contains(&"inner/deep 644 inner".to_owned()), "{all:?}");
    assert!(!all.iter().any(|line| line.contains(".git ")), "{all:?}");
    let without = room.files(&wanted(&format!("{url}?submodules=false&subdir=sub")));
    assert_eq!(without, ["middle 755/"]);
}

/// A submodule may name any address; those that would run a program, or read this machine's files, are refused.
#[test]
fn submodules_cannot_reach_this_machine() {
    let Some(server) = GitServer::start() else { return };
    let secret = server.repository("secret");
    secret.write("file", "secret").commit("secret");
    let path = secret.path().to_str().unwrap().to_owned();
    for address in [
        path.clone(),
        format!("file://{path}"),
        "ext::touch /tmp/x".to_owned(),
    ] {
        let outer = server.repository("outer");
        outer.git(&["submodule", "--quiet", "add", "--force", &path, "sub"]);
        outer.git(&["config", "--file", ".gitmodules", "submodule.sub.url", &address]);
        outer.commit("outer");
        let error = Room::new().fetch(&wanted(&server.url("outer"))).err().unwrap();
        assert!(error.contains("not allowed"), "{address}: {error}");
    }
}

#[test]
fn the_git_directory_is_kept_if_it_is_wanted() {
    let Some(server) = GitServer::start() else { return };
    let (_repository, [first, ..]) = with_history(&server);
    let keeping = Wanted {
        keep_git_dir: true,
        ..wanted(&format!("{}#v1", server.url("repo")))
    };
    let rooms = [Room::new(), Room::new()];
    let [one, two] = rooms.each_ref().map(|room| room.fetch(&keeping).unwrap());
    let tree = one.tree().unwrap();
    assert_eq!(
        one.bytes(Path::new(".git/HEAD")).unwrap(),
        Some(format!("{first}\n").into_bytes())
    );
    for gone in [
        ".git/logs",
        ".git/FETCH_HEAD",
        ".git/objects/info/alternates",
        ".git/hooks",
    ] {
        assert!(tree.get(gone).is_none(), "{gone}");
    }
    assert_eq!(one.index.diff_id, two.index.diff_id, "two checkouts are the same");
    // It is a repository that git takes for one.
    let directory = TempDir::new().unwrap();
    for walked in tree.walk() {
        let to = directory.path().join(&walked.path);
        match &walked.node.kind {
            Kind::Directory => fs::create_dir(to).unwrap(),
            Kind::File(_) => fs::write(to, one.bytes(&walked.path).unwrap().unwrap()).unwrap(),
            kind => panic!("{kind:?}"),
        }
    }
    let git = rooms[0].access.git(&server.url("repo"));
    let run = |arguments: [&str; 2]| git.run(git.command(directory.path(), arguments)).unwrap();
    assert_eq!(run(["describe", "--tags"]), "v1\n");
    assert_eq!(run(["status", "--porcelain"]), "");
    assert_eq!(
        run(["remote", "-v"]).split_whitespace().nth(1),
        Some(server.url("repo").as_str())
    );
}

/// Such servers know no depth, and give no commit by its name.
#[test]
fn servers_that_know_nothing_of_git() {
    let Some(server) = GitServer::start() else { return };
    let (repository, [first, ..]) = with_history(&server);
    repository.publish();
    let web = server.plain_files();
    let (room, url) = (Room::new(), web.url("/repo/.git"));
    for (reference, expected) in [("", "three"), ("#v1", "one"), (&format!("#{first}"), "one")] {
        let address = format!("{url}{reference}");
        assert_eq!(
            room.files(&wanted(&address)),
            [format!("file 644 {expected}")],
            "{reference}"
        );
    }
}

#[test]
fn secrets_are_for_their_host_alone() {
    let (tokens, seen) = std::sync::mpsc::channel();
    let tokens = std::sync::Mutex::new(tokens);
    let web = rbuild_testutils::web::WebServer::start(move |asked| {
        let header = asked.header("authorization").map(str::to_owned);
        tokens.lock().unwrap().send(header).unwrap();
        rbuild_testutils::web::Reply::status(404, "")
    });
    let secret = |id: &str, value: &str| Secret {
        id: id.to_owned(),
        value: value.as_bytes().into(),
    };
    let mut room = Room::new();
    for (secrets, expected) in [
        (vec![], None),
        // x-access-token:tok
        (
            vec![secret("GIT_AUTH_TOKEN", "tok\n")],
            Some("basic eC1hY2Nlc3MtdG9rZW46dG9r"),
        ),
        (
            vec![
                secret(&format!("GIT_AUTH_HEADER.{}", web.host()), "mine"),
                secret("GIT_AUTH_TOKEN", "tok"),
            ],
            Some("mine"),
        ),
        (vec![secret("GIT_AUTH_TOKEN.other.host", "tok")], None),
    ] {
        room.access.secrets = secrets;
        let error = room.resolve(&wanted(&web.url("/repo.git"))).unwrap_err();
        assert!(!error.contains("tok"), "{error}");
        assert_eq!(seen.iter().next().unwrap().as_deref(), expected);
        while seen.try_recv().is_ok() {}
    }
}

#[test]
fn passwords_are_not_shown() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("http://me:secret@127.0.0.1:{port}/repo.git");
    let error = Room::new().resolve(&wanted(&address)).unwrap_err();
    assert!(
        error.contains("http://me@127.0.0.1") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn a_remote_that_never_answers_can_be_left() {
    if rbuild_testutils::need("git").is_none() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("git://{}/repo", listener.local_addr().unwrap());
    let room = Room::new();
    let cancel = room.access.cancel.clone();
    thread::spawn(move || {
        let connection = listener.accept();
        cancel.cancel();
        thread::park();
        drop(connection);
    });
    assert_eq!(
        room.resolve(&wanted(&address)).unwrap_err(),
        "the build was cancelled"
    );
}

#[test]
fn a_machine_without_git() {
    let room = Room::new();
    let git = room.access.git("git://host/repo").program("no-such-program");
    let error = git.run(git.command(Path::new("/"), ["version"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot use the git repository git://host/repo: there is no program git on this machine"
    );
}
