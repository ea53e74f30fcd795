fn main() -> std::process::ExitCode {
    stormglass::cli::main(&[&gossip::sim::Gossip])
}
