# One line of help stands behind each target; `make` alone prints them.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-asan test-container test-device bench loadtest fmt lint doc clean

help: ## Lists these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

setup: ## Installs what is missing for all the others
	@deploy/setup

run: ## Shows it all: a browser whose camera and microphone play a clip, its screen at a page to open; Ctrl-C ends it
	@deploy/run

test: ## Runs every test: the crates' own and the real-peer tests with Chromium, PulseAudio, Xvfb and ffmpeg
	@.ci/test

# The sanitizer is one of the compiler's unstable options, which a stable one takes too when it is told to.
test-asan: setup ## Runs the tests of the unsafe code under AddressSanitizer
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test -p crosspoint-ffi --all-features --lib \
	  --target "$$(rustc -vV | sed -n 's/^host: //p')" --target-dir "$${CARGO_TARGET_DIR:-target}/asan"

# It installs packages of its own, and says so when it cannot.
test-device: setup ## Tests the camera device on the real v4l2loopback, in a virtual machine; CHECKS="bench" compares with ffmpeg
	cargo build --workspace --bins
	server/e2e/device/run $(CHECKS)

# It builds for minutes, and needs root for networks and mounts.
test-container: setup ## Builds the images of deploy/ and tests them as they are run, behind a port mapping
	server/e2e/container/run

bench: setup ## Runs the benchmarks; a report per group comes to lie in target/criterion
	cargo bench -p crosspoint-benches

ARGS ?= peers --setup --pin
loadtest: setup ## Measures ours beside others, in a quarter of an hour; ARGS="camera-latency --help" chooses what
	cargo build --release
	$${CARGO_TARGET_DIR:-target}/release/loadtest $(ARGS)

fmt: ## Formats the code
	cargo fmt --all

lint: setup ## Clippy and the crate arrows, warnings as errors
	cargo clippy --workspace --all-targets -- -D warnings
	.ci/arrows

doc: setup ## Builds the documentation of the crates, warnings as errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

clean: ## Removes everything that was built or installed inside this folder
	cargo clean
	rm -rf .venv samples/node_modules samples/media samples/virtual-inputs/media server/web/node_modules server/e2e/.artifacts
