mod crashes;
mod faults;
mod files;
mod memory;

use std::path::Path;
use std::sync::Arc;

use self::memory::Memory;
use super::{IdEntry, Ids, IdsError, IdsFound, Reconciled, RecordId};
use crate::storage::{Access, Disk, Status, Storage};

const DATA: &str = "/d/out.csv";
const SIDECAR: &str = "/d/out.csv.ids";
const NEW: &str = "/d/out.csv.ids.new";
const MODE: u32 = 0o600;

fn id(name: &str) -> RecordId {
    RecordId::of(name.as_bytes())
}

fn entry(name: &str, offset: u64, data: &[u8]) -> IdEntry {
    IdEntry { id: id(name), offset, len: data.len() as u64, records: 1, checksum: crc32c::crc32c(data) }
}

fn data_status(disk: &Memory) -> Status {
    disk.look(Path::new(DATA)).unwrap().expect("the data file is there")
}

fn open(disk: &Memory) -> Result<(Ids, IdsFound), IdsError> {
    Ids::open(disk, Path::new(SIDECAR), &data_status(disk), MODE)
}

fn open_data(disk: &Memory) -> Arc<dyn Storage> {
    disk.open(Path::new(DATA), Access::Append).unwrap()
}

fn reconcile(disk: &Memory, ids: &mut Ids, trusted: u64, end: u64) -> Result<Reconciled, IdsError> {
    ids.reconcile(disk, &*open_data(disk), Path::new(DATA), trusted, end)
}

/// A disk with a data file that holds `data`.
fn disk_with(data: &[u8]) -> Memory {
    let disk = Memory::default();
    disk.put(DATA, data);
    disk
}
