//! Compiles the contracts' protos without `protoc`; the messages of clients stay those of `protocol`.

const CONTRACTS: [&str; 7] = ["link", "auth", "router", "logic", "push", "im", "proxy"];
const CLIENT_MESSAGES: &str = "../protocol/proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed={CLIENT_MESSAGES}");
    let files = CONTRACTS.map(|name| format!("proto/{name}.proto"));
    let descriptors = protox::compile(files, ["proto", CLIENT_MESSAGES])?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .bytes(".")
        .extern_path(".anser.v1", "::protocol::client")
        .compile_fds(descriptors)?;
    Ok(())
}
