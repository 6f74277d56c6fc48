//! How many files and directories a process has open.
//!
//! An open file of a process is an open file of the host, which has some thousand for all of them. WASI 0.2 has no word for
//! "too many open files", so a process beyond its limit is told `quota`: EDQUOT to C programs, `QuotaExceeded` to Rust ones.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, HostDescriptor, OpenFlags, PathFlags,
};

use crate::process::ProcessState;

/// As the engine has it.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

type OpenAt = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

pub(super) fn add_to_linker(linker: &mut Linker<ProcessState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, ProcessState>, (dir, path_flags, path, open_flags, flags): OpenAt| {
            Box::new(async move {
                let state = store.data_mut();
                if !state.open_files.has_room() {
                    return Ok((Err(ErrorCode::Quota),));
                }
                let mut files = state.filesystem();
                Ok((match files.open_at(dir, path_flags, path, open_flags, flags).await {
                    Ok(opened) => {
                        state.open_files.opened(opened.rep());
                        Ok(opened)
                    }
                    Err(error) => Err(error.downcast()?),
                },))
            })
        },
    )?;
    types.resource("descriptor", ResourceType::host::<Descriptor>(), |mut store, rep| {
        let state = store.data_mut();
        state.open_files.closed(rep);
        HostDescriptor::drop(&mut state.filesystem(), Resource::new_own(rep))
    })
}
