//! A plugin for the tests of typed calls, which can be started as well. Nothing is exported elsewhere than in WebAssembly.

#[cfg(target_arch = "wasm32")]
mod bindings;
#[cfg(target_arch = "wasm32")]
mod exports;

fn main() {
    println!("started and not called");
}
