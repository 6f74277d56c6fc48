//! What a disk may hold after the power was cut.
//!
//! Every change since the last sync is a point at which the states part: it reached the disk, or not, or by half, whatever
//! became of those before it. What an earlier change would have put in front of a later one is zeros then. (File systems
//! promise more than this, each something else.)

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::Machine;
use super::world::{Change, Inode, Key, NameChange, Pending, World, grow, write};

/// What a disk writes as a whole.
pub(crate) const SECTOR_BYTES: usize = 512;

/// Up to this many points every combination is tried.
pub(crate) const POINTS_EXHAUSTIVE_MAX: usize = 12;

/// What became of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing of it is there.
    Dropped,
    /// All of it is.
    Whole,
    /// The length is there, the bytes are not.
    Length,
    /// The first bytes are there, and the file ends after them, as far as this change goes.
    Prefix(usize),
    /// The first bytes and the length are there.
    Padded(usize),
    /// The length is there, and of the sectors that it touches those marked here.
    Sectors(Arc<[bool]>),
}

/// One change that a power cut meets.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    what: String,
    /// The bytes in the file that it writes, and whether they can still reach the disk.
    written: Option<(Range<usize>, bool)>,
    /// The fates that the enumeration tries: dropped, whole (if it can be), and those between.
    options: Vec<Fate>,
}

impl Point {
    fn of_file(inode: &Inode, pending: &Pending, names: &str) -> Point {
        match &pending.change {
            Change::Write { offset, bytes } => {
                let range = *offset..offset + bytes.len();
                let what = format!(
                    "{}write of {} bytes at {offset} of {names}",
                    if pending.lost { "lost " } else { "" },
                    bytes.len()
                );
                let options = match pending.lost {
                    true => vec![Fate::Dropped, Fate::Length],
                    false => fates_of_write(&range, inode.disk.len()),
                };
                Point { what, written: Some((range, !pending.lost)), options }
            }
            Change::Truncate { len } => {
                let what = format!("cut to {len} bytes of {names}");
                Point { what, written: None, options: vec![Fate::Dropped, Fate::Whole] }
            }
        }
    }

    fn of_name(change: &NameChange) -> Point {
        let what = match change {
            NameChange::Create { path, .. } => format!("creation of {}", path.display()),
            NameChange::Rename { from, to, .. } => format!("rename of {} to {}", from.display(), to.display()),
            NameChange::Remove { path } => format!("removal of {}", path.display()),
        };
        Point { what, written: None, options: vec![Fate::Dropped, Fate::Whole] }
    }

    fn random(&self, random: &mut Random) -> Fate {
        let Some((range, live)) = &self.written else {
            return self.options[random.below(2)].clone();
        };
        if !live {
            return self.options[random.below(self.options.len())].clone();
        }
        match random.below(8) {
            0..=1 => Fate::Dropped,
            2..=3 => Fate::Whole,
            4 => Fate::Length,
            5 => Fate::Prefix(random.below(range.len() + 1)),
            6 => Fate::Padded(random.below(range.len() + 1)),
            _ => Fate::Sectors(sectors(range).map(|_| random.below(2) == 0).collect()),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.what)
    }
}

/// The parts of a write, one for each sector that it touches.
fn sectors(range: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let range = range.clone();
    let first = range.start / SECTOR_BYTES;
    let last = range.end.div_ceil(SECTOR_BYTES);
    (first..last)
        .map(move |sector| (sector * SECTOR_BYTES).max(range.start)..((sector + 1) * SECTOR_BYTES).min(range.end))
}

fn fates_of_write(range: &Range<usize>, disk_len: usize) -> Vec<Fate> {
    let len = range.len();
    let mut fates = vec![Fate::Dropped, Fate::Whole];
    if range.end > disk_len {
        fates.push(Fate::Length);
    }
    let inside: BTreeSet<usize> = [1, len / 2, len - 1].into_iter().filter(|bytes| (1..len).contains(bytes)).collect();
    fates.extend(inside.into_iter().map(Fate::Prefix));
    if len > 1 {
        fates.push(Fate::Padded(len / 2));
    }
    let count = sectors(range).count();
    if (2..=3).contains(&count) {
        // All but none and all.
        fates.extend(
            (1..(1_u32 << count) - 1).map(|set| Fate::Sectors((0..count).map(|at| set >> at & 1 == 1).collect())),
        );
    } else if count > 3 {
        let patterns: [fn(usize, usize) -> bool; 4] =
            [|at, _| at == 0, |at, _| at != 0, |at, count| at + 1 == count, |at, _| at % 2 == 1];
        fates.extend(patterns.map(|there| Fate::Sectors((0..count).map(|at| there(at, count)).collect())));
    }
    fates
}

