//! Hosts that die, and power that fails, at any operation; against a model of what must be there then.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::memory::{FATES, FAULTS, Fate, Fault};
use super::*;
use crate::storage::uninterrupted;

#[derive(Debug, Clone)]
enum Act {
    /// Appends what the content with this number is, under an id of its own.
    Append(usize),
    Sync,
    Compact,
    /// Host dies, and another one starts.
    Restart,
}

/// Few, so that the same bytes often meet the same place; a record of two lines can be torn between them.
const CONTENTS: [&[u8]; 5] = [b"a\n", b"", b"a\na\n", b"bb\n", b"a\nbb\n"];

/// One host and the file that it appends to. `Err` anywhere: it has died or takes no more.
struct Host {
    disk: Memory,
    ids: Ids,
    data: Arc<dyn Storage>,
    end: u64,
}

/// What the world outside knows.
#[derive(Debug, Default)]
struct Model {
    contents: BTreeMap<String, &'static [u8]>,
    acknowledged: Vec<String>,
    synced: Vec<String>,
    /// What the checkpoint of the data file would say.
    trusted: u64,
}

#[derive(Debug)]
struct Stopped;

impl Host {
    fn start(disk: &Memory, model: &Model) -> Result<Host, Stopped> {
        let stopped = |_| Stopped;
        let status = disk.look(Path::new(DATA)).map_err(stopped)?.expect("the data file is durable");
        let (mut ids, found) = Ids::open(disk, Path::new(SIDECAR), &status, MODE).map_err(|_| Stopped)?;
        let durable_damage = found.damaged_before.is_some_and(|before| before <= model.trusted);
        assert!(!durable_damage && !found.foreign, "{found:?}");
        let data = disk.open(Path::new(DATA), Access::Append).map_err(stopped)?;
        let len = data.status().map_err(stopped)?.len;
        let mut bytes = vec![0; usize::try_from(len).unwrap()];
        crate::storage::read_exact_at(&*data, &mut bytes, 0).map_err(stopped)?;
        let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at as u64 + 1);
        let path = Path::new(DATA);
        ids.reconcile(disk, &*data, path, model.trusted, end).map_err(|_| Stopped)?;
        let covered = ids.covered_to(model.trusted);
        assert!(covered >= model.trusted && covered <= end);
        if covered < len {
            uninterrupted(|| data.truncate(covered)).map_err(stopped)?;
            ids.reconcile(disk, &*data, path, model.trusted, covered).map_err(|_| Stopped)?;
        }
        ids.sync().map_err(|_| Stopped)?;
        uninterrupted(|| data.sync()).map_err(stopped)?;
        Ok(Host { disk: disk.clone(), ids, data, end: covered })
    }

    fn append(&mut self, name: &str, content: &[u8]) -> Result<bool, Stopped> {
        let noted = self.ids.note(&entry(name, self.end, content));
        if noted.is_err() {
            return if self.ids.is_broken() || self.disk.dead() { Err(Stopped) } else { Ok(false) };
        }
        let mut rest = content;
        while !rest.is_empty() {
            match self.data.append(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(_) => {
                    self.data.truncate(self.end).map_err(|_| Stopped)?;
                    self.ids.take_back().map_err(|_| Stopped)?;
                    return Ok(false);
                }
            }
        }
        self.end += content.len() as u64;
        Ok(true)
    }

    fn sync(&mut self) -> Result<(), Stopped> {
        self.ids.sync().map_err(|_| Stopped)?;
        self.data.sync().map_err(|_| Stopped)
    }
}

/// Runs the acts on one host after another until the disk says that the host is dead.
fn run(disk: &Memory, acts: &[Act], model: &mut Model) -> Result<(), Stopped> {
    let mut host = Host::start(disk, model)?;
    for (number, act) in acts.iter().enumerate() {
        match act {
            Act::Append(content) => {
                let name = format!("record {number}");
                model.contents.insert(name.clone(), CONTENTS[*content]);
                if host.append(&name, CONTENTS[*content])? {
                    model.acknowledged.push(name);
                }
            }
            Act::Sync => {
                host.sync()?;
                model.trusted = host.end;
                model.synced = model.acknowledged.clone();
            }
            // What fails here is not needed, unless the sidecar breaks.
            Act::Compact => {
                if host.ids.compact(disk).is_err() && (host.ids.is_broken() || disk.dead()) {
                    return Err(Stopped);
                }
            }
            Act::Restart => {
                drop(host);
                host = Host::start(disk, model)?;
                model.trusted = host.end;
                model.synced = model.acknowledged.clone();
            }
        }
    }
    Ok(())
}

