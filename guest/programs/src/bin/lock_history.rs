//! Acquires locks of its job at random and releases them, until the value `stop` is not 0. Arguments: LOCKS, or `stop`, which
//! sets the value.
//!
//! Most requests wait, some have a short deadline, some only try.

use std::time::Duration;

use lockkeeper_guest::{Error, Mutex, Value, process};

/// How many rounds pass between two looks at `stop`.
const ROUNDS_PER_LOOK: u32 = 32;

fn main() -> Result<(), Error> {
    let stop = Value::<i64>::open("stop")?;
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names == ["stop"] {
        return stop.set(1).map(drop);
    }
    let locks = names.iter().map(|name| Mutex::open(name)).collect::<Result<Vec<_>, _>>()?;
    let mut random = process::current().id.get().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 16) % below
    };
    while stop.get() == 0 {
        for _ in 0..ROUNDS_PER_LOOK {
            let lock = &locks[usize::try_from(next(locks.len() as u64)).unwrap_or_default()];
            let guard = match next(16) {
                0 => lock.try_lock()?,
                1 => match lock.lock_timeout(Duration::from_micros(next(200))) {
                    Ok(guard) => Some(guard),
                    Err(Error::TimedOut) => None,
                    Err(other) => return Err(other),
                },
                _ => Some(lock.lock()?),
            };
            if let Some(guard) = guard {
                // Some keep it a little, so that others come to wait.
                for _ in 0..next(64) {
                    std::hint::black_box(next(2));
                }
                guard.unlock()?;
            }
        }
    }
    Ok(())
}
