//! What the program does: a script of few operations, which it finds in the bytes for its start.
//!
//! So that one program, compiled once, plays every case. It has registers, each a word, of which the first is always zero,
//! and a memory in which the script lies at [`SCRIPT_AT`], its data before its operations.

use super::contract::Contract;

/// The memory ends here, and cannot grow: far enough for more than one call may carry.
pub(super) const MEMORY_END: u32 = 4 << 20;

/// Where calls put what they return.
pub(super) const RETURN_AT: u32 = 0x100;

const ARGUMENTS_AT: u32 = 0x800;
const REGISTERS_AT: u32 = 0x1000;
const REGISTERS_MAX: u32 = 256;
const SCRIPT_AT: u32 = 0x2000;

/// From here on there is nothing but zeros: no script is so long.
pub(super) const ZEROS_AT: u32 = 1 << 20;

/// Where a script begins, behind the word that says where its operations are.
const DATA_AT: u32 = SCRIPT_AT + 8;

/// How the program answers when the host asks it for memory, if not with some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Realloc {
    Traps = 1,
    /// With the last byte there is.
    LastByte = 2,
    /// With a place far outside of its memory.
    Outside = 3,
    /// With a place that only a byte could be at.
    Misaligned = 4,
    /// Not at all.
    NeverReturns = 5,
    /// It calls itself until its stack ends.
    Recurses = 6,
    /// It calls the function again in which it is asked.
    CallsAgain = 7,
}

/// Where a value is kept that is known when the script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Register(u32);

/// An argument of a call, as the core module gives it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument {
    Is(u64),
    In(Register),
}

/// Always zero.
pub(super) const ZERO: Register = Register(0);

/// A place in a script.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

#[derive(Default)]
pub(super) struct Script {
    data: Vec<u8>,
    words: Vec<u64>,
    registers: u32,
    /// Words that are to be the place of a label, by where they stand.
    jumps: Vec<(usize, Label)>,
}

impl Script {
    pub(super) fn register(&mut self) -> Register {
        self.registers += 1;
        assert!(self.registers < REGISTERS_MAX, "a script has not so many registers");
        Register(self.registers)
    }

    /// Room for data, of zeros; answers where it will be.
    pub(super) fn reserve(&mut self, bytes: usize, align: usize) -> u32 {
        let at = self.data.len().next_multiple_of(align.max(1));
        self.data.resize(at + bytes, 0);
        DATA_AT + u32::try_from(at).expect("a script is short")
    }

    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) {
        let at = (at - DATA_AT) as usize;
        self.data[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> u32 {
        let at = self.reserve(bytes.len(), 1);
        self.put(at, bytes);
        at
    }

    /// Calls a function of the contract by its number.
    pub(super) fn call(&mut self, number: usize, arguments: &[Argument]) -> Register {
        let result = self.register();
        self.call_into(result, number, arguments);
        result
    }

    /// The same with a register for the result.
    pub(super) fn call_into(&mut self, result: Register, number: usize, arguments: &[Argument]) {
        self.words.extend([1, number as u64, result.0.into(), arguments.len() as u64]);
        self.words.extend(arguments.iter().flat_map(|argument| match argument {
            Argument::Is(value) => [0, *value],
            Argument::In(register) => [1, register.0.into()],
        }));
    }

    /// From here on it answers like this when it is asked for memory.
    pub(super) fn realloc(&mut self, how: Realloc) {
        self.words.extend([2, how as u64]);
    }

    /// The four bytes at a place, counted from what a register has.
    pub(super) fn load(&mut self, base: Register, at: u32) -> Register {
        let to = self.register();
        self.words.extend([3, to.0.into(), base.0.into(), at.into()]);
        to
    }

    pub(super) fn load_long(&mut self, at: u32) -> Register {
        let to = self.register();
        self.words.extend([4, to.0.into(), at.into()]);
        to
    }

    pub(super) fn store(&mut self, at: u32, from: Register) {
        self.words.extend([5, at.into(), from.0.into()]);
    }

    /// It returns an error if the byte is another one.
    pub(super) fn expect_byte(&mut self, at: u32, value: u8) {
        self.words.extend([6, at.into(), value.into()]);
    }

    /// It returns an error if they differ.
    pub(super) fn expect_equal(&mut self, one: Register, other: Register) {
        self.words.extend([7, one.0.into(), other.0.into()]);
    }

    pub(super) fn increment(&mut self, register: Register) {
        self.words.extend([8, register.0.into()]);
    }

    pub(super) fn label(&self) -> Label {
        Label(self.words.len())
    }

    pub(super) fn jump_if_zero(&mut self, register: Register, to: Label) {
        self.words.extend([9, register.0.into()]);
        self.jumps.push((self.words.len(), to));
        self.words.push(0);
    }

    /// It traps.
    pub(super) fn trap(&mut self) {
        self.words.push(u64::MAX);
    }

    /// The bytes for the program's start.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let data_bytes = self.data.len().next_multiple_of(8);
        self.data.resize(data_bytes, 0);
        let words_at = DATA_AT as usize + data_bytes;
        for (place, Label(to)) in self.jumps {
            self.words[place] = (words_at + 8 * to) as u64;
        }
        self.words.push(0);
        let mut bytes = (words_at as u64).to_le_bytes().to_vec();
        bytes.extend(self.data);
        bytes.extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
        assert!(SCRIPT_AT as usize + bytes.len() < ZEROS_AT as usize, "a script is short");
        bytes
    }
}

