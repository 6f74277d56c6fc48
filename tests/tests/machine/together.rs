//! Hosts with guests, flock(1) in loops and Python programs at one lock and one plain file, while hosts are killed and stopped.
//!
//! Under the lock everybody reads a number from a file, writes the next one and notes it: a number that was noted twice is an
//! update that was lost. Whoever is inside says so; who finds somebody inside whose host was not killed notes an overlap.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lockkeeper_tests::{environment, figure, guest, install};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, line_of};

/// How large it is: `TOGETHER=2000000` has about so many updates, of which the guests make most.
fn updates() -> u64 {
    std::env::var("TOGETHER").ok().map_or(20_000, |updates| updates.parse().expect("TOGETHER is a number"))
}

const HOSTS: usize = 4;
const GUESTS: u64 = 16;
const FLOCKS: u64 = 4;
const PYTHONS: u64 = 4;

/// Nobody waits for longer.
const LONGEST_WAIT_MS: u64 = 5_000;

/// It rests between its rounds: four that do not leave who polls a moment now and then, and waits of four seconds, with no host
/// at all.
const FLOCK: &str = r#"
lock=$1; name=$2; i=0
while [ $i -lt $3 ]; do
  flock "$lock" sh -c '
    echo $(($(date +%s%3N) - $1)) >> "waits-$0"
    read -r host rest < inside
    if [ -n "$host" ] && [ ! -e "doomed/$host" ]; then echo "OVERLAP $host $rest" >> "log-$0"; fi
    printf "%-63s\n" "$0" 1<>inside
    read -r count < count
    printf "%-63s\n" $((count + 1)) 1<>count
    echo $((count + 1)) >> "log-$0"
    printf "%-63s\n" "" 1<>inside
  ' "$name" "$(date +%s%3N)" || exit 1
  i=$((i + 1))
  sleep 0.02
done
"#;

const PYTHON: &str = r#"
import os, sys, time
from filelock import FileLock
lock, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
def put(file, text):
    fd = os.open(file, os.O_WRONLY)
    os.write(fd, f"{text:63}\n".encode())
    os.close(fd)
with open("log-" + name, "a") as log, open("waits-" + name, "a") as waits:
    for _ in range(rounds):
        asked = time.monotonic()
        with FileLock(lock):
            print(int((time.monotonic() - asked) * 1000), file=waits)
            inside = open("inside").read().split()
            if inside and not os.path.exists("doomed/" + inside[0]):
                print("OVERLAP", *inside, file=log)
            put("inside", name)
            count = int(open("count").read()) + 1
            put("count", str(count))
            print(count, file=log, flush=True)
            put("inside", "")
"#;

struct Host {
    name: String,
    child: Child,
}

/// A generator that needs no crate: which host is next, and when.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn start_host(place: &Place, number: usize, rounds: u64) -> Host {
    let name = format!("h{number}");
    let out = fs::File::create(place.path(&format!("out-{name}"))).expect("it is made");
    let child = place
        .lockkeeper()
        .arg("run")
        .arg(guest("lock_machine"))
        .args(["-n", &GUESTS.to_string(), "--lock", "m", "--locks", "machine", "--lock-dir"])
        .arg(place.path("locks"))
        .arg("--dir")
        .arg(format!("{}::/data", place.path("data").display()))
        .args(["--", "m", &format!("{name}.{{rank}}"), &rounds.to_string()])
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("there are descriptors"))
        .stderr(out)
        .spawn()
        .expect("it starts");
    Host { name, child }
}

