//! The chat page's files, embedded in the binary.

use std::borrow::Cow;

use bytes::Bytes;
use proxy::PageFile;
use rust_embed::Embed;

#[derive(Embed)]
#[folder = "$OUT_DIR/page"]
struct Files;

/// The file of that name, such as `index.html`.
pub(crate) fn file(name: &str) -> Option<PageFile> {
    let bytes = match Files::get(name)?.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Some(PageFile { media_type: media_type(name), bytes })
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_there_and_nothing_beside_it() {
        let page = file("index.html").unwrap();
        assert_eq!(page.media_type, "text/html; charset=utf-8");
        assert!(String::from_utf8_lossy(&page.bytes).contains("<title>Anser</title>"));
        for name in ["", "/", "../Cargo.toml", "/etc/passwd", "index.html/"] {
            assert!(file(name).is_none(), "{name:?}");
        }
    }
}
