//! The programs by name, and what is told where one goes wrong.

use std::fs;

use crate::support::{NOTHING, as_guest, lockkeeper, ours, same, text};

#[test]
fn a_process_begins_with_nothing_of_what_others_did_before_it() {
    same("fresh", &[]);
}

#[test]
fn a_counter_under_a_lock_counts_every_increment_of_four_processes() {
    same("counter", &[]);
}

#[test]
fn five_threads_that_add_one_under_a_lock_make_five() {
    same("threads", &[]);
}

#[test]
fn locks_and_semaphores_answer_and_raise_as_in_cpython() {
    same("locks", &[]);
}

#[test]
fn values_and_arrays_hold_read_and_wrap_as_in_cpython() {
    same("shared", &[]);
}

#[test]
fn conditions_and_events_wake_whoever_waits() {
    same("condition", &[]);
}

#[test]
fn a_barrier_gives_each_its_index_and_runs_its_action_once() {
    same("barrier", &[]);
}

#[test]
fn a_joinable_queue_is_joined_once_all_is_done() {
    same("joinable_queue", &[]);
}

#[test]
fn a_pool_maps_a_function_over_a_text() {
    same("pool", &[]);
}

#[test]
fn a_pool_replaces_its_workers_and_carries_large_results() {
    same("pool_life", &[]);
}

#[test]
fn a_pool_of_threads_keeps_what_is_local_to_them() {
    same("thread_pool", &[]);
}

#[test]
fn a_thread_brings_about_what_its_own_process_waits_for() {
    same("mixed", &[]);
}

#[test]
fn whichever_of_several_comes_first_is_waited_for() {
    same("waiting_for_several", &[]);
}

#[test]
fn what_is_sent_into_a_pipe_comes_out_of_it() {
    same("pipes", &[]);
}

#[test]
fn bytes_and_objects_go_through_a_pipe_apart() {
    same("pipe_bytes", &[]);
}

#[test]
fn of_a_circle_with_time_limits_one_gives_up_and_the_other_goes_on() {
    same("circle", &[]);
}

#[test]
fn at_the_end_handlers_run_before_children_are_joined() {
    same("ends", &[]);
}

#[test]
fn a_pool_takes_what_a_manager_makes_and_says_what_is_lost() {
    ours("managed_pool");
}

#[test]
fn ranks_are_put_into_arguments_and_links_lead_to_the_program() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("shows.py");
    fs::write(&program, "import sys\nprint(sys.argv[1:])\n").expect("a file");
    let link = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink(&program, link.path().join("link.py")).expect("a link");
    let mut run = lockkeeper();
    let run = run.args(["run", "-n", "2"]).arg(link.path().join("link.py")).args(["--", "{rank}/{count}"]);
    let guests = run.output().expect("the command starts");
    let said = text(&guests.stdout);
    assert!(said.contains("['0/2']") && said.contains("['1/2']"), "{said}{}", text(&guests.stderr));
    // A program that lies in /tmp itself has its temporary files, too.
    let here = tempfile::Builder::new().suffix(".py").tempfile_in("/tmp").expect("a file");
    fs::write(here.path(), "import tempfile\nprint(tempfile.TemporaryFile().write(b'x'))\n").expect("a file");
    let mut run = lockkeeper();
    let guest = run.arg("run").arg(here.path()).output().expect("the command starts");
    assert_eq!(text(&guest.stdout), "1\n", "{}", text(&guest.stderr));
}

#[test]
fn executors_of_processes_and_threads_give_their_results() {
    same("executors", &[]);
}

#[test]
fn asyncio_runs_tasks_with_queues_locks_and_time_limits() {
    same("asyncio_tasks", &[]);
}

#[test]
fn a_manager_shares_lists_dicts_and_namespaces() {
    same("manager", &[]);
}

#[test]
fn a_worker_that_dies_breaks_its_executor() {
    ours("broken_pool");
}

#[test]
fn processes_start_processes_and_subclasses_run() {
    same("nested", &[]);
}

