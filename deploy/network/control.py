"""The SuperLink's Control API, as the consortium's operator uses it from the same machine.

Flower offers it as a command line that starts an interpreter a call; this speaks to the same API
directly. The API has no authentication, which is why the SuperLink listens on loopback only and
``front`` does not publish it. Written for flwr 1.41.0; ``tests/unit/deploy/test_control.py``
fails where another version would behave differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedtrace.deploy.network.errors import NetworkError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How far Flower says a run is.

    Attributes:
        phase: ``pending``, ``starting``, ``running`` or ``finished``.
        outcome: ``completed``, ``failed`` or ``stopped`` once it has finished, else empty.
        details: Flower's sentence about a failure; about the server's side, never a school's.
    """

    phase: str
    outcome: str
    details: str

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase == "finished"


class Control:
    """A connection to the Control API of one SuperLink.

    Every method raises NetworkError where the SuperLink does not answer or refuses.

    Args:
        address: ``host:port`` on loopback.
        ca_certificate: The consortium's CA, which issued the SuperLink's certificate.
    """

    def __init__(self, address: str, ca_certificate: Path) -> None:
        self._client = ControlHttpClient.from_server_address(
            server_address=address,
            insecure=False,
            root_certificates=ca_certificate.read_bytes(),
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def register(self, school: str, public_key: Path) -> int:
        """Admit a school's node key and return the node id that Flower gives it.

        A key that is registered already keeps its id, so a restart changes nothing.

        Raises:
            NetworkError: The key file is not a P-384 key in OpenSSH format.
        """
        encoded = load_node_key(school, public_key)
        for node in self._nodes():
            if node.public_key == encoded:
                return int(node.node_id)
        with _translated():
            answer = self._client.RegisterNode(RegisterNodeRequest(public_key=encoded, name=school))
        return int(answer.node_id)

    def unregister_others(self, kept: Collection[int]) -> None:
        """Let every node that is not among these connect no more."""
        for node in self._nodes():
            if int(node.node_id) not in kept and node.status != "unregistered":
                with _translated():
                    self._client.UnregisterNode(UnregisterNodeRequest(node_id=node.node_id))

    def online(self) -> frozenset[int]:
        """The ids of the nodes that are connected now."""
        return frozenset(int(node.node_id) for node in self._nodes() if node.status == "online")

    def start_run(self, fab: bytes, settings: Mapping[str, str]) -> int:
        """Start a run of this bundle and return its id.

        Raises:
            NetworkError: The SuperLink did not take the bundle.
        """
        request = StartRunRequest(
            fab=fab_to_proto(Fab(hashlib.sha256(fab).hexdigest(), fab, {})),
            override_config=user_config_to_proto(dict(settings)),
        )
        with _translated():
            answer = self._client.StartRun(request)
        if not answer.HasField("run_id"):
            raise NetworkError("The SuperLink did not accept the bundle; its log says why.")
        return int(answer.run_id)

    def status(self, run_id: int) -> RunStatus:
        """How far a run is.

        Raises:
            NetworkError: There is no such run.
        """
        with _translated():
            runs = self._client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict
        if run_id not in runs:
            raise NetworkError(f"The SuperLink knows no run {run_id}.")
        status = runs[run_id].status
        return RunStatus(phase=status.status, outcome=status.sub_status, details=status.details)

    def stop_run(self, run_id: int) -> None:
        """Ask the SuperLink to end a run."""
        with _translated():
            self._client.StopRun(StopRunRequest(run_id=run_id))

    def _nodes(self) -> Iterable[NodeInfo]:
        with _translated():
            nodes: Iterable[NodeInfo] = self._client.ListNodes(ListNodesRequest()).nodes_info
            return nodes


def load_node_key(school: str, path: Path) -> bytes:
    """A school's public node key in the form that Flower keeps it.

    Raises:
        NetworkError: it is not a P-384 key in OpenSSH format.
        OSError: it cannot be read.
    """
    try:
        key = load_ssh_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise NetworkError(
            f"{path} is not a P-384 public key in OpenSSH format. Ask {school} for the node.pub "
            f"that `fedtrace` made for it."
        )
    encoded: bytes = public_key_to_bytes(key)
    return encoded


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the transport's errors into a sentence for the operator."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise NetworkError(
            f"The SuperLink refused {error.request.url.path} with status "
            f"{error.response.status_code}; its log says why."
        ) from error
    except httpx.HTTPError as error:
        raise NetworkError(
            f"The SuperLink does not answer ({type(error).__name__}). Its log, superlink.log, "
            f"says whether it has ended."
        ) from error
