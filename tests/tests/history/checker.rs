//! Whether a history of one run could have come from locks that do what they promise. Linear in its length.
//!
//! A record's place in the history is where it was noted: a grant after it had happened, a release before. So a hold is
//! never noted longer than it was, and an overlap in the history is one of the holds.

use std::collections::{HashMap, HashSet};

/// Something that happened to a process at a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) what: What,
    pub(crate) process: u64,
    pub(crate) lock: u8,
    /// Of the hold; 0 where there is none.
    pub(crate) fence: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Asked,
    Refused,
    Granted,
    Released,
    /// The host took the hold away.
    HoldEnded,
    /// The process is over, by itself.
    Ended,
    /// The process is over, killed.
    Killed,
}

/// What is wrong, and with which record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// A lock was granted while another had it.
    Overlap,
    /// A fence is not greater than all before it.
    FenceBack,
    /// A hold ended that nobody had.
    NoSuchHold,
    /// A process was over and still had a lock.
    HeldByTheDead,
    /// A process that is not over was never answered.
    NeverAnswered,
    /// A process asked again before it was answered, or was answered after it was over.
    OutOfTurn,
}

#[derive(Default)]
struct Lock {
    holder: Option<(u64, u64)>,
    newest: u64,
}

/// How much a history holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Summary {
    pub(crate) grants: usize,
    pub(crate) refusals: usize,
    pub(crate) taken_away: usize,
}

pub(crate) fn check(history: &[Record]) -> Result<Summary, (usize, Fault)> {
    let mut summary = Summary::default();
    let mut locks: HashMap<u8, Lock> = HashMap::new();
    // Of each process that has asked and is not answered, where.
    let mut asking: HashMap<u64, usize> = HashMap::new();
    let mut held: HashMap<u64, u32> = HashMap::new();
    let mut over: HashSet<u64> = HashSet::new();
    for (at, record) in history.iter().enumerate() {
        let Record { what, process, lock, fence } = *record;
        let state = locks.entry(lock).or_default();
        let fault = |fault| Err((at, fault));
        // The host takes away what a process held before it says that it is over.
        if over.contains(&process) {
            return fault(Fault::OutOfTurn);
        }
        match what {
            What::Asked => {
                if asking.insert(process, at).is_some() {
                    return fault(Fault::OutOfTurn);
                }
            }
            What::Refused => {
                summary.refusals += 1;
                if asking.remove(&process).is_none() {
                    return fault(Fault::OutOfTurn);
                }
            }
            What::Granted => {
                summary.grants += 1;
                // A try has not asked.
                asking.remove(&process);
                if state.holder.is_some() {
                    return fault(Fault::Overlap);
                }
                if fence <= state.newest {
                    return fault(Fault::FenceBack);
                }
                state.newest = fence;
                state.holder = Some((process, fence));
                *held.entry(process).or_default() += 1;
            }
            What::Released | What::HoldEnded => {
                summary.taken_away += usize::from(what == What::HoldEnded);
                if state.holder != Some((process, fence)) {
                    // What was handed over to a process that never learned of it was no hold of its own.
                    if what == What::HoldEnded && state.holder.is_none() && fence > state.newest {
                        state.newest = fence;
                        continue;
                    }
                    return fault(Fault::NoSuchHold);
                }
                state.holder = None;
                *held.entry(process).or_default() -= 1;
            }
            What::Ended | What::Killed => {
                // Only who is killed may be over without an answer.
                if asking.remove(&process).is_some() && what == What::Ended {
                    return fault(Fault::NeverAnswered);
                }
                over.insert(process);
                if held.remove(&process).is_some_and(|held| held > 0) {
                    return fault(Fault::HeldByTheDead);
                }
            }
        }
    }
    match asking.values().min() {
        Some(at) => Err((*at, Fault::NeverAnswered)),
        None => Ok(summary),
    }
}