#[test]
fn exit_codes_and_refusals_are_those_of_cpython() {
    same("exits", &[]);
}

#[test]
fn the_exit_code_of_a_program_is_its_own() {
    same("failing", &["a", "b"]);
}

#[test]
fn eight_clients_lose_and_tear_no_row_of_a_csv() {
    same("results", &["{dir}"]);
}

#[test]
fn who_dies_while_holding_or_waiting_hangs_nobody() {
    ours("died");
}

#[test]
fn a_time_means_the_same_in_every_process() {
    same("clock", &[]);
}

#[test]
fn who_ends_with_a_lock_that_it_forgot_stops_nobody() {
    same("forgotten", &[]);
}

#[test]
fn who_was_ended_can_be_joined_by_the_holder_of_what_it_waited_for() {
    same("ended_waiter", &[]);
}

#[test]
fn what_cannot_be_is_an_error_and_no_hang() {
    ours("clear_errors");
}

#[test]
fn a_traceback_shows_the_program_and_not_its_runner() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("broken.py");
    fs::write(&program, "def f():\n    raise ValueError('no')\n\nf()\n").expect("a file");
    let guest = as_guest(&program, dir.path(), NOTHING);
    let said = text(&guest.stderr);
    assert_eq!(guest.status.code(), Some(1), "{said}");
    assert!(said.starts_with("Traceback (most recent call last):\n  File \""), "{said}");
    assert!(said.contains("broken.py\", line 2, in f\n    raise ValueError('no')\n"), "{said}");
    assert!(said.contains("ValueError: no\n") && !said.contains("lk_boot"), "{said}");
}

#[test]
fn deep_recursion_is_an_exception_and_not_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("deep.py");
    let source = "def f(n):\n    return f(n + 1)\ntry:\n    f(0)\nexcept RecursionError:\n    print('calls')\nx = []\n\
                  for _ in range(100_000):\n    x = [x]\ntry:\n    repr(x)\nexcept RecursionError:\n    print('repr')\n";
    fs::write(&program, source).expect("a file");
    let guest = as_guest(&program, dir.path(), NOTHING);
    assert_eq!(text(&guest.stdout), "calls\nrepr\n", "{}", text(&guest.stderr));
}

#[test]
fn a_program_writes_only_where_it_was_granted_that() {
    let (granted, own) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let program = own.path().join("writes.py");
    let source = "import sys, tempfile\nfor path in sys.argv[1:]:\n    try:\n        open(path, 'w').write('x')\n        \
                  print('written')\n    except PermissionError:\n        print('refused')\n\
                  print(tempfile.NamedTemporaryFile().name.startswith('/tmp/'))\n";
    fs::write(&program, source).expect("a file");
    let paths = [granted.path().join("a"), own.path().join("b")].map(|path| path.to_str().expect("text").to_owned());
    let guest = as_guest(&program, granted.path(), &[&paths[0], &paths[1]]);
    assert_eq!(text(&guest.stdout), "written\nrefused\nTrue\n", "{}", text(&guest.stderr));
    assert!(granted.path().join("a").exists() && !own.path().join("b").exists());
}

