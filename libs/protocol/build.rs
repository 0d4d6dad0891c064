//! Compiles client.proto without `protoc`, and gives its messages their JSON names.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/client.proto");
    let descriptors = protox::compile(["proto/client.proto"], ["proto"])?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    // The largest message in it would make every push that large.
    config.boxed(".anser.v1.Conversation.last");
    config.type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]");
    config.type_attribute(".", "#[serde(rename_all = \"camelCase\")]");
    config.message_attribute(".", "#[serde(default)]");
    for number in
        ["Message.message_id", "SendReply.message_id", "Recalled.message_id", "GroupEvent.message_id"]
    {
        config.field_attribute(
            format!(".anser.v1.{number}"),
            "#[serde(with = \"crate::json::number_as_string\")]",
        );
    }
    for bytes in ["Custom.body", "OperationPush.body"] {
        config
            .field_attribute(format!(".anser.v1.{bytes}"), "#[serde(with = \"crate::json::base64_bytes\")]");
    }
    config.field_attribute(
        ".anser.v1.RoomMessage.body",
        "#[serde(with = \"crate::json::base64_bytes_if_present\", skip_serializing_if = \"Option::is_none\")]",
    );
    for list in ["Message.mentions", "Message.users"] {
        config.field_attribute(
            format!(".anser.v1.{list}"),
            "#[serde(skip_serializing_if = \"Vec::is_empty\")]",
        );
    }
    for optional in [
        "Auth.inbox_seq",
        "SendReply.inbox_seq",
        "Message.inbox_seq",
        "Message.to",
        "RoomMessage.sender",
        "RoomMessage.client_message_id",
        "RoomMessage.time_ms",
        "RoomMessage.op",
        "Reconnect.url",
        "Send.to",
        "Message.mention_all",
        "Message.reply_to",
        "Message.recalled",
        "Message.kind",
        "Message.target",
        "Message.by",
        "Message.group",
        "Message.role",
        "Recalled.inbox_seq",
        "Recalled.group",
        "GroupEvent.inbox_seq",
        "GroupEvent.role",
        "Receipt.delivered",
        "Receipt.read",
        "GroupTop.read_up_to",
        "GroupTop.joined",
        "UserPresence.online",
        "GroupUpdate.name",
        "GroupUpdate.avatar",
        "GroupUpdate.announcement",
        "GroupUpdate.join",
        "GroupUpdate.history",
        "GroupUpdate.kind",
        "Conversation.peer",
        "Conversation.group",
        "Conversation.name",
        "Conversation.last",
        "Conversation.left",
        "Conversation.peer_delivered_up_to",
        "Conversation.peer_read_up_to",
        "ConversationUpdate.pinned",
        "ConversationUpdate.muted",
        "History.before",
        "History.after",
        "History.before_ms",
        "History.after_ms",
    ] {
        config.field_attribute(
            format!(".anser.v1.{optional}"),
            "#[serde(skip_serializing_if = \"Option::is_none\")]",
        );
    }
    config.compile_fds(descriptors)?;

    // An attribute set by path on a oneof field would also stand on its variants, so it is set here. The generated
    // code is laid out over one line or several, as other packages of the build want prost-build to do it.
    let generated = std::path::Path::new(&std::env::var("OUT_DIR")?).join("anser.v1.rs");
    let mut source = std::fs::read_to_string(&generated)?;
    let oneofs: Vec<usize> = source.match_indices("oneof = ").map(|(at, _)| at).collect();
    if oneofs.is_empty() {
        return Err("no oneof field is found in what prost-build generated".into());
    }
    for at in oneofs.into_iter().rev() {
        let attribute = source[..at].rfind("#[prost(").ok_or("a oneof without its attribute")?;
        source.insert_str(attribute, "#[serde(flatten)] ");
    }
    std::fs::write(&generated, source)?;
    Ok(())
}
