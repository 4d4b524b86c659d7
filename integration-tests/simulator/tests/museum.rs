//! The patches that bring known bugs back (`scripts/museum`) fit the sources as they are.

use std::path::Path;
use std::process::Command;

#[test]
fn every_patch_of_the_museum_applies() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = here.ancestors().nth(2).expect("the top of the checkout");
    let mut patches = 0;
    for entry in here.join("museum").read_dir().expect("the museum") {
        let patch = entry.expect("an entry").path();
        let applied = Command::new("git")
            .args(["apply", "--check"])
            .arg(&patch)
            .current_dir(top)
            .output()
            .expect("git runs");
        let said = String::from_utf8_lossy(&applied.stderr);
        assert!(applied.status.success(), "{}: {said}", patch.display());
        patches += 1;
    }
    assert!(patches >= 10, "{patches} patches");
}
