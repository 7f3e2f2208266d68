"""The files under deploy/ are what container engines and clusters take, and fit the services and each other."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from notifier.settings import Settings as NotifierSettings
from shared.database.migrations import role_of
from shared.settings import ServiceSettings
from sluice.compositions import COMPOSITIONS
from sluice.services import SERVICES

KUBERNETES = "1.34"
Document = dict[str, Any]


@pytest.fixture(scope="module")
def deploy(repository: Path) -> Path:
    return repository / "deploy"


@pytest.fixture(scope="module")
def manifests(deploy: Path) -> dict[tuple[str, str], Document]:
    """All objects for the cluster, by kind and name."""
    found = {}
    for path in sorted((deploy / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            found[document["kind"], document.get("metadata", {}).get("name", path.stem)] = document
    return found


@pytest.fixture(scope="module")
def compose(deploy: Path) -> Document:
    """The system on one host."""
    loaded: Document = yaml.safe_load((deploy / "compose.yaml").read_text("utf-8"))
    return loaded


def known_settings() -> dict[str, set[str]]:
    """The settings of each service, as its environment names them."""
    return {
        each.name: {"SECRETS_DIR", *(name.upper() for name in each.settings.model_fields)}
        for each in COMPOSITIONS
    }


def pods(manifests: dict[tuple[str, str], Document]) -> Iterator[tuple[str, Document]]:
    for (kind, name), document in manifests.items():
        if kind in {"StatefulSet", "Job"}:
            yield name, document["spec"]["template"]


# Images


def lint(dockerfile: str) -> list[str]:
    """What hadolint finds."""
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [program, "--no-color", "-"], input=dockerfile, capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines()


def test_the_images_are_made_well(deploy: Path) -> None:
    assert lint((deploy / "Dockerfile").read_text("utf-8")) == []


def test_the_judge_of_images_says_no() -> None:
    (finding,) = lint("FROM debian:13\nCMD python app.py\n")
    assert "DL3025" in finding


def test_the_images_run_as_nobody_and_hold_the_locked_dependencies(deploy: Path, repository: Path) -> None:
    text = (deploy / "Dockerfile").read_text("utf-8")
    runtime = text[text.index("AS runtime") :]
    assert "USER 10001:10001" in runtime
    for lock in ("services", "command"):
        assert f"uv pip sync --require-hashes --only-binary :all: requirements/{lock}.txt" in text
        locked = _pins(repository / "requirements" / f"{lock}.txt")
        assert locked <= _pins(repository / "requirements" / "all.txt"), "audited and tested are the same"


def _pins(lock: Path) -> set[str]:
    return {line.rstrip(" \\") for line in lock.read_text("utf-8").splitlines() if line[:1].isalnum()}


# Compose


def test_the_host_takes_it(compose: Document) -> None:
    PyCompose.from_json(json.dumps(compose)).validate()
    assert dangling(compose) == []


def test_the_judges_of_the_host_say_no(compose: Document) -> None:
    broken = copy.deepcopy(compose)
    broken["services"]["release"]["depends_on"]["broker"]["condition"] = "sevrice_healthy"
    with pytest.raises(ValueError, match="sevrice_healthy"):
        PyCompose.from_json(json.dumps(broken))
    broken = copy.deepcopy(compose)
    broken["services"]["release"]["depends_on"] = ["databse"]
    broken["services"]["database"]["volumes"] = ["databas:/var/lib/postgresql"]
    broken["services"]["notifier"]["secrets"] = ["smtp"]
    assert sorted(dangling(broken)) == ["database: databas", "notifier: smtp", "release: databse"]


def dangling(compose: Document) -> list[str]:
    """What a service names that is nowhere: other services, volumes, secrets."""
    found = []
    for name, service in compose["services"].items():
        found += [
            f"{name}: {other}" for other in service.get("depends_on", ()) if other not in compose["services"]
        ]
        named = [volume.partition(":")[0] for volume in service.get("volumes", ())]
        found += [
            f"{name}: {each}" for each in named if each[0] not in "./" and each not in compose["volumes"]
        ]
        secrets = [each if isinstance(each, str) else each["source"] for each in service.get("secrets", ())]
        found += [f"{name}: {secret}" for secret in secrets if secret not in compose["secrets"]]
    return found


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_of_the_host_is_as_its_code_wants_it(compose: Document, service: Any) -> None:
    found = compose["services"][service.name]
    assert found["build"]["args"] == {"SERVICE": service.name}
    assert found["ports"] == [f"127.0.0.1:{service.port}:8080"]
    assert (found["read_only"], found["cap_drop"]) == (True, ["ALL"])
    secrets = {each["target"]: each["source"] for each in found["secrets"]}
    assert secrets["DATABASE_URL"] == f"{service.module}_database_url"
    given = set(found["environment"]) | set(secrets)
    assert given <= known_settings()[service.name]
    assert needed(service.name) <= given


def needed(service: str) -> set[str]:
    """The settings without which a service does not start."""
    settings = next(each.settings for each in COMPOSITIONS if each.name == service)
    return {name.upper() for name, field in settings.model_fields.items() if field.is_required()} - {
        "HTTP_PORT"
    }


def test_all_but_the_monitoring_tell_how_they_are(compose: Document) -> None:
    for name, service in compose["services"].items():
        is_ours = "build" in service  # those have their check in the image
        assert is_ours or "healthcheck" in service or service.get("profiles") == ["monitoring"], name


def test_the_script_makes_every_secret_once(deploy: Path, compose: Document, tmp_path: Path) -> None:
    script = tmp_path / "make-secrets.sh"
    script.write_bytes((deploy / "make-secrets.sh").read_bytes())
    for _ in range(2):
        subprocess.run(["sh", script], check=True)
        made = {path.name: path.read_text("utf-8") for path in (tmp_path / "secrets").iterdir()}
    first = made
    subprocess.run(["sh", script], check=True)
    assert {path.name: path.read_text("utf-8") for path in (tmp_path / "secrets").iterdir()} == first
    assert set(made) == set(compose["secrets"])
    assert {each["file"] for each in compose["secrets"].values()} == {f"secrets/{name}" for name in made}
    for service in SERVICES:
        role = role_of(service.module)
        assert made[f"{service.module}_database_url"] == (
            f"postgresql://{role}:{made[role]}@database:5432/sluice"
        )
        assert len(made[role]) == 48
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    assert NotifierSettings.model_fields["smtp_url"].is_required()
    assert made["smtp_url"].startswith("smtp://")


# Kubernetes


def test_the_cluster_takes_every_object(manifests: dict[tuple[str, str], Document]) -> None:
    assert len(manifests) > 20
    for (kind, _), document in manifests.items():
        if kind != "Kustomization":
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("change", [{"replicas": "two"}, {"replica": 2}, {"template": []}])
def test_the_judge_of_the_cluster_says_no(
    manifests: dict[tuple[str, str], Document], change: Document
) -> None:
    broken = copy.deepcopy(manifests["StatefulSet", "release"])
    broken["spec"] |= change
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_all_files_but_the_example_are_applied(deploy: Path) -> None:
    folder = deploy / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml", "secrets.example.yaml"}
    assert set(listed) == there


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_of_the_cluster_is_as_its_code_wants_it(
    manifests: dict[tuple[str, str], Document], service: Any
) -> None:
    workload = manifests["StatefulSet", service.name]["spec"]
    labels = workload["template"]["metadata"]["labels"]
    for selector in (
        workload["selector"]["matchLabels"],
        manifests["Service", service.name]["spec"]["selector"],
        manifests["PodDisruptionBudget", service.name]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    (port,) = manifests["Service", service.name]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (service.port, "http")
    (container,) = workload["template"]["spec"]["containers"]
    secret = manifests["Secret", service.name]["stringData"]
    given = {name["name"] for name in container["env"]} | set(secret)
    for source in container["envFrom"]:
        given |= set(manifests["ConfigMap", source["configMapRef"]["name"]]["data"])
    assert given <= known_settings()[service.name]
    assert needed(service.name) <= given
    assert secret["DATABASE_URL"].startswith(f"postgresql://{role_of(service.module)}:")
    plain = {"DATABASE_URL", "KAFKA_SASL_PASSWORD", "SMTP_URL"} & (given - set(secret))
    assert plain == set(), "passwords come from the secret only"


def test_the_settings_of_the_cluster_are_taken_by_the_code(
    manifests: dict[tuple[str, str], Document], tmp_path: Path
) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("a certificate")
    common = manifests["ConfigMap", "sluice-settings"]["data"] | {"KAFKA_SSL_CAFILE": str(authority)}
    for each in COMPOSITIONS:
        own = manifests.get(("ConfigMap", f"{each.name}-settings"), {"data": {}})["data"]
        secret = manifests["Secret", each.name]["stringData"]
        values = {name.lower(): value for name, value in (common | own | secret).items()}
        settings: ServiceSettings = each.settings.model_validate(
            values | {"kafka_sasl_username": each.name, "http_port": 8080}
        )
        assert settings.kafka_security_protocol == "SASL_SSL"


def test_no_pod_may_more_than_it_needs(manifests: dict[tuple[str, str], Document]) -> None:
    checked = 0
    for name, template in pods(manifests):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        for volume in spec["volumes"]:
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in manifests
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in manifests
        checked += 1
    assert checked == len(SERVICES) + 1
