//! Into the sandbox: from a publisher's bytes to the camera and the microphone.
