"""Commands as somebody runs them who is not root: for root, every folder is open.

A process of root's that gives up its right to pass over permissions meets them like anybody else,
and can still read the libraries in root's home, which another user could not.
"""

import ctypes
import os

_PASS_OVER = (1, 2, 3)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
_VERSION = 0x20080522
_PR_CAPBSET_DROP = 24


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


def give_up_privileges(*, access_lies=False):
    """Meet permissions from now on, in this thread and those that it starts.

    Of the system calls only ``access`` still goes by what root could do, where ``access_lies``: as
    on network file systems, where the server decides.
    """
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for number in _PASS_OVER:  # nor may a process that this one starts have it
        if libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    header, sets = _Header(_VERSION, 0), (_Sets * 2)()
    if libc.capget(ctypes.byref(header), sets):
        raise OSError(ctypes.get_errno(), "capget")
    for number in _PASS_OVER:
        sets[0].effective &= ~(1 << number)
        if not access_lies:
            sets[0].permitted &= ~(1 << number)
    if libc.capset(ctypes.byref(header), sets):
        raise OSError(ctypes.get_errno(), "capset")


def command(words, folder, access_lies):
    """Run a command in a folder, without privileges."""
    give_up_privileges(access_lies=access_lies)
    os.chdir(folder)
    from dasdist.cli import app

    app([str(word) for word in words], prog_name="dasdist")


def try_it(folder):
    """End with 0 if permissions are met, 3 if they are passed over."""
    give_up_privileges()
    try:
        with open(f"{folder}/written", "w"):
            os._exit(3)
    except PermissionError:
        os._exit(0)
