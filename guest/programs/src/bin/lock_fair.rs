//! Takes a lock again and again until all processes together have had it so often, and says how often this one had it.
//! Arguments: LOCK, GRANTS.
//!
//! All begin together, at the barrier `start`, and count the grants in the value `grants`, which they change under the lock.
//! Prints `had=N`.

use lockkeeper_guest::{Barrier, Error, Mutex, Value};
use lockkeeper_guest_programs::{argument, number};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (lock, all) = (Mutex::open(&argument(1, "LOCK")?)?, i64::try_from(number(2, "GRANTS")?)?);
    let grants = Value::<i64>::open("grants")?;
    Barrier::open("start")?.wait()?;
    let mut had = 0_u64;
    while lock.with_lock(|_| Ok::<_, Error>(grants.add(1)? < all))? {
        had += 1;
    }
    println!("had={had}");
    Ok(())
}
