//! Building guests: the commands of a manifest, and the targets that they need.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use lockkeeper::manifest::Manifest;

use super::output::complain;

/// Runs the build commands of a manifest in its directory.
pub(super) fn run_all(manifest: &Manifest) -> anyhow::Result<()> {
    let builds = manifest.builds();
    if builds.is_empty() {
        bail!("--build: no [[process]] of the manifest says how to build it; add `build = \"cargo build ..\"`");
    }
    for build in builds {
        for target in wasm_targets(build) {
            add_target(manifest.dir(), target)?;
        }
        complain(format_args!("building: {build}"));
        let status = Command::new("sh")
            .args(["-c", build])
            .current_dir(manifest.dir())
            .status()
            .with_context(|| format!("no shell to run `{build}`"))?;
        if !status.success() {
            bail!("the build command `{build}` failed ({status}), so nothing was started; its own messages are above");
        }
    }
    Ok(())
}

/// The wasm targets that a build command names.
fn wasm_targets(build: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut targets: Vec<&str> = build
        .split(|c| !is_part(c))
        .filter(|word| word.starts_with("wasm32-") && word.len() > "wasm32-".len())
        .collect();
    targets.dedup();
    targets
}

/// Adds a target with rustup unless it is there. Without rustup the build command has to know for itself.
fn add_target(dir: &Path, target: &str) -> anyhow::Result<()> {
    let Some(installed) = installed_targets(dir) else {
        return Ok(());
    };
    if installed.lines().any(|line| line.trim() == target) {
        return Ok(());
    }
    complain(format_args!("adding the target {target}"));
    let status = Command::new("rustup").args(["target", "add", target]).current_dir(dir).status();
    match status.with_context(|| format!("rustup could not be started to add {target}"))? {
        status if status.success() => Ok(()),
        status => bail!("`rustup target add {target}` failed ({status}); add it by hand and try again"),
    }
}

/// The targets of the toolchain that a directory uses; none without rustup.
pub(super) fn installed_targets(dir: &Path) -> Option<String> {
    let answer = Command::new("rustup").args(["target", "list", "--installed"]).current_dir(dir).output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_of_a_build_command_are_found() {
        assert_eq!(
            wasm_targets("cargo build --release --target wasm32-wasip2 --target-dir ../t/wasm32-wasip2"),
            ["wasm32-wasip2"]
        );
        assert_eq!(wasm_targets("cargo build --target=wasm32-wasip1"), ["wasm32-wasip1"]);
        assert!(wasm_targets("make all").is_empty());
    }
}
