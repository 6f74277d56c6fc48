//! Grows to so many MiB, a tenth more at a time, and checks on the way that everything is still as it was written.
//! Arguments: MIB. Prints `grown to MIB`.

use std::error::Error;

use lockkeeper_guest_programs::number;

const PAGE: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let mib = number(1, "MIB")?;
    let pages = usize::try_from(mib)? * (1 << 20) / PAGE;
    let mut held: Vec<Box<[u8]>> = Vec::new();
    for index in 0..pages {
        let fresh = vec![0_u8; PAGE].into_boxed_slice();
        held.push(fresh);
        let (first, last) = ((index % 251) as u8, (index % 241) as u8);
        let page = &mut held[index];
        (page[0], page[PAGE - 1]) = (first, last);
        if index.is_power_of_two() || index + 1 == pages {
            for (index, page) in held.iter().enumerate() {
                if (page[0], page[PAGE - 1]) != ((index % 251) as u8, (index % 241) as u8) {
                    return Err(format!("page {index} of {} has changed", held.len()).into());
                }
            }
        }
    }
    println!("grown to {mib}");
    Ok(())
}
