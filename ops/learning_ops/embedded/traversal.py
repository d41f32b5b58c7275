"""Letting one system user pass through directories that are closed to it.

Postgres refuses to run as root, so root runs it as another user, who must reach the binaries and the data below
directories such as /root or one that mktemp made (mode 0700). The narrowest right that does it is an access control
entry "this user may search" on just the closed directories: nobody else gains anything, and nobody can list them.
Where the file system has no such entries, the search bit for others is set instead, and logged.
"""

import errno
import logging
import os
import stat
import struct
from pathlib import Path

_log = logging.getLogger(__name__)

_ATTRIBUTE = "system.posix_acl_access"
# linux/posix_acl_xattr.h: a version, then entries (tag, permissions, id) in this order of tags.
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_SEARCH = 1

_Entries = dict[tuple[int, int], int]


def allow_search(path: Path, uid: int) -> None:
    """Make sure that user `uid` can search every directory above `path`; root only. Raises OSError."""
    for directory in path.resolve().parents:
        status = directory.stat()
        if status.st_mode & stat.S_IXOTH or (status.st_uid == uid and status.st_mode & stat.S_IXUSR):
            continue
        try:
            _add_entry(directory, stat.S_IMODE(status.st_mode), uid)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOSYS):
                raise
            _log.warning("%s is opened to searching (o+x), so that user %d can reach %s", directory, uid, path)
            directory.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)


def _add_entry(directory: Path, mode: int, uid: int) -> None:
    if not hasattr(os, "setxattr"):  # macOS
        raise OSError(errno.ENOTSUP, "access control entries are used on Linux only")
    entries = _read(directory, mode)
    wanted = dict(entries)
    wanted[_USER, uid] = entries.get((_USER, uid), 0) | _SEARCH
    wanted[_MASK, _NO_ID] = entries.get((_MASK, _NO_ID), entries[_GROUP_OBJ, _NO_ID]) | _SEARCH
    if wanted != entries:
        packed = b"".join(_ENTRY.pack(tag, rights, whose) for (tag, whose), rights in sorted(wanted.items()))
        os.setxattr(directory, _ATTRIBUTE, _HEADER.pack(_VERSION) + packed)


def _read(directory: Path, mode: int) -> _Entries:
    try:
        raw = os.getxattr(directory, _ATTRIBUTE)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return {
            (_USER_OBJ, _NO_ID): mode >> 6 & 7,
            (_GROUP_OBJ, _NO_ID): mode >> 3 & 7,
            (_OTHER, _NO_ID): mode & 7,
        }
    return {(tag, whose): rights for tag, rights, whose in _ENTRY.iter_unpack(raw[_HEADER.size :])}


def allow_reading(tree: Path) -> None:
    """Make sure that everybody can read the files below `tree` and run what their owner can run.

    For installed packages, where a umask of 077 closed them. Raises OSError.
    """
    for path in (tree, *tree.rglob("*")):
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)
