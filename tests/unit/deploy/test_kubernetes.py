"""The Kubernetes example is one that the sidecar would start with, and leaves no way around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from authz_sidecar.admin.access import OPEN_PATHS
from authz_sidecar.config import policy_file, reading
from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.config.table import TABLE

ROOT = Path(__file__).parents[3]
UPSTREAM_PORT = 8000

Object = dict[str, Any]


@pytest.fixture(scope="module")
def objects() -> dict[str, Object]:
    """By kind; there is one of each."""
    documents = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()))
    by_kind = {document["kind"]: document for document in documents}
    assert len(by_kind) == len(documents)
    return by_kind


@pytest.fixture(scope="module")
def pod(objects: dict[str, Object]) -> Object:
    return objects["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def containers(pod: Object) -> dict[str, Object]:
    return {container["name"]: container for container in pod["containers"]}


@pytest.fixture(scope="module")
def sidecar(containers: dict[str, Object]) -> Object:
    return containers["authz-sidecar"]


def environment(container: Object) -> dict[str, str]:
    """Its variables, with some text for each that a secret holds."""
    secrets = {"AUTHZ_REDIS_URL": "redis://h", "AUTHZ_AMQP_URL": "amqp://h"}
    return {each["name"]: each.get("value", secrets.get(each["name"], "secret")) for each in container["env"]}


def test_every_variable_is_a_setting_with_a_value_it_accepts(sidecar: Object) -> None:
    variables = environment(sidecar)
    assert set(variables) <= {setting.variable for setting in TABLE}
    loaded = reading.load({}, variables)
    assert loaded.upstream == UpstreamAddress("127.0.0.1", UPSTREAM_PORT)


def test_secrets_are_named_and_never_shown(pod: Object) -> None:
    secret = {setting.variable for setting in TABLE if setting.secret}
    secret |= {"DATABASE_URL", "DJANGO_SECRET_KEY"}
    for container in (*pod["initContainers"], *pod["containers"]):
        for variable in container["env"]:
            assert ("value" in variable) is (variable["name"] not in secret), variable["name"]


USES = {
    "migrate": {"DATABASE_URL"},
    "student-service": {"DATABASE_URL", "DJANGO_SECRET_KEY"},
    "authz-sidecar": {"AUTHZ_SERVICE_TOKEN", "AUTHZ_ADMIN_TOKEN", "AUTHZ_REDIS_URL", "AUTHZ_AMQP_URL"},
}


def test_a_secret_is_only_where_it_is_used(pod: Object) -> None:
    for container in (*pod["initContainers"], *pod["containers"]):
        secrets = {variable["name"] for variable in container["env"] if "valueFrom" in variable}
        assert secrets == USES[container["name"]]


def test_credentials_leave_the_pod_only_encrypted(sidecar: Object) -> None:
    for name, value in environment(sidecar).items():
        if name in {"AUTHZ_USER_SERVICE", "AUTHZ_JWT_ISSUER"}:
            assert value.startswith("https://")


def test_what_may_be_written_to_has_a_size(pod: Object) -> None:
    sizes = {
        volume["name"]: volume["emptyDir"].get("sizeLimit")
        for volume in pod["volumes"]
        if "emptyDir" in volume
    }
    assert all(sizes.values())
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts["/tmp"] in sizes  # noqa: S108 (a path in containers)


def test_probes_ask_paths_that_exist_on_the_admin_port(sidecar: Object) -> None:
    admin = reading.load({}, environment(sidecar)).admin.listen[0].port
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    probes = {name: sidecar[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")}
    assert [probe["path"] for probe in probes.values()] == ["/livez", "/readyz"]
    for probe in probes.values():
        assert probe["path"] in OPEN_PATHS
        assert ports[probe["port"]] == admin


def test_the_only_way_in_is_the_sidecars_port(
    objects: dict[str, Object], containers: dict[str, Object]
) -> None:
    sidecar = containers["authz-sidecar"]
    listen = reading.load({}, environment(sidecar)).listen[0].port
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    assert [ports[port["targetPort"]] for port in objects["Service"]["spec"]["ports"]] == [listen]
    rules = objects["NetworkPolicy"]["spec"]["ingress"]
    open_to_all = [port["port"] for rule in rules if "from" not in rule for port in rule["ports"]]
    assert open_to_all == [listen]
    assert UPSTREAM_PORT not in [port["port"] for rule in rules for port in rule["ports"]]
    bound = environment(containers["student-service"])["GUNICORN_CMD_ARGS"].split()[0]
    assert bound == f"--bind=127.0.0.1:{UPSTREAM_PORT}"


def test_all_parts_name_the_same_pods(objects: dict[str, Object]) -> None:
    deployment, service, policy = (
        objects[kind]["spec"] for kind in ("Deployment", "Service", "NetworkPolicy")
    )
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert service["selector"] == labels
    assert policy["podSelector"]["matchLabels"] == labels


def test_the_service_outlives_the_sidecars_drain(pod: Object, containers: dict[str, Object]) -> None:
    def sleep(name: str) -> float:
        return float(containers[name]["lifecycle"]["preStop"]["exec"]["command"][1])

    drain = reading.load({}, environment(containers["authz-sidecar"])).limits.drain_seconds
    assert sleep("student-service") >= sleep("authz-sidecar") + drain
    assert pod["terminationGracePeriodSeconds"] > sleep("student-service")


def test_the_policy_is_the_one_of_the_other_example(
    objects: dict[str, Object], sidecar: Object, tmp_path: Path
) -> None:
    (name,) = objects["ConfigMap"]["data"]
    mounted = sidecar["volumeMounts"][0]["mountPath"]
    assert environment(sidecar)["AUTHZ_POLICY"] == f"{mounted}/{name}"
    path = tmp_path / name
    path.write_text(objects["ConfigMap"]["data"][name])
    assert policy_file.load(path).digest == policy_file.load(ROOT / "compose" / "policy.yaml").digest
