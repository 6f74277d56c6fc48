//! The clients' rounds, without a host: eight of them in one process, an array, and any order of turns.

use std::fs;
use std::path::Path;

use federated_client::average::{self, LENGTH, SUM_LENGTH};
use federated_client::digits::{self, Digit};
use federated_client::random::SplitMix64;
use federated_client::softmax::{Model, Score, Settings};
use federated_client::split::CLIENTS;

/// As in the manifest.
const SEED: u64 = 7;
const ROUNDS: usize = 30;

fn rows(name: &str) -> Vec<Digit> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    digits::parse(&fs::read_to_string(path).expect("the data is committed")).expect("the committed rows are good")
}

/// What the clients and then the server report in each round. `order` shuffles whose turn it is to add.
fn run(mut order: SplitMix64) -> Vec<[Score; CLIENTS + 1]> {
    let test = rows("test.csv");
    let shards: [Vec<Digit>; CLIENTS] = std::array::from_fn(|rank| rows(&format!("train-{rank}.csv")));
    let mut randoms: [_; CLIENTS] = std::array::from_fn(|rank| SplitMix64::for_client(SEED, rank as u32));
    let (mut turns, mut average) = (std::array::from_fn::<_, CLIENTS, _>(|rank| rank), Model::default());
    let mut reports = Vec::new();
    for _ in 0..ROUNDS {
        let mut sum = [0.0; SUM_LENGTH as usize];
        let mut scores = [Model::default().score(&[]); CLIENTS + 1];
        order.shuffle(&mut turns);
        for rank in turns {
            let mut model = average.clone();
            model.train_epoch(&shards[rank], Settings::default(), &mut randoms[rank]);
            scores[rank] = model.score(&test);
            for (sum, number) in sum.iter_mut().zip(average::share(&model, shards[rank].len())) {
                *sum += number;
            }
        }
        let (next, learnt_from) = average::average(&sum).expect("all have added");
        assert_eq!(learnt_from, 1438);
        average = next;
        scores[CLIENTS] = average.score(&test);
        reports.push(scores);
    }
    reports
}

#[test]
fn average_reads_more_than_94_percent_and_more_than_its_clients() {
    let reports = run(SplitMix64::new(0));
    for (round, scores) in (1..).zip(&reports) {
        println!("round {round}: loss {:.6}, accuracy {:.4}", scores[CLIENTS].loss, scores[CLIENTS].accuracy);
    }
    let (server, clients) = reports[ROUNDS - 1].split_last().expect("the server is the last");
    assert!(server.accuracy > 0.94, "{server:?}");
    assert!(clients.iter().all(|client| client.accuracy > 0.85), "{clients:?}");
    let mean = clients.iter().map(|client| client.loss).sum::<f64>() / CLIENTS as f64;
    assert!(server.loss < mean, "the average loses {}, its clients {mean}", server.loss);
}

#[test]
fn figures_are_the_same_to_the_bit_whoever_adds_first() {
    let bits = |order| -> Vec<[u64; 2]> {
        let reports = run(SplitMix64::new(order));
        reports.as_flattened().iter().map(|score| [score.loss.to_bits(), score.accuracy.to_bits()]).collect()
    };
    let first = bits(1);
    assert_eq!(first.len(), ROUNDS * (CLIENTS + 1));
    for order in 2..5 {
        assert_eq!(bits(order), first, "order {order}");
    }
}

#[test]
fn manifest_has_the_sizes_of_the_code() {
    let manifest = include_str!("../lockkeeper.toml");
    for line in [
        format!("length = {LENGTH} "),
        format!("parties = {CLIENTS}\n"),
        format!("count = {CLIENTS}\n"),
        format!("\"--rounds\", \"{ROUNDS}\""),
        format!("SEED = \"{SEED}\""),
    ] {
        assert!(manifest.contains(&line), "the manifest has no {line:?}");
    }
}
