//! Clocks, random keys, and what a process has not.

use std::collections::HashSet;
use std::time::SystemTime;

use crate::case::case;

fn now_ms() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later").as_millis()
}

#[test]
pub(crate) fn monotonic_clock_never_goes_back() {
    case("monotonic_clock_never_goes_back").prints("");
}

#[test]
pub(crate) fn wall_clock_is_that_of_the_machine() {
    let before = now_ms();
    case("wall_clock_is_that_of_the_machine").each(|kind, ended| {
        let told: u128 = ended.out().trim().parse().expect("a number");
        assert!((before..=now_ms()).contains(&told), "{kind:?}: {told}");
    });
}

#[test]
pub(crate) fn sleep_takes_as_long_as_it_says() {
    case("sleep_takes_as_long_as_it_says").prints("true\n");
}

#[test]
pub(crate) fn random_keys_differ() {
    let mut seen = HashSet::new();
    for _ in 0..3 {
        case("random_keys_differ").each(|kind, ended| {
            ended.assert_code(0);
            assert!(seen.insert(ended.out().to_owned()), "{kind:?}: twice {}", ended.out());
        });
    }
}

/// 2 is EACCES: WASI's `access-denied`. The standard library has no sockets for core modules.
#[test]
pub(crate) fn tcp_is_denied() {
    case("tcp_is_denied").differ((0, "connect: PermissionDenied 2\n"), (0, "connect: Unsupported -1\n"));
}

#[test]
pub(crate) fn udp_is_denied() {
    case("udp_is_denied").differ((0, "bind: PermissionDenied 2\n"), (0, "bind: Unsupported -1\n"));
}

#[test]
pub(crate) fn names_are_not_looked_up() {
    case("names_are_not_looked_up").prints("not found\n");
}

#[test]
pub(crate) fn threads_are_not_there() {
    case("threads_are_not_there").prints("spawn: Unsupported 58\n");
}
