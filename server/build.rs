//! Bundles the TypeScript of the pages with npm's esbuild into `OUT_DIR/web`, from where the binary embeds it.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
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
    // What an earlier build left would be embedded, too.
    if out.exists() {
        fs::remove_dir_all(&out).expect("OUT_DIR is ours to write");
    }
    fs::create_dir_all(&out).expect("OUT_DIR is ours to write");
    let outdir = format!("--outdir={}", out.display());
    let bundle =
        ["--bundle", "--minify", "--splitting", "--format=esm", "--target=es2022", "--log-level=warning", "--chunk-names=part-[hash]"];
    let pages = ["src/console.ts", "src/console.css", "src/feed.ts", "src/feed.css", "src/watch.ts", "src/watch.css"];
    let unstyled = format!("--alias:{JSMPEG}={}", unstyled_jsmpeg(&web, &out).display());
    run(&web, "node_modules/.bin/esbuild", &[&pages[..], &bundle, &[&outdir, &unstyled]].concat());
    for name in ["console.html", "feed.html", "watch.html"] {
        fs::copy(web.join("src").join(name), out.join(name)).expect("web/src has the pages and OUT_DIR is ours");
    }
    write_assets(&out);
}

/// Writes a JSMpeg that injects no style: that is for buttons that our page has not, and the page's policy refuses it.
fn unstyled_jsmpeg(web: &Path, out: &Path) -> PathBuf {
    let source = web.join("node_modules").join(JSMPEG).join("dist/jsmpeg-player.esm.js");
    let text = fs::read_to_string(&source).expect("npm installed it");
    let parts: Vec<_> = text.split("\nstyleInject(css_248z);\n").collect();
    assert_eq!(parts.len(), 2, "another version of {JSMPEG}: look where it injects its style");
    let unstyled = out.with_file_name("jsmpeg.js");
    fs::write(&unstyled, parts.join("\n")).expect("OUT_DIR is ours to write");
    unstyled
}

const JSMPEG: &str = "@cycjimmy/jsmpeg-player";

/// Writes the table of what was bundled, as `http::pages` embeds it.
fn write_assets(out: &Path) {
    let entries = fs::read_dir(out).expect("OUT_DIR is ours to read");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("as above").file_name().into_string().expect("esbuild writes plain names")).collect();
    names.sort();
    // Node's is as good a gzip as any, and is here.
    let compress = "for (const f of process.argv.slice(1)) fs.writeFileSync(f + '.gz', zlib.gzipSync(fs.readFileSync(f), {level: 9}))";
    run(out, "node", &[&["-e", compress], &names.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    let rows = names.iter().map(|name| {
        let kind = match name.rsplit_once('.') {
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "html")) => "text/html; charset=utf-8",
            Some(_) | None => "text/javascript; charset=utf-8",
        };
        let mut hasher = DefaultHasher::new();
        fs::read(out.join(name)).expect("it was just written").hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        let content = |ending: &str| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/web/{name}{ending}\"))");
        let (plain, gzip) = (content(""), content(".gz"));
        format!("Asset {{ name: {name:?}, kind: {kind:?}, tag: {tag:?}, plain: {plain}, gzip: {gzip} }},\n")
    });
    let table = format!("[\n{}]", rows.collect::<String>());
    fs::write(out.with_file_name("assets.rs"), table).expect("OUT_DIR is ours to write");
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
