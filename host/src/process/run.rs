//! One process from its first instruction to the settling of everything it leaves behind.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use lockkeeper_locks::Place;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::commit_order::{CommitTurn, OutOfOrder};
use super::control::{Control, Stop};
use super::entry::{CallOverdue, Entry};
use super::family::{Berth, Children};
use super::held_back::{HeldBack, Pending};
use super::limits::MemoryExceeded;
use super::state::Denials;
use super::{Exit, Identity, InputDir, Output, ProcessState};
use crate::byte_size::ByteSize;
use crate::engine::{NoStack, Stay};
use crate::guest_api::StatusOutOfRange;
use crate::observe::{Event, Outcome};
use crate::scope::ScopedLock;
use crate::stall::Watch;
use crate::turn;

/// A process that can start: everything that can go wrong beforehand has not.
pub(crate) struct Prepared {
    pub(crate) entry: Entry,
    /// Its place in the engine.
    pub(crate) stay: Stay,
    pub(crate) state: ProcessState,
    pub(crate) control: Arc<Control>,
    pub(crate) call_bytes_max: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) output: Output,
    pub(crate) inputs: Option<InputDir>,
    pub(crate) watch: Arc<Watch>,
    /// What others wait at for its end, if a process started it.
    pub(crate) exit: Option<Arc<ScopedLock>>,
    /// What it takes up of what its job may have.
    pub(crate) berth: Option<Berth>,
}

/// A process that has begun. What is in here is in the future of each process for as long as it lives.
struct Begun {
    entry: Entry,
    stay: Stay,
    store: Store<ProcessState>,
    control: Arc<Control>,
    call_bytes_max: usize,
    timeout: Option<Duration>,
    output: Output,
    inputs: Option<InputDir>,
    watch: Arc<Watch>,
    berth: Option<Berth>,
    turn: Option<CommitTurn>,
    identity: Identity,
    denials: Denials,
    children: Children,
}

