//! The host's side of `wit/empty.wit`, generated. No logic lives here.

wasmtime::component::bindgen!({
    path: ["../../wit", "wit"],
    world: "lockkeeper:bench/imports",
    imports: {
        "lockkeeper:bench/empty.[method]mutex.acquire": async | trappable,
        default: trappable,
    },
    with: {
        "lockkeeper:bench/empty.mutex": crate::bare::Nothing,
    },
});
