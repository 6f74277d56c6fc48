//! The library as an embedder uses it: programs started step by step, plugins whose exports are called, host interfaces of
//! his own, and host code that takes the same locks and appends to the same files as guests.

mod examples;
mod host_code;
mod interfaces;
mod plugins;
mod support;
