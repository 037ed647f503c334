"""A real nginx with the project's own form in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.tree import ROOT

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
NEEDS_NGINX = pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed: `apt install nginx-light`"
)
CONF = ROOT / "deploy" / "nginx" / "fedtrace.conf"
REQUESTS = "requests.log"


def start_nginx(
    folder: Path, home: Path, *, public: str, inner: str, writes_requests: bool = False
) -> subprocess.Popen[bytes]:
    """The file of the project with nothing changed but what its first lines tell to change.

    Args:
        folder: for its own files.
        home: the consortium's.
        public: ``ADDRESS:PORT`` that it listens on.
        inner: where the front listens.
        writes_requests: it writes ``STATUS SECONDS PATH`` of every request into `REQUESTS`.
    """
    assert NGINX is not None
    conf = CONF.read_text(encoding="utf-8")
    changes = {
        "203.0.113.10:8443": public,
        "127.0.0.1:8443": inner,
        "fed.example.org": "localhost",
        "/srv/consortium": str(home),
    }
    if writes_requests:
        changes["access_log off;"] = f"access_log {folder}/{REQUESTS} seconds;"
    for old, new in changes.items():
        assert old in conf
        conf = conf.replace(old, new)
    (folder / "fedtrace.conf").write_text(conf, encoding="utf-8")
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\nlog_format seconds '$status $request_time $uri';\n"
        f"{temporary}include {folder}/fedtrace.conf;\n}}\n",
        encoding="utf-8",
    )
    command = [NGINX, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(main)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=20)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr, checked.stderr
    return subprocess.Popen(command)
