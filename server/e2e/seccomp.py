"""Refuses io_uring to a child as Docker's default seccomp profile does: `io_uring_setup` answers ENOSYS, everything else passes."""

import ctypes
import errno
import os
import platform
import struct

# The number is the same on every architecture that io_uring came to.
IO_URING_SETUP = 425

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF_0000
SECCOMP_RET_ERRNO = 0x0005_0000

BPF_LOAD_WORD = 0x20
BPF_JUMP_IF_EQUAL = 0x15
BPF_RETURN = 0x06


def _program() -> bytes:
    # struct seccomp_data starts with the system call's number.
    instructions = [
        (BPF_LOAD_WORD, 0, 0, 0),
        (BPF_JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP),
        (BPF_RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.ENOSYS),
        (BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


_libc = ctypes.CDLL(None, use_errno=True)
_code = ctypes.create_string_buffer(_program())
_filter = _Program(4, ctypes.cast(_code, ctypes.c_void_p))


def refuse_io_uring():
    """For `preexec_fn`: from here on the process and its children have no io_uring."""
    for words in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(_filter), 0, 0)):
        if _libc.prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def io_uring_refusal() -> str | None:
    """Why this kernel gives us no ring, or nothing when it does."""
    if platform.system() != "Linux":
        return "not Linux"
    parameters = ctypes.create_string_buffer(120)
    ring = _libc.syscall(IO_URING_SETUP, 1, parameters)
    if ring < 0:
        return os.strerror(ctypes.get_errno())
    os.close(ring)
    return None
