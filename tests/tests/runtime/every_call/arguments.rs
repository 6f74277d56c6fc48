//! Arguments of every type, good ones and hostile ones, as a core module gives them.

use std::collections::HashMap;

use wit_parser::{Handle, Int, SizeAlign, Type, TypeDefKind, TypeId};

use super::contract::{Call, CallKind, Contract};
use super::script::{Argument, MEMORY_END, RETURN_AT, Register, Script, ZEROS_AT};

/// What a guest writes into its arguments.
#[derive(Clone, Debug)]
pub(super) struct Fill {
    /// Every text that is a good one.
    pub(super) text: String,
    /// Every list of bytes that is a good one.
    pub(super) bytes: Vec<u8>,
    /// Whether other lists that are good ones have an element, or none.
    pub(super) has_elements: bool,
    /// Every number, cut to its size.
    pub(super) number: u64,
    pub(super) case: CaseOf,
    pub(super) list: List,
}

impl Fill {
    pub(super) fn good(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            bytes: b"x".to_vec(),
            has_elements: true,
            number: 1,
            case: CaseOf::First,
            list: List::Good,
        }
    }

    /// Lists like this, wherever a type has some.
    pub(super) fn lists(&self, list: List) -> Self {
        Self { list, case: CaseOf::Lists, ..self.clone() }
    }
}

/// Which case of a variant, option or enumeration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CaseOf {
    /// None, if it is an option.
    First,
    /// The one with the most in it: a list, if there is one.
    Lists,
    /// One that there is not.
    Unknown,
}

/// What a list, or a text, is.
#[derive(Clone, Debug)]
pub(super) enum List {
    /// What it should be.
    Good,
    /// Text that is none.
    NotText,
    /// It ends where the memory does, or so many elements behind that.
    AtTheEnd { beyond: u32 },
    /// From the start of memory on, so many elements.
    Huge(u32),
    /// As many elements as have this many bytes, all of them in memory.
    Bytes(u32),
    /// It is not where its elements could be.
    Odd,
    /// A good list with one element, in which the lists are like this.
    Inside(Box<List>),
}

/// The handles that a process has.
pub(super) type Handles = HashMap<TypeId, Register>;

