//! Bundles the TypeScript of the pages with npm's esbuild into `OUT_DIR/web`, from where the binary embeds it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let web = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("web");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("web");
    for watched in ["src", "package.json", "package-lock.json", ".npmrc"] {
        println!("cargo::rerun-if-changed=web/{watched}");
    }
    println!("cargo::rerun-if-changed=build.rs");

    if !is_installed(&web) {
        // Scripts of packages are not run: the bundler works without its own, and nothing of the registry gets to run here unasked.
        run(&web, "npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    }
    let outfile = |name: &str| out.join(name).display().to_string();
    fs::create_dir_all(&out).expect("OUT_DIR is ours to write");
    for name in ["watch.ts", "watch.css"] {
        let bundle = format!("--outfile={}", outfile(&name.replace(".ts", ".js")));
        let source = format!("src/{name}");
        run(&web, "node_modules/.bin/esbuild", &[&source, "--bundle", "--minify", "--target=es2022", "--log-level=warning", &bundle]);
    }
    fs::copy(web.join("src/watch.html"), out.join("watch.html")).expect("web/src/watch.html is there and OUT_DIR is ours");
}

/// Whether what npm installed is what the lock file says. npm writes its own copy of it as the last step.
fn is_installed(web: &Path) -> bool {
    let written = |name: &str| fs::metadata(web.join(name)).and_then(|metadata| metadata.modified()).ok();
    match (written("node_modules/.package-lock.json"), written("package-lock.json")) {
        (Some(installed), Some(locked)) => installed >= locked,
        (None, _) | (_, None) => false,
    }
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let path = if program.contains('/') { folder.join(program) } else { PathBuf::from(program) };
    let shown = || [program].iter().chain(arguments).map(OsStr::new).collect::<Vec<_>>().join(OsStr::new(" "));
    match Command::new(path).args(arguments).current_dir(folder).status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!(
            "{:?} in {} ended with {status}. Building the pages needs npm's registry once; after that server/web/node_modules is enough.",
            shown(),
            folder.display()
        ),
        Err(error) => {
            panic!("{:?} cannot be run: {error}. Building the pages needs Node.js 18 or later with npm (Debian: nodejs npm).", shown())
        }
    }
}
