//! Bytes to packets and back; no pipeline state.
