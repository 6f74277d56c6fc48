//! Clocks, random keys, and what a process has not.

use std::hash::{BuildHasher, RandomState};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use super::{Done, say};

pub(crate) fn monotonic_clock_never_goes_back() -> Done {
    let mut last = Instant::now();
    for _ in 0..10_000 {
        let now = Instant::now();
        if now < last {
            return Err("it went back".into());
        }
        last = now;
    }
    Ok(())
}

pub(crate) fn wall_clock_is_that_of_the_machine() -> Done {
    println!("{}", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis());
    Ok(())
}

pub(crate) fn sleep_takes_as_long_as_it_says() -> Done {
    let before = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    println!("{}", before.elapsed() >= Duration::from_millis(20));
    Ok(())
}

pub(crate) fn random_keys_differ() -> Done {
    println!("{}", RandomState::new().hash_one(0));
    Ok(())
}

pub(crate) fn tcp_is_denied() -> Done {
    say("connect", TcpStream::connect("127.0.0.1:9"));
    Ok(())
}

pub(crate) fn udp_is_denied() -> Done {
    say("bind", UdpSocket::bind("127.0.0.1:0"));
    Ok(())
}

pub(crate) fn names_are_not_looked_up() -> Done {
    println!("{}", if "localhost:80".to_socket_addrs().is_ok() { "found" } else { "not found" });
    Ok(())
}

pub(crate) fn threads_are_not_there() -> Done {
    say("spawn", std::thread::Builder::new().spawn(|| ()).map(drop));
    Ok(())
}
