//! Deadlocks and stalls, drawn in text: who has what, and who waits for whom.

use std::time::Duration;

use lockkeeper::observe::{StalledProcess, Waiting};

/// More processes than this are counted, not drawn.
const DRAWN_MAX: usize = 20;

/// The circle that a request would have closed: each waits for what the one below it holds, the last for what the first
/// one holds. The last one was refused.
pub(super) fn deadlock(circle: &[Waiting]) -> String {
    let Some((refused, others)) = circle.split_first() else {
        return "deadlock: a request would have waited for ever, and was refused".to_owned();
    };
    let title = format!("deadlock: {} waits for a lock that would never come free", refused.name);
    let row = |waiting: &Waiting| {
        [
            waiting.name.to_string(),
            format!("holds `{}` ({}, {})", waiting.holds, waiting.held_as, short(waiting.held_for)),
            format!("waits for `{}` ({})", waiting.waits_for, waiting.asks_as),
        ]
    };
    let mut rows: Vec<_> = others.iter().take(DRAWN_MAX - 1).map(row).collect();
    rows.push(row(refused));
    let mut lines = aligned(&rows);
    if let Some(last) = lines.last_mut() {
        last.push_str("   <- refused");
    }
    if others.len() >= DRAWN_MAX {
        lines.insert(DRAWN_MAX - 1, format!("  ... and {} more in between", others.len() + 1 - DRAWN_MAX));
    }
    joined(title, lines)
}

/// A job that stands still.
pub(super) fn stall(waits: &[StalledProcess], ends_by_itself: bool) -> String {
    let title = match waits {
        [one] => format!("stall: {} waits for what nobody is left to do", one.name),
        many => format!("stall: all {} processes wait, and nobody is left to wake one", many.len()),
    };
    let rows: Vec<_> = waits
        .iter()
        .take(DRAWN_MAX)
        .map(|wait| {
            let holds: Vec<_> = wait.holds.iter().map(|held| format!("`{}` ({})", held.lock, held.how)).collect();
            let holds =
                if holds.is_empty() { "holds nothing".to_owned() } else { format!("holds {}", holds.join(", ")) };
            let waits_for = format!("waits at `{}` for {} ({})", wait.waits_at, wait.waits_for, short(wait.waited));
            [wait.name.to_string(), holds, waits_for]
        })
        .collect();
    let mut lines = aligned(&rows);
    if waits.len() > DRAWN_MAX {
        lines.push(format!("  ... and {} more", waits.len() - DRAWN_MAX));
    }
    lines.push(
        if ends_by_itself {
            "  a time limit may still let others go on: waiting for it"
        } else {
            "  all of them are ended"
        }
        .to_owned(),
    );
    joined(title, lines)
}

/// Rows in columns. The last column is padded too, but for spaces at the end of a line.
fn aligned(rows: &[[String; 3]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, first, second) = (width(0), width(1), width(2));
    let mut lines: Vec<_> =
        rows.iter().map(|[name, a, b]| format!("  {name:names$}  {a:first$}  {b:second$}")).collect();
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

fn joined(title: String, lines: Vec<String>) -> String {
    lines.into_iter().fold(title, |text, line| text + "\n" + &line)
}

/// A time as people say it: `3ms`, `1.2s`, `2m 5s`.
fn short(time: Duration) -> String {
    if time >= Duration::from_secs(60) {
        return humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    }
    format!("{time:.1?}").replacen(".0", "", 1)
}

#[cfg(test)]
mod tests {
    use lockkeeper::observe::Held;
    use lockkeeper::{Ask, Mode, Name, ProcessId, Want};
    use lockkeeper_locks::OwnerId;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn waiting(who: &str, holds: &str, held_for: Duration, waits_for: &str) -> Waiting {
        Waiting {
            process: ProcessId::from(OwnerId::new(1)),
            name: who.into(),
            holds: name(holds),
            held_as: Mode::Exclusive,
            held_for,
            waits_for: name(waits_for),
            asks_as: Mode::Exclusive,
        }
    }

    fn stalled(who: &str, at: &str, want: Want, holds: &[(&str, Mode)]) -> StalledProcess {
        StalledProcess {
            process: ProcessId::from(OwnerId::new(1)),
            name: who.into(),
            waits_at: name(at),
            waits_for: want.into(),
            waited: Duration::from_millis(40),
            holds: holds.iter().map(|(lock, how)| Held { lock: name(lock), how: *how }).collect(),
        }
    }

    #[test]
    fn a_deadlock_is_drawn_as_a_circle_that_ends_with_who_was_refused() {
        let circle =
            [waiting("b", "y", Duration::from_millis(3), "x"), waiting("a", "x", Duration::from_millis(1_200), "y")];
        let picture = "\
deadlock: b waits for a lock that would never come free
  a  holds `x` (exclusive, 1.2s)  waits for `y` (exclusive)
  b  holds `y` (exclusive, 3ms)   waits for `x` (exclusive)   <- refused";
        assert_eq!(deadlock(&circle), picture);
    }

    #[test]
    fn who_asks_again_for_its_own_is_a_circle_of_one() {
        let picture = "\
deadlock: a waits for a lock that would never come free
  a  holds `x` (exclusive, 2m 5s)  waits for `x` (exclusive)   <- refused";
        assert_eq!(deadlock(&[waiting("a", "x", Duration::from_secs(125), "x")]), picture);
    }

    #[test]
    fn a_circle_of_a_thousand_is_drawn_in_part_and_ends_with_who_was_refused() {
        let circle: Vec<_> = (0..1_000).map(|index| waiting(&format!("p-{index}"), "x", Duration::ZERO, "y")).collect();
        let picture = deadlock(&circle);
        assert_eq!(picture.lines().count(), 1 + DRAWN_MAX + 1);
        assert!(picture.lines().any(|line| line == "  ... and 980 more in between"), "{picture}");
        let last = picture.lines().last().unwrap_or_default();
        assert!(last.starts_with("  p-0 ") && last.ends_with("   <- refused"), "{picture}");
    }

    #[test]
    fn a_stall_is_drawn_with_what_each_one_waits_for_and_holds() {
        let waits = [
            stalled("first", "e", Want::Event, &[("x", Mode::Exclusive), ("slots", Mode::Permits)]),
            stalled("second", "x", Want::Lock(Ask::Shared), &[]),
        ];
        let picture = "\
stall: all 2 processes wait, and nobody is left to wake one
  first   holds `x` (exclusive), `slots` (permits)  waits at `e` for the event to be set (40ms)
  second  holds nothing                             waits at `x` for the lock, to read (40ms)
  all of them are ended";
        assert_eq!(stall(&waits, false), picture);
    }

    #[test]
    fn a_stall_that_a_time_limit_ends_says_so() {
        let picture = "\
stall: a waits for what nobody is left to do
  a  holds nothing  waits at `q` for an item (40ms)
  a time limit may still let others go on: waiting for it";
        assert_eq!(stall(&[stalled("a", "q", Want::Get, &[])], true), picture);
    }

    #[test]
    fn a_stall_of_many_is_drawn_in_part() {
        let waits: Vec<_> = (0..100).map(|index| stalled(&format!("p-{index}"), "e", Want::Event, &[])).collect();
        let picture = stall(&waits, false);
        assert!(picture.starts_with("stall: all 100 processes wait"), "{picture}");
        assert!(picture.contains("\n  ... and 80 more\n"), "{picture}");
        assert_eq!(picture.lines().count(), 1 + DRAWN_MAX + 2);
    }
}
