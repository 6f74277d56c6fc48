//! A federated-learning client: learns handwritten digits from its own shard, and reports after each epoch.
//!
//! All clients append to one file, `results`, under one lock, `results`; neither belongs to a client. What a client
//! may see besides is its shard and the common test part.
//!
//! Arguments: `SHARD TEST [--epochs N] [--seed N] [--rate X] [--batch N]`, by default 20 epochs, the seed in the
//! environment's `SEED` (or 0), and the rate and batch of [`Settings::default`].

use std::error::Error;
use std::process::ExitCode;
use std::str::FromStr;

use federated_client::digits::{self, Digit};
use federated_client::random::SplitMix64;
use federated_client::softmax::{Model, Settings};
use lockkeeper_guest::{AppendFile, Mutex, Previous, process, row};

/// What the command line and the environment say.
struct Options {
    shard: String,
    test: String,
    epochs: u32,
    seed: u64,
    settings: Settings,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("federated-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = options(std::env::args().skip(1), std::env::var("SEED").ok())?;
    let train = read(&options.shard)?;
    let test = read(&options.test)?;

    let me = process::current();
    let lock = Mutex::open("results").map_err(|error| format!("lock `results`: {error}"))?;
    let results = AppendFile::open("results").map_err(|error| format!("file `results`: {error}"))?;

    let mut random = SplitMix64::for_client(options.seed, me.rank);
    let mut model = Model::default();
    for epoch in 1..=options.epochs {
        model.train_epoch(&train, options.settings, &mut random);
        let score = model.score(&test);
        let (loss, accuracy) = (format_args!("{:.6}", score.loss), format_args!("{:.4}", score.accuracy));
        let row = row![me.rank, epoch, loss, accuracy, u64::from(epoch) * train.len() as u64];

        let guard = lock.lock()?;
        if let Previous::Abandoned(last) = guard.previous() {
            // A row is in the file whole or not at all, so there is nothing to repair.
            eprintln!("process {} left the lock without releasing it ({}); going on", last.who, last.how);
        }
        results.append_row(&guard, row)?;
        guard.unlock()?;
    }
    Ok(())
}

fn read(path: &str) -> Result<Vec<Digit>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let rows = digits::parse(&text).map_err(|error| format!("{path}: {error}"))?;
    if rows.is_empty() { Err(format!("{path}: no rows")) } else { Ok(rows) }
}

fn options(mut args: impl Iterator<Item = String>, seed: Option<String>) -> Result<Options, String> {
    let mut options = Options {
        shard: args.next().ok_or("the path of the shard is missing")?,
        test: args.next().ok_or("the path of the test file is missing")?,
        epochs: 20,
        seed: seed.map_or(Ok(0), |seed| number("SEED", &seed))?,
        settings: Settings::default(),
    };
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--epochs" => options.epochs = number(&name, &value)?,
            "--seed" => options.seed = number(&name, &value)?,
            "--rate" => options.settings.rate = number(&name, &value)?,
            "--batch" => options.settings.batch = number(&name, &value)?,
            _ => return Err(format!("unknown option {name}: there are --epochs, --seed, --rate and --batch")),
        }
    }
    let Settings { rate, batch } = options.settings;
    if !(rate.is_finite() && rate > 0.0) {
        return Err(format!("--rate {rate} is not above 0"));
    }
    if batch == 0 {
        return Err("--batch 0 makes no step: give 1 or more".to_owned());
    }
    Ok(options)
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: `{value}` is not a number that fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options_of(args: &[&str], seed: Option<&str>) -> Result<Options, String> {
        options(args.iter().map(ToString::to_string), seed.map(str::to_owned))
    }

    #[test]
    fn option_wins_over_the_environment() {
        let options = options_of(&["a", "b", "--seed", "9", "--epochs", "3"], Some("7")).expect("good options");
        assert_eq!((options.shard.as_str(), options.test.as_str()), ("a", "b"));
        assert_eq!((options.seed, options.epochs), (9, 3));
        assert_eq!(options_of(&["a", "b"], Some("7")).expect("good options").seed, 7);
    }

    #[test]
    fn bad_options_are_named() {
        for (args, seed, why) in [
            (&["a"][..], None, "the path of the test file is missing"),
            (&["a", "b", "--epochs"], None, "--epochs needs a value"),
            (&["a", "b", "--epochs", "x"], None, "--epochs: `x` is not a number that fits"),
            (&["a", "b", "--rate", "-1"], None, "--rate -1 is not above 0"),
            (&["a", "b", "--batch", "0"], None, "--batch 0 makes no step: give 1 or more"),
            (&["a", "b"], Some("x"), "SEED: `x` is not a number that fits"),
        ] {
            assert_eq!(options_of(args, seed).err().as_deref(), Some(why));
        }
    }
}