fn apply(change: &Change, fate: &Fate, content: &mut Vec<u8>) {
    let (offset, bytes) = match (change, fate) {
        (_, Fate::Dropped) => return,
        (_, Fate::Whole) => return change.apply(content),
        (_, Fate::Length) => return change.apply_length(content),
        (Change::Write { offset, bytes }, _) => (*offset, bytes),
        (Change::Truncate { .. }, _) => panic!("a cut is done or not"),
    };
    match fate {
        Fate::Prefix(len) => write(content, offset, &bytes[..*len]),
        Fate::Padded(len) => {
            write(content, offset, &bytes[..*len]);
            grow(content, offset + bytes.len());
        }
        Fate::Sectors(there) => {
            for (part, _) in sectors(&(offset..offset + bytes.len())).zip(there.iter()).filter(|(_, there)| **there) {
                write(content, part.start, &bytes[part.start - offset..part.end - offset]);
            }
            grow(content, offset + bytes.len());
        }
        Fate::Dropped | Fate::Whole | Fate::Length => unreachable!("done above"),
    }
}

impl World {
    /// The changes that a power cut meets, in an order that depends on nothing but the world.
    pub(crate) fn points(&self) -> Vec<Point> {
        let mut points = Vec::new();
        for (key, inode) in self.unsettled() {
            let names = self.names_of(key);
            points.extend(inode.pending.iter().map(|pending| Point::of_file(inode, pending, &names)));
        }
        points.extend(self.pending_names.iter().map(|pending| Point::of_name(&pending.change)));
        points
    }

    fn unsettled(&self) -> impl Iterator<Item = (Key, &Inode)> {
        let reachable = self.reachable();
        let unsettled =
            self.inodes.iter().filter(move |(key, inode)| reachable.contains(*key) && !inode.pending.is_empty());
        unsettled.map(|(key, inode)| (*key, &**inode))
    }

    fn names_of(&self, key: Key) -> String {
        let names = self.names.iter().filter(|(_, named)| **named == key).map(|(path, _)| path.display().to_string());
        let names = names.collect::<Vec<_>>().join(" = ");
        if names.is_empty() { "a file without a name".to_owned() } else { names }
    }

    /// The world after the next start, with one fate for each point.
    pub(crate) fn cut(&self, fates: &[Fate]) -> World {
        let mut fates = fates.iter();
        let mut next = || fates.next().expect("a fate for each point");
        let mut after = self.clone();
        for (key, inode) in self.unsettled() {
            let mut content = inode.disk.clone();
            for pending in &inode.pending {
                apply(&pending.change, next(), &mut content);
            }
            let inode = after.inode_mut(key);
            inode.cache = content.clone();
            inode.disk = content;
            inode.pending.clear();
            inode.set_aside = 0;
        }
        let mut names = self.disk_names.clone();
        for pending in &self.pending_names {
            match next() {
                Fate::Dropped => {}
                Fate::Whole => pending.change.apply(&mut names),
                half => panic!("a name is there or not: {half:?}"),
            }
        }
        assert!(fates.next().is_none(), "no more fates than points");
        // What was in a directory that is gone is gone. A directory comes before what is in it.
        let mut there = BTreeSet::new();
        names.retain(|path, _| {
            let kept = path.parent().is_none_or(|parent| there.contains(parent));
            if kept {
                there.insert(path.clone());
            }
            kept
        });
        let kept: BTreeSet<Key> = names.values().copied().collect();
        after.inodes.retain(|key, _| kept.contains(key));
        after.names = names.clone();
        after.disk_names = names;
        after.pending_names.clear();
        after.boots += 1;
        after
    }
}

/// How the states of a machine are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// Every combination of every option.
    Product,
    /// Every subset of the changes; then every subset with one change done by half.
    Halves,
    /// Every subset of the changes; then at random.
    Subsets,
    /// Nothing, everything; then at random.
    Random,
}

/// The machines that a power cut may leave, one after another.
#[derive(Debug)]
pub(crate) struct PowerCuts {
    world: World,
    points: Arc<[Point]>,
    plan: Plan,
    at: usize,
    count: usize,
}

/// One machine after a power cut, started again.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) machine: Machine,
    pub(crate) fates: Vec<Fate>,
    points: Arc<[Point]>,
}

impl fmt::Display for Cut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (point, fate) in self.points.iter().zip(&self.fates) {
            writeln!(out, "{point}: {fate:?}")?;
        }
        Ok(())
    }
}

impl PowerCuts {
    pub(crate) fn new(world: World, states_max: usize) -> PowerCuts {
        let points: Arc<[Point]> = world.points().into();
        let product = points.iter().try_fold(1_usize, |product, point| product.checked_mul(point.options.len()));
        let exhaustive = points.len() <= POINTS_EXHAUSTIVE_MAX;
        let subsets = if exhaustive { 1 << points.len() } else { usize::MAX };
        let halves = (0..points.len()).map(|at| halves_of(&points, at)).sum::<usize>();
        let (plan, count) = match product {
            Some(product) if exhaustive && product <= states_max => (Plan::Product, product),
            _ if exhaustive && subsets + halves <= states_max => (Plan::Halves, subsets + halves),
            _ if subsets <= states_max => (Plan::Subsets, states_max),
            _ => (Plan::Random, states_max),
        };
        PowerCuts { world, points, plan, at: 0, count }
    }

