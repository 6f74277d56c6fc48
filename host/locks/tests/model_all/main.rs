//! Every primitive in one table against a reference that is too simple to be wrong, over random scripts of what owners, the
//! host and time do.
//!
//! After every step the answers, the views of all objects and the wake-ups are compared. `PROPTEST_CASES` asks for more
//! scripts than the 512 of an ordinary run.
#![cfg(not(loom))]

mod reference;
mod script;
#[path = "../stuck/mod.rs"]
mod stuck;

use proptest::prelude::*;
use proptest::test_runner::Config;

fn config() -> Config {
    let asked = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { 512 };
    Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_primitive_does_what_the_reference_does(steps in script::steps(200)) {
        script::run(&steps);
    }

    #[test]
    fn locks_alone_do_what_the_reference_does(steps in script::steps_at(200, 0..9)) {
        script::run(&steps);
    }

    #[test]
    fn what_is_waited_at_alone_does_what_the_reference_does(steps in script::steps_at(200, 9..16)) {
        script::run(&steps);
    }

    #[test]
    fn every_primitive_does_what_the_reference_does_until_the_shut_down(
        before in script::steps(100),
        after in script::steps(60),
    ) {
        let shut_down = [script::Step::ShutDown];
        script::run(before.iter().chain(&shut_down).chain(&after));
    }
}
