//! What a guest does before the call in which it ends: how it comes to the handles of every resource, and to a state in which
//! the call has something to answer, or to wait for.

use std::collections::BTreeMap;

use wit_parser::{Handle, Type, TypeDefKind, TypeId};

use super::arguments::{Arguments, Fill, Handles};
use super::contract::{Call, CallKind, Contract};
use super::script::{Argument, Label, RETURN_AT, Register, Script, ZERO};

/// Longer than any test.
const FOR_EVER_NS: u64 = 1 << 60;

/// See [`Scene::sign`].
pub(super) const SIGN: &str = "sign";

/// Why there is no handle of these resources that a process of this host could have. Whatever has a way to one stands in
/// [`ways`] instead.
pub(super) const UNOBTAINABLE: [(&str, &str); 7] = [
    ("wasi:cli/terminal-input.terminal-input", "no process is told that it reads from a terminal"),
    ("wasi:cli/terminal-output.terminal-output", "no process is told that it prints on one"),
    ("wasi:sockets/ip-name-lookup.resolve-address-stream", "names are not looked up"),
    ("wasi:sockets/tcp.tcp-socket", "sockets cannot be granted"),
    ("wasi:sockets/udp.udp-socket", "sockets cannot be granted"),
    ("wasi:sockets/udp.incoming-datagram-stream", "sockets cannot be granted"),
    ("wasi:sockets/udp.outgoing-datagram-stream", "sockets cannot be granted"),
];

/// In how many ways a process can come to a handle of a resource: they differ in what the host keeps behind it.
pub(super) fn ways(resource: &str) -> usize {
    match resource {
        "wasi:io/poll.pollable"
        | "wasi:io/streams.input-stream"
        | "wasi:io/streams.output-stream"
        | "wasi:filesystem/types.descriptor" => 2,
        _ if UNOBTAINABLE.iter().any(|(name, _)| *name == resource) => 0,
        _ => 1,
    }
}

/// A script that is being written, with the handles that the process has by then.
pub(super) struct Scene<'a> {
    pub(super) contract: &'a Contract,
    pub(super) script: Script,
    pub(super) handles: Handles,
}

impl<'a> Scene<'a> {
    pub(super) fn new(contract: &'a Contract) -> Self {
        Self { contract, script: Script::default(), handles: Handles::new() }
    }

    /// Calls a function by its name.
    pub(super) fn call(&mut self, full_name: &str, arguments: &[Argument]) -> Register {
        self.script.call(self.contract.find(full_name), arguments)
    }

    /// Calls a function that answers in memory, and goes on only if that is no error.
    pub(super) fn call_well(&mut self, full_name: &str, arguments: &[Argument]) {
        let mut arguments = arguments.to_vec();
        arguments.push(Argument::Is(RETURN_AT.into()));
        self.call(full_name, &arguments);
        self.script.expect_byte(RETURN_AT, 0);
    }

    /// The same with a handle for an answer.
    pub(super) fn handle_by(&mut self, full_name: &str, arguments: &[Argument]) -> Register {
        let call = &self.contract.calls[self.contract.find(full_name)];
        if let CallKind::Function { returns_in_memory: false, .. } = call.kind {
            return self.call(full_name, arguments);
        }
        self.call_well(full_name, arguments);
        // Behind the tag, where the cases of an error may want to be.
        let at = if full_name.starts_with("lockkeeper:") { 8 } else { 4 };
        self.script.load(ZERO, RETURN_AT + at)
    }

    pub(super) fn text(&mut self, text: &str) -> [Argument; 2] {
        let at = self.script.bytes(text.as_bytes());
        [Argument::Is(at.into()), Argument::Is(text.len() as u64)]
    }

    /// A handle of something that the job has under this name.
    pub(super) fn open(&mut self, interface: &str, name: &str) -> Register {
        let resource = interface.rsplit('/').next().unwrap_or(interface);
        self.open_of(interface, resource, name)
    }

    fn open_of(&mut self, interface: &str, resource: &str, name: &str) -> Register {
        let name = self.text(name);
        self.handle_by(&format!("{interface}.[static]{resource}.open"), &name)
    }

    /// Prints a line.
    pub(super) fn say(&mut self, line: &str) {
        let stdout = self.handle_by("wasi:cli/stdout.get-stdout", &[]);
        let [at, length] = self.text(&format!("{line}\n"));
        let write = "wasi:io/streams.[method]output-stream.blocking-write-and-flush";
        self.call_well(write, &[Argument::In(stdout), at, length]);
    }

