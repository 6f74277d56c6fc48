//! Shows what a process was given. Prints a line for each argument, as Rust writes text, behind it the content of the file if
//! there is one of that name; then the names of the files under `/input`.

use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    for argument in std::env::args().skip(1) {
        match fs::read_to_string(&argument) {
            Ok(content) => println!("{argument:?} {content:?}"),
            Err(_) => println!("{argument:?}"),
        }
    }
    let mut names = Vec::new();
    if let Ok(entries) = fs::read_dir("/input") {
        for entry in entries {
            names.push(entry?.file_name());
        }
    }
    names.sort();
    println!("sees {names:?}");
    Ok(())
}
