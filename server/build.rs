//! Puts the files of the chat page where the binary embeds them: the built page, or a plain one that says how
//! to build it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "../clients/web/dist";
const STAND_IN: &str = "src/stand_in.html";

fn main() -> Result<(), Box<dyn Error>> {
    let target = PathBuf::from(std::env::var("OUT_DIR")?).join("page");
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::create_dir_all(&target)?;
    println!("cargo::rerun-if-changed={STAND_IN}");
    let page = Path::new(PAGE);
    if page.join("index.html").exists() {
        println!("cargo::rerun-if-changed={PAGE}");
        copy(page, &target)
    } else {
        // Cargo takes a path that is not there for changed and would build anew each time, so the folder in
        // which the page will be is watched.
        println!("cargo::rerun-if-changed=../clients/web");
        fs::copy(STAND_IN, target.join("index.html"))?;
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
