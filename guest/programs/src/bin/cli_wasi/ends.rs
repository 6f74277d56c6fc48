//! Arguments, environment, and ways to end.

use std::hint::black_box;
use std::io::{Write, stdout};

use super::{Done, more};

pub(crate) fn arguments_arrive_in_order() -> Done {
    more().for_each(|argument| println!("{argument:?}"));
    Ok(())
}

pub(crate) fn first_argument_is_the_name_of_the_program() -> Done {
    println!("{}", std::env::args().next().ok_or("there is none")?);
    Ok(())
}

pub(crate) fn thousand_arguments_arrive() -> Done {
    println!("{} arguments, {} bytes", more().count(), more().map(|argument| argument.len()).sum::<usize>());
    Ok(())
}

pub(crate) fn environment_is_what_was_given() -> Done {
    let mut all: Vec<_> = std::env::vars().collect();
    all.sort();
    all.iter().for_each(|(key, value)| println!("{key}={value:?}"));
    Ok(())
}

pub(crate) fn main_that_returns_is_a_good_end() -> Done {
    Ok(())
}

pub(crate) fn main_that_fails_is_status_1() -> Done {
    Err("it failed".into())
}

/// What `main` does with the case.
pub(crate) fn exit_code_of_main_is_the_status() -> Done {
    Err("main knows".into())
}

pub(crate) fn exit_is_the_status() -> Done {
    std::process::exit(more().next().ok_or("STATUS is missing")?.parse()?)
}

pub(crate) fn exit_ends_at_once() -> Done {
    struct Dropped;
    impl Drop for Dropped {
        fn drop(&mut self) {
            println!("dropped");
        }
    }
    let _dropped = Dropped;
    println!("before");
    std::process::exit(0)
}

pub(crate) fn panic_is_told_and_traps() -> Done {
    panic!("as it was told to")
}

pub(crate) fn abort_traps() -> Done {
    println!("before");
    stdout().flush()?;
    std::process::abort()
}

pub(crate) fn stack_overflow_traps() -> Done {
    /// The addition comes after the call, so no loop can replace it.
    fn dive(depth: u64) -> u64 {
        if black_box(depth) == u64::MAX {
            return depth;
        }
        dive(depth + 1).wrapping_add(black_box(1))
    }
    Err(format!("reached the ground at {}", dive(0)).into())
}

pub(crate) fn output_before_an_exit_arrives() -> Done {
    print!("no line end");
    std::process::exit(0)
}