    /// Takes the lock by which the host sees that the next call is the one that counts.
    pub(super) fn sign(&mut self) {
        let lock = Argument::In(self.open("lockkeeper:runtime/mutex", SIGN));
        let acquire = "lockkeeper:runtime/mutex.[method]mutex.acquire";
        self.call_well(acquire, &[lock, Argument::Is(0), Argument::Is(0)]);
    }

    /// A register with this number.
    pub(super) fn number(&mut self, number: u32) -> Register {
        let at = self.script.bytes(&number.to_le_bytes());
        self.script.load(ZERO, at)
    }

    /// A handle of a resource, in one of its [`ways`].
    pub(super) fn obtain(&mut self, resource: &str, way: usize) -> Register {
        let is = |value: u64| Argument::Is(value);
        let (interface, name) = resource.split_once('.').expect("the name of a resource");
        match (resource, way) {
            ("lockkeeper:runtime/multi-lock.multi-lock", _) => {
                self.good_handle("lockkeeper:runtime/multi-lock.[static]multi-lock.open")
            }
            ("lockkeeper:runtime/process.child", _) => {
                self.good_handle("lockkeeper:runtime/process.[static]child.spawn")
            }
            _ if interface.starts_with("lockkeeper:") => self.open_of(interface, name, name),
            ("wasi:io/poll.pollable", 0) => {
                let stream = self.obtain("wasi:io/streams.input-stream", 0);
                self.call("wasi:io/streams.[method]input-stream.subscribe", &[Argument::In(stream)])
            }
            ("wasi:io/poll.pollable", _) => {
                self.call("wasi:clocks/monotonic-clock.subscribe-duration", &[is(FOR_EVER_NS)])
            }
            ("wasi:io/streams.input-stream", 0) => {
                let file = Argument::In(self.obtain("wasi:filesystem/types.descriptor", 0));
                self.handle_by("wasi:filesystem/types.[method]descriptor.read-via-stream", &[file, is(0)])
            }
            ("wasi:io/streams.input-stream", _) => self.call("wasi:cli/stdin.get-stdin", &[]),
            ("wasi:io/streams.output-stream", 0) => self.call("wasi:cli/stdout.get-stdout", &[]),
            ("wasi:io/streams.output-stream", _) => self.file_stream(0),
            ("wasi:io/error.error", _) => {
                let stream = Argument::In(self.file_stream(u64::MAX));
                let [at, length] = self.text("x");
                let write = "wasi:io/streams.[method]output-stream.blocking-write-and-flush";
                self.call(write, &[stream, at, length, is(RETURN_AT.into())]);
                self.script.expect_byte(RETURN_AT, 1);
                self.script.expect_byte(RETURN_AT + 4, 0);
                self.script.load(ZERO, RETURN_AT + 8)
            }
            ("wasi:filesystem/types.descriptor", 0) => {
                let directory = Argument::In(self.obtain(resource, 1));
                let [at, length] = self.text("f");
                // Follow no link, create it, read and write.
                let open = "wasi:filesystem/types.[method]descriptor.open-at";
                self.handle_by(open, &[directory, is(0), at, length, is(1), is(3)])
            }
            ("wasi:filesystem/types.descriptor", _) => {
                self.call("wasi:filesystem/preopens.get-directories", &[is(RETURN_AT.into())]);
                let list = self.script.load(ZERO, RETURN_AT);
                self.script.load(list, 0)
            }
            ("wasi:filesystem/types.directory-entry-stream", _) => {
                let directory = Argument::In(self.obtain("wasi:filesystem/types.descriptor", 1));
                self.handle_by("wasi:filesystem/types.[method]descriptor.read-directory", &[directory])
            }
            ("wasi:sockets/network.network", _) => self.call("wasi:sockets/instance-network.instance-network", &[]),
            _ => panic!("how does a process come to a `{resource}`? Say it here, or why it cannot in UNOBTAINABLE"),
        }
    }

    /// A handle by a call with good arguments.
    fn good_handle(&mut self, full_name: &str) -> Register {
        let call = &self.contract.calls[self.contract.find(full_name)];
        let mut arguments = self.arguments(call, &good(call));
        arguments.pop();
        self.handle_by(full_name, &arguments)
    }

    fn file_stream(&mut self, offset: u64) -> Register {
        let file = Argument::In(self.obtain("wasi:filesystem/types.descriptor", 0));
        self.handle_by("wasi:filesystem/types.[method]descriptor.write-via-stream", &[file, Argument::Is(offset)])
    }

