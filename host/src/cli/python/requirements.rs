//! What a requirements file asks for, installed once and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use lockkeeper::os_lock::OsLock;

use super::super::output::complain;
use super::pip::Environment;
use super::runner::private_home;

/// What the runner can import: wheels of pure Python, for the version that it has.
const PURE: &[&str] = &[
    "--only-binary=:all:",
    "--platform=any",
    "--implementation=py",
    "--abi=none",
    "--python-version=3.14",
    // What the machine's own Python would compile is of another version.
    "--no-compile",
];

/// How many files may name each other.
const FILES_MAX: usize = 64;

/// The directory with the packages, installed if they are not in the cache yet.
pub(super) fn installed(cache: &Path, file: &Path) -> anyhow::Result<PathBuf> {
    let file = fs::canonicalize(file).with_context(|| format!("--requirements {} cannot be found", file.display()))?;
    let home = private_home(cache)?;
    let packages = home.join(format!("packages-{}", key(&file)?));
    if packages.exists() {
        return Ok(packages);
    }
    // Two commands at a time install once: the second one waits, and finds it.
    let _alone = OsLock::exclusive(&home.join("installing.lock"), "installing Python packages")
        .context("nobody can install Python packages")?;
    if !packages.exists() {
        install(&home, &file, &packages)?;
    }
    Ok(packages)
}

/// Another text is other packages, that of the file and of those that it includes; and so is another directory, as what the text
/// names may be relative to it.
fn key(file: &Path) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    for flag in PURE {
        hasher.update(flag.as_bytes());
    }
    hasher.update(file.parent().unwrap_or(Path::new("/")).as_os_str().as_encoded_bytes());
    let (mut files, mut at) = (vec![file.to_owned()], 0);
    while let Some(file) = files.get(at).cloned() {
        let text =
            fs::read_to_string(&file).with_context(|| format!("--requirements {} cannot be read", file.display()))?;
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        for included in text.lines().filter_map(included) {
            let included = file.parent().unwrap_or(Path::new("/")).join(included);
            if !files.contains(&included) {
                files.push(included);
            }
        }
        at += 1;
        if files.len() > FILES_MAX {
            bail!("--requirements {}: it includes more than {FILES_MAX} files", file.display());
        }
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

/// The file that a line of a requirements file includes.
fn included(line: &str) -> Option<&str> {
    let line = line.trim();
    let rest = ["--requirement", "--constraint", "-r", "-c"].iter().find_map(|flag| line.strip_prefix(flag))?;
    let name = rest.trim_start_matches([' ', '=']);
    // A comment begins behind a space.
    let name = name.split(" #").next().unwrap_or_default().trim();
    // pip fetches what is elsewhere, and fills in what the environment has.
    (!name.is_empty() && !name.contains("://") && !name.contains("${")).then_some(name.trim_matches('"'))
}

fn install(home: &Path, file: &Path, packages: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    complain(format_args!("python: installing {}, once for its text", file.display()));
    let work = tempfile::tempdir_in(home).context("there is no place to install Python packages in")?;
    let environment = Environment::new(&work.path().join("environment"))?;
    let target = work.path().join("packages");
    let [target_text, file_text] = [&target, file].map(|path| path.to_str().map(str::to_owned));
    let target_text = target_text.context("the cache directory has a name that is no text")?;
    let file_text = file_text.with_context(|| format!("{} has a name that is no text", file.display()))?;
    let what = ["install", "--quiet", "--target", &target_text, "--requirement", &file_text];
    let beside = file.parent().unwrap_or(Path::new("/"));
    environment.pip(beside, &[&what[..], PURE].concat()).with_context(|| {
        format!(
            "--requirements {}: its packages could not be installed; what runs in the sandbox has to be pure Python, which \
             PyPI has as a wheel that ends in `-none-any.whl`",
            file.display()
        )
    })?;
    // A file that asks for nothing.
    fs::create_dir_all(&target).context("Python packages cannot be put into the cache")?;
    fs::rename(&target, packages).context("Python packages cannot be put into the cache")?;
    complain(format_args!("python: installed ({:.0} s)", begun.elapsed().as_secs_f64()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_what_a_file_includes_is_part_of_its_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, other) = (dir.path().join("requirements.txt"), dir.path().join("other.txt"));
        fs::write(&file, "a==1\n-r other.txt  # others\n-r https://example.org/x.txt\n").expect("a file");
        fs::write(&other, "--constraint=requirements.txt\nb==1\n").expect("a file");
        let before = key(&file).expect("it is right");
        assert_eq!(key(&file).expect("it is right"), before);
        fs::write(&other, "b==2\n").expect("a file");
        assert_ne!(key(&file).expect("it is right"), before);
        fs::remove_file(&other).expect("it is there");
        let error = key(&file).expect_err("it includes what is not there");
        assert!(format!("{error}").contains("other.txt cannot be read"), "{error}");
    }
}
