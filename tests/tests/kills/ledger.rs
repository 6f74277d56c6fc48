//! What may be in the files: what was acknowledged, what was being appended when the host died, and what was found after
//! that.

use std::path::Path;

use lockkeeper_guest_programs::acked::{self, FILE_COUNT, FILES, LOOSE, Promise, Step};

use crate::checker::read;
use crate::child::acks_dir;

/// What is known of what a process appended, or was about to append, under one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It is in the file, once.
    There,
    /// Nobody knows yet: it was not acknowledged, or only as buffered.
    Open,
    /// It was not there after its host had died. It can only come when it is appended again.
    Gone,
}

/// What one process has done to one file, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) entries: Vec<Entry>,
    /// The number that it goes on with.
    next: u64,
}

/// The accounts of all processes with all files.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) accounts: Vec<[Account; FILE_COUNT]>,
}

/// What the acknowledgements of a round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// Appends.
    pub(crate) appends: u64,
    /// Those among them that were answered as repeated.
    pub(crate) repeated: u64,
    /// Appends that were cut off between their beginning and their acknowledgement.
    pub(crate) open: u64,
}

impl Ledger {
    pub(crate) fn new(processes: usize) -> Self {
        Self { accounts: vec![Default::default(); processes] }
    }

    /// The numbers that each process goes on with.
    pub(crate) fn starts(&self) -> Vec<[u64; FILE_COUNT]> {
        self.accounts.iter().map(|files| std::array::from_fn(|file| files[file].next)).collect()
    }

    /// Reads what a round acknowledged. `steps` is how many each process was to do, and has done if the host was not killed.
    pub(crate) fn read_acks(&mut self, dir: &Path, steps: usize, killed: bool) -> Result<Acknowledged, String> {
        let mut sum = Acknowledged::default();
        for (rank, starts) in (0_u32..).zip(self.starts()) {
            let path = acks_dir(dir).join(rank.to_string());
            let acks = String::from_utf8(read(&path)).map_err(|error| format!("rank {rank}: {error}"))?;
            let account = &mut self.accounts[rank as usize];
            let done =
                account_for(account, rank, starts, &acks, &mut sum).map_err(|why| format!("rank {rank}: {why}"))?;
            if !killed && done != steps {
                return Err(format!("rank {rank} has ended well and acknowledged {done} steps of {steps}"));
            }
            if killed && (steps == 0 || done < steps) {
                let next = acked::steps(rank, starts).nth(done).expect("steps have no end");
                if let Step::Append(file, number) = next {
                    sum.open += 1;
                    account[file].may_be_there(number);
                }
            }
            for (file, account) in account.iter_mut().enumerate() {
                if !killed {
                    // Who ends well has written what was buffered.
                    account.promise_all();
                }
                // The number of what has no id is never used twice.
                if !FILES[file].ids {
                    account.next = account.entries.len() as u64;
                }
            }
        }
        Ok(sum)
    }

    /// Takes what was found after the death of a host for what there is.
    pub(crate) fn settle(&mut self, file: usize, is_there: impl Fn(usize, u64) -> bool) {
        for (rank, files) in self.accounts.iter_mut().enumerate() {
            for (number, entry) in (0..).zip(&mut files[file].entries) {
                if *entry == Entry::Open {
                    *entry = if is_there(rank, number) { Entry::There } else { Entry::Gone };
                }
            }
        }
    }
}

impl Account {
    fn entry(&mut self, number: u64) -> &mut Entry {
        let number = usize::try_from(number).expect("few records");
        if self.entries.len() <= number {
            self.entries.resize(number + 1, Entry::Gone);
        }
        &mut self.entries[number]
    }

    fn may_be_there(&mut self, number: u64) {
        let entry = self.entry(number);
        if *entry == Entry::Gone {
            *entry = Entry::Open;
        }
    }

    fn promise_all(&mut self) {
        self.entries.iter_mut().filter(|entry| **entry == Entry::Open).for_each(|entry| *entry = Entry::There);
    }
}

/// Enters the acknowledgements of one process; answers how many there are.
fn account_for(
    accounts: &mut [Account; FILE_COUNT],
    rank: u32,
    starts: [u64; FILE_COUNT],
    acks: &str,
    sum: &mut Acknowledged,
) -> Result<usize, String> {
    let mut done = 0;
    // One that was cut off is none.
    let whole = acks.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    for (line, step) in whole.zip(acked::steps(rank, starts)) {
        done += 1;
        let repeated = line == step.acknowledged(true);
        if !repeated && line != step.acknowledged(false) {
            return Err(format!("acknowledged {line:?} where {step:?} was to come"));
        }
        let Step::Append(file, number) = step else {
            accounts[LOOSE].promise_all();
            continue;
        };
        sum.appends += 1;
        let account = &mut accounts[file];
        let was_there = account.entries.get(usize::try_from(number).expect("few records")) == Some(&Entry::There);
        if FILES[file].ids && repeated != was_there {
            let said = if repeated { "was" } else { "was not" };
            return Err(format!("{} {number}: the answer says that it {said} there already", FILES[file].name));
        }
        sum.repeated += u64::from(repeated);
        account.next = number + 1;
        *account.entry(number) = match FILES[file].promise {
            Promise::Buffered => Entry::Open,
            Promise::Written | Promise::Synced => Entry::There,
        };
    }
    Ok(done)
}
