//! The manifests and configurations of `deploy/`, with the digest of this release's image where they have noughts.

use std::fs;
use std::path::Path;

use crate::dist::Dist;

const DIGEST_TO_COME: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes them into a folder of `dist` of the same name.
///
/// # Errors
/// When one cannot be read or written, or none has a place for the digest, in words.
pub fn write(dist: &mut Dist, project: &Path, digest: &str) -> Result<(), String> {
    let mut filled = 0;
    for folder in names(&project.join("deploy"))? {
        for file in names(&project.join("deploy").join(&folder))? {
            let path = format!("deploy/{folder}/{file}");
            let text = fs::read_to_string(project.join(&path)).map_err(|fault| format!("{path}: {fault}"))?;
            filled += text.matches(DIGEST_TO_COME).count();
            dist.write(&path, text.replace(DIGEST_TO_COME, digest).as_bytes())?;
        }
    }
    if filled == 0 { Err(String::from("no manifest of deploy/ has a place for the digest")) } else { Ok(()) }
}

fn names(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|fault| format!("{}: {fault}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_put_in_and_its_absence_is_noticed() {
        let project = tempfile::tempdir().unwrap();
        let folder = project.path().join("deploy/istio");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.yaml"), "kind: ServiceEntry\n").unwrap();
        let mut dist = Dist::empty(&project.path().join("dist")).unwrap();
        let digest = "1".repeat(64);
        assert!(write(&mut dist, project.path(), &digest).is_err());
        fs::write(folder.join("b.yaml"), format!("sha256: {DIGEST_TO_COME}\n")).unwrap();
        write(&mut dist, project.path(), &digest).unwrap();
        let written = |name: &str| fs::read_to_string(project.path().join("dist/deploy/istio").join(name)).unwrap();
        assert_eq!(written("a.yaml"), "kind: ServiceEntry\n");
        assert_eq!(written("b.yaml"), format!("sha256: {digest}\n"));
    }
}