/// Writes the arguments of one call.
pub(super) struct Arguments<'a> {
    contract: &'a Contract,
    script: &'a mut Script,
    handles: &'a Handles,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(contract: &'a Contract, script: &'a mut Script, handles: &'a Handles) -> Self {
        Self { contract, script, handles }
    }

    /// The arguments of a call, in the order of the core function.
    pub(super) fn of(&mut self, call: &Call, fill: &Fill) -> Vec<Argument> {
        let CallKind::Function { function, indirect, returns_in_memory } = &call.kind else {
            let CallKind::Drop(resource) = call.kind else { unreachable!() };
            return vec![self.handle(resource)];
        };
        let types: Vec<Type> = function.params.iter().map(|param| param.ty).collect();
        let mut arguments = Vec::new();
        if *indirect {
            let all = self.contract.sizes.params(&types);
            let at = self.script.reserve(all.size.size_wasm32(), all.align.align_wasm32());
            self.store_fields(&types, fill, at);
            arguments.push(Argument::Is(at.into()));
        } else {
            types.iter().for_each(|ty| self.flatten(ty, fill, &mut arguments));
        }
        if *returns_in_memory {
            arguments.push(Argument::Is(RETURN_AT.into()));
        }
        assert_eq!(arguments.len(), call.params.len(), "{}", call.full_name());
        arguments
    }

    fn sizes(&self) -> &'a SizeAlign {
        &self.contract.sizes
    }

    fn handle(&self, resource: TypeId) -> Argument {
        // Where none can be had, any number is as good.
        self.handles.get(&resource).map_or(Argument::Is(7), |register| Argument::In(*register))
    }

    fn flatten(&mut self, ty: &Type, fill: &Fill, to: &mut Vec<Argument>) {
        let contract = self.contract;
        let kind = match contract.made_of(ty) {
            Ok(kind) => kind,
            Err(Type::String) => {
                let (at, length) = self.text(fill);
                return to.extend([Argument::Is(at.into()), Argument::Is(length.into())]);
            }
            Err(plain) => return to.push(Argument::Is(number(plain, fill))),
        };
        match kind {
            TypeDefKind::Record(record) => record.fields.iter().for_each(|field| self.flatten(&field.ty, fill, to)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().for_each(|ty| self.flatten(ty, fill, to)),
            TypeDefKind::List(element) => {
                let (at, length) = self.list(element, fill);
                to.extend([Argument::Is(at.into()), Argument::Is(length.into())]);
            }
            TypeDefKind::Handle(handle) => to.push(self.handle(contract.resource(*handle))),
            TypeDefKind::Flags(flags) => {
                to.extend(std::iter::repeat_n(Argument::Is(fill.number), flags.repr().count()));
            }
            TypeDefKind::Variant(_) | TypeDefKind::Enum(_) | TypeDefKind::Option(_) | TypeDefKind::Result(_) => {
                let cases = cases(kind);
                let (case, payload) = self.choose(&cases, fill);
                to.push(Argument::Is(case.into()));
                let before = to.len();
                payload.iter().for_each(|ty| self.flatten(ty, fill, to));
                // The other cases may be longer.
                let longest = cases.iter().flatten().map(|ty| self.flat_len(ty)).max().unwrap_or(0);
                to.resize(before + longest, Argument::Is(0));
            }
            other => panic!("arguments with a {} are not thought of", other.as_str()),
        }
    }

    fn flat_len(&self, ty: &Type) -> usize {
        let contract = self.contract;
        let all = |types: &mut dyn Iterator<Item = &Type>| types.map(|ty| self.flat_len(ty)).sum();
        match contract.made_of(ty) {
            Err(Type::String) | Ok(TypeDefKind::List(_)) => 2,
            Err(_) | Ok(TypeDefKind::Handle(_)) => 1,
            Ok(TypeDefKind::Record(record)) => all(&mut record.fields.iter().map(|field| &field.ty)),
            Ok(TypeDefKind::Tuple(tuple)) => all(&mut tuple.types.iter()),
            Ok(TypeDefKind::Flags(flags)) => flags.repr().count(),
            Ok(kind) => 1 + cases(kind).iter().flatten().map(|ty| self.flat_len(ty)).max().unwrap_or(0),
        }
    }

    /// Writes a value into memory.
    fn store(&mut self, ty: &Type, fill: &Fill, at: u32) {
        let contract = self.contract;
        let kind = match contract.made_of(ty) {
            Ok(kind) => kind,
            Err(Type::String) => {
                let (text_at, length) = self.text(fill);
                self.script.put(at, &text_at.to_le_bytes());
                return self.script.put(at + 4, &length.to_le_bytes());
            }
            Err(plain) => {
                let bytes = self.sizes().size(ty).size_wasm32();
                return self.script.put(at, &number(plain, fill).to_le_bytes()[..bytes]);
            }
        };
        match kind {
            TypeDefKind::Record(record) => {
                let types: Vec<Type> = record.fields.iter().map(|field| field.ty).collect();
                self.store_fields(&types, fill, at);
            }
            TypeDefKind::Tuple(tuple) => self.store_fields(&tuple.types, fill, at),
            TypeDefKind::List(element) => {
                let (list_at, length) = self.list(element, fill);
                self.script.put(at, &list_at.to_le_bytes());
                self.script.put(at + 4, &length.to_le_bytes());
            }
            TypeDefKind::Handle(handle) => match self.handle(contract.resource(*handle)) {
                Argument::In(register) => self.script.store(at, register),
                Argument::Is(value) => self.script.put(at, &value.to_le_bytes()[..4]),
            },
            TypeDefKind::Flags(_) => {
                let bytes = self.sizes().size(ty).size_wasm32();
                self.script.put(at, &fill.number.to_le_bytes()[..bytes.min(8)]);
            }
            TypeDefKind::Variant(_) | TypeDefKind::Enum(_) | TypeDefKind::Option(_) | TypeDefKind::Result(_) => {
                let cases = cases(kind);
                let (case, payload) = self.choose(&cases, fill);
                let (tag, bytes) = match cases.len() {
                    0..=0x100 => (Int::U8, 1),
                    _ => (Int::U16, 2),
                };
                self.script.put(at, &case.to_le_bytes()[..bytes]);
                let offset = self.sizes().payload_offset(tag, cases.iter().map(Option::as_ref)).size_wasm32();
                payload.iter().for_each(|ty| self.store(ty, fill, at + wasm(offset)));
            }
            other => panic!("arguments with a {} are not thought of", other.as_str()),
        }
    }

    fn store_fields(&mut self, types: &[Type], fill: &Fill, at: u32) {
        for (offset, ty) in self.sizes().field_offsets(types) {
            self.store(ty, fill, at + wasm(offset.size_wasm32()));
        }
    }

    fn choose(&self, cases: &[Option<Type>], fill: &Fill) -> (u32, Option<Type>) {
        let case = match fill.case {
            CaseOf::First => 0,
            CaseOf::Unknown => return (wasm(cases.len()), None),
            CaseOf::Lists => {
                let most = |case: &usize| cases[*case].map_or(0, |ty| 1 + usize::from(self.has_list(&ty)));
                (0..cases.len()).max_by_key(most).unwrap_or(0)
            }
        };
        (wasm(case), cases.get(case).copied().flatten())
    }

    fn has_list(&self, ty: &Type) -> bool {
        has_list(self.contract, ty)
    }

    fn text(&mut self, fill: &Fill) -> (u32, u32) {
        match &fill.list {
            List::Good => (self.script.bytes(fill.text.as_bytes()), wasm(fill.text.len())),
            List::NotText => (self.script.bytes(b"\xff\xfe"), 2),
            List::Inside(inner) => self.text(&within(fill, inner)),
            other => self.sequence(1, 1, &other.clone()),
        }
    }

    fn list(&mut self, element: &Type, fill: &Fill) -> (u32, u32) {
        let size = wasm(self.sizes().size(element).size_wasm32());
        let align = wasm(self.sizes().align(element).align_wasm32());
        let is_bytes = matches!(self.contract.made_of(element), Err(Type::U8));
        match &fill.list {
            List::Good | List::NotText if is_bytes => (self.script.bytes(&fill.bytes), wasm(fill.bytes.len())),
            List::Good if !fill.has_elements => (0, 0),
            List::Good | List::NotText => self.one(element, fill, size, align),
            List::Inside(inner) if self.has_list(element) => self.one(element, &within(fill, inner), size, align),
            // It is the innermost one itself.
            List::Inside(inner) => self.list(element, &within(fill, inner)),
            other => self.sequence(size, align, &other.clone()),
        }
    }

    /// A list with one element.
    fn one(&mut self, element: &Type, fill: &Fill, size: u32, align: u32) -> (u32, u32) {
        let at = self.script.reserve(size as usize, align as usize);
        self.store(element, fill, at);
        (at, 1)
    }

    /// Where a list of elements of this size is, and how many they are, if nothing is in it that matters.
    fn sequence(&self, size: u32, align: u32, list: &List) -> (u32, u32) {
        match list {
            List::AtTheEnd { beyond } => {
                let count = (64 / size).max(1);
                (MEMORY_END - count * size, count + beyond)
            }
            List::Huge(count) => (0, *count),
            List::Bytes(bytes) => (ZEROS_AT, bytes / size),
            List::Odd => (ZEROS_AT + u32::from(align > 1), 1),
            List::Good | List::NotText | List::Inside(_) => unreachable!("these have something in them"),
        }
    }
}

