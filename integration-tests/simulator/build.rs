//! Lets the simulator's source of randomness stand in for the system's, also where a crate looks it up by name.

fn main() {
    println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol=getrandom");
    println!("cargo:rerun-if-changed=build.rs");
}
