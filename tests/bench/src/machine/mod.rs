//! What is measured of locks of the machine: pairs of one host and of several, beside `flock(2)`; and how long it takes from
//! the death of a host to the next grant in another one.

mod deaths;
mod outside;

use self::deaths::Deaths;
use self::outside::Outsider;
pub(crate) use self::outside::{Who, take_part};
use crate::figures::{Budget, Figure, Unit};
use crate::guests;
use crate::plan::{Lengths, OURS, Planned};

/// How many hosts want one lock, or how many programs of the peers.
const HOSTS: [u32; 2] = [1, 4];
/// How many processes each host has.
const PROCESSES: [u32; 3] = [1, 4, 16];

const PROCESS_SCOPE: &str = "ours, process scope";
const FS2: &str = "fs2";
const FLOCK: &str = "flock(1)";

/// Everything that takes part.
pub(crate) struct Bench {
    deaths: Deaths,
    shards: usize,
    lengths: Lengths,
}

impl Bench {
    pub(crate) fn new(shards: usize, lengths: Lengths) -> anyhow::Result<Self> {
        guests::build()?;
        Ok(Self { deaths: Deaths::new(shards, lengths)?, shards, lengths })
    }

    pub(crate) fn plan(&self) -> Vec<Planned<'_>> {
        let pairs = HOSTS.iter().flat_map(|hosts| PROCESSES.map(|processes| self.pairs(*hosts, processes)));
        pairs.chain([50, 99].map(|percent| self.death(percent))).collect()
    }

    fn pairs(&self, hosts: u32, processes: u32) -> Planned<'_> {
        let mut pairs = Planned::new(format!("pairs, {hosts} x {processes} processes"), Unit::PerSecond);
        pairs.subject(OURS, move || self.rate(Who::Host, hosts, processes));
        if hosts == 1 {
            let half = Some(Budget::AtLeast(0.5));
            pairs.peer(PROCESS_SCOPE, half, move || self.rate(Who::ProcessScope, hosts, processes));
        }
        let same = (hosts > 1).then_some(Budget::AtLeast(1.0));
        pairs.peer(FS2, same, move || self.rate(Who::Fs2, hosts, 1));
        pairs.peer(FLOCK, None, move || self.rate(Who::Flock, hosts, 1));
        pairs
    }

    /// Pairs per second of all of them together, at one lock file; and whether each has its part of them.
    fn rate(&self, who: Who, count: u32, processes: u32) -> anyhow::Result<Figure> {
        let dir = tempfile::tempdir()?;
        let start = |_| Outsider::start(who, dir.path(), processes, self.shards);
        let mut all = (0..count).map(start).collect::<anyhow::Result<Vec<_>>>()?;
        all.iter_mut().try_for_each(Outsider::wait_until_ready)?;
        std::thread::sleep(self.lengths.warm_up);
        let before = all.iter_mut().map(Outsider::look).collect::<anyhow::Result<Vec<_>>>()?;
        std::thread::sleep(self.lengths.window);
        let after = all.iter_mut().map(Outsider::look).collect::<anyhow::Result<Vec<_>>>()?;
        let rates: Vec<f64> = before.iter().zip(&after).map(|(before, after)| before.rate_until(after)).collect();
        let (value, least) = (rates.iter().sum::<f64>(), rates.iter().copied().fold(f64::INFINITY, f64::min));
        Ok(Figure { value, share: (count > 1).then(|| ("are of the one that has the fewest", least / value)) })
    }

    fn death(&self, percent: usize) -> Planned<'_> {
        let name = format!("death of a holder to the next grant outside, {percent} % within");
        let mut death = Planned::new(name, Unit::MicrosecondsEach);
        death.subject(OURS, move || self.deaths.of_hosts(percent));
        death.peer(FS2, None, move || deaths::of_programs(percent));
        death
    }

    /// What belongs to these figures and to no others.
    pub(crate) fn notes(&self) -> Vec<String> {
        vec![
            format!(
                "each host, and each program of `{FS2}` and `{FLOCK}`, is a process of the system; there is one lock file"
            ),
            format!("`{FS2}` locks and unlocks a file that is open, `{FLOCK}` starts a program (`true`) for each pair"),
            format!(
                "each round has {} deaths by SIGKILL, the next one in the queue having waited 0 to 100 ms",
                deaths::COUNT
            ),
            "a death ends when the system has taken the process apart; the aim of the next grant is 5,000 us"
                .to_owned(),
        ]
    }
}
