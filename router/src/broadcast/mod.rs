//! Out of the sandbox: from the screen and the speaker to viewers.
