//! Rules that whoever runs the server chooses.

/// Who may write to whom in single chats. A block list holds under each of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SingleChatRule {
    /// Anyone to anyone.
    #[default]
    Anyone,
    /// A client writes only where there is a conversation already: the business begins one by sending in the name of
    /// one of the two through the server API, and so decides who may write to whom.
    Existing,
}
