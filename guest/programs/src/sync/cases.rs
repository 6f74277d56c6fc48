//! Every case: its program and name, what it needs, and what the test does meanwhile.

use super::{Case, Initial, Kind, Step, Thing};
use Step::{Kill, Set};
use Thing::{Event, Mutex, Once, RLock, RwLock};

type Things = &'static [(&'static str, Thing)];
type Script = &'static [Step];

const fn case(
    program: &'static str,
    name: &'static str,
    origin: &'static str,
    processes: u32,
    things: Things,
    script: Script,
) -> Case {
    Case { program, name, origin, processes, things, script }
}

const fn queue(of: &'static str, length: u32) -> Step {
    Step::Queue { of, length }
}

const fn barrier(parties: u32) -> Thing {
    Thing::Barrier { parties, registered: false }
}

const fn latch(count: u32) -> Thing {
    Thing::Latch { count }
}

const fn condition(lock: &'static str) -> Thing {
    Thing::Condition { lock }
}

const fn signal(initial: u32, maximum: Option<u32>) -> Thing {
    Thing::Semaphore { initial, maximum, owned: false }
}

const fn owned(permits: u32) -> Thing {
    Thing::Semaphore { initial: permits, maximum: Some(permits), owned: true }
}

const fn items(items: u32, acknowledge: bool) -> Thing {
    Thing::Queue { items, bytes: 1 << 20, acknowledge }
}

const fn value(initial: Initial) -> Thing {
    Thing::Value { initial, lock: None }
}

const fn number(initial: i64) -> Thing {
    value(Initial::I64(initial))
}

const fn array(kind: Kind, length: u32) -> Thing {
    Thing::Array { kind, length, lock: None }
}

const COUNTER: Thing = number(0);
const SEVEN: Thing = value(Initial::Bytes { initial: b"seven", maximum: 8 });

/// What the cases need that run over a mutex and over an rlock.
macro_rules! over {
    ($module:ident, $lock:expr) => {
        mod $module {
            use super::*;

            pub(super) const ALONE: Things = &[("l", $lock)];
            pub(super) const TWO: Things = &[("l", $lock), ("b", barrier(2))];
            pub(super) const CONTENDED: Things =
                &[("l", $lock), ("held", Event), ("go", Event), ("got", COUNTER), ("ended", latch(4))];
            pub(super) const MANY: Things = &[("l", $lock), ("ended", latch(16))];
            pub(super) const IN_ORDER: Things =
                &[("l", $lock), ("got", COUNTER), ("first", Event), ("second", Event), ("third", Event), ("go", Event)];
            pub(super) const CANCEL: Things = &[("l", $lock), ("held", Event), ("go", Event)];
            pub(super) const RACE: Things =
                &[("l", $lock), ("first", Event), ("second", Event), ("go", Event), ("never", Event)];
        }
    };
}

over!(mutex, Mutex);
over!(rlock, RLock);

/// Ranks 1 to 3 get in a queue in this order, then rank 0 goes on.
macro_rules! in_order {
    ($thing:literal) => {
        &[queue($thing, 1), Set("second"), queue($thing, 2), Set("third"), queue($thing, 3), Set("go")]
    };
}

/// The things of a ring: a lock for each place, and what the processes meet at.
macro_rules! ring {
    ($lock:expr, $parties:literal: $($name:literal)+) => {
        &[
            $(($name, $lock),)+
            ("start", barrier($parties)),
            ("ended", latch($parties)),
            ("refused", COUNTER),
        ]
    };
}

const BASE: &str = "lock_tests.BaseLockTests";
const LOCK: &str = "lock_tests.LockTests";
const RLOCK: &str = "lock_tests.RLockTests";
const MP_LOCK: &str = "_test_multiprocessing._TestLock";
const ASYNCIO_LOCK: &str = "test_asyncio.test_locks.LockTests";
const SEMAPHORE: &str = "lock_tests.BaseSemaphoreTests";
const MP_SEMAPHORE: &str = "_test_multiprocessing._TestSemaphore";
const ASYNCIO_SEMAPHORE: &str = "test_asyncio.test_locks.SemaphoreTests";
const CONDITION: &str = "lock_tests.ConditionTests";
const MP_CONDITION: &str = "_test_multiprocessing._TestCondition";
const ASYNCIO_CONDITION: &str = "test_asyncio.test_locks.ConditionTests";
const EVENT: &str = "lock_tests.EventTests";
const ASYNCIO_EVENT: &str = "test_asyncio.test_locks.EventTests";
const BARRIER: &str = "lock_tests.BarrierTests";
const ASYNCIO_BARRIER: &str = "test_asyncio.test_locks.BarrierTests";
const VALUE: &str = "_test_multiprocessing._TestValue";
const ARRAY: &str = "_test_multiprocessing._TestArray";
const QUEUE: &str = "_test_multiprocessing._TestQueue";
const RING: &str = "test_importlib.test_locks.DeadlockAvoidanceTests";
const OURS: &str = "lockkeeper";

