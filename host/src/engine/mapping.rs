//! Memory of the system by the range: reserved, opened, guarded, emptied. The only file of the room that calls it.
//!
//! A mapping is reserved without access, which costs nothing but addresses, and opened from its beginning on as it is
//! needed. So it is two mappings to the kernel however much of it is in use, and what is not open counts nowhere, also
//! where the system does not overcommit.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;

use rustix::mm::{self, Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags};

/// What stands under a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// A marker in the page table (`MADV_GUARD_INSTALL`, Linux 6.13): it splits no mapping.
    Marker,
    /// A mapping of its own without access, which splits the one around it.
    Protected,
}

/// A range of addresses that is ours, page by page.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a `Mapping` is an address and a length. Its methods only ask the system to change the range, which any thread may,
// or write to a part that the caller says nobody else uses.
#[expect(unsafe_code, reason = "a pointer is Send and Sync only if somebody says so")]
unsafe impl Send for Mapping {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a pointer is Send and Sync only if somebody says so")]
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Reserves addresses that nobody may touch yet.
    pub(super) fn reserve(bytes: usize) -> io::Result<Self> {
        Self::new(bytes, ProtFlags::empty())
    }

    /// Memory that can be used as it is, all zeros.
    pub(super) fn open_at_once(bytes: usize) -> io::Result<Self> {
        Self::new(bytes, ProtFlags::READ | ProtFlags::WRITE)
    }

    fn new(bytes: usize, access: ProtFlags) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "there is no other way to map memory")]
        // SAFETY: an anonymous mapping at an address of the system's choice touches nothing that is there already.
        let base = unsafe {
            mm::mmap_anonymous(std::ptr::null_mut(), bytes, access, MapFlags::PRIVATE | MapFlags::NORESERVE)?
        };
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(|| io::Error::other("a mapping at address 0"))?;
        let mapping = Self { base, bytes };
        // One page of a process that was touched is to cost one page, not the 512 of a huge one. A kernel without huge
        // pages does not know the word, and needs none.
        drop(mapping.advise(0..bytes, Advice::LinuxNoHugepage));
        Ok(mapping)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of a place in it.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.bytes, "byte {offset} of a mapping of {}", self.bytes);
        self.base.as_ptr().wrapping_add(offset)
    }

    /// Lets a part be used.
    pub(super) fn open(&self, range: Range<usize>) -> io::Result<()> {
        self.protect(range, MprotectFlags::READ | MprotectFlags::WRITE)
    }

    /// Makes a part of it deadly to touch, once and for all.
    pub(super) fn guard(&self, range: Range<usize>, guard: Guard) -> io::Result<()> {
        match guard {
            Guard::Protected => self.protect(range, MprotectFlags::empty()),
            Guard::Marker => {
                let at = self.part(&range);
                #[expect(unsafe_code, reason = "rustix does not know this advice")]
                // SAFETY: the range is this mapping's own, and whoever touches it from here on faults, which is wanted.
                let done = unsafe { libc::madvise(at, range.len(), MADV_GUARD_INSTALL) };
                if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
            }
        }
    }

    /// Gives the memory of a part back to the system. Whoever looks there next finds zeros; a guard stays.
    ///
    /// Nobody may use that part any more: the caller has just got it back from its last user.
    pub(super) fn empty(&self, range: Range<usize>) {
        let emptied = self.advise(range.clone(), Advice::LinuxDontNeed);
        // It is refused for locked memory (`mlockall`) only; then it is zeroed by hand, as nobody may see what was there.
        if emptied.is_err() {
            self.zero(range);
        }
    }

    /// Fills a part with zeros, and keeps its memory.
    ///
    /// Nobody may use that part any more: the caller has just got it back from its last user.
    pub(super) fn zero(&self, range: Range<usize>) {
        let at = self.part(&range).cast::<u8>();
        #[expect(unsafe_code, reason = "the memory has no type and no owner")]
        // SAFETY: the range is open and this mapping's own, and the caller's alone.
        unsafe {
            std::ptr::write_bytes(at, 0, range.len());
        }
    }

    /// Copies the beginning of another mapping into this one, from its beginning on.
    ///
    /// The caller has both to itself.
    pub(super) fn copy_from(&self, other: &Self, range: Range<usize>) {
        let (from, to) = (other.part(&range).cast::<u8>(), self.part(&(0..range.len())).cast::<u8>());
        #[expect(unsafe_code, reason = "the memory has no type and no owner")]
        // SAFETY: both ranges were checked to lie in their mappings, which are two, and open.
        unsafe {
            std::ptr::copy_nonoverlapping(from, to, range.len());
        }
    }

    /// Makes a mapping that is open as a whole longer, with zeros at its end. It may come to lie elsewhere.
    pub(super) fn lengthen(&mut self, bytes: usize) -> io::Result<()> {
        assert!(bytes >= self.bytes, "a mapping of {} does not shrink to {bytes}", self.bytes);
        #[expect(unsafe_code, reason = "there is no other way to move a mapping")]
        // SAFETY: the mapping is this value's own as a whole, and `&mut` says that nobody has an address in it.
        let base = unsafe { mm::mremap(self.base.as_ptr().cast(), self.bytes, bytes, MremapFlags::MAYMOVE)? };
        self.base = NonNull::new(base.cast::<u8>()).ok_or_else(|| io::Error::other("a mapping at address 0"))?;
        self.bytes = bytes;
        Ok(())
    }

    fn protect(&self, range: Range<usize>, access: MprotectFlags) -> io::Result<()> {
        let at = self.part(&range);
        #[expect(unsafe_code, reason = "there is no other way to change what may be touched")]
        // SAFETY: the range is this mapping's own. It gains access, or loses it before anybody was given it.
        unsafe {
            Ok(mm::mprotect(at, range.len(), access)?)
        }
    }

    fn advise(&self, range: Range<usize>, advice: Advice) -> io::Result<()> {
        let at = self.part(&range);
        #[expect(unsafe_code, reason = "there is no other way to advise the system")]
        // SAFETY: the range is this mapping's own, and who calls for `LinuxDontNeed` has it to itself.
        unsafe {
            Ok(mm::madvise(at, range.len(), advice)?)
        }
    }

    fn part(&self, range: &Range<usize>) -> *mut c_void {
        assert!(range.start <= range.end && range.end <= self.bytes, "{range:?} of a mapping of {}", self.bytes);
        self.at(range.start).cast()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "there is no other way to give a mapping back")]
        // SAFETY: the mapping is this value's own, and nobody keeps an address in it for longer.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.bytes) };
        // It can fail only where it would split a mapping beyond the limit of the system; then it stays, and is harmless.
        unmapped.unwrap_or_default();
    }
}

