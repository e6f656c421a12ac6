//! `cargo xtask gen`: the published `.proto` to the Rust types of `throng-wire`, without protoc.
//! The result is committed; a test compares it with what the `.proto` says.

use std::process::ExitCode;

use crate::{root, say};

/// What `crates/throng-wire/src/native/v1.rs` must hold.
pub fn generated() -> Result<String, Box<dyn std::error::Error>> {
    let proto = root().join("crates/throng-wire/proto");
    let files = protox::compile([proto.join("throng.proto")], [&proto])?;
    let mut config = prost_build::Config::new();
    config.type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]");
    config.type_attribute(".", "#[serde(rename_all = \"snake_case\")]");
    config.message_attribute(".", "#[serde(default)]");
    config.skip_protoc_run();
    config.out_dir(std::env::temp_dir());
    let modules = files
        .file
        .into_iter()
        .map(|file| (prost_build::Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let mut made = config.generate(modules)?;
    let code = made.drain().next().ok_or("the .proto gave no module")?.1;
    Ok(code)
}

/// Refreshes the committed file.
pub fn write() -> ExitCode {
    let path = root().join("crates/throng-wire/src/native/v1.rs");
    match generated().and_then(|code| Ok(std::fs::write(&path, code)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("cannot generate {}: {error}", path.display()));
            ExitCode::FAILURE
        }
    }
}
