//! A plain WASI command whose `main` fails: a message on standard error and status 1.

fn main() -> Result<(), String> {
    Err("this program always fails".to_owned())
}
