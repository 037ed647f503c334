"""What operators copy from deploy/ says what the command line takes, and gives nothing away."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from click import Group
from jsonschema import Draft7Validator
from support.tree import ROOT

from fedtrace.deploy.cli.main import app
from fedtrace.deploy.enrolment.routes import ASK, AUTHORITY, LOOK
from fedtrace.deploy.network.address import Address
from fedtrace.deploy.network.front import ROUTES, FrontSettings

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
PORT = Address.model_fields["port"].default


def require_command(words: list[str]) -> None:
    """The words after ``fedtrace`` are a command that exists, with options that it has."""
    command = typer.main.get_command(app)
    while isinstance(command, Group):
        assert words, "the command is not complete"
        command = command.commands[words.pop(0)]
    with command.make_context("fedtrace", words, resilient_parsing=False):
        pass


def setting(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_command_that_exists(unit: Path) -> None:
    (line,) = setting(unit, "ExecStart")
    program, *words = shlex.split(line)
    assert Path(program).name == "fedtrace"
    home = words[words.index("--home") + 1]
    assert setting(unit, "ReadWritePaths") == [home]
    require_command(words)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_hardened(unit: Path) -> None:
    wanted = {
        "User": "fedtrace",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "PrivateDevices": "yes",
        "UMask": "0077",
        "Restart": "always",
    }
    assert {name: setting(unit, name) for name in wanted} == {k: [v] for k, v in wanted.items()}
    assert setting(unit, "MemoryMax")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_a_unit(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    text = unit.read_text(encoding="utf-8").replace("/usr/local/bin/fedtrace", "/bin/true")
    copy.write_text(text, encoding="utf-8")  # it looks whether the program is there
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []


@pytest.mark.parametrize("name", ["consortium", "school"])
def test_a_container_starts_a_command_that_exists_and_may_do_little(name: str) -> None:
    service = COMPOSE["services"][name]
    home = service["command"][service["command"].index("--home") + 1]
    assert service["volumes"] == [f"{name}:{home}"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["mem_limit"]
    assert "ports" not in service or service["ports"] == [f"{PORT}:{PORT}"]
    require_command(list(service["command"]))


def test_only_the_consortium_is_reached() -> None:
    assert [k for k, v in COMPOSE["services"].items() if "ports" in v] == ["consortium"]


def test_the_image_is_pinned_and_not_of_root() -> None:
    image = (DEPLOY / "image" / "Containerfile").read_text(encoding="utf-8")
    assert "-c constraints.txt" in image
    user = re.findall(r"^USER (.*)$", image, re.M)[-1]
    assert user == COMPOSE["services"]["school"]["user"] == "10001:10001"
    for service in COMPOSE["services"].values():
        assert service["volumes"][0].partition(":")[2] in image


def test_nginx_publishes_what_the_front_answers_with_its_limits() -> None:
    conf = (DEPLOY / "nginx" / "fedtrace.conf").read_text(encoding="utf-8")
    published = set(re.findall(r'"~\^(POST|GET):([^"$]+)\$"', conf))
    assert published == {
        *(("POST", path.decode()) for path in ROUTES | {ASK, LOOK}),
        ("GET", AUTHORITY.decode()),
    }
    nothing = Path("not-read")
    limits = FrontSettings(upstream="https://127.0.0.1:1", ca_certificate=nothing, spool=nothing)
    assert f"client_max_body_size {limits.largest_body_bytes // 1024**2}m;" in conf
    (wait,) = re.findall(r"proxy_read_timeout (\d+)s;", conf)
    longest = max(limits.hold_seconds, limits.turn_seconds) + limits.upstream_seconds
    assert int(wait) > longest


CHART = DEPLOY / "helm" / "fedtrace"


def looked_up(values: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def rendered(template: str, **changes: Any) -> list[dict[str, Any]]:
    """A template of the chart as Helm renders it: values, and conditions one level deep."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")) | changes

    def conditional(match: re.Match[str]) -> str:
        path, wanted, block = match["path"], match["wanted"], match["block"]
        value = looked_up(values, path)
        return block if (value == wanted if wanted else value) else ""

    text = (CHART / "templates" / template).read_text(encoding="utf-8")
    condition = r'\{\{- if (?:eq )?\.Values\.(?P<path>[\w.]+)(?: "(?P<wanted>\w+)")? \}\}'
    text = re.sub(condition + r"(?P<block>.*?)\{\{- end \}\}", conditional, text, flags=re.S)
    text = text.replace("{{ .Release.Name }}", "valley")
    text = re.sub(
        r"\{\{ \.Values\.([\w.]+) \}\}", lambda match: str(looked_up(values, match[1])), text
    )
    assert "{{" not in text
    return [each for each in yaml.safe_load_all(text) if each]


