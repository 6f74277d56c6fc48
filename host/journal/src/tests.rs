//! What needs a look at the parts. The rest is tested from outside, in `tests/`.

mod lock_files;
mod machine;
mod machine_locks;
mod os_locks;
