//! What guests do in one call: each case is the script of one process, and how it may end.

use super::arguments::{CaseOf, Fill, List, has_list};
use super::contract::{Call, CallKind, Contract};
use super::scene::{Scene, good, own, resources_of, ways};
use super::script::{Argument, MEMORY_END, Realloc};

/// How much a call may carry here; far less than a memory has.
pub(super) const CALL_BYTES_MAX: u32 = 1 << 20;

/// What happens in one process.
pub(super) struct Case {
    pub(super) what: String,
    pub(super) script: Vec<u8>,
    pub(super) must: Must,
}

/// How a process may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must {
    /// In any way in which it is itself to blame, or well.
    End,
    /// By a trap: what it did makes no sense in WebAssembly.
    Trap,
    /// At the end of its stack.
    Overflow,
}

/// A case in which the arguments of a call come from a function, with real handles, if there can be some.
pub(super) fn case(
    contract: &Contract,
    call: &Call,
    way: usize,
    what: impl Into<String>,
    must: Must,
    arguments: impl FnOnce(&mut Scene<'_>) -> Vec<Argument>,
) -> Case {
    let mut scene = Scene::new(contract);
    scene.obtain_for(call, way);
    let arguments = arguments(&mut scene);
    scene.script.call(contract.find(&call.full_name()), &arguments);
    Case { what: format!("{} (way {way})", what.into()), script: scene.finish(), must }
}

/// Hostile arguments beside real handles.
pub(super) fn hostile_arguments(contract: &Contract, call: &Call, way: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    let good = good(call);
    let own_arguments = usize::from(own(contract, call).is_some());
    // Every bit the same, whatever it is an argument of; with the handle that it is a method of.
    for (what, bits) in [("all zero", 0), ("all ones", u64::MAX)] {
        cases.push(case(contract, call, way, what, Must::End, |scene| {
            let mut arguments = scene.arguments(call, &good);
            arguments[own_arguments..].fill(Argument::Is(bits));
            arguments
        }));
    }
    let CallKind::Function { function, returns_in_memory, .. } = &call.kind else {
        return cases;
    };
    let mut fills: Vec<(String, Must, Fill)> = vec![("good ones".to_owned(), Must::End, good.clone())];
    for number in [0, u64::MAX, 1 << 31, 1 << 63] {
        for case in [CaseOf::First, CaseOf::Lists] {
            let fill = Fill { number, case, ..good.clone() };
            fills.push((format!("numbers {number:#x}, {case:?}"), Must::End, fill));
        }
    }
    fills.push(("unknown cases".to_owned(), Must::End, Fill { case: CaseOf::Unknown, ..good.clone() }));
    if function.params.iter().any(|param| has_list(contract, &param.ty)) {
        let beyond = List::AtTheEnd { beyond: 1 };
        let inside = |list: List| List::Inside(Box::new(list));
        let (largest, more) = (List::Bytes(CALL_BYTES_MAX / 8 * 7), List::Bytes(3 << 20));
        // A list of lists of nothing counts less for each element than it takes in memory here, and so may be allowed.
        let lists = [
            (Must::End, List::NotText),
            (Must::End, List::AtTheEnd { beyond: 0 }),
            (Must::Trap, beyond.clone()),
            (Must::Trap, List::Huge(u32::MAX)),
            (Must::Trap, List::Huge(u32::MAX / 2)),
            (Must::End, List::Huge(0x1000_0000)),
            (Must::End, largest),
            (Must::Trap, more),
            (Must::End, List::Odd),
            (Must::End, inside(List::NotText)),
            (Must::Trap, inside(beyond)),
            (Must::Trap, inside(List::Huge(u32::MAX))),
            (Must::End, inside(List::Odd)),
        ];
        fills.extend(lists.map(|(must, list)| (format!("{list:?}"), must, good.lists(list))));
    }
    cases.extend(
        fills
            .into_iter()
            .map(|(what, must, fill)| case(contract, call, way, what, must, |scene| scene.arguments(call, &fill))),
    );
    if *returns_in_memory {
        let result = function.result.as_ref().expect("what returns in memory returns something");
        let bytes = contract.sizes.size(result).size_wasm32();
        let align = contract.sizes.align(result).align_wasm32();
        let end = MEMORY_END as usize;
        let places = [
            ("where the result just fits", (end - bytes) / align * align, Must::End),
            ("where the result just does not fit", (end - bytes) / align * align + align, Must::Trap),
            ("at the end", end, Must::Trap),
            ("far outside", 0xffff_fff0, Must::Trap),
            ("at an odd place", 0x101, if align > 1 { Must::Trap } else { Must::End }),
        ];
        cases.extend(places.map(|(what, place, must)| {
            case(contract, call, way, format!("a result {what}"), must, |scene| {
                let mut arguments = scene.arguments(call, &good);
                *arguments.last_mut().expect("the place is the last argument") = Argument::Is(place as u64);
                arguments
            })
        }));
    }
    cases
}

/// Handles that are none, or of something else, or not any more.
pub(super) fn hostile_handles(contract: &Contract, call: &Call) -> Vec<Case> {
    let resources = resources_of(contract, call);
    let mut cases = Vec::new();
    for (resource, name) in &resources {
        for number in [0, 1_000_000, u32::MAX] {
            cases.push(case(contract, call, 0, format!("{number} as a {name}"), Must::Trap, |scene| {
                let forged = scene.number(number);
                scene.handles.insert(*resource, forged);
                scene.arguments(call, &good(call))
            }));
        }
        let other = if name.starts_with("lockkeeper:runtime/event") { "mutex" } else { "event" };
        cases.push(case(contract, call, 0, format!("an {other} as a {name}"), Must::Trap, |scene| {
            let other = scene.open(&format!("lockkeeper:runtime/{other}"), other);
            scene.handles.insert(*resource, other);
            scene.arguments(call, &good(call))
        }));
        if ways(name) > 0 {
            cases.push(case(contract, call, 0, format!("a {name} that was dropped"), Must::Trap, |scene| {
                let (interface, resource_name) = name.split_once('.').expect("the name of a resource");
                let handle = Argument::In(scene.handles[resource]);
                scene.call(&format!("{interface}.[resource-drop]{resource_name}"), &[handle]);
                scene.arguments(call, &good(call))
            }));
        }
    }
    cases
}

/// Cases in which the host asks the program for memory to put its answer in, if it comes to that.
pub(super) fn while_answering(
    contract: &Contract,
    call: &Call,
    realloc: Realloc,
    way: usize,
    signs: bool,
) -> Vec<Case> {
    let good = good(call);
    let mut fills = vec![
        ("a good call", good.clone()),
        ("a name that is none", Fill { text: "\n".to_owned(), ..good.clone() }),
        ("numbers that do not fit", Fill { number: u64::MAX, ..good.clone() }),
    ];
    // With a timeout it would be chance whether there is something to answer.
    if !call.may_wait() {
        fills.push(("other cases", Fill { case: CaseOf::Lists, ..good }));
    }
    fills
        .into_iter()
        .map(|(what, fill)| {
            let must = if realloc == Realloc::Recurses { Must::Overflow } else { Must::End };
            case(contract, call, way, format!("{what}, realloc {realloc:?}"), must, |scene| {
                scene.prepare(call);
                let arguments = scene.arguments(call, &fill);
                if signs {
                    scene.sign();
                }
                scene.script.realloc(realloc);
                arguments
            })
        })
        .collect()
}