/// As in `linux/mman.h`; the `libc` crate does not have it yet.
const MADV_GUARD_INSTALL: i32 = 102;

impl Guard {
    /// The better one that this system has.
    pub(super) fn find() -> io::Result<Self> {
        let page = Mapping::open_at_once(page_bytes())?;
        Ok(match page.guard(0..page_bytes(), Self::Marker) {
            Ok(()) => Self::Marker,
            Err(_) => Self::Protected,
        })
    }
}

/// The size of a page.
pub(super) fn page_bytes() -> usize {
    rustix::param::page_size()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(mapping: &Mapping, range: Range<usize>) -> &[u8] {
        let at = mapping.part(&range).cast::<u8>();
        #[expect(unsafe_code, reason = "the memory has no type and no owner")]
        // SAFETY: the tests have opened what they look at.
        unsafe {
            std::slice::from_raw_parts(at, range.len())
        }
    }

    fn fill(mapping: &Mapping, range: Range<usize>) {
        let at = mapping.part(&range).cast::<u8>();
        #[expect(unsafe_code, reason = "the memory has no type and no owner")]
        // SAFETY: the tests have opened what they fill.
        unsafe {
            std::ptr::write_bytes(at, 0xaa, range.len());
        }
    }

    #[test]
    fn what_is_emptied_zeroed_or_new_is_zero() {
        let page = page_bytes();
        let mut mapping = Mapping::reserve(8 * page).expect("addresses");
        mapping.open(0..4 * page).expect("memory");
        fill(&mapping, 0..4 * page);
        mapping.empty(0..page);
        mapping.zero(page..2 * page);
        assert!(bytes(&mapping, 0..2 * page).iter().all(|byte| *byte == 0));
        assert!(bytes(&mapping, 2 * page..4 * page).iter().all(|byte| *byte == 0xaa));
        mapping.open(4 * page..8 * page).expect("memory");
        mapping.lengthen(16 * page).expect("more");
        assert!(bytes(&mapping, 2 * page..4 * page).iter().all(|byte| *byte == 0xaa));
        assert!(bytes(&mapping, 4 * page..16 * page).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_copy_is_the_same_and_what_is_behind_it_zero() {
        let page = page_bytes();
        let (from, to) = (Mapping::open_at_once(4 * page), Mapping::open_at_once(4 * page));
        let (from, to) = (from.expect("memory"), to.expect("memory"));
        fill(&from, 0..4 * page);
        to.copy_from(&from, page..3 * page);
        assert!(bytes(&to, 0..2 * page).iter().all(|byte| *byte == 0xaa));
        assert!(bytes(&to, 2 * page..4 * page).iter().all(|byte| *byte == 0));
    }

    #[test]
    #[should_panic(expected = "of a mapping of")]
    fn nothing_beyond_a_mapping_is_touched() {
        let page = page_bytes();
        Mapping::open_at_once(page).expect("memory").zero(0..page + 1);
    }

    /// The kernel answers a read of a guard with `EFAULT` instead of a signal when it reads for us.
    #[test]
    fn a_guard_cannot_be_touched_and_stays_when_what_is_above_is_emptied() {
        let page = page_bytes();
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut readable = |mapping: &Mapping, range: Range<usize>| {
            let at = mapping.part(&range).cast::<u8>();
            #[expect(unsafe_code, reason = "a slice must not exist where memory may be missing")]
            // SAFETY: the kernel checks the address.
            let written = unsafe { libc::write(std::os::fd::AsRawFd::as_raw_fd(&writer), at.cast(), 1) };
            if written == 1 {
                std::io::Read::read_exact(&mut reader, &mut [0]).expect("it was written");
            }
            written == 1
        };
        for guard in [Guard::find().expect("memory"), Guard::Protected] {
            let mapping = Mapping::reserve(4 * page).expect("addresses");
            assert!(!readable(&mapping, 0..1), "a reservation is closed");
            mapping.open(0..4 * page).expect("memory");
            mapping.guard(0..page, guard).expect("a guard");
            assert!(!readable(&mapping, 0..1) && !readable(&mapping, page - 1..page), "{guard:?}");
            fill(&mapping, page..4 * page);
            mapping.empty(page..4 * page);
            assert!(readable(&mapping, page..page + 1));
            assert!(!readable(&mapping, page - 1..page), "{guard:?}");
        }
    }
}
