//! One case, as both kinds of a program.

use crate::support::{Ended, Place, end, guest, guest_p1};

/// Which kind of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A component of WASI 0.2.
    Component,
    /// A core module of WASI 0.1.
    Module,
}

/// A case of `cli_wasi`, and what it is run with.
pub(crate) struct Case {
    name: &'static str,
    flags: Vec<&'static str>,
    args: Vec<String>,
    input: &'static [u8],
    files: Vec<(&'static str, &'static str)>,
}

/// A case that is run with nothing but what the test adds.
pub(crate) fn case(name: &'static str) -> Case {
    Case { name, flags: Vec::new(), args: Vec::new(), input: b"", files: Vec::new() }
}

impl Case {
    /// Flags of the command, before the program.
    pub(crate) fn flags(mut self, flags: &[&'static str]) -> Self {
        self.flags.extend(flags);
        self
    }

    /// The directory `d`, which the program calls `/d`.
    pub(crate) fn dir(self) -> Self {
        self.flags(&["--dir", "d::/d"])
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn input(mut self, input: &'static [u8]) -> Self {
        self.input = input;
        self
    }

    /// A file that is there before.
    pub(crate) fn file(mut self, path: &'static str, contents: &'static str) -> Self {
        self.files.push((path, contents));
        self
    }

    /// Runs it as one kind, in a directory of its own with `d`, `e`, and beside them `secret`.
    pub(crate) fn run(&self, kind: Kind) -> (Ended, Place) {
        let place = Place::new();
        for dir in ["d", "e"] {
            std::fs::create_dir(place.path(dir)).expect("a new directory");
        }
        place.write("secret", "nobody may read this");
        let ended = self.run_in(&place, kind);
        (ended, place)
    }

    /// Runs it as one kind, here.
    pub(crate) fn run_in(&self, place: &Place, kind: Kind) -> Ended {
        self.files.iter().for_each(|(path, contents)| place.write(path, contents));
        let program = match kind {
            Kind::Component => guest("cli_wasi"),
            Kind::Module => guest_p1("cli_wasi"),
        };
        let mut args = vec!["run"];
        args.extend(&self.flags);
        args.extend([&program[..], "--", self.name]);
        args.extend(self.args.iter().map(String::as_str));
        end(place.lockkeeper(&args), self.input)
    }

    /// Runs it as both kinds.
    pub(crate) fn each(&self, mut look: impl FnMut(Kind, &Ended)) {
        for kind in [Kind::Component, Kind::Module] {
            let (ended, place) = self.run(kind);
            look(kind, &ended);
            assert_eq!(place.read("secret"), "nobody may read this");
        }
    }

    /// Both kinds end well and print this, and nothing on standard error.
    #[track_caller]
    pub(crate) fn prints(&self, out: &str) {
        self.ends(0, out);
    }

    /// Both kinds end with this exit code and print this, and nothing on standard error.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32, out: &str) {
        self.differ((code, out), (code, out));
    }

    /// The component ends with this exit code and prints this, the core module the other, and neither anything on standard
    /// error.
    #[track_caller]
    pub(crate) fn differ(&self, component: (i32, &str), module: (i32, &str)) {
        self.each(|kind, ended| {
            let (code, out) = match kind {
                Kind::Component => component,
                Kind::Module => module,
            };
            assert_eq!((ended.code, ended.out(), ended.err()), (code, out, ""), "{kind:?}:\n{ended}");
        });
    }
}