@pytest.mark.parametrize("role", ["consortium", "school"])
def test_the_chart_starts_a_command_that_exists_and_may_do_little(role: str) -> None:
    (stateful,) = rendered("statefulset.yaml", role=role)
    assert stateful["spec"]["replicas"] == 1
    pod = stateful["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert f"{pod['securityContext']['runAsUser']}:10001" == COMPOSE["services"]["school"]["user"]
    assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"  # keys stay 0600
    (container,) = pod["containers"]
    require_command(list(container["args"]))
    assert container["args"][0] == role
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    home = container["args"][container["args"].index("--home") + 1]
    assert any(home.startswith(mount["mountPath"]) for mount in container["volumeMounts"])
    port = container["args"][container["args"].index("--metrics") + 1]
    for probe, path in (("livenessProbe", "live"), ("readinessProbe", "ready")):
        assert f"127.0.0.1:{port}/{path}" in container[probe]["exec"]["command"][2]
    (policy,) = rendered("networkpolicy.yaml", role=role)
    assert policy["spec"]["ingress"] == (
        [{"ports": [{"port": PORT}]}] if role == "consortium" else []
    )


def test_the_chart_makes_the_home_at_the_first_start() -> None:
    for changes, wanted in (
        ({"role": "consortium"}, ["fed.example.org", str(PORT), "/srv/home/consortium"]),
        ({"role": "school", "inviteSecret": "invite"}, ["$(INVITE)", "/srv/home/school"]),
    ):
        (stateful,) = rendered("statefulset.yaml", **changes)
        pod = stateful["spec"]["template"]["spec"]
        (first,), (after,) = pod["initContainers"], pod["containers"]
        require_command(list(first["args"]))
        assert set(wanted) <= set(first["args"])
        home = [args[args.index("--home") + 1] for args in (first["args"], after["args"])]
        assert home[0] == home[1]
        for part in ("image", "securityContext", "volumeMounts"):
            assert first[part] == after[part]
    (stateful,) = rendered("statefulset.yaml", role="school")  # has joined before
    assert "initContainers" not in stateful["spec"]["template"]["spec"]


VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = Draft7Validator(json.loads((CHART / "values.schema.json").read_text(encoding="utf-8")))


def test_the_charts_values_fit_their_schema() -> None:
    SCHEMA.check_schema(SCHEMA.schema)
    SCHEMA.validate(VALUES)
    assert set(SCHEMA.schema["properties"]) == {*VALUES, "global"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "server"},
        {"replicas": 2},
        {"metricsPort": 0},
        {"metricsPort": "9180"},
        {"inviteSecret": "invite"},  # of a consortium
        {"role": "school", "databaseSecret": "valley-db"},
        {"consortium": {"name": "county", "host": ""}},
        {"storage": {"size": "20", "className": ""}},
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_installed(wrong: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid({**VALUES, **wrong})


def test_the_chart_publishes_the_consortium_alone() -> None:
    (service,) = rendered("service.yaml")
    assert [each["port"] for each in service["spec"]["ports"]] == [PORT]
    assert service["spec"]["publishNotReadyAddresses"] is True  # a school has to come first
    assert rendered("service.yaml", role="school") == []
    (stateful,) = rendered("statefulset.yaml", databaseSecret="valley-db")
    (variable,) = stateful["spec"]["template"]["spec"]["containers"][0]["env"]
    assert (variable["name"], variable["valueFrom"]["secretKeyRef"]["name"]) == (
        "FEDTRACE_DATABASE_URL",
        "valley-db",
    )


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is missing")
def test_helm_takes_the_chart() -> None:
    done = subprocess.run(["helm", "lint", str(CHART)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
