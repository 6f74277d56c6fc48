//! `-j`: how many processes run at a time.

use lockkeeper::manifest::COUNT_MAX;

use super::amount::Amount;

/// Processes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jobs(Amount);

/// Without `-j`: so many for each core, as one may wait for the disk while another computes.
const PER_CORE: usize = 2;

/// Reads `8` or `150%`.
pub(super) fn parse(text: &str) -> Result<Jobs, String> {
    let amount = Amount::parse(text).filter(|amount| match amount {
        Amount::Count(count) => count.get() <= COUNT_MAX,
        Amount::Percent(_) => true,
    });
    amount.map(Jobs).ok_or_else(|| format!("give 1 to {COUNT_MAX}, or a percentage of the cores such as 150%"))
}

/// How many run at a time on a machine with so many cores.
pub(super) fn at_once(jobs: Option<Jobs>, cores: usize) -> usize {
    match jobs {
        None => PER_CORE * cores,
        Some(Jobs(Amount::Count(count))) => count.get() as usize,
        Some(Jobs(Amount::Percent(percent))) => {
            (cores.saturating_mul(percent.get() as usize) / 100).clamp(1, COUNT_MAX as usize)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_of_the_cores_and_at_least_one_process() {
        let on_eight = |text| at_once(Some(parse(text).expect("it is right")), 8);
        assert_eq!(["3", "100%", "150%", "50%", "1%"].map(on_eight), [3, 8, 12, 4, 1]);
        assert_eq!(at_once(None, 8), 16);
        assert_eq!(on_eight("4000000000%"), COUNT_MAX as usize);
        let too_many = (COUNT_MAX + 1).to_string();
        for bad in ["0", too_many.as_str(), "0%", "+2", "-1", "many"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
