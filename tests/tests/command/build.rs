//! `--build`: the commands of a manifest make its programs first.

use crate::support::{Place, guest};

fn manifest(build: &str) -> String {
    let process = "[[process]]\nprogram = \"built.wasm\"\ncount = 2\n";
    format!("version = 1\n[file.f]\npath = \"f.txt\"\n{process}name = \"hello\"\n{build}\n")
}

#[test]
fn build_commands_run_once_each_in_the_directory_of_the_manifest() {
    let place = Place::new();
    std::fs::create_dir(place.path("job")).expect("a new directory");
    let build = format!("build = \"echo built >> log.txt; cp {} built.wasm\"", guest("cli_hello"));
    let second = format!("[[process]]\nname = \"again\"\nprogram = \"built.wasm\"\n{build}\n");
    place.write("job/job.toml", manifest(&build) + &second);
    let ended = place.run(&["run", "--build", "job/job.toml"]);
    ended.assert_code(0).assert_says(&["building: echo built", "3 processes: 3 ended well"]);
    assert_eq!(place.read("job/log.txt"), "built\n");
}

#[test]
fn a_build_command_that_fails_ends_the_run_before_it_begins() {
    let place = Place::new();
    place.write("job.toml", manifest("build = \"echo of the compiler >&2; exit 7\""));
    let ended = place.run(&["run", "--build", "job.toml"]);
    ended.assert_code(2).assert_says(&[
        "of the compiler\n",
        "error: the build command",
        "exit status: 7",
        "nothing was started",
    ]);
    assert!(!place.exists("f.txt"));
}

#[test]
fn a_build_command_that_makes_something_else_is_told_of() {
    let place = Place::new();
    place.write("job.toml", manifest("build = \"true\""));
    let ended = place.run(&["run", "--build", "job.toml"]);
    ended.assert_code(2).assert_says(&["there is no program at built.wasm", "the manifest's build commands ran"]);
    assert!(!ended.err().contains("lockkeeper run --build"), "that was just done:\n{ended}");
}

#[test]
fn build_without_a_build_command_says_what_to_add() {
    let place = Place::new();
    place.write("job.toml", manifest(""));
    let ended = place.run(&["run", "--build", "job.toml"]);
    ended.assert_refused(&["--build: no [[process]] of the manifest says how to build it", "build = \"cargo build"]);
}

/// A manifest that is wrong costs nobody the time of a build.
#[test]
fn a_wrong_manifest_is_refused_before_it_is_built() {
    let place = Place::new();
    place.write("job.toml", manifest("build = \"touch built\"\ncuont = 3"));
    place.run(&["run", "--build", "job.toml"]).assert_refused(&["unknown key `cuont`"]);
    assert!(!place.exists("built"));
}
