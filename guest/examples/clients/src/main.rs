//! A federated-learning client: learns handwritten digits from its own shard, and averages with the other clients.
//!
//! In each round every client goes once over its shard, adds its model into the shared array `weights`, and meets the
//! others at the barrier `round`. The one that was there first makes the average, and all go on with it. Array and
//! result file belong to no client: they are changed under the lock `results`.
//!
//! Arguments: `SHARD TEST [--rounds N] [--seed N] [--rate X] [--batch N]`, by default 30 rounds, the seed in the
//! environment's `SEED` (or 0), and the rate and batch of [`Settings::default`].

use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use federated_client::average::{self, AVERAGE, AVERAGE_LENGTH, LENGTH, SUM, SUM_LENGTH};
use federated_client::digits::{self, Digit};
use federated_client::random::SplitMix64;
use federated_client::softmax::{Model, Score, Settings};
use lockkeeper_guest::{AppendFile, Array, Barrier, Error, Mutex, MutexGuard, Previous, process, row};

/// How long a client waits for the others at a meeting. A client that died before its first one is not missed by the
/// barrier, only by this; a round takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the command line and the environment say.
struct Options {
    shard: String,
    test: String,
    rounds: u32,
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

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let options = options(std::env::args().skip(1), std::env::var("SEED").ok())?;
    let round = Barrier::open("round").map_err(|error| format!("barrier `round`: {error}"))?;
    // Whoever cannot go on says so, or the others would wait for it.
    learn(&options, &round).inspect_err(|_| round.abort())
}

fn learn(options: &Options, round: &Barrier) -> Result<(), Box<dyn std::error::Error>> {
    let train = read(&options.shard)?;
    let test = read(&options.test)?;

    let me = process::current();
    let lock = Mutex::open("results").map_err(|error| format!("lock `results`: {error}"))?;
    let results = AppendFile::open("results").map_err(|error| format!("file `results`: {error}"))?;
    let weights = Array::<f64>::open("weights").map_err(|error| format!("array `weights`: {error}"))?;
    if weights.len() != LENGTH {
        return Err(format!("the array `weights` has the length {}, not {LENGTH}", weights.len()).into());
    }

    // Whoever has met the others once breaks the barrier when it dies, wherever it is then.
    meet(round)?;
    let mut random = SplitMix64::for_client(options.seed, me.rank);
    let mut model = Model::default();
    for epoch in 1..=options.rounds {
        model.train_epoch(&train, options.settings, &mut random);
        let row = report(me.rank, epoch, model.score(&test), train.len() as u64);
        let guard = enter(&lock)?;
        weights.add_slice(SUM, &average::share(&model, train.len()))?;
        results.append_row(&guard, row)?;
        guard.unlock()?;

        // All have added: one of them makes the average, and clears the sum for the next round.
        if meet(round)? == 0 {
            let (average, rows) = average::average(&weights.slice(SUM, SUM_LENGTH)?).ok_or("nobody has added")?;
            let row = report("server", epoch, average.score(&test), rows);
            let guard = enter(&lock)?;
            weights.set_slice(AVERAGE, average.weights())?;
            weights.set_slice(SUM, &[0.0; SUM_LENGTH as usize])?;
            results.append_row(&guard, row)?;
            guard.unlock()?;
        }

        // The average is there, and stays until all have come to the next meeting.
        meet(round)?;
        model = Model::from_weights(&weights.slice(AVERAGE, AVERAGE_LENGTH)?).ok_or("the average is cut short")?;
    }
    Ok(())
}

/// Waits for all other clients. Answers the place of this one in the order of arrival, from 0.
fn meet(round: &Barrier) -> Result<u32, String> {
    round.wait_timeout(PATIENCE).map_err(|error| match error {
        Error::Broken(cause) => format!("a client is missing ({cause}), and without it there is no average"),
        Error::TimedOut => format!("a client did not come within {PATIENCE:?}, and without it there is no average"),
        error => format!("barrier `round`: {error}"),
    })
}

/// Takes the lock, unless its last holder died with it: nobody knows how far that one came.
fn enter(lock: &Mutex) -> Result<MutexGuard<'_>, Box<dyn std::error::Error>> {
    let guard = lock.lock()?;
    match guard.previous() {
        Previous::Clean => Ok(guard),
        Previous::Abandoned(last) => Err(format!("process {} left in the middle ({})", last.who, last.how).into()),
    }
}

/// A row of the results; `rows` are those of one epoch.
fn report(who: impl fmt::Display, epoch: u32, score: Score, rows: u64) -> [String; 5] {
    let Score { loss, accuracy } = score;
    row![who, epoch, format_args!("{loss:.6}"), format_args!("{accuracy:.4}"), u64::from(epoch) * rows]
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
        rounds: 30,
        seed: seed.map_or(Ok(0), |seed| number("SEED", &seed))?,
        settings: Settings::default(),
    };
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--rounds" => options.rounds = number(&name, &value)?,
            "--seed" => options.seed = number(&name, &value)?,
            "--rate" => options.settings.rate = number(&name, &value)?,
            "--batch" => options.settings.batch = number(&name, &value)?,
            _ => return Err(format!("unknown option {name}: there are --rounds, --seed, --rate and --batch")),
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
        let options = options_of(&["a", "b", "--seed", "9", "--rounds", "3"], Some("7")).expect("good options");
        assert_eq!((options.shard.as_str(), options.test.as_str()), ("a", "b"));
        assert_eq!((options.seed, options.rounds), (9, 3));
        assert_eq!(options_of(&["a", "b"], Some("7")).expect("good options").seed, 7);
    }

    #[test]
    fn bad_options_are_named() {
        for (args, seed, why) in [
            (&["a"][..], None, "the path of the test file is missing"),
            (&["a", "b", "--rounds"], None, "--rounds needs a value"),
            (&["a", "b", "--rounds", "x"], None, "--rounds: `x` is not a number that fits"),
            (&["a", "b", "--rate", "-1"], None, "--rate -1 is not above 0"),
            (&["a", "b", "--batch", "0"], None, "--batch 0 makes no step: give 1 or more"),
            (&["a", "b"], Some("x"), "SEED: `x` is not a number that fits"),
        ] {
            assert_eq!(options_of(args, seed).err().as_deref(), Some(why));
        }
    }
}