/// Every id has its data, all data has its id, and `promised` is there.
fn judge(disk: &Memory, model: &Model, promised: &[String]) {
    let mut host = Host::start(disk, model).expect("nothing fails any more");
    let data = disk.bytes(DATA).unwrap();
    assert_eq!(data.len() as u64, host.end);
    let mut spans = vec![false; data.len()];
    for (name, content) in &model.contents {
        let Some(place) = host.ids.get(id(name)) else {
            assert!(!promised.contains(name), "{name} is lost");
            continue;
        };
        let from = usize::try_from(place.offset).unwrap();
        if !content.is_empty() {
            let span = from..from + content.len();
            assert_eq!(&data[span.clone()], *content, "{name}");
            assert!(spans[span.clone()].iter().all(|taken| !taken), "{name} shares its data");
            spans[span].fill(true);
        }
    }
    assert!(spans.iter().all(|&taken| taken), "some data has no id");
    // And it goes on from there.
    assert!(host.append("afterwards", b"z\n").unwrap());
    drop(host);
    let (mut ids, _) = open(disk).unwrap();
    assert_eq!(reconcile(disk, &mut ids, 0, data.len() as u64 + 2).unwrap().dropped, 0);
    assert!(ids.get(id("afterwards")).is_some());
}

/// One history with one fault, and what follows it: the host is gone, power perhaps too, a recovery may die as well.
fn history(
    acts: &[Act],
    fault: Option<(u64, Fault)>,
    power: Option<[Fate; 3]>,
    second: Option<(u64, Fault)>,
) -> (bool, bool) {
    let disk = disk_with(b"");
    let mut model = Model::default();
    if let Some((after, fault)) = fault {
        disk.fault(after, fault);
    }
    let _stopped = run(&disk, acts, &mut model).is_err();
    let reached = disk.revive();
    let mut reached_again = false;
    if let Some((after, fault)) = second {
        disk.fault(after, fault);
        drop(Host::start(&disk, &model));
        reached_again = disk.revive();
    }
    let promised = match power {
        None => model.acknowledged.clone(),
        Some([sidecar, data, names]) => {
            disk.lose_power(|path| if path == Path::new(DATA) { data } else { sidecar }, names);
            model.synced.clone()
        }
    };
    judge(&disk, &model, &promised);
    (reached, reached_again)
}

fn script() -> Vec<Act> {
    let mut acts = vec![Act::Append(0), Act::Append(2), Act::Append(1), Act::Sync, Act::Append(0), Act::Append(0)];
    acts.extend([Act::Compact, Act::Append(4), Act::Restart, Act::Append(2), Act::Append(2), Act::Append(3)]);
    acts
}

#[test]
fn an_id_is_there_exactly_if_its_data_is_whatever_operation_fails_or_kills() {
    let acts = script();
    for fault in FAULTS {
        for at in 1.. {
            let (reached, _) = history(&acts, Some((at, fault)), None, None);
            if !reached {
                assert!(at > 40, "the script has more operations than {at}");
                break;
            }
        }
    }
}

#[test]
fn an_id_is_there_exactly_if_its_data_is_when_the_recovery_dies_too() {
    let acts = script();
    for fault in [Fault::Die, Fault::DieWithin, Fault::FailDone] {
        for at in 1.. {
            let mut reached = false;
            for again in 1.. {
                let (first, second) = history(&acts, Some((at, fault)), None, Some((again, Fault::DieWithin)));
                reached = first;
                if !second {
                    break;
                }
            }
            if !reached {
                assert!(at > 40, "the script has more operations than {at}");
                break;
            }
        }
    }
}

#[test]
fn an_id_is_there_exactly_if_its_data_is_after_power_loss_at_every_operation() {
    let acts = script();
    for fault in [Fault::Die, Fault::DieWithin, Fault::Fail] {
        for at in 1.. {
            let mut reached = false;
            for fates in FATES
                .iter()
                .flat_map(|&a| FATES.map(|b| [a, b]))
                .flat_map(|[a, b]| [[a, b, Fate::Kept], [a, b, Fate::Lost]])
            {
                reached = history(&acts, Some((at, fault)), Some(fates), None).0;
            }
            if !reached {
                assert!(at > 40, "the script has more operations than {at}");
                break;
            }
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..CONTENTS.len()).prop_map(Act::Append),
        1 => Just(Act::Sync),
        1 => Just(Act::Compact),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_id_is_there_exactly_if_its_data_is_after_any_history(
        acts in prop::collection::vec(act(), 0..25),
        fault in prop::option::of((1..200u64, prop::sample::select(&FAULTS[..]))),
        power in prop::option::of(prop::array::uniform3(prop::sample::select(&FATES[..]))),
        second in prop::option::of((1..40u64, prop::sample::select(&FAULTS[..]))),
    ) {
        history(&acts, fault, power, second);
    }
}