#[test]
fn modules_beside_the_program_and_on_its_path_are_found() {
    let (own, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    fs::write(own.path().join("beside.py"), "NAME = 'beside'\n").expect("a file");
    fs::write(other.path().join("elsewhere.py"), "NAME = 'elsewhere'\n").expect("a file");
    let program = own.path().join("imports.py");
    let source = "import beside, elsewhere, xml.dom.minidom\nimport multiprocessing as mp\ndef child():\n    import elsewhere\n    \
                  print(elsewhere.NAME)\nif __name__ == '__main__':\n    print(beside.NAME, elsewhere.NAME)\n    \
                  p = mp.Process(target=child)\n    p.start()\n    p.join()\n";
    fs::write(&program, source).expect("a file");
    let mut run = lockkeeper();
    let guest =
        run.arg("run").arg("--python-path").arg(other.path()).arg(&program).output().expect("the command starts");
    assert_eq!(text(&guest.stdout), "beside elsewhere\nelsewhere\n", "{}", text(&guest.stderr));
}

#[test]
fn modules_of_a_program_come_before_those_of_the_library_and_of_the_runner() {
    let own = tempfile::tempdir().expect("a directory");
    for name in ["app", "secrets", "queue"] {
        fs::write(own.path().join(format!("{name}.py")), format!("NAME = 'own {name}'\n")).expect("a file");
    }
    fs::create_dir(own.path().join("statistics")).expect("a directory");
    fs::write(own.path().join("statistics/__init__.py"), "NAME = 'own statistics'\n").expect("a file");
    // Nothing is imported of a directory where there is a module.
    fs::create_dir(own.path().join("random")).expect("a directory");
    let program = own.path().join("imports.py");
    let source = "import multiprocessing as mp\ndef show():\n    import app, queue, random, secrets, statistics\n    \
                  print(app.NAME, queue.NAME, secrets.NAME, statistics.NAME, random.randrange(1))\nif __name__ == '__main__':\n    \
                  show()\n    p = mp.Process(target=show)\n    p.start()\n    p.join()\n    \
                  q = mp.Queue()\n    q.put(1)\n    print(q.get(), len(mp.Pool()._pool) == mp.cpu_count())\n";
    fs::write(&program, source).expect("a file");
    let guest = lockkeeper().arg("run").args(["--shards", "3"]).arg(&program).output().expect("the command starts");
    let line = "own app own queue own secrets own statistics 0\n";
    assert_eq!(text(&guest.stdout), format!("{line}{line}1 True\n"), "{}", text(&guest.stderr));
}

#[test]
fn a_runaway_program_meets_its_time_limit_wherever_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    // Its child has the lock, and sleeps longer than anybody waits.
    let locked = "import multiprocessing as mp, time\ndef hold(lock, held):\n    lock.acquire()\n    held.set()\n    \
                  time.sleep(1000)\nif __name__ == '__main__':\n    lock, held = mp.Lock(), mp.Event()\n    \
                  mp.Process(target=hold, args=(lock, held)).start()\n    held.wait()\n    lock.acquire()\n";
    for (name, body) in [
        ("spins", "while True:\n    pass\n"),
        ("sleeps", "import time\ntime.sleep(1000)\n"),
        ("waits", "import multiprocessing as mp\nmp.Event().wait()\n"),
        ("gets", "import multiprocessing as mp\nmp.Queue().get()\n"),
        ("locks", locked),
        (
            "catches",
            "import time\nwhile True:\n    try:\n        time.sleep(1000)\n    except BaseException:\n        pass\n",
        ),
        ("awaits", "import asyncio\nasyncio.run(asyncio.sleep(1000))\n"),
    ] {
        let program = dir.path().join(format!("{name}.py"));
        fs::write(&program, body).expect("a file");
        let mut run = lockkeeper();
        let guest = run.args(["run", "--timeout", "500ms"]).arg(&program).output().expect("the command starts");
        let said = text(&guest.stderr);
        assert_eq!(guest.status.code(), Some(124), "{name}: {said}");
        assert!(said.contains("time limit"), "{name}: {said}");
    }
}

#[test]
fn wrong_use_is_told_with_what_to_do() {
    let run = |args: &[&str]| {
        let output = lockkeeper().args(args).output().expect("the command starts");
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = run(&["run", "missing.py"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(2), "error: there is no program missing.py: No such file or directory (os error 2)\n")
    );
    let (code, said) = run(&["run", "--program", "app=app.py", "missing.wasm"]);
    let wanted = "error: app.py is a Python program, which processes do not start by a name: it starts its own with \
                  multiprocessing; name a component or a module\n";
    assert_eq!((code, said.as_str()), (Some(2), wanted));
    let (code, said) = run(&["run", "--python-path", "/nowhere", "missing.wasm"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(2), "error: --python-path goes with a Python program; missing.wasm is none\n")
    );
}
