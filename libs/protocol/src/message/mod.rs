//! What a person sent: one content type a file, each checked for size and shape.

mod audio;
mod custom;
mod file;
mod image;
pub mod kind;
mod location;
mod media;
mod text;
mod video;

use crate::client::{self, message, room_message, send};
use crate::code::Code;

/// Why a content is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ContentError {
    /// What a client is told.
    pub code: Code,
    /// Names the field, its value and the limit.
    pub message: String,
}

impl ContentError {
    fn too_large(message: String) -> Self {
        Self { code: Code::TooLarge, message }
    }

    fn invalid(message: String) -> Self {
        Self { code: Code::InvalidArgument, message }
    }
}

/// What a message says, whatever carries it.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Words.
    Text(String),
    /// A reference to a picture.
    Image(client::Image),
    /// A reference to a sound.
    Audio(client::Audio),
    /// A reference to a film.
    Video(client::Video),
    /// A reference to a file.
    File(client::File),
    /// A place.
    Location(client::Location),
    /// Whatever the application defines.
    Custom(client::Custom),
}

impl Content {
    /// Checks size and shape.
    ///
    /// # Errors
    /// [`ContentError`] names the field and its limit.
    pub fn check(&self) -> Result<(), ContentError> {
        match self {
            Self::Text(text) => text::check(text),
            Self::Image(image) => image::check(image),
            Self::Audio(audio) => audio::check(audio),
            Self::Video(video) => video::check(video),
            Self::File(file) => file::check(file),
            Self::Location(location) => location::check(location),
            Self::Custom(custom) => custom::check(custom),
        }
    }
}

macro_rules! carried_by {
    ($($oneof:ident),*) => {
        $(
            impl From<Content> for $oneof::Content {
                fn from(content: Content) -> Self {
                    match content {
                        Content::Text(text) => Self::Text(text),
                        Content::Image(image) => Self::Image(image),
                        Content::Audio(audio) => Self::Audio(audio),
                        Content::Video(video) => Self::Video(video),
                        Content::File(file) => Self::File(file),
                        Content::Location(location) => Self::Location(location),
                        Content::Custom(custom) => Self::Custom(custom),
                    }
                }
            }

            impl From<$oneof::Content> for Content {
                fn from(content: $oneof::Content) -> Self {
                    match content {
                        $oneof::Content::Text(text) => Self::Text(text),
                        $oneof::Content::Image(image) => Self::Image(image),
                        $oneof::Content::Audio(audio) => Self::Audio(audio),
                        $oneof::Content::Video(video) => Self::Video(video),
                        $oneof::Content::File(file) => Self::File(file),
                        $oneof::Content::Location(location) => Self::Location(location),
                        $oneof::Content::Custom(custom) => Self::Custom(custom),
                    }
                }
            }
        )*
    };
}

carried_by!(send, message, room_message);
