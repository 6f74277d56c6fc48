//! The package `lockkeeper`: all of it in a program of a manifest, and what is left of it in plain CPython.

use std::fs;
use std::path::Path;
use std::process::Command;

use lockkeeper_tests::{environment, install, well, workspace};

use crate::support::{lockkeeper, program, text};

#[test]
fn everything_in_the_package_does_what_it_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = program("package", "everything");
    let manifest = dir.path().join("lockkeeper.toml");
    let job = format!(
        "version = 1\n[lock.results]\n[value.counter]\ntype = \"i64\"\n\
         [file.rows]\npath = \"rows.csv\"\nheader = [\"name\", \"value\"]\nrequires-lock = \"results\"\n\
         [file.log]\npath = \"log.jsonl\"\n\
         [[process]]\nname = \"main\"\nprogram = {program:?}\nlimits = {{ timeout = \"300s\" }}\n\
         grants = {{ lock = [\"results\"], value = [\"counter\"], file = [\"rows\", \"log\"] }}\n"
    );
    fs::write(&manifest, job).expect("a file");
    let said = well(lockkeeper().arg("run").arg(&manifest));
    let wanted = fs::read_to_string(program.with_extension("out")).expect("what it prints stands beside it");
    assert_eq!(said, wanted);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("it was written");
    assert_eq!(read("rows.csv"), "name,value\n\"a, b\",1.5\n,True\n");
    assert_eq!(read("log.jsonl"), "{\"text\":\"zwölf\",\"n\":[1,2]}\n{\"a\":1}\n2\n");
}

#[test]
fn a_batch_of_python_programs_is_gone_on_with_where_it_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let source = "import sys\nfrom lockkeeper import AppendFile\nwords = open(sys.argv[2]).read().split()\n\
                  if 'fail' in words:\n    sys.exit(3)\nAppendFile('rows').append_row([sys.argv[1], len(words)])\n";
    fs::write(path("count.py"), source).expect("a file");
    fs::write(path("a.txt"), "one two three").expect("a file");
    fs::write(path("b.txt"), "fail").expect("a file");
    let map = |more: &[&str]| {
        let mut map = lockkeeper();
        map.current_dir(dir.path()).args(["map", "--append", "rows=rows.csv", "--joblog", "log.tsv"]);
        map.args(more).args(["count.py", "a.txt", "b.txt", "--", "words"]).output().expect("the command starts")
    };
    let first = map(&[]);
    assert_eq!(first.status.code(), Some(1), "{}", text(&first.stderr));
    let log = fs::read_to_string(path("log.tsv")).expect("a log");
    assert!(log.contains("\tpython count.py words "), "{log}");
    fs::write(path("b.txt"), "four five").expect("a file");
    let second = map(&["--resume"]);
    assert_eq!(second.status.code(), Some(0), "{}", text(&second.stderr));
    let rows = fs::read_to_string(path("rows.csv")).expect("rows");
    assert_eq!(rows, "words,3\nwords,2\n");
    // Another text of the program is another program.
    fs::write(path("count.py"), source.replace("len(words)", "-1")).expect("a file");
    let third = map(&["--resume"]);
    assert_eq!(third.status.code(), Some(0), "{}", text(&third.stderr));
    assert_eq!(fs::read_to_string(path("rows.csv")).expect("rows"), format!("{rows}words,-1\nwords,-1\n"));
}

#[test]
fn pure_packages_are_installed_once_and_others_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let package = dir.path().join("package");
    fs::create_dir_all(package.join("greeting")).expect("a directory");
    fs::write(package.join("greeting/__init__.py"), "def hello():\n    return 'hello'\n").expect("a file");
    let about = "[project]\nname = \"greeting\"\nversion = \"1\"\n[build-system]\nrequires = [\"setuptools\"]\n\
                 build-backend = \"setuptools.build_meta\"\n[tool.setuptools]\npackages = [\"greeting\"]\n";
    fs::write(package.join("pyproject.toml"), about).expect("a file");
    let python = environment(dir.path());
    well(Command::new(&python).args(["-m", "pip", "wheel", "--quiet", "--wheel-dir"]).arg(dir.path()).arg(&package));
    let (file, program) = (dir.path().join("requirements.txt"), dir.path().join("app.py"));
    fs::write(&file, "./greeting-1-py3-none-any.whl\n").expect("a file");
    fs::write(&program, "import greeting\nprint(greeting.hello())\n").expect("a file");
    let with = |file: &Path| {
        let mut run = lockkeeper();
        run.arg("run").arg("--requirements").arg(file).arg(&program).output().expect("the command starts")
    };
    let first = with(&file);
    assert_eq!(text(&first.stdout), "hello\n", "{}", text(&first.stderr));
    assert!(text(&first.stderr).contains("python: installing"), "{}", text(&first.stderr));
    let second = with(&file);
    assert_eq!((text(&second.stdout), text(&second.stderr)), ("hello\n".to_owned(), String::new()));
    // What is compiled for a machine cannot run in the sandbox.
    fs::write(&file, "numpy\n").expect("a file");
    let third = with(&file);
    let said = text(&third.stderr);
    assert!(third.status.code() == Some(2) && said.contains("has to be pure Python"), "{said}");
}

#[test]
fn the_package_installs_into_cpython_has_types_and_says_that_it_needs_the_host() {
    let dir = tempfile::tempdir().expect("a directory");
    let python = environment(dir.path());
    // It is built beside its sources.
    let sources = dir.path().join("package");
    well(Command::new("cp").arg("-r").arg(workspace().join("guest/python/package")).arg(&sources));
    install(&python, &["mypy", &sources.display().to_string()]);
    let uses = "import lockkeeper\nprint(lockkeeper.__version__)\nfor name in lockkeeper.__all__:\n    \
                assert getattr(lockkeeper, name).__doc__, name\ntry:\n    lockkeeper.Mutex('results')\n\
                except lockkeeper.NeedsHost as error:\n    print(error)\n";
    let said = well(Command::new(&python).arg("-c").arg(uses).current_dir(dir.path()));
    let wanted = "0.1.0\nlockkeeper.Mutex needs the host: run this program with `lockkeeper run PROGRAM.py`; outside of it \
                  the package has names and types, and nothing behind them\n";
    assert_eq!(said, wanted);
    // A program is checked against the package as it is installed, and a wrong one is found.
    let [right, wrong] = ["right.py", "wrong.py"].map(|name| dir.path().join(name));
    let source = "from lockkeeper import AppendFile, Mutex\n\ndef rows(n: int) -> None:\n    with Mutex(\"results\") as hold:\n        \
                  AppendFile(\"rows\").append_row([\"a\", n], hold=hold)\n";
    fs::write(&right, source).expect("a file");
    fs::write(&wrong, source.replace("hold=hold", "hold=hold.fence")).expect("a file");
    let mypy = |what: &Path| {
        let mut mypy = Command::new(&python);
        mypy.args(["-m", "mypy", "--strict"]).arg(what).current_dir(dir.path()).output().expect("it starts")
    };
    let found = mypy(&right);
    assert!(found.status.success(), "{}", text(&found.stdout));
    assert!(text(&mypy(&wrong).stdout).contains("Argument \"hold\" to \"append_row\""));
    let own = mypy(&sources.join("lockkeeper"));
    assert!(own.status.success(), "{}", text(&own.stdout));
}
