//! A plugin: the host calls what it exports, gives it a function of its own, and keeps its own data with it.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p word-scorer
//! cargo run --example plugin -- target/wasm32-wasip2/release/word_scorer.wasm out
//! ```

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use futures::executor::block_on;
use lockkeeper::wasmtime::component::HasSelf;
use lockkeeper::{
    AppendSpec, CallError, FileSpec, Format, Grant, IfExists, JobSpec, LockSpec, Plugin, ProcessState, Program,
    Runtime, RuntimeBuilder,
};

/// What the engine's generator makes of the plugin's world: the trait of what the host has for it, and a type that calls
/// what it exports.
mod bindings {
    lockkeeper::wasmtime::component::bindgen!({
        wasmtime_crate: lockkeeper::wasmtime,
        world: "scorer",
        path: "../guest/examples/plugin/wit",
        // Every call of a plugin may have to wait.
        exports: { default: async },
    });
}

use bindings::Scorer;
use bindings::example::words::dictionary;

/// What the host keeps with each plugin.
struct Dictionary {
    words: Arc<HashMap<&'static str, u32>>,
    looked_up: u64,
}

impl dictionary::Host for Dictionary {
    fn frequency(&mut self, word: String) -> Option<u32> {
        self.looked_up += 1;
        self.words.get(word.as_str()).copied()
    }
}

const FREQUENCIES: [(&str, u32); 6] =
    [("the", 60_000), ("a", 23_000), ("keeper", 8), ("of", 30_000), ("locks", 40), ("file", 150)];

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(program), Some(out)) = (args.next(), args.next()) else {
        bail!("give the plugin and a directory for what it writes");
    };
    // Any executor will do.
    for line in block_on(run(program.as_ref(), out.as_ref()))? {
        println!("{line}");
    }
    Ok(())
}

/// A host that has a dictionary for its plugins.
fn host(out: &Path) -> RuntimeBuilder {
    let words: Arc<HashMap<_, _>> = Arc::new(FREQUENCIES.into());
    Runtime::builder()
        .state_dir(out.join("state"))
        .host_interfaces(|linker| {
            dictionary::add_to_linker::<_, HasSelf<_>>(linker, ProcessState::data_mut::<Dictionary>)
        })
        .data(move |_process, _name| Dictionary { words: words.clone(), looked_up: 0 })
}

/// What the plugin exports, called as a function of the host.
async fn score(plugin: &Plugin<Scorer>, line: &str) -> Result<Result<u32, String>, CallError> {
    let line = line.to_owned();
    let limit = Duration::from_secs(60);
    plugin
        .call_within(limit, async move |scorer, store| scorer.example_words_scoring().call_score(store, &line).await)
        .await
}

/// Runs it all; answers what there is to print.
pub(crate) async fn run(program: &Path, out: &Path) -> anyhow::Result<Vec<String>> {
    std::fs::create_dir_all(out)?;
    let runtime = host(out).build()?;
    let program = Program::from_file(&runtime, program)?;
    let header = vec!["score".to_owned(), "line".to_owned()];
    let mut scores = FileSpec::new(out.join("scores.csv"), Format::Csv { header }, "the plugin example");
    scores.if_exists = IfExists::Replace;
    let job = runtime.job(JobSpec {
        locks: vec![LockSpec::new("scores")],
        files: vec![AppendSpec::new("scores", scores).requires_lock("scores")],
        ..JobSpec::default()
    })?;

    let plugin = runtime
        .spawn(&program)
        .job(&job)
        .grant(Grant::lock("scores"))
        .grant(Grant::file("scores"))
        .plugin(|store, instance| Scorer::new(store, instance))
        .await?;

    let mut printed = Vec::new();
    for line in ["The keeper of the locks", "A file of perspicacity"] {
        let score = score(&plugin, line).await?.map_err(anyhow::Error::msg)?;
        printed.push(format!("{score:3}  {line}"));
    }
    // The store is at hand too, and with it what the host keeps with this plugin. (A thread that may block, and awaits nothing,
    // has `call_blocking`.)
    let asked = plugin.call(async |scorer, mut store| {
        let scored = scorer.example_words_scoring().call_scored(&mut store).await?;
        Ok((scored, store.data_mut().data_mut::<Dictionary>().looked_up))
    });
    let (scored, looked_up) = asked.await?;
    printed.push(format!("{scored} lines, {looked_up} words looked up"));
    Ok(printed)
}