#[test]
fn no_update_is_lost_and_nobody_is_inside_with_another_however_hosts_end() {
    let updates = updates();
    let place = Place::new();
    let python = environment(&place.path(""));
    install(&python, &["filelock"]);
    // This one empties the lock file whenever it opens it, as many that are in use do.
    let older_filelock = place.path("older");
    install(&python, &["--target", &older_filelock.display().to_string(), "filelock<3.13"]);
    let data = place.path("data");
    fs::create_dir_all(data.join("doomed")).expect("it is made");
    fs::create_dir(place.path("locks")).expect("it is made");
    fs::write(data.join("count"), format!("{:63}\n", 0)).expect("it is written");
    fs::write(data.join("inside"), format!("{:63}\n", "")).expect("it is written");
    let rounds = updates / (HOSTS as u64 * GUESTS + 1);
    let strangers_rounds = (updates / 200).clamp(10, 5_000);
    let mut started = HOSTS;
    let mut hosts: Vec<_> = (0..HOSTS).map(|number| start_host(&place, number, rounds)).collect();
    let lock = place.path("locks/m.lock");
    let start_stranger = |mut command: Command, name: String| {
        command.arg(&lock).arg(name).arg(strangers_rounds.to_string()).current_dir(&data);
        command.spawn().expect("it starts")
    };
    let mut strangers = Vec::new();
    for number in 0..FLOCKS {
        let mut shell = Command::new("sh");
        shell.args(["-c", FLOCK, "sh"]);
        strangers.push(start_stranger(shell, format!("f{number}")));
    }
    for number in 0..PYTHONS {
        let mut program = Command::new(&python);
        program.args(["-c", PYTHON]);
        if number % 2 == 0 {
            program.env("PYTHONPATH", &older_filelock);
        }
        strangers.push(start_stranger(program, format!("p{number}")));
    }
    let (kills, stops) = (updates / 1_000, updates / 1_000);
    let (mut killed, mut stopped) = (0, 0);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let begun = Instant::now();
    let is_alive = |child: &mut Child| child.try_wait().expect("it can be asked").is_none();
    loop {
        let alive: Vec<_> = (0..hosts.len()).filter(|host| is_alive(&mut hosts[*host].child)).collect();
        let strangers_left = strangers.iter_mut().map(&is_alive).filter(|alive| *alive).count();
        if alive.is_empty() && strangers_left == 0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60 + updates / 50), "somebody never comes to its end");
        sleep(Duration::from_millis(20 + random.below(400)));
        let Some(host) = alive.get(random.below(alive.len().max(1) as u64) as usize).map(|host| &mut hosts[*host])
        else {
            continue;
        };
        let pid = Pid::from_child(&host.child);
        if stopped < stops && stopped <= killed {
            // One that has just ended is still there to be waited for.
            kill_process(pid, Signal::STOP).expect("it was not waited for");
            sleep(Duration::from_millis(20 + random.below(200)));
            kill_process(pid, Signal::CONT).expect("it was not waited for");
            stopped += 1;
        } else if killed < kills {
            fs::write(data.join("doomed").join(&host.name), "").expect("it is written");
            *host = start_host(&place, started, rounds);
            started += 1;
            killed += 1;
        }
    }
    for stranger in &mut strangers {
        assert!(stranger.wait().expect("it is over").success(), "a stranger fails");
    }
    let mut guests = Vec::new();
    for host in &mut hosts {
        let status = host.child.wait().expect("it is over");
        let out = line_of(&place.path(&format!("out-{}", host.name)));
        assert!(status.success(), "{} fails: {out}", host.name);
        guests.extend(out.lines().filter_map(|line| line.rsplit_once("longest=")).map(|(_, wait)| millis(wait)));
    }
    assert_eq!(guests.len() as u64, HOSTS as u64 * GUESTS, "each guest says how long it waited");
    let (mut noted, mut fences, mut of_strangers) = (BTreeSet::new(), Vec::new(), 0);
    for entry in fs::read_dir(&data).expect("it is read") {
        let path = entry.expect("it is read").path();
        let name = path.file_name().expect("it has one").to_string_lossy().into_owned();
        let Some(who) = name.strip_prefix("log-") else { continue };
        for line in fs::read_to_string(&path).expect("it is text").lines() {
            assert!(!line.starts_with("OVERLAP"), "{who}: {line}");
            let mut words = line.split(' ').map(|word| word.parse::<u64>().expect("it is a number"));
            let count = words.next().expect("there is one");
            assert!(noted.insert(count), "{count} was written twice: an update was lost");
            match words.next() {
                Some(fence) => fences.push((count, fence)),
                None => of_strangers += 1,
            }
        }
    }
    fences.sort_unstable();
    let back = fences.windows(2).find(|pair| pair[1].1 <= pair[0].1);
    assert_eq!(back, None, "a fence goes back");
    let count: u64 = line_of(&data.join("count")).parse().expect("it is a number");
    let noted = noted.len() as u64;
    // Who was killed may have written a number that it had no time to note.
    assert!(noted <= count && count <= noted + killed, "{count} updates, {noted} noted, {killed} killed");
    assert_eq!(of_strangers, (FLOCKS + PYTHONS) * strangers_rounds);
    let of = |who: &str, many: u64| -> Vec<u64> {
        let waits = |number| line_of(&data.join(format!("waits-{who}{number}"))).lines().map(millis).max();
        (0..many).map(|number| waits(number).expect("it waited")).collect()
    };
    let (flocks, pythons, guests) = (of("f", FLOCKS), of("p", PYTHONS), guests.into_iter().max());
    let waits =
        format!("of flock(1) {flocks:?} ms, of Python {pythons:?} ms, of a guest {} ms", guests.unwrap_or_default());
    figure(format_args!(
        "{count} updates in {:?}, {killed} hosts killed, {stopped} stopped; longest waits {waits}",
        begun.elapsed()
    ));
    let longest = flocks.into_iter().chain(pythons).chain(guests).max();
    assert!(longest <= Some(LONGEST_WAIT_MS), "somebody waits for too long: {waits}");
}

fn millis(text: &str) -> u64 {
    text.trim().parse().expect("it is a number")
}
