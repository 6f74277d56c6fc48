//! What the plugin of the tests exports.

use std::cell::{Cell, RefCell};

use lockkeeper_guest::{AppendFile, Mutex, MutexGuard};

use crate::bindings::exports::tests::plugin::cases::Guest;
use crate::bindings::tests::plugin::hooks;

pub(crate) struct Cases;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static TAKEN: RefCell<Option<MutexGuard<'static>>> = const { RefCell::new(None) };
}

impl Guest for Cases {
    fn echo(text: String) -> String {
        COUNT.set(COUNT.get() + 1);
        text
    }

    fn count() -> u64 {
        COUNT.get()
    }

    fn take(lock: String) -> Result<u64, String> {
        let lock: &'static Mutex = Box::leak(Box::new(Mutex::open(&lock).map_err(|error| error.to_string())?));
        let guard = lock.lock().map_err(|error| error.to_string())?;
        let fence = guard.fence().get();
        TAKEN.set(Some(guard));
        Ok(fence)
    }

    fn give_back() -> Result<(), String> {
        let guard = TAKEN.take().ok_or("nothing was taken")?;
        guard.unlock().map_err(|error| error.to_string())
    }

    fn append(file: String, text: String) -> Result<(), String> {
        let file = AppendFile::open(&file).map_err(|error| error.to_string())?;
        TAKEN
            .with_borrow(|guard| match guard {
                Some(guard) => file.append(guard, text.as_bytes()).map(drop),
                None => file.append_unlocked(text.as_bytes()).map(drop),
            })
            .map_err(|error| error.to_string())
    }

    fn tell(word: String) -> String {
        hooks::tell(&word)
    }

    fn trap() {
        unreachable!("the test wants it")
    }

    fn exit(status: u8) {
        std::process::exit(status.into())
    }

    fn spin() {
        loop {
            std::hint::spin_loop();
        }
    }
}
