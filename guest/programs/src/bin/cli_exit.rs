//! A plain WASI command that exits with a status. Argument: the status, 3 if it is missing.

fn main() {
    let status = std::env::args().nth(1).map_or(Ok(3), |status| status.parse());
    std::process::exit(status.expect("the status is a number"));
}
