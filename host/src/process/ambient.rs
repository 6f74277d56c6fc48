//! What a process may have of the machine without naming it: chance and time.

use std::fmt;
use std::str::FromStr;

/// Where the random bytes of a process come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Random {
    /// From the system.
    #[default]
    System,
    /// From this number, the name of the process and its rank: the same ones in every run. Whoever knows the three knows
    /// them all, so they are for runs that are to be repeated and not for secrets.
    Seed(u64),
    /// There are none: who asks for random bytes traps. What WASI calls insecure, of which hash tables take their keys,
    /// promises nothing and is the same in every run.
    None,
}

/// What a process may know of the time. Sleeping is allowed in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clocks {
    /// Both clocks, as exact as the machine has them.
    #[default]
    System,
    /// Both clocks, to [`COARSE`](Clocks::COARSE_NS): not enough to watch what others do to a cache or a lock.
    Coarse,
    /// Nothing: who reads a clock traps. That it measures no time is not promised, as it can count and wait.
    None,
}

impl Clocks {
    /// What coarse clocks count in, in nanoseconds: a slice.
    pub const COARSE_NS: u32 = 1_000_000;
}

/// A word that is no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is unknown; write {known}")]
pub struct UnknownGrant {
    given: String,
    known: &'static str,
}

impl FromStr for Random {
    type Err = UnknownGrant;

    fn from_str(text: &str) -> Result<Self, UnknownGrant> {
        match (text, text.strip_prefix("seed:").map(str::parse)) {
            ("system", _) => Ok(Self::System),
            ("none", _) => Ok(Self::None),
            (_, Some(Ok(seed))) => Ok(Self::Seed(seed)),
            _ => Err(UnknownGrant { given: text.to_owned(), known: "system, none, or seed:N with a whole number" }),
        }
    }
}

impl FromStr for Clocks {
    type Err = UnknownGrant;

    fn from_str(text: &str) -> Result<Self, UnknownGrant> {
        match text {
            "system" => Ok(Self::System),
            "coarse" => Ok(Self::Coarse),
            "none" => Ok(Self::None),
            _ => Err(UnknownGrant { given: text.to_owned(), known: "system, coarse or none" }),
        }
    }
}

/// The bytes that a process is given instead of the system's.
pub(crate) struct SeededBytes {
    /// What programs take for secrets, in a process that has a seed.
    pub(crate) secure: blake3::OutputReader,
    /// What they do not.
    pub(crate) insecure: blake3::OutputReader,
}

impl fmt::Debug for SeededBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededBytes")
    }
}

impl SeededBytes {
    /// The bytes of the process of this name and rank.
    pub(crate) fn new(seed: u64, name: &str, rank: u32) -> Self {
        let stream = |which: &str| {
            let mut hasher = blake3::Hasher::new_derive_key("lockkeeper 2026-11-28 random bytes of a process");
            hasher.update(which.as_bytes()).update(&seed.to_le_bytes()).update(&rank.to_le_bytes());
            hasher.update(name.as_bytes()).finalize_xof()
        };
        Self { secure: stream("secure"), insecure: stream("insecure") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_and_others_are_told_what_there_is() {
        assert_eq!("seed:7".parse(), Ok(Random::Seed(7)));
        assert_eq!("none".parse(), Ok(Random::None));
        assert_eq!("coarse".parse(), Ok(Clocks::Coarse));
        for wrong in ["seed", "seed:", "seed:x", "seed:-1", "Seed:1", ""] {
            let error = wrong.parse::<Random>().expect_err("it is wrong").to_string();
            assert!(error.contains("seed:N"), "{error}");
        }
        assert!("frozen".parse::<Clocks>().is_err());
    }

    #[test]
    fn seeded_bytes_are_the_same_for_the_same_process_and_no_other() {
        let first = |seed, name, rank| {
            let mut bytes = [[0; 32]; 2];
            let mut seeded = SeededBytes::new(seed, name, rank);
            seeded.secure.fill(&mut bytes[0]);
            seeded.insecure.fill(&mut bytes[1]);
            bytes
        };
        let one = first(1, "a", 0);
        assert_eq!(one, first(1, "a", 0));
        assert_ne!(one[0], one[1]);
        for other in [first(2, "a", 0), first(1, "b", 0), first(1, "a", 1)] {
            assert_ne!(one, other);
        }
    }
}
