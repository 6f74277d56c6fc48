//! A plain WASI command: arguments, environment and both output streams arrive as they are.
//!
//! Prints `hello, ARGS` (and the value of `GREETING`, if it is set) on standard output, `to stderr` on standard error.

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    println!("hello, {}", args.join(" "));
    if let Ok(greeting) = std::env::var("GREETING") {
        println!("{greeting}");
    }
    eprintln!("to stderr");
}
