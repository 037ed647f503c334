"""Checkpoints: signatures, and text that only looks the same."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

from support.logs import (
    key_of,
    note_over,
)
from support.tampering.tools import ORIGIN, Tampering, change_note, lines_of, log_of

from fedtrace.governance.log.note import parse_note, sign_note
from fedtrace.governance.log.storage import CHECKPOINT


def signature_changed(demo: Path) -> None:
    def change(note: bytes) -> bytes:
        head, _, line = note.rstrip(b"\n").rpartition(b" ")
        raw = bytearray(base64.b64decode(line))
        raw[-1] ^= 1
        return head + b" " + base64.b64encode(bytes(raw)) + b"\n"

    change_note(demo, change)


def size_changed_under_the_signature(demo: Path) -> None:
    change_note(demo, lambda note: note.replace(b"\n20\n", b"\n19\n", 1))


def a_zero_before_the_size_and_signed(demo: Path) -> None:
    """A second spelling of the same number; its owner signs it, so only the format is wrong."""

    def change(note: bytes) -> bytes:
        text = parse_note(note)[0].replace("\n20\n", "\n020\n")
        return sign_note(text, name=ORIGIN, key=key_of(ORIGIN))

    change_note(demo, change)


def signed_by_another_key(demo: Path) -> None:
    stranger = key_of("a stranger")
    note = note_over(lines_of(log_of(demo)), ORIGIN, stranger)
    (log_of(demo) / CHECKPOINT).write_bytes(note)


def a_schools_checkpoint_in_its_place(demo: Path) -> None:
    shutil.copy(log_of(demo, "school-1") / CHECKPOINT, log_of(demo) / CHECKPOINT)


def an_origin_that_looks_the_same(demo: Path) -> None:
    """Cyrillic o: what a person reads is the same, what is compared is not."""
    change_note(demo, lambda note: note.replace(b"county/log", "c\u043eunty/log".encode()))


def an_origin_with_a_byte_order_mark(demo: Path) -> None:
    change_note(demo, lambda note: b"\xef\xbb\xbf" + note)


def an_origin_that_is_composed_otherwise(demo: Path) -> None:
    change_note(demo, lambda note: note.replace(b"county", "county\u0301".encode()))


def windows_line_ends_in_the_checkpoint(demo: Path) -> None:
    change_note(demo, lambda note: note.replace(b"\n", b"\r\n"))


def a_zero_byte_in_the_checkpoint(demo: Path) -> None:
    change_note(demo, lambda note: note.replace(b"county", b"cou\0nty", 1))


def a_zero_before_the_size(demo: Path) -> None:
    change_note(demo, lambda note: note.replace(b"\n20\n", b"\n020\n", 1))


def a_root_in_another_base64(demo: Path) -> None:
    """The spare bits of the last character are set: the same 32 bytes, another text."""

    def change(note: bytes) -> bytes:
        lines = note.split(b"\n")
        alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        last = alphabet.index(lines[2][-2:-1])
        lines[2] = lines[2][:-2] + alphabet[last + 1 : last + 2] + b"="
        return b"\n".join(lines)

    change_note(demo, change)


def a_root_of_31_bytes(demo: Path) -> None:
    def change(note: bytes) -> bytes:
        lines = note.split(b"\n")
        lines[2] = base64.b64encode(base64.b64decode(lines[2])[:31])
        return b"\n".join(lines)

    change_note(demo, change)


def a_second_signature_that_is_not_valid(demo: Path) -> None:
    """Every signature that claims to be by the key must be valid, not only one."""

    def change(note: bytes) -> bytes:
        line = note.rstrip(b"\n").rpartition(b"\n")[2]
        name, _, encoded = line.rpartition(b" ")
        raw = bytearray(base64.b64decode(encoded))
        raw[10] ^= 1
        return note + name + b" " + base64.b64encode(bytes(raw)) + b"\n"

    change_note(demo, change)


def a_checkpoint_over_its_limit(demo: Path) -> None:
    change_note(demo, lambda note: note + b"\xe2\x80\x94 x AAAAAAAA\n" * 10_000)


def no_signature_at_all(demo: Path) -> None:
    change_note(demo, lambda note: note.partition(b"\n\n")[0] + b"\n\n")


def a_checkpoint_that_is_garbage(demo: Path) -> None:
    (log_of(demo, "school-1") / CHECKPOINT).write_bytes(b"county")


def the_checkpoint_gone(demo: Path) -> None:
    (log_of(demo) / CHECKPOINT).unlink()


def two_checkpoints_exchanged(demo: Path) -> None:
    first, second = (log_of(demo, name) / CHECKPOINT for name in ("school-1", "school-2"))
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


TAMPERINGS: tuple[Tampering, ...] = (
    Tampering(act=signature_changed, fails=("checkpoint.signature",)),
    Tampering(act=size_changed_under_the_signature, fails=("checkpoint.signature",)),
    Tampering(act=signed_by_another_key, fails=("checkpoint.key",)),
    Tampering(
        act=a_schools_checkpoint_in_its_place, fails=("log.root", "members"), warns=("log.tail",)
    ),
    Tampering(act=an_origin_that_looks_the_same, fails=("checkpoint.origin", "members")),
    Tampering(act=an_origin_with_a_byte_order_mark, fails=("checkpoint.origin", "members")),
    Tampering(act=an_origin_that_is_composed_otherwise, fails=("checkpoint.origin", "members")),
    Tampering(act=windows_line_ends_in_the_checkpoint, fails=("checkpoint.format", "members")),
    Tampering(act=a_zero_byte_in_the_checkpoint, fails=("checkpoint.format", "members")),
    Tampering(act=a_zero_before_the_size, fails=("checkpoint.format", "members")),
    Tampering(act=a_root_in_another_base64, fails=("checkpoint.format", "members")),
    Tampering(act=a_root_of_31_bytes, fails=("checkpoint.format", "members")),
    Tampering(act=a_second_signature_that_is_not_valid, fails=("checkpoint.signature",)),
    Tampering(act=a_checkpoint_over_its_limit, fails=("input", "members")),
    Tampering(act=no_signature_at_all, fails=("checkpoint.format", "members")),
    Tampering(act=a_checkpoint_that_is_garbage, fails=("checkpoint.format",), warns=("members",)),
    Tampering(act=the_checkpoint_gone, fails=("input", "members")),
    Tampering(act=a_zero_before_the_size_and_signed, fails=("checkpoint.format", "members")),
    Tampering(act=two_checkpoints_exchanged, fails=("log.root",)),
)