    /// Handles of all resources that a call is given, as far as there can be some; that of its own in this way.
    pub(super) fn obtain_for(&mut self, call: &Call, way: usize) {
        for (resource, name) in resources_of(self.contract, call) {
            let way = if Some(resource) == own(self.contract, call) { way } else { 0 };
            if ways(&name) > way {
                let handle = self.obtain(&name, way);
                self.handles.insert(resource, handle);
            }
        }
    }

    pub(super) fn arguments(&mut self, call: &Call, fill: &Fill) -> Vec<Argument> {
        Arguments::new(self.contract, &mut self.script, &self.handles).of(call, fill)
    }

    /// What makes the call answer with a list or a text, where it would not do so at once.
    pub(super) fn prepare(&mut self, call: &Call) {
        let Some(own) = own(self.contract, call).and_then(|resource| self.handles.get(&resource)) else {
            return;
        };
        let (own, none) = (Argument::In(*own), [Argument::Is(0), Argument::Is(0)]);
        match call.name.as_str() {
            // Asking twice is a deadlock, which is drawn.
            "[method]mutex.acquire" => self.call_well(&call.full_name(), &[own, none[0], none[1]]),
            "[method]rwlock.read" | "[method]rwlock.upgrade" | "[method]rwlock.write" => {
                let write = "lockkeeper:runtime/rwlock.[method]rwlock.write";
                self.call_well(write, &[own, none[0], none[1]]);
            }
            "[method]once.begin" => self.call_well(&call.full_name(), &[own, none[0], none[1]]),
            "[method]queue.get" | "[method]queue.try-get" => {
                let [at, length] = self.text("item");
                self.call_well("lockkeeper:runtime/queue.[method]queue.try-put", &[own, at, length]);
            }
            "[method]child.outcome" | "[method]child.try-join" => {
                self.call_well("lockkeeper:runtime/process.[method]child.join", &[own, none[0], none[1]]);
            }
            "[method]output-stream.write" => {
                let check = "wasi:io/streams.[method]output-stream.check-write";
                self.call_well(check, &[own]);
            }
            _ => {}
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.script.finish()
    }
}

/// The resource whose function it is.
pub(super) fn own(contract: &Contract, call: &Call) -> Option<TypeId> {
    match &call.kind {
        CallKind::Drop(resource) => Some(*resource),
        CallKind::Function { function, .. } if call.name.starts_with("[method]") => {
            match contract.made_of(&function.params[0].ty) {
                Ok(TypeDefKind::Handle(handle)) => Some(contract.resource(*handle)),
                _ => panic!("{}: a method has a handle first", call.full_name()),
            }
        }
        CallKind::Function { .. } => None,
    }
}

/// All resources that a call is given handles of.
pub(super) fn resources_of(contract: &Contract, call: &Call) -> BTreeMap<TypeId, String> {
    fn walk(contract: &Contract, ty: &Type, found: &mut BTreeMap<TypeId, String>) {
        match contract.made_of(ty) {
            Ok(TypeDefKind::Handle(handle @ (Handle::Own(_) | Handle::Borrow(_)))) => {
                let resource = contract.resource(*handle);
                found.insert(resource, contract.resource_name(resource));
            }
            Ok(TypeDefKind::List(element)) => walk(contract, element, found),
            // No function of the contract has handles deeper in its arguments: its good arguments would be without.
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    match &call.kind {
        CallKind::Drop(resource) => drop(found.insert(*resource, contract.resource_name(*resource))),
        CallKind::Function { function, .. } => {
            function.params.iter().for_each(|param| walk(contract, &param.ty, &mut found));
        }
    }
    found
}

/// Good arguments of a call, with the names of what the job has.
pub(super) fn good(call: &Call) -> Fill {
    let text = match (call.interface.as_str(), call.name.as_str()) {
        ("lockkeeper:runtime/multi-lock", _) => "mutex",
        ("lockkeeper:runtime/process", "[static]child.spawn") => "self",
        ("lockkeeper:runtime/objects", "forget") => "#1",
        (_, name) => match name.strip_prefix("[static]").and_then(|name| name.strip_suffix(".open")) {
            Some(resource) => resource,
            None if name.ends_with("readlink-at") => "l",
            None if name.ends_with("remove-directory-at") => "s",
            None => "f",
        },
    };
    // A child has a script, too: one that traps, so that there is something to tell of it.
    let mut traps = Script::default();
    traps.trap();
    match call.name.as_str() {
        // It is given no objects.
        "[static]child.spawn" => Fill { bytes: traps.finish(), has_elements: false, ..Fill::good(text) },
        _ => Fill::good(text),
    }
}

/// Comes to the place where a call waits for ever, and answers its arguments. Somebody else holds what the job has one of (see
/// [`holder`]).
pub(super) fn before_waiting(scene: &mut Scene<'_>, full_name: &str) -> Vec<Argument> {
    let is = Argument::Is;
    let (interface, name) = full_name.split_once('.').expect("the name of a function");
    let none = [is(0), is(0)];
    let result = is(RETURN_AT.into());
    let with_timeout = |own: Register| vec![Argument::In(own), none[0], none[1], result];
    match name {
        "[method]rwlock.upgrade" => {
            let own = scene.open(interface, "shared");
            scene.call_well("lockkeeper:runtime/rwlock.[method]rwlock.read", &with_timeout(own)[..3]);
            with_timeout(own)
        }
        "[method]semaphore.acquire" => {
            let own = scene.open(interface, "semaphore");
            vec![Argument::In(own), is(1), none[0], none[1], result]
        }
        "[method]condition.wait" => {
            let (own, lock) = (scene.open(interface, "noticed"), scene.open("lockkeeper:runtime/mutex", "notice"));
            scene.call_well("lockkeeper:runtime/mutex.[method]mutex.acquire", &with_timeout(lock)[..3]);
            with_timeout(own)
        }
        "[method]queue.put" => {
            let own = scene.open(interface, "full");
            let [at, length] = scene.text("item");
            vec![Argument::In(own), at, length, none[0], none[1], result]
        }
        "[method]queue.join" => with_timeout(scene.open(interface, "full")),
        "[method]child.join" => {
            // It waits for an event that nobody sets.
            let mut child = Scene::new(scene.contract);
            let event = child.open("lockkeeper:runtime/event", "event");
            child.call("lockkeeper:runtime/event.[method]event.wait", &with_timeout(event));
            let spawn = "lockkeeper:runtime/process.[static]child.spawn";
            let call = &scene.contract.calls[scene.contract.find(spawn)];
            let mut arguments = scene.arguments(call, &Fill { bytes: child.finish(), ..good(call) });
            arguments.pop();
            with_timeout(scene.handle_by(spawn, &arguments))
        }
        "[method]barrier.wait" => {
            let own = scene.open(interface, "barrier");
            // The end of the last one that waited has broken it.
            scene.call("lockkeeper:runtime/barrier.[method]barrier.reset", &[Argument::In(own)]);
            with_timeout(own)
        }
        "[method]multi-lock.acquire" => with_timeout(scene.obtain("lockkeeper:runtime/multi-lock.multi-lock", 0)),
        "[method]pollable.block" => vec![Argument::In(scene.obtain("wasi:io/poll.pollable", 1))],
        "poll" => {
            let pollable = scene.obtain("wasi:io/poll.pollable", 1);
            let list = scene.script.reserve(4, 4);
            scene.script.store(list, pollable);
            vec![is(list.into()), is(1), result]
        }
        "[method]input-stream.blocking-read" | "[method]input-stream.blocking-skip" => {
            vec![Argument::In(scene.obtain("wasi:io/streams.input-stream", 1)), is(1), result]
        }
        "[method]output-stream.blocking-splice" => {
            let from = scene.obtain("wasi:io/streams.input-stream", 1);
            let to = scene.obtain("wasi:io/streams.output-stream", 0);
            vec![Argument::In(to), Argument::In(from), is(1), result]
        }
        // It may print a byte in a second.
        "[method]output-stream.blocking-flush" => {
            let own = Argument::In(scene.obtain("wasi:io/streams.output-stream", 0));
            print_a_byte(scene, own);
            vec![own, result]
        }
        "[method]output-stream.blocking-write-and-flush" => {
            let [at, length] = scene.text("much text");
            vec![Argument::In(scene.obtain("wasi:io/streams.output-stream", 0)), at, length, result]
        }
        "[method]output-stream.blocking-write-zeroes-and-flush" => {
            vec![Argument::In(scene.obtain("wasi:io/streams.output-stream", 0)), is(9), result]
        }
        "[method]mutex.acquire"
        | "[method]rlock.acquire"
        | "[method]rwlock.read"
        | "[method]rwlock.write"
        | "[method]event.wait"
        | "[method]latch.wait"
        | "[method]once.begin"
        | "[method]queue.get" => {
            let resource = interface.rsplit('/').next().unwrap_or(interface);
            with_timeout(scene.open(interface, resource))
        }
        _ => panic!("when does `{full_name}` wait for ever? Say it here"),
    }
}

/// What does not wait for ever waits again.
pub(super) fn after_waiting(scene: &mut Scene<'_>, full_name: &str, arguments: &[Argument], again: Label) {
    if full_name.ends_with("output-stream.blocking-flush") {
        print_a_byte(scene, arguments[0]);
        scene.script.jump_if_zero(ZERO, again);
    }
}

fn print_a_byte(scene: &mut Scene<'_>, stream: Argument) {
    let [at, length] = scene.text("x");
    scene.call_well("wasi:io/streams.[method]output-stream.check-write", &[stream]);
    scene.call_well("wasi:io/streams.[method]output-stream.write", &[stream, at, length]);
}

/// Holds whatever one process can hold so that others wait, says so, and waits for ever.
pub(super) fn holder(contract: &Contract) -> Vec<u8> {
    let mut scene = Scene::new(contract);
    let none = [Argument::Is(0), Argument::Is(0)];
    for (kind, how, name) in [
        ("mutex", "acquire", "mutex"),
        ("rlock", "acquire", "rlock"),
        ("rwlock", "write", "rwlock"),
        ("rwlock", "read", "shared"),
        ("once", "begin", "once"),
    ] {
        let interface = format!("lockkeeper:runtime/{kind}");
        let own = Argument::In(scene.open(&interface, name));
        scene.call_well(&format!("{interface}.[method]{kind}.{how}"), &[own, none[0], none[1]]);
    }
    let semaphore = Argument::In(scene.open("lockkeeper:runtime/semaphore", "semaphore"));
    let acquire = "lockkeeper:runtime/semaphore.[method]semaphore.acquire";
    scene.call_well(acquire, &[semaphore, Argument::Is(1), none[0], none[1]]);
    let queue = Argument::In(scene.open("lockkeeper:runtime/queue", "full"));
    let [at, length] = scene.text("item");
    scene.call_well("lockkeeper:runtime/queue.[method]queue.try-put", &[queue, at, length]);
    scene.say("holding");
    let event = Argument::In(scene.open("lockkeeper:runtime/event", "event"));
    scene.call_well("lockkeeper:runtime/event.[method]event.wait", &[event, none[0], none[1]]);
    scene.finish()
}

/// Adds to a number under a lock, again and again, and checks each time that nobody else has; ends well when it is told to.
pub(super) fn neighbour(contract: &Contract) -> Vec<u8> {
    let mut scene = Scene::new(contract);
    let none = [Argument::Is(0), Argument::Is(0)];
    let lock = Argument::In(scene.open("lockkeeper:runtime/mutex", "own"));
    let value = Argument::In(scene.open("lockkeeper:runtime/value", "count"));
    let end = Argument::In(scene.open("lockkeeper:runtime/event", "end"));
    let result = Argument::Is(RETURN_AT.into());
    let count = scene.script.register();
    let again = scene.script.label();
    scene.call_well("lockkeeper:runtime/mutex.[method]mutex.acquire", &[lock, none[0], none[1]]);
    scene.call("lockkeeper:runtime/value.[method]value.get", &[value, result]);
    let found = scene.script.load_long(RETURN_AT + 8);
    scene.script.expect_equal(found, count);
    // Signed, and one.
    let add = "lockkeeper:runtime/value.[method]value.add";
    scene.call_well(add, &[value, Argument::Is(0), Argument::Is(1), Argument::Is(0)]);
    scene.script.increment(count);
    scene.call_well("lockkeeper:runtime/mutex.[method]mutex.release", &[lock, none[0], none[1]]);
    let pause = scene.call("wasi:clocks/monotonic-clock.subscribe-duration", &[Argument::Is(100_000)]);
    scene.call("wasi:io/poll.[method]pollable.block", &[Argument::In(pause)]);
    scene.call("wasi:io/poll.[resource-drop]pollable", &[Argument::In(pause)]);
    let told = scene.call("lockkeeper:runtime/event.[method]event.is-set", &[end]);
    scene.script.jump_if_zero(told, again);
    scene.finish()
}

/// Tells the [`neighbour`] to end.
pub(super) fn farewell(contract: &Contract) -> Vec<u8> {
    let mut scene = Scene::new(contract);
    let end = Argument::In(scene.open("lockkeeper:runtime/event", "end"));
    scene.call("lockkeeper:runtime/event.[method]event.set", &[end]);
    scene.finish()
}
