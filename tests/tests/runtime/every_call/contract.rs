//! Every function that the host has, read from `wit/`, and one program that can call each of them.
//!
//! The program is made for no language: its imports are all of the contract, and what it does is a script that it is given at
//! its start (see [`super::script`]).

use std::collections::BTreeSet;
use std::fmt::Write;

use lockkeeper_tests::workspace;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{
    Function, Handle, LiftLowerAbi, ManglingAndAbi, Resolve, ResourceIntrinsic, SizeAlign, Type, TypeDefKind, TypeId,
    WasmImport, WorldId, WorldItem,
};

use super::script::interpreter;

/// What core modules of WASI 0.1 are given beside WASI; it is in no file, as nobody writes it.
const ADAPTER: &str = "package lockkeeper:adapter@0.1.0; interface exit { proc-exit: func(status: u32); exit-with-code: func(status: u8); }";

const WORLD: &str = "package lockkeeper:every-call; \
    world program { include lockkeeper:runtime/guest@0.1.0; import lockkeeper:adapter/exit@0.1.0; }";

const NAMES: ManglingAndAbi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);

/// What a program can be linked to.
pub(super) struct Contract {
    pub(super) resolve: Resolve,
    pub(super) sizes: SizeAlign,
    world: WorldId,
    pub(super) calls: Vec<Call>,
}

/// One function of the host, as a core module sees it.
pub(super) struct Call {
    /// `lockkeeper:runtime/mutex`
    pub(super) interface: String,
    /// `[method]mutex.acquire`
    pub(super) name: String,
    pub(super) kind: CallKind,
    import: (String, String),
    pub(super) params: Vec<WasmType>,
    result: Option<WasmType>,
}

pub(super) enum CallKind {
    /// A handle goes back.
    Drop(TypeId),
    Function {
        function: Box<Function>,
        /// Its parameters are in memory: there are too many of them.
        indirect: bool,
        /// It is told where to put its result.
        returns_in_memory: bool,
    },
}

impl Call {
    /// `lockkeeper:runtime/mutex.[method]mutex.acquire`
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.interface, self.name)
    }

    pub(super) fn function(&self) -> Option<&Function> {
        match &self.kind {
            CallKind::Drop(_) => None,
            CallKind::Function { function, .. } => Some(function),
        }
    }

    /// Whether it may wait for what others do.
    pub(super) fn may_wait(&self) -> bool {
        let has_timeout = |function: &Function| function.params.iter().any(|param| param.name == "timeout");
        // A child is given a time limit, which nobody waits for.
        let ours = self.interface.starts_with("lockkeeper:") && self.function().is_some_and(has_timeout);
        ours || self.interface.starts_with("wasi:io/") && (self.name.contains("block") || self.name == "poll")
    }
}

impl Contract {
    pub(super) fn read() -> Self {
        let mut resolve = Resolve::default();
        resolve.push_dir(workspace().join("wit")).expect("the contract is read");
        resolve.push_str("adapter.wit", ADAPTER).expect("the adapter's interface is read");
        let package = resolve.push_str("world.wit", WORLD).expect("the world is read");
        let world = resolve.select_world(&[package], Some("program")).expect("there is the world");
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        let calls = calls(&resolve, world);
        Self { resolve, sizes, world, calls }
    }

    /// The place of a function in the program's table.
    pub(super) fn find(&self, full_name: &str) -> usize {
        let found = self.calls.iter().position(|call| call.full_name() == full_name);
        found.unwrap_or_else(|| panic!("there is no `{full_name}` in the contract"))
    }

    /// Every interface of `wit/` that a program can import.
    pub(super) fn interfaces(&self) -> BTreeSet<String> {
        let is_resource = |id: &TypeId| matches!(self.resolve.types[*id].kind, TypeDefKind::Resource);
        let all = self
            .resolve
            .interfaces
            .iter()
            .filter(|(_, interface)| !interface.functions.is_empty() || interface.types.values().any(is_resource));
        all.filter_map(|(id, _)| self.resolve.id_of(id)).map(|id| unversioned(&id).to_owned()).collect()
    }

    /// What a name of a type stands for.
    fn kind(&self, mut id: TypeId) -> (TypeId, &TypeDefKind) {
        while let TypeDefKind::Type(Type::Id(of)) = &self.resolve.types[id].kind {
            id = *of;
        }
        (id, &self.resolve.types[id].kind)
    }

    /// What a type is made of; none for what WebAssembly has itself.
    pub(super) fn made_of(&self, ty: &Type) -> Result<&TypeDefKind, Type> {
        let Type::Id(id) = ty else {
            return Err(*ty);
        };
        match self.kind(*id).1 {
            TypeDefKind::Type(of) => self.made_of(of),
            kind => Ok(kind),
        }
    }

