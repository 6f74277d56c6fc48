//! `--halt`: when a run ends before all inputs have been done, in the grammar of GNU parallel.
//!
//! Only processes that are over for good count: one that is tried again has neither failed nor succeeded.

use std::fmt;

use lockkeeper::manifest::unknown_word;

use super::amount::Amount;

/// The exit code counts no further, as with GNU parallel.
const FAILED_COUNTED_MAX: usize = 101;

/// When to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Halt {
    when: When,
    why: Why,
    amount: Amount,
}

/// What becomes of those that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum When {
    /// They are ended.
    Now,
    /// They end by themselves, and no other is started.
    Soon,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Fail,
    Success,
    Done,
}

/// What `--halt` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum HaltOption {
    /// All inputs are done, whatever happens.
    Never,
    /// It ends early.
    At(Halt),
}

/// What a run has come to so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Count {
    pub(in crate::cli) well: usize,
    pub(in crate::cli) failed: usize,
}

/// Reads `never`, or `now` or `soon`, a comma, and `fail`, `success` or `done` with `=N` or `=N%`; also the numbers that
/// GNU parallel keeps for old scripts.
pub(super) fn parse(text: &str) -> Result<HaltOption, String> {
    let long = match text {
        "0" | "never" => return Ok(HaltOption::Never),
        "1" => "soon,fail=1",
        "2" => "now,fail=1",
        "-1" => "soon,success=1",
        "-2" => "now,success=1",
        _ => text,
    };
    let percent;
    let long = match Amount::parse(long) {
        Some(Amount::Percent(_)) => {
            percent = format!("soon,fail={long}");
            &percent
        }
        _ => long,
    };
    let whole = "write never, or now or soon and a condition, such as now,fail=1 or soon,done=50%";
    let (when, condition) = long.split_once(',').ok_or(whole)?;
    let when = match when {
        "now" => When::Now,
        "soon" => When::Soon,
        "never" => return Err("`never` stands alone".to_owned()),
        word => return Err(unknown_word("time", word, &["now", "soon", "never"])),
    };
    let (why, amount) = condition
        .split_once('=')
        .ok_or_else(|| format!("`{condition}` has no number; write {condition}=1, or a percentage"))?;
    let why = match why {
        "fail" => Why::Fail,
        "success" => Why::Success,
        "done" => Why::Done,
        word => return Err(unknown_word("condition", word, &["fail", "success", "done"])),
    };
    let amount =
        Amount::parse(amount).filter(|amount| !matches!(amount, Amount::Percent(percent) if percent.get() > 100));
    let amount = amount.ok_or("after `=`, give a number from 1, or a percentage from 1% to 100%")?;
    Ok(HaltOption::At(Halt { when, why, amount }))
}

impl Halt {
    /// What becomes of those that run.
    pub(in crate::cli) fn when(&self) -> When {
        self.when
    }

    /// Whether that is enough, of so many that were to run.
    pub(in crate::cli) fn is_reached(&self, count: Count, total: usize) -> bool {
        let counted = match self.why {
            Why::Fail => count.failed,
            Why::Success => count.well,
            Why::Done => count.well + count.failed,
        };
        counted > 0 && self.amount.is_reached(counted, total)
    }

    /// The exit code of a run that ended so, the last process with `last`. As GNU parallel has it: 0 if successes were
    /// waited for, the process's own if one failure (or end) was, the share of failures in percent if a share was, and
    /// otherwise how many had failed.
    pub(in crate::cli) fn exit_code(&self, count: Count, total: usize, last: u8) -> u8 {
        let code = match (self.why, self.amount) {
            (Why::Success, _) => 0,
            (Why::Fail | Why::Done, Amount::Count(count)) if count.get() == 1 => usize::from(last),
            (Why::Fail | Why::Done, Amount::Count(_)) => count.failed.min(FAILED_COUNTED_MAX),
            (Why::Fail | Why::Done, Amount::Percent(_)) => (count.failed * 100).div_ceil(total.max(1)),
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::Now => "now",
            When::Soon => "soon",
        };
        let why = match self.why {
            Why::Fail => "fail",
            Why::Success => "success",
            Why::Done => "done",
        };
        match self.amount {
            Amount::Count(count) => write!(f, "{when},{why}={count}"),
            Amount::Percent(percent) => write!(f, "{when},{why}={percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halt(text: &str) -> Halt {
        match parse(text) {
            Ok(HaltOption::At(halt)) => halt,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_form_of_gnu_parallel_is_read_and_printed_as_it_was() {
        for when in ["now", "soon"] {
            for why in ["fail", "success", "done"] {
                for amount in ["1", "7", "1%", "100%"] {
                    let text = format!("{when},{why}={amount}");
                    assert_eq!(halt(&text).to_string(), text);
                }
            }
        }
        assert_eq!(["never", "0"].map(parse), [Ok(HaltOption::Never), Ok(HaltOption::Never)]);
        let old = ["1", "2", "-1", "-2", "30%"].map(|text| halt(text).to_string());
        assert_eq!(old, ["soon,fail=1", "now,fail=1", "soon,success=1", "now,success=1", "soon,fail=30%"]);
    }

    #[test]
    fn everything_else_is_refused_with_what_to_write() {
        for (bad, hint) in [
            ("", "such as now,fail=1"),
            ("now", "such as now,fail=1"),
            ("3", "such as now,fail=1"),
            ("later,fail=1", "unknown time `later`"),
            ("nwo,fail=1", "did you mean `now`?"),
            ("now,fail", "write fail=1"),
            ("now,fails=1", "did you mean `fail`?"),
            ("now,fail=0", "a number from 1"),
            ("now,fail=101%", "1% to 100%"),
            ("now,fail=1.5", "a number from 1"),
            ("now,fail=1,done=2", "a number from 1"),
            ("never,fail=1", "stands alone"),
        ] {
            let told = parse(bad).expect_err(bad);
            assert!(told.contains(hint), "{bad}: {told}");
        }
    }

    #[test]
    fn counts_and_shares_are_reached_by_what_they_name() {
        let count = Count { well: 2, failed: 1 };
        let is_reached = |text| halt(text).is_reached(count, 10);
        for reached in ["now,fail=1", "now,success=2", "soon,done=3", "now,fail=10%", "now,success=20%", "now,done=30%"]
        {
            assert!(is_reached(reached), "{reached}");
        }
        for not_yet in ["now,fail=2", "now,success=3", "soon,done=4", "now,fail=11%", "now,success=21%", "now,done=31%"]
        {
            assert!(!is_reached(not_yet), "{not_yet}");
        }
    }

    #[test]
    fn the_exit_code_is_that_of_gnu_parallel() {
        let count = Count { well: 2, failed: 3 };
        let code = |text| halt(text).exit_code(count, 9, 134);
        assert_eq!(code("now,fail=1"), 134, "the code of the one that failed");
        assert_eq!(code("now,done=1"), 134);
        assert_eq!(code("now,fail=3"), 3, "how many failed");
        assert_eq!(code("soon,fail=30%"), 34, "the share that failed, rounded up");
        assert_eq!(code("soon,success=2"), 0);
        assert_eq!(halt("now,fail=500").exit_code(Count { well: 0, failed: 500 }, 900, 1), 101);
    }
}
