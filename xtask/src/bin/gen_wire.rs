//! What `cargo xtask gen` starts: the published `.proto` to the Rust types of `throng-wire`, without protoc.
//! The result is committed; a test compares it with what the `.proto` says.
//!
//! Neighbours: `xtask/src/generate.rs` builds this and starts it. It is a program of its own, so that no other
//! chore waits for what it needs; and no example, which would wait for the crates that it writes a part of.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use protox::prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use protox::prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto};

/// Fields of requests whose default does something that one who left them out, or misspelt them, did not
/// ask for. In the JSON form they must be there; Protobuf cannot tell a default from nothing.
const DECISIVE: [(&str, &str); 8] = [
    ("Edit", "body"),
    ("SetContacts", "writers"),
    ("SetLevel", "level"),
    ("SettleHeld", "pass"),
    ("SettleReport", "upheld"),
    ("SetAvatar", "file"),
    ("SetRoomAvatar", "file"),
    ("Words", "list"),
];
/// Fields of answers that are written at their default too: they are what was asked for.
const TOLD_ALWAYS: [(&str, &str); 2] = [("ContactsAre", "writers"), ("UnreadRoom", "level")];

/// The committed file.
const TYPES: &str = "crates/throng-wire/src/native/v1.rs";

/// Refreshes the committed file.
fn main() -> ExitCode {
    let path = root().join(TYPES);
    match generated().and_then(|code| Ok(std::fs::write(&path, code)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("cannot generate {}: {error}", path.display()));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a chore speaks to the one who runs it")]
fn complain(text: &str) {
    eprintln!("{text}");
}

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").into()
}

/// What the committed file must hold.
fn generated() -> Result<String, Box<dyn std::error::Error>> {
    let proto = root().join("crates/throng-wire/proto");
    let files = protox::compile([proto.join("throng.proto")], [&proto])?;
    let mut config = prost_build::Config::new();
    for file in &files.file {
        for message in &file.message_type {
            json_form(&mut config, file.package(), message);
        }
    }
    // Theirs is in `native/redacted.rs`.
    let secret = [
        "Register",
        "Login",
        "Authenticate",
        "Session",
        "ChangePassword",
        "ResetPassword",
        "Invitation",
        "DeleteAccount",
        "RoomLink",
        "JoinByLink",
    ];
    config.skip_debug(secret.map(|name| format!(".throng.v1.{name}")));
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

/// The JSON form of one message: fields by their names, those that are absent left out. Messages with
/// a oneof are written by hand in `native/oneof.rs`: serde's own `flatten` would buffer every value.
fn json_form(config: &mut prost_build::Config, package: &str, message: &DescriptorProto) {
    let path = format!(".{package}.{}", message.name());
    // `optional` makes a oneof of one in the descriptor, which prost turns into an `Option`.
    let real =
        |field: &FieldDescriptorProto| field.oneof_index.is_some() && !field.proto3_optional();
    if message.field.iter().any(real) {
        return;
    }
    config.message_attribute(&path, "#[derive(serde::Serialize, serde::Deserialize)]");
    let is_decisive = |name: &str| DECISIVE.contains(&(message.name(), name));
    let some_decide = message.field.iter().any(|field| is_decisive(field.name()));
    if !some_decide {
        config.message_attribute(&path, "#[serde(default)]");
    }
    for field in &message.field {
        let path = format!("{path}.{}", field.name());
        let decides = is_decisive(field.name());
        if some_decide && !decides {
            config.field_attribute(&path, "#[serde(default)]");
        }
        let single = field.label() != Label::Repeated;
        let skip = match (field.r#type(), field.name()) {
            (Type::Message, _) if single => "Option::is_none",
            _ if field.proto3_optional() => "Option::is_none",
            (Type::String, "origin_id" | "token" | "avatar") => "String::is_empty",
            // Most messages were never touched, and most requests name nobody.
            (Type::Uint64, "edited" | "user" | "in_reply_to" | "mentioned")
            | (Type::Uint32, "width" | "height")
            | (Type::String, "attachments")
            | (Type::Message, "reactions" | "attachments")
            | (Type::Bool, "deleted" | "removed" | "matched" | "muted" | "voiced" | "trace") => {
                "crate::native::names::is_unsaid"
            }
            (Type::Enum, name)
                if !(decides
                    || field.type_name().ends_with(".Ack")
                    || TOLD_ALWAYS.contains(&(message.name(), name))) =>
            {
                "crate::native::names::is_unsaid"
            }
            _ => "",
        };
        if !skip.is_empty() {
            config.field_attribute(&path, format!("#[serde(skip_serializing_if = \"{skip}\")]"));
        }
        if single && field.r#type() == Type::Message {
            let within = "#[serde(deserialize_with = \"crate::native::object::within\")]";
            config.field_attribute(&path, within);
        }
        // What a client sends many of, it sends so many of at most.
        if let ("Post", "mentioned" | "attachments") | ("Words", "list") =
            (message.name(), field.name())
        {
            let few = "#[serde(deserialize_with = \"crate::native::json::few\")]";
            config.field_attribute(&path, few);
        }
        if field.r#type() == Type::Enum {
            let name = snake(field.type_name());
            config.field_attribute(
                &path,
                format!("#[serde(with = \"crate::native::names::{name}\")]"),
            );
        }
    }
}

/// The last part of a type's name, as a module is named.
fn snake(type_name: &str) -> String {
    let mut name = String::new();
    for letter in type_name.rsplit('.').next().unwrap_or_default().chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_types_are_what_the_proto_says() {
        let committed = std::fs::read_to_string(root().join(TYPES));
        assert!(
            committed.unwrap() == generated().unwrap(),
            "{TYPES} is stale: run `cargo xtask gen`"
        );
    }
}
