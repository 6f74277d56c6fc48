//! What the test programs in `src/bin` share with each other, and with the tests that check what they wrote.
//!
//! Nothing here calls the host: the programs whose names begin with `cli` run on any WASI host, and the tests call the
//! same functions on the machine that runs them. The prefix of a program's name is its suite; each says in its header what
//! it is for.

pub mod acked;
pub mod sync;
pub mod wasi;

/// Bytes of filler of the longest record.
pub const FILLER_BYTES_MAX: u64 = 64 * 1024;

/// The argument at this place, from 1.
///
/// # Errors
///
/// That it is missing, by the name given.
pub fn argument(place: usize, name: &str) -> Result<String, String> {
    std::env::args().nth(place).ok_or_else(|| format!("argument {place}, {name}, is missing"))
}

/// The argument at this place, from 1, as a number.
///
/// # Errors
///
/// That it is missing or no number, by the name given.
pub fn number(place: usize, name: &str) -> Result<u64, String> {
    let text = argument(place, name)?;
    text.parse().map_err(|_| format!("argument {place}, {name}, is not a number: {text}"))
}

/// Ends the process as a fault of its own does: a trap in WebAssembly, an abort elsewhere.
pub fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

/// The record number `index` of the process of this rank: `RANK:INDEX:LENGTH:` and so many printable bytes.
///
/// Lengths run from 1 byte to [`FILLER_BYTES_MAX`], each power of two as likely as any other. The prefix says whose
/// record it is, so that a reader can make it again and compare, also when it is one byte of filler. It holds no
/// newline.
pub fn record(seed: u64, rank: u32, index: u64) -> Vec<u8> {
    let mut random = mix(mix(mix(seed) ^ u64::from(rank)) ^ index);
    let magnitude = 1 << (random % u64::from(FILLER_BYTES_MAX.ilog2()));
    random = mix(random);
    // From one power of two to the next, both included.
    let length = magnitude + random % (magnitude + 1);

    let mut record = format!("{rank}:{index}:{length}:").into_bytes();
    let end = record.len() + length as usize;
    while record.len() < end {
        random = mix(random);
        let missing = end - record.len();
        record.extend(random.to_le_bytes().iter().take(missing).map(|byte| b'!' + byte % 94));
    }
    record
}

/// Whether a `lines` file holds the records 0 to `records` - 1 of the ranks 0 to `ranks` - 1, and nothing else: each
/// once and whole, those of one rank in order, those of several in any mixture.
///
/// # Errors
///
/// The first flaw, by the line that has it.
pub fn check(contents: &[u8], seed: u64, ranks: u32, records: u64) -> Result<(), String> {
    let mut next = vec![0; ranks as usize];
    for (number, line) in contents.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let flaw = |what: String| format!("line {}: {what}", number + 1);
        let line = line.strip_suffix(b"\n").ok_or_else(|| flaw("the last record has no end".to_owned()))?;
        let (rank, index) = origin(line).ok_or_else(|| flaw("not the beginning of a record".to_owned()))?;
        let expected = next.get_mut(rank as usize).ok_or_else(|| flaw(format!("there is no rank {rank}")))?;
        if index != *expected {
            return Err(flaw(format!("record {index} of rank {rank} where its record {expected} belongs")));
        }
        if line != record(seed, rank, index) {
            return Err(flaw(format!("record {index} of rank {rank} is not what was appended")));
        }
        *expected += 1;
    }
    match next.iter().position(|&count| count != records) {
        Some(rank) => Err(format!("rank {rank} has {} records instead of {records}", next[rank])),
        None => Ok(()),
    }
}

/// Whose record a line claims to be: the rank and the index.
fn origin(line: &[u8]) -> Option<(u32, u64)> {
    let mut parts = line.splitn(3, |&byte| byte == b':').map(|part| std::str::from_utf8(part).ok());
    Some((parts.next()??.parse().ok()?, parts.next()??.parse().ok()?))
}

/// The mixing of SplitMix64 (G. Steele, D. Lea and C. Flood, 2014): neighbouring numbers become unrelated ones.
const fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(order: &[(u32, u64)]) -> Vec<u8> {
        let mut contents = Vec::new();
        for &(rank, index) in order {
            contents.extend(record(5, rank, index));
            contents.push(b'\n');
        }
        contents
    }

    #[test]
    fn records_are_printable_and_of_every_magnitude() {
        let mut lengths: Vec<usize> = (0..4_000)
            .map(|index| {
                let record = record(5, 3, index);
                assert!(record.iter().all(u8::is_ascii_graphic));
                let filler = record.splitn(4, |&byte| byte == b':').nth(3).expect("three colons come first");
                assert_eq!(record[..record.len() - filler.len()], *format!("3:{index}:{}:", filler.len()).as_bytes());
                filler.len()
            })
            .collect();
        lengths.sort_unstable();
        assert_eq!(lengths[0], 1);
        assert!(lengths[2_000] < 512, "half of them are short");
        assert!(lengths[3_999] > 60_000 && lengths[3_999] <= FILLER_BYTES_MAX as usize);
    }

    #[test]
    fn check_accepts_any_mixture_that_keeps_each_order() {
        assert_eq!(check(&file(&[(0, 0), (1, 0), (1, 1), (0, 1)]), 5, 2, 2), Ok(()));
        assert_eq!(check(&[], 5, 2, 0), Ok(()));
    }

    #[test]
    fn check_names_each_flaw() {
        let lost = "rank 1 has 1 records instead of 2";
        let doubled = "line 2: record 0 of rank 0 where its record 1 belongs";
        assert_eq!(check(&file(&[(0, 0), (1, 0), (0, 1)]), 5, 2, 2), Err(lost.to_owned()));
        assert_eq!(check(&file(&[(0, 0), (0, 0), (0, 1)]), 5, 1, 2), Err(doubled.to_owned()));
        assert_eq!(check(&file(&[(2, 0)]), 5, 2, 1), Err("line 1: there is no rank 2".to_owned()));

        let mut torn = file(&[(0, 0), (0, 1)]);
        torn.pop();
        assert_eq!(check(&torn, 5, 1, 2), Err("line 2: the last record has no end".to_owned()));

        let mut mixed = file(&[(0, 0)]);
        let last = mixed.len() - 2;
        mixed[last] ^= 1;
        assert_eq!(check(&mixed, 5, 1, 1), Err("line 1: record 0 of rank 0 is not what was appended".to_owned()));
    }
}
