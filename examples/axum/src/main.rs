fn main() -> std::process::ExitCode {
    stormglass::cli::main(&[&axum_kv::sim::Kv])
}
