//! A ring of processes, each of which holds a lock and asks for its neighbour's: one of them is told, and the others go on.

use lockkeeper::observe::Event;
use lockkeeper_tests::TestHost;

const RING: usize = 8;
const ROUNDS: usize = 50;

#[test]
fn exactly_one_of_a_ring_is_refused_with_the_whole_ring_and_the_others_go_on() {
    let host = TestHost::new();
    let (program, holder) = (host.program("lock_ring"), host.program("lock_end"));
    let names: Vec<String> = (0..RING).map(|rank| format!("lock-{rank}")).collect();
    let mut locks: Vec<&str> = names.iter().map(String::as_str).collect();
    locks.extend(["gate", "never"]);
    let job = host.job(&locks);
    for _ in 0..ROUNDS {
        host.forget_events();
        // Somebody holds the gate until all of the ring hold their own lock and stand before it.
        let (gate, lines) = host.spawn(&job, &holder, &["gate", "-", "spin"], &["gate", "never"], &[]);
        lines.wait_for("holding");
        let ring: Vec<_> = (0..RING)
            .map(|rank| {
                let (own, next) = (names[rank].as_str(), names[(rank + 1) % RING].as_str());
                host.spawn(&job, &program, &[own, "gate", next], &[own, "gate", next], &[])
            })
            .collect();
        host.until_lock(&job, "gate", "the ring stands before the gate", |gate| gate.queue.len() == RING);
        gate.kill();
        let mut refused = 0;
        for (process, lines) in &ring {
            assert!(process.join_blocking().outcome.is_success(), "{:?}", lines.all());
            let last = lines.all().pop().expect("it printed");
            if let Some(circle) = last.strip_prefix("deadlock ") {
                refused += 1;
                assert_eq!(circle.split(' ').count(), RING, "the whole ring is told: {circle}");
            } else {
                assert_eq!(last, "granted");
            }
        }
        assert_eq!(refused, 1, "one victim is enough");
        let told = host.events().into_iter().filter(|event| matches!(event, Event::Deadlock { .. })).count();
        assert_eq!(told, 1);
    }
}