    /// The resource that a handle is one of.
    pub(super) fn resource(&self, handle: Handle) -> TypeId {
        let (Handle::Own(id) | Handle::Borrow(id)) = handle;
        self.kind(id).0
    }

    /// `wasi:io/poll.pollable`
    pub(super) fn resource_name(&self, resource: TypeId) -> String {
        let drop = self.calls.iter().find(|call| matches!(call.kind, CallKind::Drop(of) if of == resource));
        let drop = drop.expect("every resource can be dropped");
        format!("{}.{}", drop.interface, drop.name.trim_start_matches("[resource-drop]"))
    }

    /// The names of all resources, each with its own.
    pub(super) fn resources(&self) -> impl Iterator<Item = (TypeId, String)> {
        self.calls.iter().filter_map(|call| match call.kind {
            CallKind::Drop(resource) => Some((resource, self.resource_name(resource))),
            CallKind::Function { .. } => None,
        })
    }

    /// The program.
    pub(super) fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(interpreter(self)).expect("the program's module is well formed");
        embed_component_metadata(&mut module, &self.resolve, self.world, StringEncoding::UTF8)
            .expect("it is described");
        let mut encoder = ComponentEncoder::default().module(&module).expect("it fits its world").validate(true);
        encoder.encode().unwrap_or_else(|error| panic!("the program is no component: {error:?}"))
    }

    /// The imports of its core module, and for each a function that takes its arguments from memory and answers its result.
    pub(super) fn imports_and_thunks(&self, arguments_at: u32) -> String {
        let mut text = String::new();
        for (number, call) in self.calls.iter().enumerate() {
            let (module, field) = &call.import;
            write!(text, "(import {module:?} {field:?} (func $call{number}").expect("a string takes everything");
            call.params.iter().for_each(|param| text.push_str(&format!(" (param {})", core(*param))));
            call.result.iter().for_each(|result| text.push_str(&format!(" (result {})", core(*result))));
            text.push_str("))\n");
        }
        for (number, call) in self.calls.iter().enumerate() {
            let arguments: String = call
                .params
                .iter()
                .zip(0..)
                .map(|(param, place)| {
                    let word = format!("(i64.load (i32.const {}))", arguments_at + 8 * place);
                    match core(*param) {
                        "i64" => word,
                        "f64" => format!("(f64.reinterpret_i64 {word})"),
                        "f32" => format!("(f32.reinterpret_i32 (i32.wrap_i64 {word}))"),
                        _ => format!("(i32.wrap_i64 {word})"),
                    }
                })
                .collect();
            let body = format!("(call $call{number} {arguments})");
            let body = match call.result.map(core) {
                None => format!("{body} (i64.const 0)"),
                Some("i64") => body,
                Some("i32") => format!("(i64.extend_i32_u {body})"),
                Some(other) => panic!("{}: a result of type {other} is not thought of", call.full_name()),
            };
            writeln!(text, "(func $thunk{number} (result i64) {body})").expect("a string takes everything");
        }
        let thunks: String = (0..self.calls.len()).map(|number| format!(" $thunk{number}")).collect();
        text + &format!("(table funcref (elem{thunks}))\n")
    }
}

fn calls(resolve: &Resolve, world: WorldId) -> Vec<Call> {
    let mut calls = Vec::new();
    for (key, item) in &resolve.worlds[world].imports {
        let WorldItem::Interface { id, .. } = item else {
            panic!("a world that imports something else than interfaces is not thought of");
        };
        let interface = unversioned(&resolve.name_world_key(key)).to_owned();
        for (name, function) in &resolve.interfaces[*id].functions {
            let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
            calls.push(Call {
                interface: interface.clone(),
                name: name.clone(),
                import: resolve.wasm_import_name(NAMES, WasmImport::Func { interface: Some(key), func: function }),
                params: signature.params,
                result: signature.results.first().copied(),
                kind: CallKind::Function {
                    function: Box::new(function.clone()),
                    indirect: signature.indirect_params,
                    returns_in_memory: signature.retptr,
                },
            });
        }
        for (name, resource) in &resolve.interfaces[*id].types {
            if !matches!(resolve.types[*resource].kind, TypeDefKind::Resource) {
                continue;
            }
            let intrinsic = WasmImport::ResourceIntrinsic {
                interface: Some(key),
                resource: *resource,
                intrinsic: ResourceIntrinsic::ImportedDrop,
            };
            calls.push(Call {
                interface: interface.clone(),
                name: format!("[resource-drop]{name}"),
                import: resolve.wasm_import_name(NAMES, intrinsic),
                params: vec![WasmType::I32],
                result: None,
                kind: CallKind::Drop(*resource),
            });
        }
    }
    calls
}

fn unversioned(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

fn core(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}