/// Makes a process of what was prepared, not yet with an instruction run.
fn begin(prepared: Box<Prepared>) -> Begun {
    let Prepared { entry, stay, mut state, control, call_bytes_max, timeout, output, inputs, watch, exit: _, berth } =
        *prepared;
    let (identity, denials, children) = (state.identity.clone(), state.denials.clone(), state.children.clone());
    let turn = state.held_back.as_ref().and_then(HeldBack::turn);
    let place = Place(turn::shard().and_then(|shard| u16::try_from(shard).ok()).unwrap_or_default());
    state.actor.settle_at(place);
    state.actor.scope.begin_owner(state.owner(), identity.name.clone(), place);
    let parent = identity.parent;
    state.actor.events.emit(|| Event::Started { process: identity.id, name: identity.name.clone(), parent });

    let mut store = Store::new(entry.engine(), state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(call_bytes_max);
    // Also says that nobody enters the process but on a stack of its own, from which it can give its core away.
    store.epoch_deadline_async_yield_and_update(1);
    store.set_epoch_deadline(1);
    // Not the engine's own yield: the shard is to know that the slice is over, and what the process has in its hands.
    store.epoch_deadline_callback(|mut store| {
        let state = store.data_mut();
        let hands = turn::ends_slice().then(|| state.hands());
        Ok(match hands.map(|hands| turn::slice_over(hands, &mut state.cpu_share)) {
            None => UpdateDeadline::Continue(1),
            Some(give_way) => UpdateDeadline::YieldCustom(1, Box::pin(give_way)),
        })
    });
    Begun {
        entry,
        stay,
        store,
        control,
        call_bytes_max,
        timeout,
        output,
        inputs,
        watch,
        berth,
        turn,
        identity,
        denials,
        children,
    }
}

/// Runs a process to its end and answers how it ended, with its holds released and its appends settled. It was asked
/// for at `started`: its time limit counts from there, so its life does too.
pub(crate) async fn run(prepared: Box<Prepared>, started: Instant) -> Exit {
    // Boxed, and taken apart in a function: what an async function is given, and what it makes of it, is each in the memory
    // of every process that waits.
    let Begun {
        entry,
        stay,
        mut store,
        control,
        call_bytes_max,
        timeout,
        output,
        inputs,
        watch,
        berth,
        turn,
        identity,
        denials,
        children,
    } = begin(prepared);
    let (owner, scope, events) = {
        let state = store.data();
        (state.owner(), state.actor.scope.clone(), state.actor.events.clone())
    };

    // The call owns the store and gives it back only when it returns: whoever stops the process holds both in one.
    let call = Box::pin(async move {
        let ended = entry.enter(&mut store).await;
        (ended, store)
    });
    let mut call = guarded(call);
    let (mut outcome, mut store) = match control.run_until_stopped(Pin::new(&mut call)).await {
        Ok(Ok((ended, store))) => (from_call(ended, call_bytes_max), Some(store)),
        Ok(Err(panic)) => (from_panic(&*panic), None),
        Err(stop) => (from_stop(stop, timeout), None),
    };
    let lived = started.elapsed();
    control.guest_ended();
    let orphans = children.end_orphans();
    let pending = store.as_mut().filter(|_| outcome.is_success()).and_then(|store| {
        let held_back = store.data_mut().held_back.take()?;
        Some(held_back.close(identity.id, &store.data().rights))
    });

    // Release first, then let the fiber and the store go: who waits for a lock need not wait for that. Nor for the commit,
    // which may have to wait for who waits for the lock: no file that is bound to one takes part in it.
    scope.end_owner(owner, outcome.end_cause());
    let torn_down = tear_down(call, store, outcome.is_success());
    drop(stay);
    scope.forget_owner(owner);
    drop(inputs);
    // Whoever waits for its turn to commit waits for no lock, and is no reason why the others should still go on. All others
    // are there until their end can be seen: a stall that one leaves behind is told after it.
    if turn.is_some() {
        watch.end(identity.id);
    }

    if let Err(panic) = torn_down {
        outcome = from_panic(&*panic);
    }
    if let Some(error) = settle(&outcome, pending, turn, &control, &identity.name).await {
        outcome = error;
    }

    // Whoever sees the end of this process sees theirs.
    for child in orphans {
        drop(child.control.join().await);
    }

    drop(berth);
    // What the last lines go to is the embedder's, too.
    let output_dropped_bytes = match catch_unwind(AssertUnwindSafe(|| output.finish())) {
        Ok(bytes) => bytes,
        Err(panic) => {
            outcome = from_panic(&*panic);
            0
        }
    };
    let exit =
        Exit { id: identity.id, name: identity.name, outcome, lived, denials: denials.take(), output_dropped_bytes };
    events.emit(|| Event::Ended {
        process: exit.id,
        name: exit.name.clone(),
        outcome: exit.outcome.clone(),
        lived: exit.lived,
    });
    exit
}

/// Lets go what the process was: its stack, and with its store what an embedder kept there. Host code in there that holds a
/// lock did not finish what it was at, unless the process ended well. A panic of it ends nothing but this.
fn tear_down<C>(call: C, store: Option<Store<ProcessState>>, is_well: bool) -> Result<(), Box<dyn Any + Send>> {
    let _breaking_off = (!is_well).then(turn::break_off);
    // Each by itself: a panic in one must not leave the other.
    let call = catch_unwind(AssertUnwindSafe(|| drop(call)));
    let store = catch_unwind(AssertUnwindSafe(|| drop(store)));
    call.and(store)
}

/// Commits what a process has left, in its turn, and waits until it survives what it is to survive. Answers how the process
/// ended if not as its guest did.
async fn settle(
    outcome: &Outcome,
    pending: Option<Pending>,
    turn: Option<CommitTurn>,
    control: &Control,
    name: &Arc<str>,
) -> Option<Outcome> {
    let Some(pending) = pending else {
        // With an end of its own it is over. Otherwise whoever runs it again may commit, and nothing may stand before that.
        if let Some(turn) = turn
            && !outcome.is_success()
            && control.outlives_host()
        {
            turn.break_off(OutOfOrder::ShutDown);
        }
        return None;
    };
    if let Some(turn) = &turn {
        let came = control.run_until_stopped(pin!(turn.come())).await;
        let why = match came {
            Ok(Ok(())) => None,
            Ok(Err(OutOfOrder::ShutDown)) => Some(Outcome::ShutDown),
            Ok(Err(OutOfOrder::Unwritten(first))) => Some(Outcome::HostFault {
                message: format!(
                    "what it appended was not committed, so that the records keep their order: those of {first} come before \
                     them and could not be written"
                ),
            }),
            // Its time limit is over, and so is the stall in which it took no part.
            Err(stop) => Some(from_stop(stop, None)),
        };
        if let Some(why) = why {
            if why == Outcome::ShutDown {
                turn.break_off(OutOfOrder::ShutDown);
            }
            return Some(why);
        }
    }
    let unsynced = match pending.commit().await {
        Ok(unsynced) => unsynced,
        Err(error) => {
            if let Some(turn) = turn {
                turn.break_off(OutOfOrder::Unwritten(name.clone()));
            }
            let message = format!("what the process appended could not be committed: {error}");
            return Some(Outcome::HostFault { message });
        }
    };
    // The next one may write, and share the sync.
    drop(turn);
    let (file, error) = unsynced.synced().await.err()?;
    Some(Outcome::HostFault {
        message: format!("what the process appended is in `{file}`, and the loss of power may take it: {error}"),
    })
}

/// A panic of the host while it works for a process ends that process and no other.
fn guarded<F: Future>(mut call: Pin<Box<F>>) -> impl Future<Output = Result<F::Output, Box<dyn Any + Send>>> + Unpin {
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
}

fn from_stop(stop: Stop, timeout: Option<Duration>) -> Outcome {
    match stop {
        Stop::TimeLimit => Outcome::TimedOut { limit: timeout.unwrap_or_default() },
        Stop::Overdue(limit) => Outcome::TimedOut { limit },
        Stop::Killed => Outcome::Killed,
        Stop::ShutDown => Outcome::ShutDown,
        Stop::Stalled => Outcome::Stalled,
        Stop::Orphaned => Outcome::Orphaned,
    }
}

fn from_panic(panic: &(dyn Any + Send)) -> Outcome {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Outcome::HostFault { message: format!("the host panicked: {}", text.unwrap_or("without a message")) }
}

fn from_call(ended: wasmtime::Result<Result<(), ()>>, call_bytes_max: usize) -> Outcome {
    let error = match ended {
        Ok(Ok(())) => return Outcome::Returned,
        Ok(Err(())) => return Outcome::Failed,
        Err(error) => error,
    };
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return Outcome::Exited { code: *code };
    }
    if let Some(StatusOutOfRange { status }) = error.downcast_ref() {
        return Outcome::StatusOutOfRange { status: *status };
    }
    if let Some(CallOverdue { limit }) = error.downcast_ref() {
        return Outcome::TimedOut { limit: *limit };
    }
    if let Some(MemoryExceeded { limit_bytes }) = error.downcast_ref() {
        return Outcome::OutOfMemory { limit_bytes: *limit_bytes };
    }
    // What the engine has promised room for, and the system has not.
    if error.is::<NoStack>() || error.is::<PoolConcurrencyLimitError>() {
        return Outcome::HostFault { message: format!("there was no room for the process: {}", chain(&error)) };
    }
    match error.downcast_ref() {
        Some(Trap::StackOverflow) => Outcome::StackOverflow,
        Some(_) | None => Outcome::Trapped { message: with_limit(chain(&error), call_bytes_max) },
    }
}

/// The engine knows the limit on a call's bytes as fuel; here it gets its name.
fn with_limit(message: String, call_bytes_max: usize) -> String {
    if message.contains("fuel allocated for hostcalls") {
        let limit = ByteSize(call_bytes_max as u64);
        return format!("one call carried more than its limit of {limit} (`call`, --max-call)\n{message}");
    }
    message
}

/// The error and its causes. The guest's stack is among them; the host's own, which `{:?}` adds where `RUST_BACKTRACE` is
/// set, is nobody's business.
fn chain(error: &wasmtime::Error) -> String {
    let links: Vec<String> = error.chain().map(|link| link.to_string()).collect();
    links.join("\ncaused by: ")
}