fn within(fill: &Fill, inner: &List) -> Fill {
    Fill { list: inner.clone(), ..fill.clone() }
}

/// Whether a value of this type has a list, or a text, in it: for such a result the host asks the program for memory.
pub(super) fn has_list(contract: &Contract, ty: &Type) -> bool {
    match contract.made_of(ty) {
        Err(Type::String) | Ok(TypeDefKind::List(_)) => true,
        Err(_) | Ok(TypeDefKind::Handle(Handle::Own(_) | Handle::Borrow(_)) | TypeDefKind::Flags(_)) => false,
        Ok(TypeDefKind::Record(record)) => record.fields.iter().any(|field| has_list(contract, &field.ty)),
        Ok(TypeDefKind::Tuple(tuple)) => tuple.types.iter().any(|ty| has_list(contract, ty)),
        Ok(kind) => cases(kind).iter().flatten().any(|ty| has_list(contract, ty)),
    }
}

/// Whether a value of this type has a handle in it that is the program's own.
pub(super) fn gives_a_handle(contract: &Contract, ty: &Type) -> bool {
    match contract.made_of(ty) {
        Err(_) | Ok(TypeDefKind::Flags(_)) => false,
        Ok(TypeDefKind::Handle(handle)) => matches!(handle, Handle::Own(_)),
        Ok(TypeDefKind::List(element)) => gives_a_handle(contract, element),
        Ok(TypeDefKind::Record(record)) => record.fields.iter().any(|field| gives_a_handle(contract, &field.ty)),
        Ok(TypeDefKind::Tuple(tuple)) => tuple.types.iter().any(|ty| gives_a_handle(contract, ty)),
        Ok(kind) => cases(kind).iter().flatten().any(|ty| gives_a_handle(contract, ty)),
    }
}

/// The cases of whatever has some.
fn cases(kind: &TypeDefKind) -> Vec<Option<Type>> {
    match kind {
        TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| case.ty).collect(),
        TypeDefKind::Enum(of) => vec![None; of.cases.len()],
        TypeDefKind::Option(some) => vec![None, Some(*some)],
        TypeDefKind::Result(result) => vec![result.ok, result.err],
        other => panic!("a {} is not thought of", other.as_str()),
    }
}

/// A number of this type, as it is in the slot of an argument.
fn number(ty: Type, fill: &Fill) -> u64 {
    match ty {
        Type::U64 | Type::S64 | Type::F64 => fill.number,
        _ => fill.number & u64::from(u32::MAX),
    }
}

fn wasm(length: usize) -> u32 {
    u32::try_from(length).expect("a length in WebAssembly")
}
