//! The binary `crosspoint`: sockets, worker threads, HTTP, pages.
