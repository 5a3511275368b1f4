//! `packaging MODULE MODULE-WITH-EVERY-CALLBACK FOLDER`: fills the folder (`make package`).
//!
//! From the environment: `SOURCE_DATE_EPOCH` (seconds, of the commit), `REVISION` and `SOURCE_URL` (may be missing).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use okta_proxy_wasm::config::reference;
use packaging::crates::Crates;
use packaging::digest::sha256;
use packaging::dist::Dist;
use packaging::release::Release;
use packaging::{kong, licences, manifests, oci_image, sbom};

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let outcome = match arguments.as_slice() {
        [module, module_with_every_callback, folder] => package(module, module_with_every_callback, folder),
        _ => Err(String::from("usage: packaging MODULE MODULE-WITH-EVERY-CALLBACK FOLDER")),
    };
    match outcome {
        Ok(digests) => {
            print!("{digests}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("packaging: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Fills the folder and tells what pins the release.
fn package(module: &Path, module_with_every_callback: &Path, folder: &Path) -> Result<String, String> {
    let module = read(module)?;
    let crates = Crates::of_the_module(Path::new("."))?;
    let release = Release {
        version: crates.filter.1.clone(),
        revision: env::var("REVISION").unwrap_or_default(),
        source: env::var("SOURCE_URL").unwrap_or_default(),
        created: env::var("SOURCE_DATE_EPOCH")
            .map_or(Ok(0), |seconds| seconds.parse().map_err(|_| format!("SOURCE_DATE_EPOCH: {seconds:?}")))?,
    };
    let mut dist = Dist::empty(folder)?;
    dist.write("okta_proxy_wasm.wasm", &module)?;
    let manifest = oci_image::write(&mut dist, "oci", &release, &module)?;
    manifests::write(&mut dist, Path::new("."), &manifest)?;
    kong::write(&mut dist, &read(module_with_every_callback)?)?;
    dist.write("okta-proxy-wasm.schema.json", format!("{:#}\n", reference::json_schema()).as_bytes())?;
    dist.write("okta_proxy_wasm.cdx.json", sbom::document(&crates, &module).as_bytes())?;
    dist.write("LICENSE", &read(Path::new("LICENSE"))?)?;
    dist.write("THIRD-PARTY-LICENSES", licences::notices(&crates)?.as_bytes())?;
    dist.write("RUST-STANDARD-LIBRARY.html", &notices_of_the_standard_library()?)?;
    let digests = digests(&release, &manifest, &sha256(&module));
    dist.write("DIGESTS", digests.as_bytes())?;
    dist.seal()?;
    Ok(digests)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|fault| format!("{}: {fault}", file.display()))
}

/// What pins the release. Two digests that look alike: who mixes them up is refused by every fetcher.
fn digests(release: &Release, manifest: &str, module: &str) -> String {
    format!(
        "okta-proxy-wasm {}, commit {}\n\
         sha256 beside an oci:// URL (the image's manifest):            {manifest}\n\
         sha256 beside an http:// or https:// URL (the module's file): {module}\n",
        release.version,
        if release.revision.is_empty() { "unknown" } else { &release.revision },
    )
}

/// The compiler brings them along.
fn notices_of_the_standard_library() -> Result<Vec<u8>, String> {
    let outcome = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = outcome.map_err(|fault| format!("rustc: {fault}"))?.stdout;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot).trim());
    read(&sysroot.join("share/doc/rust/COPYRIGHT-library.html"))
}