/// All cases, those of one program together and in its order.
pub const CASES: &[Case] = &[
    case("sync_lock", "test_constructor", BASE, 1, mutex::ALONE, &[]),
    case("sync_lock", "test_constructor@rlock", BASE, 1, rlock::ALONE, &[]),
    case("sync_lock", "test_acquire_destroy", BASE, 1, mutex::ALONE, &[]),
    case("sync_lock", "test_acquire_destroy@rlock", BASE, 1, rlock::ALONE, &[]),
    case("sync_lock", "test_acquire_release", BASE, 1, mutex::ALONE, &[]),
    case("sync_lock", "test_acquire_release@rlock", BASE, 1, rlock::ALONE, &[]),
    case("sync_lock", "test_try_acquire", BASE, 1, mutex::ALONE, &[]),
    case("sync_lock", "test_try_acquire@rlock", BASE, 1, rlock::ALONE, &[]),
    case("sync_lock", "test_try_acquire_contended", BASE, 2, mutex::TWO, &[]),
    case("sync_lock", "test_try_acquire_contended@rlock", BASE, 2, rlock::TWO, &[]),
    case("sync_lock", "test_acquire_contended", BASE, 5, mutex::CONTENDED, &[queue("l", 4), Set("go")]),
    case("sync_lock", "test_acquire_contended@rlock", BASE, 5, rlock::CONTENDED, &[queue("l", 4), Set("go")]),
    case("sync_lock", "test_with", BASE, 1, mutex::ALONE, &[]),
    case("sync_lock", "test_with@rlock", BASE, 1, rlock::ALONE, &[]),
    case("sync_lock", "test_timeout", BASE, 2, mutex::TWO, &[]),
    case("sync_lock", "test_timeout@rlock", BASE, 2, rlock::TWO, &[]),
    case("sync_lock", "test_locked_repr", BASE, 1, mutex::ALONE, &[]),
    case("sync_lock", "test_locked_repr@rlock", BASE, 1, rlock::ALONE, &[]),
    case("sync_lock", "test_thread_leak", BASE, 16, mutex::MANY, &[]),
    case("sync_lock", "test_thread_leak@rlock", BASE, 16, rlock::MANY, &[]),
    case("sync_lock", "test_state_after_timeout", LOCK, 2, mutex::TWO, &[]),
    case("sync_lock", "test_state_after_timeout@rlock", LOCK, 2, rlock::TWO, &[]),
    case("sync_lock", "test_different_thread", LOCK, 2, mutex::TWO, &[]),
    case("sync_lock", "test_different_thread@rlock", LOCK, 2, rlock::TWO, &[]),
    case("sync_lock", "test_release_unacquired", RLOCK, 1, mutex::ALONE, &[]),
    case("sync_lock", "test_release_unacquired@rlock", RLOCK, 1, rlock::ALONE, &[]),
    case("sync_lock", "test_lock_locked_2processes", MP_LOCK, 2, mutex::TWO, &[]),
    case("sync_lock", "test_rlock_locked_2processes", MP_LOCK, 2, rlock::TWO, &[]),
    case("sync_lock", "test_acquire@asyncio", ASYNCIO_LOCK, 4, mutex::IN_ORDER, in_order!("l")),
    case("sync_lock", "test_acquire@asyncio-rlock", ASYNCIO_LOCK, 4, rlock::IN_ORDER, in_order!("l")),
    case("sync_lock", "test_acquire_cancel", ASYNCIO_LOCK, 2, mutex::CANCEL, &[queue("l", 1), Kill(1), Set("go")]),
    case(
        "sync_lock",
        "test_acquire_cancel@rlock",
        ASYNCIO_LOCK,
        2,
        rlock::CANCEL,
        &[queue("l", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_lock",
        "test_cancel_race",
        ASYNCIO_LOCK,
        3,
        mutex::RACE,
        &[queue("l", 1), Set("second"), queue("l", 2), Set("go"), Kill(1)],
    ),
    case(
        "sync_lock",
        "test_cancel_race@rlock",
        ASYNCIO_LOCK,
        3,
        rlock::RACE,
        &[queue("l", 1), Set("second"), queue("l", 2), Set("go"), Kill(1)],
    ),
    case(
        "sync_lock",
        "test_cancel_release_race",
        ASYNCIO_LOCK,
        3,
        mutex::RACE,
        &[queue("l", 1), Set("second"), queue("l", 2), Kill(1), Set("go")],
    ),
    case(
        "sync_lock",
        "test_cancel_release_race@rlock",
        ASYNCIO_LOCK,
        3,
        rlock::RACE,
        &[queue("l", 1), Set("second"), queue("l", 2), Kill(1), Set("go")],
    ),
    case(
        "sync_lock",
        "test_finished_waiter_cancelled",
        ASYNCIO_LOCK,
        3,
        mutex::RACE,
        &[queue("l", 1), Set("second"), queue("l", 2), Set("go"), queue("never", 1), Kill(1)],
    ),
    case(
        "sync_lock",
        "test_finished_waiter_cancelled@rlock",
        ASYNCIO_LOCK,
        3,
        rlock::RACE,
        &[queue("l", 1), Set("second"), queue("l", 2), Set("go"), queue("never", 1), Kill(1)],
    ),
    case("sync_lock", "test_reacquire", LOCK, 1, mutex::ALONE, &[]),
    case("sync_lock", "test_reacquire@rlock", RLOCK, 1, rlock::ALONE, &[]),
    case("sync_lock", "test_lock@mp", MP_LOCK, 1, mutex::ALONE, &[]),
    case("sync_lock", "test_rlock@mp", MP_LOCK, 1, rlock::ALONE, &[]),
    case("sync_lock", "test_recursion_count", RLOCK, 1, rlock::ALONE, &[]),
    case("sync_lock", "test__is_owned", RLOCK, 2, rlock::TWO, &[]),
    case("sync_lock", "test_locked_with_2threads", RLOCK, 2, rlock::TWO, &[]),
    case(
        "sync_lock",
        "test_release_save_unacquired",
        RLOCK,
        1,
        &[("l", RLock), ("other", RLock), ("c", condition("l"))],
        &[],
    ),
    case("sync_rwlock", "readers_share_and_exclude_writers", OURS, 3, &[("l", RwLock), ("b", barrier(3))], &[]),
    case("sync_rwlock", "writer_excludes_everyone", OURS, 2, &[("l", RwLock), ("b", barrier(2))], &[]),
    case(
        "sync_rwlock",
        "readers_do_not_overtake_a_writer",
        OURS,
        3,
        &[("l", RwLock), ("got", COUNTER), ("first", Event), ("second", Event), ("go", Event)],
        &[queue("l", 1), Set("second"), queue("l", 2), Set("go")],
    ),
    case(
        "sync_rwlock",
        "reader_reads_again_past_a_writer",
        OURS,
        2,
        &[("l", RwLock), ("first", Event), ("go", Event)],
        &[queue("l", 1), Set("go")],
    ),
    case("sync_rwlock", "misuse_is_refused", OURS, 1, &[("l", RwLock)], &[]),
    case(
        "sync_rwlock",
        "upgrade_waits_for_the_other_readers",
        OURS,
        2,
        &[("l", RwLock), ("b", barrier(2)), ("got", COUNTER), ("go", Event)],
        &[queue("l", 1), Set("go")],
    ),
    case(
        "sync_rwlock",
        "second_upgrade_is_a_deadlock",
        OURS,
        2,
        &[("l", RwLock), ("b", barrier(2)), ("got", COUNTER)],
        &[],
    ),
    case("sync_rwlock", "failed_upgrade_leaves_the_read", OURS, 2, &[("l", RwLock), ("b", barrier(2))], &[]),
    case(
        "sync_rwlock",
        "downgrade_leaves_no_gap",
        OURS,
        2,
        &[("l", RwLock), ("got", COUNTER), ("first", Event), ("go", Event)],
        &[queue("l", 1), Set("go")],
    ),
    case(
        "sync_rwlock",
        "dead_writer_is_told",
        OURS,
        2,
        &[("l", RwLock), ("go", Event), ("never", Event)],
        &[queue("never", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_rwlock",
        "dead_reader_is_not",
        OURS,
        2,
        &[("l", RwLock), ("go", Event), ("never", Event)],
        &[queue("never", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_rwlock",
        "killed_writer_lets_readers_pass",
        OURS,
        3,
        &[("l", RwLock), ("first", Event), ("second", Event), ("passed", Event)],
        &[queue("l", 1), Set("second"), queue("l", 2), Kill(1)],
    ),
    case("sync_semaphore", "test_constructor", SEMAPHORE, 1, &[("s", signal(3, Some(5)))], &[]),
    case("sync_semaphore", "test_acquire", SEMAPHORE, 1, &[("s", signal(2, None))], &[]),
    case("sync_semaphore", "test_acquire_destroy", SEMAPHORE, 1, &[("s", signal(2, None))], &[]),
    case(
        "sync_semaphore",
        "test_acquire_contended",
        SEMAPHORE,
        11,
        &[("s", signal(7, None)), ("b", barrier(11)), ("got", COUNTER), ("ended", latch(10))],
        &[],
    ),
    case(
        "sync_semaphore",
        "test_multirelease",
        SEMAPHORE,
        7,
        &[("s", signal(0, None)), ("got", COUNTER), ("go", Event), ("rest", Event)],
        &[queue("s", 6), Set("go"), queue("rest", 1), queue("s", 3), Set("rest")],
    ),
    case("sync_semaphore", "test_try_acquire", SEMAPHORE, 1, &[("s", signal(2, None))], &[]),
    case(
        "sync_semaphore",
        "test_try_acquire_contended",
        SEMAPHORE,
        5,
        &[("s", signal(6, None)), ("b", barrier(5)), ("got", COUNTER)],
        &[],
    ),
    case("sync_semaphore", "test_acquire_timeout", SEMAPHORE, 1, &[("s", signal(2, None))], &[]),
    case("sync_semaphore", "test_default_value", SEMAPHORE, 1, &[("s", signal(1, None))], &[]),
    case("sync_semaphore", "test_with", SEMAPHORE, 1, &[("s", signal(2, None))], &[]),
    case("sync_semaphore", "test_release_unacquired", SEMAPHORE, 1, &[("s", signal(1, None))], &[]),
    case("sync_semaphore", "test_release_unacquired@bounded", SEMAPHORE, 1, &[("s", signal(2, Some(2)))], &[]),
    case("sync_semaphore", "test_release_unacquired@owned", SEMAPHORE, 2, &[("s", owned(3)), ("b", barrier(2))], &[]),
    case("sync_semaphore", "test_semaphore@mp", MP_SEMAPHORE, 1, &[("s", signal(2, None))], &[]),
    case("sync_semaphore", "test_bounded_semaphore@mp", MP_SEMAPHORE, 1, &[("s", signal(2, Some(2)))], &[]),
    case("sync_semaphore", "test_timeout@mp", MP_SEMAPHORE, 1, &[("s", signal(0, None))], &[]),
    case("sync_semaphore", "test_initial_value_zero", ASYNCIO_SEMAPHORE, 2, &[("s", signal(0, None))], &[]),
    case(
        "sync_semaphore",
        "test_acquire_fifo_order",
        ASYNCIO_SEMAPHORE,
        4,
        &[("s", signal(0, None)), ("got", COUNTER), ("second", Event), ("third", Event), ("go", Event)],
        in_order!("s"),
    ),
    case(
        "sync_semaphore",
        "test_acquire_fifo_order_2",
        ASYNCIO_SEMAPHORE,
        3,
        &[("s", signal(0, None)), ("got", COUNTER), ("second", Event), ("go", Event), ("more", Event)],
        &[queue("s", 1), Set("second"), queue("s", 2), Set("go"), queue("more", 1), queue("s", 2), Set("more")],
    ),
    case(
        "sync_semaphore",
        "test_acquire_fifo_order_3",
        ASYNCIO_SEMAPHORE,
        3,
        &[("s", signal(0, None)), ("second", Event), ("go", Event)],
        &[queue("s", 1), Set("second"), queue("s", 2), Set("go"), Kill(1)],
    ),
    case(
        "sync_semaphore",
        "test_acquire_fifo_order_4",
        ASYNCIO_SEMAPHORE,
        4,
        &[("s", signal(0, Some(3))), ("got", COUNTER), ("second", Event), ("third", Event), ("go", Event)],
        in_order!("s"),
    ),
    case(
        "sync_semaphore",
        "test_acquire_cancel",
        ASYNCIO_SEMAPHORE,
        2,
        &[("s", signal(0, None)), ("go", Event)],
        &[queue("s", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_semaphore",
        "test_acquire_cancel_before_awoken",
        ASYNCIO_SEMAPHORE,
        5,
        &[("s", owned(2)), ("first", Event), ("second", Event), ("go", Event), ("never", Event)],
        &[queue("s", 2), Set("second"), queue("s", 4), Set("go"), Kill(1), Kill(2)],
    ),
    case(
        "sync_semaphore",
        "test_acquire_hang",
        ASYNCIO_SEMAPHORE,
        3,
        &[("s", owned(1)), ("first", Event), ("second", Event), ("go", Event), ("never", Event)],
        &[queue("s", 1), Set("second"), queue("s", 2), Set("go"), Kill(1)],
    ),
    case(
        "sync_semaphore",
        "permits_of_a_dead_process_come_back",
        OURS,
        2,
        &[("s", owned(2)), ("first", Event), ("never", Event)],
        &[queue("s", 1), Kill(1)],
    ),
    case("sync_condition", "test_acquire", CONDITION, 1, &[("l", RLock), ("c", condition("l"))], &[]),
    case(
        "sync_condition",
        "test_unacquired_wait",
        CONDITION,
        1,
        &[("l", RLock), ("c", condition("l")), ("other", Mutex)],
        &[],
    ),
    case("sync_condition", "test_unacquired_notify", CONDITION, 1, &[("l", RLock), ("c", condition("l"))], &[]),
    case(
        "sync_condition",
        "test_notify",
        CONDITION,
        6,
        &[("l", RLock), ("c", condition("l")), ("woken", COUNTER)],
        &[],
    ),
    case("sync_condition", "test_timeout", CONDITION, 1, &[("l", RLock), ("c", condition("l"))], &[]),
    case(
        "sync_condition",
        "test_waitfor",
        CONDITION,
        2,
        &[("l", RLock), ("c", condition("l")), ("state", COUNTER)],
        &[],
    ),
    case(
        "sync_condition",
        "test_waitfor_timeout",
        CONDITION,
        2,
        &[("l", RLock), ("c", condition("l")), ("state", COUNTER), ("given-up", Event)],
        &[],
    ),
    case(
        "sync_condition",
        "test_notify@mp",
        MP_CONDITION,
        3,
        &[("l", RLock), ("c", condition("l")), ("woken", COUNTER)],
        &[],
    ),
    case(
        "sync_condition",
        "test_notify_all@mp",
        MP_CONDITION,
        7,
        &[("l", RLock), ("c", condition("l")), ("woken", COUNTER)],
        &[],
    ),
    case(
        "sync_condition",
        "test_notify_n@mp",
        MP_CONDITION,
        7,
        &[("l", RLock), ("c", condition("l")), ("woken", COUNTER)],
        &[],
    ),
    case(
        "sync_condition",
        "test_wait@asyncio",
        ASYNCIO_CONDITION,
        4,
        &[("l", RLock), ("c", condition("l")), ("woken", COUNTER)],
        &[],
    ),
    case(
        "sync_condition",
        "test_explicit_lock",
        ASYNCIO_CONDITION,
        2,
        &[("l", RLock), ("c", condition("l")), ("state", COUNTER), ("first", Event)],
        &[],
    ),
    case(
        "sync_condition",
        "test_wait_cancel",
        ASYNCIO_CONDITION,
        2,
        &[("l", RLock), ("c", condition("l")), ("go", Event)],
        &[queue("c", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_condition",
        "test_wait_cancel_contested",
        ASYNCIO_CONDITION,
        2,
        &[("l", RLock), ("c", condition("l")), ("go", Event)],
        &[queue("go", 1), queue("l", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_condition",
        "test_wait_cancel_after_notify",
        ASYNCIO_CONDITION,
        3,
        &[("l", RLock), ("c", condition("l")), ("go", Event)],
        &[queue("go", 1), queue("l", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_condition",
        "test_cancelled_wakeup_relock",
        ASYNCIO_CONDITION,
        3,
        &[("l", RLock), ("c", condition("l")), ("woken", Event), ("never", Event)],
        &[queue("never", 1), queue("l", 1), Kill(1)],
    ),
    case("sync_condition", "wait_lets_go_of_every_depth", OURS, 2, &[("l", RLock), ("c", condition("l"))], &[]),
    case(
        "sync_condition",
        "mutex_will_do",
        OURS,
        2,
        &[("m", Mutex), ("of-m", condition("m")), ("state", COUNTER)],
        &[],
    ),
    case("sync_event", "test_is_set", EVENT, 1, &[("e", Event)], &[]),
    case(
        "sync_event",
        "test_notify",
        EVENT,
        6,
        &[("e", Event), ("passed", COUNTER), ("go", Event)],
        &[queue("e", 5), Set("go")],
    ),
    case("sync_event", "test_timeout", EVENT, 1, &[("e", Event)], &[]),
    case("sync_event", "test_set_and_clear", EVENT, 6, &[("e", Event), ("go", Event)], &[queue("e", 5), Set("go")]),
    case(
        "sync_event",
        "test_event@mp",
        "_test_multiprocessing._TestEvent",
        2,
        &[("e", Event), ("last", Event), ("go", Event)],
        &[queue("last", 1), Set("go")],
    ),
    case("sync_event", "test_wait_on_set", ASYNCIO_EVENT, 1, &[("e", Event)], &[]),
    case("sync_event", "test_clear", ASYNCIO_EVENT, 1, &[("e", Event)], &[]),
    case(
        "sync_event",
        "test_clear_with_waiters",
        ASYNCIO_EVENT,
        2,
        &[("e", Event), ("passed", COUNTER), ("go", Event)],
        &[queue("e", 1), Set("go")],
    ),
    case(
        "sync_event",
        "test_wait_cancel",
        ASYNCIO_EVENT,
        3,
        &[("e", Event), ("go", Event)],
        &[queue("e", 2), Kill(1), Set("go")],
    ),
    case("sync_barrier", "test_constructor", BARRIER, 1, &[("x", barrier(5))], &[]),
    case(
        "sync_barrier",
        "test_barrier",
        BARRIER,
        5,
        &[("x", barrier(5)), ("before", COUNTER), ("after", COUNTER)],
        &[],
    ),
    case(
        "sync_barrier",
        "test_barrier_10",
        BARRIER,
        5,
        &[("x", barrier(5)), ("before", COUNTER), ("after", COUNTER)],
        &[],
    ),
    case(
        "sync_barrier",
        "test_thousand",
        "_test_multiprocessing._TestBarrier",
        5,
        &[("x", barrier(5)), ("before", COUNTER), ("after", COUNTER)],
        &[],
    ),
    case("sync_barrier", "test_wait_return", BARRIER, 5, &[("x", barrier(5)), ("taken", array(Kind::I64, 5))], &[]),
    case("sync_barrier", "test_action", BARRIER, 5, &[("x", barrier(5)), ("before", COUNTER)], &[]),
    case("sync_barrier", "test_abort", BARRIER, 5, &[("x", barrier(5))], &[]),
    case("sync_barrier", "test_reset", BARRIER, 5, &[("x", barrier(5))], &[]),
    case("sync_barrier", "test_abort_and_reset", BARRIER, 5, &[("x", barrier(5)), ("y", barrier(5))], &[]),
    case("sync_barrier", "test_timeout", BARRIER, 5, &[("x", barrier(5))], &[]),
    case("sync_barrier", "test_default_timeout", BARRIER, 1, &[("x", barrier(2))], &[]),
    case("sync_barrier", "test_single_thread", BARRIER, 1, &[("x", barrier(1))], &[]),
    case("sync_barrier", "test_filling_task_by_task", ASYNCIO_BARRIER, 5, &[("x", barrier(5))], &[]),
    case(
        "sync_barrier",
        "test_filling_tasks_wait_twice",
        ASYNCIO_BARRIER,
        6,
        &[("x", barrier(3)), ("y", barrier(6)), ("taken", array(Kind::I64, 3))],
        &[],
    ),
    case("sync_barrier", "test_reset_barrier", ASYNCIO_BARRIER, 1, &[("x", barrier(5))], &[]),
    case(
        "sync_barrier",
        "test_reset_barrier_while_tasks_waiting_and_waiting_again",
        ASYNCIO_BARRIER,
        5,
        &[("x", barrier(5))],
        &[],
    ),
    case("sync_barrier", "test_abort_barrier", ASYNCIO_BARRIER, 1, &[("x", barrier(5))], &[]),
    case(
        "sync_barrier",
        "test_abort_barrier_when_exception_then_resetting",
        ASYNCIO_BARRIER,
        5,
        &[("x", barrier(5)), ("y", barrier(5))],
        &[],
    ),
    case(
        "sync_barrier",
        "test_reset_barrier_when_tasks_half_draining",
        ASYNCIO_BARRIER,
        5,
        &[("x", barrier(5)), ("y", barrier(5))],
        &[],
    ),
    case(
        "sync_barrier",
        "test_filling_tasks_cancel_one",
        ASYNCIO_BARRIER,
        3,
        &[("x", barrier(3)), ("go", Event)],
        &[queue("x", 2), Kill(1), Set("go")],
    ),
    case(
        "sync_barrier",
        "party_that_dies_elsewhere_breaks_a_registered_barrier",
        OURS,
        2,
        &[("x", Thing::Barrier { parties: 2, registered: true }), ("never", Event)],
        &[queue("never", 1), Kill(1)],
    ),
    case(
        "sync_barrier",
        "process_that_dies_elsewhere_breaks_no_other",
        OURS,
        3,
        &[("x", barrier(2)), ("go", Event), ("never", Event)],
        &[queue("never", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_value",
        "test_value",
        VALUE,
        2,
        &[
            ("i", number(-7)),
            ("u", value(Initial::U64(7))),
            ("f", value(Initial::F64(3.25))),
            ("b", SEVEN),
            ("both", barrier(2)),
        ],
        &[],
    ),
    case("sync_value", "test_rawvalue", VALUE, 1, &[("i", number(-7))], &[]),
    case(
        "sync_value",
        "test_getobj_getlock",
        VALUE,
        1,
        &[("l", Mutex), ("bound", Thing::Value { initial: Initial::I64(0), lock: Some("l") })],
        &[],
    ),
    case("sync_value", "test_array", ARRAY, 2, &[("a", array(Kind::I64, 10)), ("both", barrier(2))], &[]),
    case(
        "sync_value",
        "test_array_from_size",
        ARRAY,
        1,
        &[("a", array(Kind::I64, 10)), ("bytes", array(Kind::Bytes, 16))],
        &[],
    ),
    case("sync_value", "test_rawarray", ARRAY, 1, &[("u", array(Kind::U64, 4)), ("f", array(Kind::F64, 3))], &[]),
    case(
        "sync_value",
        "test_getobj_getlock_obj",
        ARRAY,
        1,
        &[("l", Mutex), ("bound-array", Thing::Array { kind: Kind::I64, length: 4, lock: Some("l") })],
        &[],
    ),
    case(
        "sync_value",
        "nothing_is_lost",
        OURS,
        4,
        &[
            ("l", Mutex),
            ("bound", Thing::Value { initial: Initial::I64(0), lock: Some("l") }),
            ("i", number(-7)),
            ("u", value(Initial::U64(7))),
            ("a", array(Kind::I64, 10)),
            ("ended", latch(4)),
        ],
        &[],
    ),
    case(
        "sync_value",
        "what_does_not_fit_is_refused",
        OURS,
        1,
        &[
            ("i", number(-7)),
            ("u", value(Initial::U64(7))),
            ("f", value(Initial::F64(3.25))),
            ("b", SEVEN),
            ("a", array(Kind::I64, 10)),
        ],
        &[],
    ),
    case("sync_value", "array_changes_in_one_step", OURS, 4, &[("a", array(Kind::I64, 10)), ("ended", latch(3))], &[]),
    case("sync_queue", "test_put", QUEUE, 2, &[("q", items(6, false)), ("full", Event), ("emptied", Event)], &[]),
    case("sync_queue", "test_get", QUEUE, 2, &[("q", items(6, false)), ("go", Event)], &[queue("q", 1), Set("go")]),
    case("sync_queue", "test_fork", QUEUE, 2, &[("q", items(10, false)), ("filled", Event)], &[]),
    case("sync_queue", "test_qsize", QUEUE, 1, &[("q", items(6, false))], &[]),
    case("sync_queue", "test_task_done", QUEUE, 5, &[("q", items(6, false)), ("finished", COUNTER)], &[]),
    case("sync_queue", "test_task_done@acknowledge", QUEUE, 5, &[("q", items(6, true)), ("finished", COUNTER)], &[]),
    case("sync_queue", "task_done_too_often", OURS, 1, &[("q", items(6, false))], &[]),
    case("sync_queue", "task_done_too_often@acknowledge", OURS, 1, &[("q", items(6, true))], &[]),
    case("sync_queue", "test_timeout", QUEUE, 1, &[("q", items(6, false))], &[]),
    case("sync_queue", "test_closed_queue_empty_exceptions", QUEUE, 1, &[("q", items(6, false))], &[]),
    case("sync_queue", "test_closed_queue_put_get_exceptions", QUEUE, 1, &[("q", items(6, false))], &[]),
    case("sync_queue", "test_empty@simple", "_test_multiprocessing.TestSimpleQueue", 1, &[("q", items(6, false))], &[]),
    case(
        "sync_queue",
        "closing_wakes_those_who_wait",
        OURS,
        3,
        &[("q", items(1, false)), ("p", items(1, false)), ("full", Event), ("go", Event)],
        &[queue("q", 1), queue("p", 1), Set("go")],
    ),
    case(
        "sync_queue",
        "items_of_several_keep_their_order",
        OURS,
        5,
        &[("q", items(3, false)), ("next", array(Kind::I64, 5))],
        &[],
    ),
    case(
        "sync_queue",
        "item_of_a_dead_process_comes_again",
        OURS,
        2,
        &[("q", items(6, true)), ("full", Event), ("go", Event), ("never", Event)],
        &[queue("never", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_queue",
        "item_of_a_dead_process_is_gone_without_acknowledgement",
        OURS,
        2,
        &[("q", items(6, false)), ("full", Event), ("go", Event), ("never", Event)],
        &[queue("never", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_queue",
        "killed_getter_takes_nothing",
        OURS,
        3,
        &[("q", items(6, true)), ("second", Event), ("go", Event), ("never", Event)],
        &[queue("q", 1), Set("second"), queue("q", 2), Set("go"), Kill(1)],
    ),
    case(
        "sync_queue",
        "item_that_can_never_fit_is_refused",
        OURS,
        1,
        &[("q", Thing::Queue { items: 6, bytes: 64, acknowledge: false })],
        &[],
    ),
    case("sync_multi", "test_deadlock@mutex-2", RING, 2, ring!(Mutex, 2: "l0" "l1"), &[]),
    case(
        "sync_multi",
        "test_deadlock@mutex-10",
        RING,
        10,
        ring!(Mutex, 10: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "test_deadlock@rlock-10",
        RING,
        10,
        ring!(RLock, 10: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "test_deadlock@write-10",
        RING,
        10,
        ring!(RwLock, 10: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "test_deadlock@read-10",
        RING,
        10,
        ring!(RwLock, 10: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "test_deadlock@semaphore-10",
        RING,
        10,
        ring!(owned(1), 10: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "test_no_deadlock@mutex",
        RING,
        9,
        ring!(Mutex, 9: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "test_no_deadlock@rlock",
        RING,
        9,
        ring!(RLock, 9: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "test_no_deadlock@write",
        RING,
        9,
        ring!(RwLock, 9: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "test_no_deadlock@read",
        RING,
        9,
        ring!(RwLock, 9: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "test_no_deadlock@semaphore",
        RING,
        9,
        ring!(owned(1), 9: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "ring_in_one_order_has_no_deadlock",
        OURS,
        10,
        ring!(Mutex, 10: "l0" "l1" "l2" "l3" "l4" "l5" "l6" "l7" "l8" "l9"),
        &[],
    ),
    case(
        "sync_multi",
        "every_kind_of_part",
        OURS,
        1,
        &[("s", owned(2)), ("w", RwLock), ("r", RwLock), ("again", RLock), ("m", Mutex)],
        &[],
    ),
    case(
        "sync_multi",
        "open_refuses_what_makes_no_sense",
        OURS,
        1,
        &[("s", owned(2)), ("w", RwLock), ("r", RwLock), ("again", RLock), ("m", Mutex)],
        &[],
    ),
    case(
        "sync_multi",
        "all_or_nothing",
        OURS,
        2,
        &[("s", owned(2)), ("w", RwLock), ("r", RwLock), ("again", RLock), ("m", Mutex), ("b", barrier(2))],
        &[],
    ),
    case(
        "sync_multi",
        "any_order_of_names_will_do",
        OURS,
        2,
        &[("m", Mutex), ("n", Mutex), ("count", COUNTER), ("b", barrier(2))],
        &[],
    ),
    case(
        "sync_multi",
        "dead_holder_is_told_of_each",
        OURS,
        2,
        &[("m", Mutex), ("n", Mutex), ("go", Event), ("never", Event)],
        &[queue("never", 1), Kill(1), Set("go")],
    ),
    case(
        "sync_multi",
        "killed_waiter_keeps_nothing",
        OURS,
        2,
        &[("m", Mutex), ("n", Mutex), ("first", Event), ("go", Event)],
        &[queue("n", 1), Kill(1), Set("go")],
    ),
    case("sync_latch", "counts_down_to_zero_and_no_further", OURS, 1, &[("x", latch(5))], &[]),
    case(
        "sync_latch",
        "zero_lets_everyone_go",
        OURS,
        5,
        &[("x", latch(5)), ("passed", COUNTER), ("go", Event)],
        &[queue("x", 4), Set("go")],
    ),
    case(
        "sync_latch",
        "death_counts_nothing_down",
        OURS,
        2,
        &[("x", latch(5)), ("go", Event), ("never", Event)],
        &[queue("never", 1), Kill(1), Set("go")],
    ),
    case("sync_once", "one_does_it_for_all", OURS, 8, &[("x", Once), ("count", COUNTER)], &[]),
    case("sync_once", "turn_is_passed_on", OURS, 1, &[("x", Once)], &[]),
    case("sync_once", "asking_twice_is_a_deadlock", OURS, 1, &[("x", Once)], &[]),
    case(
        "sync_once",
        "turn_of_a_dead_process_is_passed_on",
        OURS,
        2,
        &[("x", Once), ("first", Event), ("go", Event), ("never", Event)],
        &[queue("go", 1), Set("go"), queue("x", 1), Kill(1)],
    ),
];