/// The module that follows a script.
pub(super) fn interpreter(contract: &Contract) -> String {
    let start_data = contract.find("lockkeeper:runtime/process.start-data");
    let imports_and_thunks = contract.imports_and_thunks(ARGUMENTS_AT);
    let pages = MEMORY_END >> 16;
    format!(
        r#"(module
{imports_and_thunks}
(memory (export "memory") {pages} {pages})
(global $realloc (mut i32) (i32.const 0))
(global $next (mut i32) (i32.const {SCRIPT_AT}))
(global $called (mut i32) (i32.const 0))
(func $dive (param i32) (result i32) (i32.add (call $dive (local.get 0)) (i32.const 1)))
(func (export "cabi_realloc") (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
    (local $at i32)
    (if (i32.eq (global.get $realloc) (i32.const 1)) (then unreachable))
    (if (i32.eq (global.get $realloc) (i32.const 2)) (then (return (i32.const {last}))))
    (if (i32.eq (global.get $realloc) (i32.const 3)) (then (return (i32.const -16))))
    (if (i32.eq (global.get $realloc) (i32.const 4)) (then (return (i32.const {odd}))))
    (if (i32.eq (global.get $realloc) (i32.const 5)) (then (loop $forever (br $forever))))
    (if (i32.eq (global.get $realloc) (i32.const 6)) (then (return (call $dive (i32.const 0)))))
    (if (i32.eq (global.get $realloc) (i32.const 7))
        (then (drop (call_indirect (result i64) (global.get $called))) (return (i32.const {odd}))))
    (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $at) (local.get $len)))
    (local.get $at))
(func $register (param $at i32) (result i32)
    (i32.add (i32.const {REGISTERS_AT}) (i32.shl (call $word (local.get $at)) (i32.const 3))))
(func $word (param $at i32) (result i32) (i32.wrap_i64 (i64.load (local.get $at))))
(func (export "wasi:cli/run@0.2.12#run") (result i32)
    (local $at i32) (local $left i32) (local $to i32) (local $from i32)
    (call $call{start_data} (i32.const {RETURN_AT}))
    ;; Nothing else was allocated yet.
    (if (i32.ne (i32.load (i32.const {RETURN_AT})) (i32.const {SCRIPT_AT})) (then unreachable))
    ;; Without a script it has nothing to do.
    (if (i32.eqz (i32.load offset=4 (i32.const {RETURN_AT}))) (then (return (i32.const 0))))
    (local.set $at (call $word (i32.const {SCRIPT_AT})))
    (loop $next
        (block $increment (block $jump (block $equal (block $byte (block $store (block $load_long (block $load
        (block $realloc (block $call (block $end (block $trap
            (br_table $end $call $realloc $load $load_long $store $byte $equal $increment $jump $trap
                (call $word (local.get $at))))
            unreachable)
            (return (i32.const 0)))
            ;; call: number, result, count of arguments, (kind, value) for each
            (local.set $left (call $word (i32.add (local.get $at) (i32.const 24))))
            (local.set $from (i32.add (local.get $at) (i32.const 32)))
            (local.set $to (i32.const {ARGUMENTS_AT}))
            (block $all (loop $argument
                (br_if $all (i32.eqz (local.get $left)))
                (i64.store (local.get $to) (if (result i64) (call $word (local.get $from))
                    (then (i64.load (call $register (i32.add (local.get $from) (i32.const 8)))))
                    (else (i64.load (i32.add (local.get $from) (i32.const 8))))))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (local.set $from (i32.add (local.get $from) (i32.const 16)))
                (local.set $to (i32.add (local.get $to) (i32.const 8)))
                (br $argument)))
            (global.set $called (call $word (i32.add (local.get $at) (i32.const 8))))
            (i64.store (call $register (i32.add (local.get $at) (i32.const 16)))
                (call_indirect (result i64) (global.get $called)))
            (local.set $at (local.get $from))
            (br $next))
            ;; realloc: how
            (global.set $realloc (call $word (i32.add (local.get $at) (i32.const 8))))
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (br $next))
            ;; load: register, base register, place
            (i64.store (call $register (i32.add (local.get $at) (i32.const 8)))
                (i64.load32_u (i32.add
                    (call $word (call $register (i32.add (local.get $at) (i32.const 16))))
                    (call $word (i32.add (local.get $at) (i32.const 24))))))
            (local.set $at (i32.add (local.get $at) (i32.const 32)))
            (br $next))
            ;; load_long: register, place
            (i64.store (call $register (i32.add (local.get $at) (i32.const 8)))
                (i64.load (call $word (i32.add (local.get $at) (i32.const 16)))))
            (local.set $at (i32.add (local.get $at) (i32.const 24)))
            (br $next))
            ;; store: place, register
            (i64.store32 (call $word (i32.add (local.get $at) (i32.const 8)))
                (i64.load (call $register (i32.add (local.get $at) (i32.const 16)))))
            (local.set $at (i32.add (local.get $at) (i32.const 24)))
            (br $next))
            ;; byte: place, value
            (if (i32.ne (i32.load8_u (call $word (i32.add (local.get $at) (i32.const 8))))
                        (call $word (i32.add (local.get $at) (i32.const 16))))
                (then (return (i32.const 1))))
            (local.set $at (i32.add (local.get $at) (i32.const 24)))
            (br $next))
            ;; equal: register, register
            (if (i64.ne (i64.load (call $register (i32.add (local.get $at) (i32.const 8))))
                        (i64.load (call $register (i32.add (local.get $at) (i32.const 16)))))
                (then (return (i32.const 1))))
            (local.set $at (i32.add (local.get $at) (i32.const 24)))
            (br $next))
            ;; jump: register, place
            (local.set $at (if (result i32) (i64.eqz (i64.load (call $register (i32.add (local.get $at) (i32.const 8)))))
                (then (call $word (i32.add (local.get $at) (i32.const 16))))
                (else (i32.add (local.get $at) (i32.const 24)))))
            (br $next))
        ;; increment: register
        (local.set $to (call $register (i32.add (local.get $at) (i32.const 8))))
        (i64.store (local.get $to) (i64.add (i64.load (local.get $to)) (i64.const 1)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next))
    unreachable))"#,
        last = MEMORY_END - 1,
        odd = ZEROS_AT + 1,
    )
}
