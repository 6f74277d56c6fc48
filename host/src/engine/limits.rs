//! What the system allows this host, and how many processes that is. Read once, and worked out without the system.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::mapping::Guard;
use super::room::NoRoom;

/// Mappings that a process of `Profile::Image` takes at most, as a rule: its stack and its guard, its memory, the data in
/// it, and what is closed behind it; and as much for a second memory.
pub(crate) const IMAGE_MAPPINGS: usize = 8;

/// Addresses that a process of `Profile::Image` takes: two memories of 4 GiB, with guards.
pub(crate) const IMAGE_ADDRESS_BYTES: u64 = 9 << 30;

/// Mappings for everything that is no process: the program itself, threads, allocations, code.
const OTHER_MAPPINGS: u64 = 2_000;

/// Linux gives processes 47 bits of addresses; half of them are left to everything else.
const ADDRESSES_MAX: u64 = 1 << 46;

/// What the system allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemLimits {
    /// Addresses (`ulimit -v`). None: no limit.
    pub(crate) address_bytes: Option<u64>,
    /// Mappings (`vm.max_map_count`).
    pub(crate) mappings: u64,
    /// Where the system does not overcommit (`vm.overcommit_memory=2`): what may still be opened.
    pub(crate) commit_bytes: Option<u64>,
    /// Memory that is free, or could be made so. None: unknown.
    pub(crate) available_bytes: Option<u64>,
    /// Open files (`ulimit -n`). None: no limit.
    pub(crate) open_files: Option<u64>,
}

impl SystemLimits {
    /// Asks the system. What it does not tell counts as no limit, or as Linux has it by default.
    pub(crate) fn read() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let in_memory = |key: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
        };
        let strict = number("/proc/sys/vm/overcommit_memory") == Some(2);
        let commit = || Some(in_memory("CommitLimit")?.saturating_sub(in_memory("Committed_AS")?));
        Self {
            address_bytes: getrlimit(Resource::As).current,
            mappings: number("/proc/sys/vm/max_map_count").unwrap_or(65_530),
            commit_bytes: if strict { commit() } else { None },
            available_bytes: [in_memory("MemAvailable"), group_memory()].into_iter().flatten().min(),
            open_files: getrlimit(Resource::Nofile).current,
        }
    }

    /// How many processes of `Profile::Dense` there is room for, with so many addresses and so much opened memory for each.
    pub(super) fn dense_processes(&self, most: usize, addresses: usize, opened: usize, guard: Guard) -> usize {
        let half = |bytes: u64, each: usize| usize::try_from(bytes / 2).unwrap_or(usize::MAX) / each;
        let by_addresses = self.address_bytes.map_or(most, |bytes| half(bytes, addresses));
        let by_commit = self.commit_bytes.map_or(most, |bytes| half(bytes, opened));
        let by_mappings = match guard {
            Guard::Marker => most,
            // The stack and its guard.
            Guard::Protected => usize::try_from(self.mappings.saturating_sub(OTHER_MAPPINGS) / 2).unwrap_or(usize::MAX),
        };
        most.min(by_addresses).min(by_commit).min(by_mappings).max(1)
    }

    /// How many of so many processes of `Profile::Image` there is room for.
    pub(super) fn image_processes(&self, wanted: usize) -> Result<usize, NoRoom> {
        let addresses = self.address_bytes.map_or(ADDRESSES_MAX, |bytes| (bytes / 2).min(ADDRESSES_MAX));
        let by_addresses = usize::try_from(addresses / IMAGE_ADDRESS_BYTES).unwrap_or(usize::MAX);
        let by_mappings = self.mappings.saturating_sub(OTHER_MAPPINGS) / IMAGE_MAPPINGS as u64;
        let processes = wanted.min(by_addresses).min(usize::try_from(by_mappings).unwrap_or(usize::MAX));
        if by_mappings == 0 {
            return Err(NoRoom::Mappings { max: self.mappings });
        }
        if processes == 0 {
            return Err(NoRoom::Addresses { limit_bytes: self.address_bytes.unwrap_or(ADDRESSES_MAX) });
        }
        Ok(processes)
    }
}

/// What the control groups that this process is in leave of memory, if any of them has a limit.
fn group_memory() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let inner = root.join(path);
    inner.ancestors().take_while(|group| group.starts_with(root)).filter_map(left_in_group).min()
}

/// What a control group leaves of its memory; none if it has no limit.
fn left_in_group(group: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let max: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    // Files that nobody has looked at for long give way.
    let idle = read("memory.stat")?.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok());
    Some(max.saturating_sub(used.saturating_sub(idle.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: SystemLimits = SystemLimits {
        address_bytes: None,
        mappings: 65_530,
        commit_bytes: None,
        available_bytes: None,
        open_files: None,
    };

    #[test]
    fn the_tightest_limit_of_the_system_decides_how_many_processes_there_is_room_for() {
        let dense = |limits: SystemLimits, guard| limits.dense_processes(100_000, 8 << 20, 2 << 20, guard);
        assert_eq!(dense(FREE, Guard::Marker), 100_000);
        assert_eq!(dense(FREE, Guard::Protected), 31_765);
        assert_eq!(dense(SystemLimits { mappings: 1 << 20, ..FREE }, Guard::Protected), 100_000);
        assert_eq!(dense(SystemLimits { address_bytes: Some(16 << 30), ..FREE }, Guard::Marker), 1_024);
        assert_eq!(dense(SystemLimits { commit_bytes: Some(4 << 30), ..FREE }, Guard::Marker), 1_024);
        assert_eq!(dense(SystemLimits { commit_bytes: Some(0), ..FREE }, Guard::Marker), 1);
        let image = |limits: SystemLimits, wanted| limits.image_processes(wanted).ok();
        assert_eq!(image(FREE, 1_000), Some(1_000));
        assert_eq!(image(FREE, 100_000), Some(7_281));
        assert_eq!(image(SystemLimits { mappings: 3_600, ..FREE }, 1_000), Some(200));
        assert_eq!(image(SystemLimits { address_bytes: Some(36 << 30), ..FREE }, 1_000), Some(2));
        assert_eq!(image(SystemLimits { address_bytes: Some(8 << 30), ..FREE }, 1), None);
        let refused = SystemLimits { mappings: 1_500, ..FREE }.image_processes(1).expect_err("too few");
        assert!(refused.to_string().contains("vm.max_map_count"), "{refused}");
    }

    #[test]
    fn a_control_group_leaves_what_is_neither_used_nor_could_be_given_back() {
        let group = tempfile::tempdir().expect("a directory");
        let write = |file: &str, text: &str| fs::write(group.path().join(file), text).expect("a file");
        assert_eq!(left_in_group(group.path()), None);
        write("memory.current", "3000\n");
        write("memory.stat", "anon 1000\ninactive_file 500\nactive_file 7\n");
        write("memory.max", "max\n");
        assert_eq!(left_in_group(group.path()), None);
        write("memory.max", "4000\n");
        assert_eq!(left_in_group(group.path()), Some(1_500));
        write("memory.max", "100\n");
        assert_eq!(left_in_group(group.path()), Some(0));
    }

    #[test]
    fn what_this_system_allows_can_be_read() {
        let limits = SystemLimits::read();
        assert!(limits.mappings > 1_000);
        assert!(limits.available_bytes.is_some_and(|bytes| bytes > 1 << 20));
    }
}
