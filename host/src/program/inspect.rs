//! What a program imports, so what it would need.

use serde::Serialize;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::engine::{Footprint, Kind, Profile};

/// What a program imports and whether it can be run.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Every imported interface, in the program's order.
    pub imports: Vec<Import>,
    /// Whether it exports `wasi:cli/run`.
    pub is_command: bool,
    /// How its processes are kept here.
    pub profile: Profile,
    /// What a process of it begins with.
    pub footprint: Footprint,
}

/// One imported interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Its name, with package and version.
    pub name: String,
    /// Whether this host has it.
    pub known: bool,
}

impl Inspection {
    pub(super) fn of(host: &Kind, footprint: Footprint, component: &Component) -> Self {
        let engine = host.linker.engine();
        let kind = component.component_type();
        let imports =
            kind.imports(engine).map(|(name, _)| Import { name: name.to_owned(), known: is_known(name) }).collect();
        let is_command = kind.exports(engine).any(|(name, item)| {
            name.starts_with("wasi:cli/run@0.2.") && matches!(item.ty, ComponentItem::ComponentInstance(_))
        });
        Self { imports, is_command, profile: host.profile, footprint }
    }
}

/// The packages that this host has, with the interfaces where it has not all of one.
const KNOWN: [&str; 8] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
    "lockkeeper:runtime/",
    // What the adapter for core modules needs beside WASI.
    "lockkeeper:adapter/",
];

fn is_known(import: &str) -> bool {
    let Some(package) = KNOWN.iter().find(|package| import.starts_with(**package)) else {
        return false;
    };
    let version = import.split_once('@').map_or("", |(_, version)| version);
    let wanted = if package.starts_with("wasi:") { "0.2." } else { "0.1." };
    version.starts_with(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_host_has_is_known() {
        assert!(is_known("wasi:cli/environment@0.2.6"));
        assert!(is_known("lockkeeper:runtime/mutex@0.1.0"));
        assert!(!is_known("wasi:cli/environment@0.3.0"));
        assert!(!is_known("wasi:http/types@0.2.6"));
        assert!(!is_known("lockkeeper:runtime/mutex@0.2.0"));
        assert!(!is_known("acme:things/stuff"));
    }
}
