//! How a release of the `cauce` program is linked, which decides what of it must be in memory: the functions that run stand
//! together, and of the C++ library there is only what is used (`docs/decisions/0041`). Other builds are linked as usual.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const ORDER: &str = "link-order.txt";
const STATIC_CXX: &str = "libstdc++.a";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={ORDER}");
    println!("cargo:rerun-if-env-changed=CXX");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if !is("PROFILE", "release")
        || !is("TARGET", "x86_64-unknown-linux-gnu")
        || !is("HOST", "x86_64-unknown-linux-gnu")
    {
        return;
    }
    if let Err(cause) = link_cxx_statically() {
        println!("cargo:warning=the C++ library is linked dynamically: {cause}");
    }
    if has_default_linker() {
        let order = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join(ORDER);
        println!(
            "cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={}",
            order.display()
        );
        // Names of other versions of a library are passed over.
        println!("cargo:rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
    }
}

/// Rust's own linker for this target is lld, which knows these arguments; one that was chosen may not.
fn has_default_linker() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    env::var_os("RUSTC_LINKER").is_none() && !flags.contains("linker") && !flags.contains("fuse-ld")
}

/// Shows the linker a directory that has the archive and not the shared library.
fn link_cxx_statically() -> io::Result<()> {
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let mut words = compiler.split_whitespace();
    let program = words.next().unwrap_or("c++");
    let mut command = Command::new(program);
    let found = command
        .args(words)
        .arg(format!("-print-file-name={STATIC_CXX}"))
        .output()?;
    let archive = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    if !archive.is_absolute() {
        return Err(io::Error::other(format!("{compiler} has no {STATIC_CXX}")));
    }
    let directory = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("static");
    fs::create_dir_all(&directory)?;
    let link = directory.join(STATIC_CXX);
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(archive, link)?;
    println!("cargo:rustc-link-search=native={}", directory.display());
    Ok(())
}