    pub(crate) fn subsets(world: World) -> PowerCuts {
        let points: Arc<[Point]> = world.points().into();
        assert!(points.len() <= POINTS_EXHAUSTIVE_MAX, "there are too many subsets of {} changes", points.len());
        let count = 1 << points.len();
        PowerCuts { world, points, plan: Plan::Subsets, at: 0, count }
    }

    pub(crate) fn halves(world: World) -> PowerCuts {
        let cuts = PowerCuts::subsets(world);
        let halves = (0..cuts.points.len()).map(|at| halves_of(&cuts.points, at)).sum::<usize>();
        PowerCuts { plan: Plan::Halves, count: cuts.count + halves, ..cuts }
    }

    pub(crate) fn at_random(world: World, count: usize) -> PowerCuts {
        let points = world.points().into();
        PowerCuts { world, points, plan: Plan::Random, at: 0, count }
    }

    /// Whether every subset of the changes is among the states.
    pub(crate) fn exhaustive(&self) -> bool {
        self.plan != Plan::Random
    }

    fn fates(&self, at: usize) -> Vec<Fate> {
        let subset_bits = self.points.len();
        match self.plan {
            Plan::Product => {
                let mut rest = at;
                let digit = |point: &Point| {
                    let fate = point.options[rest % point.options.len()].clone();
                    rest /= point.options.len();
                    fate
                };
                self.points.iter().map(digit).collect()
            }
            Plan::Halves | Plan::Subsets if at < 1 << subset_bits => subset(&self.points, at),
            Plan::Halves => self.half(at - (1 << subset_bits)),
            Plan::Random if at == 0 => subset(&self.points, 0),
            Plan::Random if at == 1 => self.points.iter().map(|point| point.options[1].clone()).collect(),
            Plan::Subsets | Plan::Random => random_fates(&self.points, &mut Random::new(at as u64)),
        }
    }

    /// One change by half, the others any subset.
    fn half(&self, mut at: usize) -> Vec<Fate> {
        for (index, point) in self.points.iter().enumerate() {
            let halves = halves_of(&self.points, index);
            if at >= halves {
                at -= halves;
                continue;
            }
            let kinds = point.options.len() - 2;
            let others = at / kinds;
            // The bit of this change is left out of the number.
            let low = others & ((1 << index) - 1);
            let set = low | (others >> index) << (index + 1);
            let mut fates = subset(&self.points, set);
            fates[index] = point.options[2 + at % kinds].clone();
            return fates;
        }
        unreachable!("no more states than were counted")
    }
}

fn halves_of(points: &[Point], at: usize) -> usize {
    match points.len() {
        0..=POINTS_EXHAUSTIVE_MAX => (points[at].options.len() - 2) << (points.len() - 1),
        _ => 0,
    }
}

fn subset(points: &[Point], set: usize) -> Vec<Fate> {
    points
        .iter()
        .enumerate()
        .map(|(at, point)| point.options[if at < 64 { set >> at & 1 } else { 0 }].clone())
        .collect()
}

fn random_fates(points: &[Point], random: &mut Random) -> Vec<Fate> {
    // One in four is what an orderly file system leaves: all up to some change, a piece of that one, nothing after it.
    if random.below(4) == 0 {
        let last = random.below(points.len() + 1);
        let fate = |(at, point): (usize, &Point)| match at.cmp(&last) {
            std::cmp::Ordering::Less => point.options[1].clone(),
            std::cmp::Ordering::Equal => point.random(random),
            std::cmp::Ordering::Greater => Fate::Dropped,
        };
        return points.iter().enumerate().map(fate).collect();
    }
    points.iter().map(|point| point.random(random)).collect()
}

impl Iterator for PowerCuts {
    type Item = Cut;

    fn next(&mut self) -> Option<Cut> {
        if self.at == self.count {
            return None;
        }
        let fates = self.fates(self.at);
        self.at += 1;
        Some(Cut { machine: Machine::of(self.world.cut(&fates)), fates, points: Arc::clone(&self.points) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count - self.at, Some(self.count - self.at))
    }
}

impl ExactSizeIterator for PowerCuts {}

/// One state at random.
pub(crate) fn random_cut(world: &World, random: &mut Random) -> Cut {
    let points: Arc<[Point]> = world.points().into();
    let fates = random_fates(&points, random);
    Cut { machine: Machine::of(world.cut(&fates)), fates, points }
}

/// Numbers that look random and are the same for the same seed (xorshift64*).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // Mixed first (splitmix64), so that seeds in a row do not start alike; never zero.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random((mixed ^ mixed >> 31).max(1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        assert!(limit > 0, "there is no number below zero");
        let limit = limit as u128;
        usize::try_from((u128::from(self.next()) * limit) >> 64).expect("less than the limit")
    }
}
