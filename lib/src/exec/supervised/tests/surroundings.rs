//! What programs ask about their surroundings: terminals, addresses, what is mapped where.

use std::fs;

use rbuild_testutils::{
    cages::{Cage, inside},
    need,
};

use super::{
    Bench, compiled,
    families::{add_libraries, libraries},
};
use crate::exec::User;

/// Checks what `surroundings.c` prints.
fn says(options: &[&str], what: &str, check: impl Fn(&Bench, &str)) {
    let programs = ["busybox", "cc", "ldd"];
    if programs.iter().any(|program| need(program).is_none()) {
        return;
    }
    let (_made, program) = compiled("surroundings.c", options);
    inside(Cage::Restricted, |room| {
        let bench = Bench::new(room);
        fs::copy(&program, bench.root.join("bin/asks")).unwrap();
        if !options.contains(&"-static") {
            add_libraries(&bench, "bin/asks");
        }
        check(&bench, &bench.run(&["/bin/asks", what], User::default()).ok());
    });
}

#[test]
fn terminals() {
    says(&["-static"], "terminal", |_, said| {
        assert_eq!(said, "20620 0 1\nhello\r\ndone\n");
    });
}

#[test]
fn addresses_of_sockets() {
    let of = |name: &str| {
        let accepted = format!("{name}\nwithout a name\n");
        format!("without a name\n{name}\nnot connected\nwithout a name\n{name}\n{accepted}")
    };
    let expected = ["15 /tmp/listens", "11 relative", "11 @abstract"]
        .map(of)
        .concat()
        + "done\n";
    says(&["-static"], "addresses", |_, said| assert_eq!(said, expected));
}

#[test]
fn messages_to_names() {
    let expected = "1\n16 /dev/messages\n3 one from nobody\n3 two from other\n6 answer from /dev/messages\n\
        16 /dev/messages\n5 three from nobody\n2 fo 1\n4 five from other\n3 six from nobody\n11111\ndone\n";
    says(&["-static"], "messages", |_, said| assert_eq!(said, expected));
}

#[test]
fn what_is_mapped() {
    says(&["-static"], "maps", |_, said| {
        assert_eq!(said, "/bin/asks\ndone\n")
    });
    says(&[], "maps", |bench, said| {
        let mut expected = libraries(&bench.root.join("bin/asks"));
        expected.extend(["/bin/asks", "done"].map(str::to_owned));
        let mut said: Vec<&str> = said.lines().collect();
        said.sort_unstable();
        expected.sort_unstable();
        assert_eq!(said, expected);
    });
}
