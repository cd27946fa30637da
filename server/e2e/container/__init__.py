"""The images of `deploy/Dockerfile` as they are run: `make test-container`. Not part of the other tests: it builds for minutes."""
