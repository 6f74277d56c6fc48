//! The exit status of core modules, which the adapter for WASI 0.1 would lose.
//!
//! The adapter makes `proc_exit(3)` a call of `wasi:cli/exit.exit`, which knows only well and not. So a module's import of
//! the one becomes, before the adapter sees it, an import of the [host's own](ADAPTER_EXIT), whose core form is just that of
//! `proc_exit`, and the module says what type that has.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{ImportSection, Module, RawSection};
use wasmparser::{Parser, Payload};
use wit_component::StringEncoding;
use wit_parser::Resolve;

use crate::guest_api::ADAPTER_EXIT;

const IMPORT: (&str, &str) = ("wasi_snapshot_preview1", "proc_exit");

/// What a module says about [`ADAPTER_EXIT`].
const TYPE: &str = "
    package lockkeeper:adapter@0.1.0;
    interface exit { proc-exit: func(status: u32); }
    world module { import exit; }
";

/// The module with its import of `proc_exit` replaced. None if it has none, or is not understood: then it stays as it
/// is, and those who understand more of it say what is wrong.
pub(super) fn keep_status(module: &[u8]) -> Option<Vec<u8>> {
    let mut out = Module::new();
    let mut replaced = false;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.ok()?;
        if let Payload::ImportSection(imports) = payload {
            let mut section = ImportSection::new();
            for import in imports.into_imports() {
                let import = import.ok()?;
                let ours = (import.module, import.name) == IMPORT;
                replaced |= ours;
                let (from, field) = if ours { ADAPTER_EXIT } else { (import.module, import.name) };
                section.import(from, field, RoundtripReencoder.entity_type(import.ty).ok()?);
            }
            out.section(&section);
        } else if let Some((id, range)) = payload.as_section() {
            out.section(&RawSection { id, data: module.get(range)? });
        }
    }
    if !replaced {
        return None;
    }
    let mut module = out.finish();
    let mut types = Resolve::default();
    let package = types.push_source("exit.wit", TYPE).ok()?;
    let world = types.select_world(&[package], None).ok()?;
    wit_component::embed_component_metadata(&mut module, &types, world, StringEncoding::UTF8).ok()?;
    Some(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_import_of_proc_exit_is_replaced() {
        let text = |module: &str, field: &str| {
            let text = format!(
                r#"(module
                    (import "wasi_snapshot_preview1" "args_get" (func (param i32 i32) (result i32)))
                    (import "{module}" "{field}" (func $exit (param i32)))
                    (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
                    (func (export "_start") (call $exit (i32.const 3))))"#
            );
            wat::parse_str(text).expect("a module")
        };
        let before = text("wasi_snapshot_preview1", "proc_exit");
        let after = text(ADAPTER_EXIT.0, ADAPTER_EXIT.1);
        let kept = keep_status(&before).expect("it is replaced");
        assert!(kept.starts_with(&after), "and what type it has comes after it");
    }

    #[test]
    fn what_is_not_understood_stays_as_it_is() {
        let without = wat::parse_str(r#"(module (func (export "_start")))"#).expect("a module");
        assert_eq!(keep_status(&without), None);
        let module = wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))"#);
        let module = module.expect("a module");
        let import_end = module.len() - 1;
        for length in 0..import_end {
            assert_eq!(keep_status(&module[..length]), None, "cut at {length}");
        }
    }
}
