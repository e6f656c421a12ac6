//! The project's chores, as one program: see `cargo xtask help`.

mod gen_wire;

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("gen") => gen_wire::write(),
        _ => std::process::ExitCode::FAILURE,
    }
}
