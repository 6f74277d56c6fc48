//! What the runner of Python programs is built from: as it was when the command was.

macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../", $path)))),*]
    };
}

/// Each file by its path in the project.
pub(super) const SOURCES: &[(&str, &str)] = sources![
    "guest/python/package/lockkeeper/__init__.py",
    "guest/python/package/lockkeeper/_append.py",
    "guest/python/package/lockkeeper/_errors.py",
    "guest/python/package/lockkeeper/_host.py",
    "guest/python/package/lockkeeper/_locks.py",
    "guest/python/package/lockkeeper/_meeting.py",
    "guest/python/package/lockkeeper/_process.py",
    "guest/python/package/lockkeeper/_queue.py",
    "guest/python/package/lockkeeper/_values.py",
    "guest/python/runner/lk_app.py",
    "guest/python/runner/lk_asyncio.py",
    "guest/python/runner/lk_boot.py",
    "guest/python/runner/lk_executors.py",
    "guest/python/runner/lk_host.py",
    "guest/python/runner/lk_library.py",
    "guest/python/runner/lk_main.py",
    "guest/python/runner/lk_manager.py",
    "guest/python/runner/lk_mp.py",
    "guest/python/runner/lk_pool.py",
    "guest/python/runner/lk_shared.py",
    "guest/python/runner/lk_thread_pool.py",
    "guest/python/runner/lk_threads.py",
    "guest/python/runner/lk_warm.py",
    "guest/python/wit/runner.wit",
    "wit/append.wit",
    "wit/barrier.wit",
    "wit/condition.wit",
    "wit/deps/cli.wit",
    "wit/deps/clocks.wit",
    "wit/deps/filesystem.wit",
    "wit/deps/io.wit",
    "wit/deps/random.wit",
    "wit/deps/sockets.wit",
    "wit/event.wit",
    "wit/latch.wit",
    "wit/multi-lock.wit",
    "wit/mutex.wit",
    "wit/objects.wit",
    "wit/once.wit",
    "wit/process.wit",
    "wit/queue.wit",
    "wit/rlock.wit",
    "wit/rwlock.wit",
    "wit/semaphore.wit",
    "wit/types.wit",
    "wit/value.wit",
    "wit/world.wit",
];
