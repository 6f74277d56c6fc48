//! The host's side of `wit/`, generated. No logic lives here.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "imports",
    imports: {
        "lockkeeper:runtime/mutex.[method]mutex.acquire": async | trappable,
        default: trappable,
    },
    with: {
        "lockkeeper:runtime/mutex.mutex": crate::guest_api::MutexHandle,
        "lockkeeper:runtime/append.append-file": crate::guest_api::FileHandle,
    },
    trappable_error_type: {
        "lockkeeper:runtime/types.error" => crate::guest_api::Refusal,
    },
});
