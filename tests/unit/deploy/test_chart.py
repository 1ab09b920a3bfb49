"""What the chart renders: Kubernetes takes it, the sidecar would start with it, nothing leads around it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import authz_sidecar
from authz_sidecar.admin.access import OPEN_PATHS
from authz_sidecar.config import policy_file, reading
from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.config.table import TABLE
from lab import ROOT, dashboard, manifests

UPSTREAM_PORT = 8000
VERSIONS = ("1.30", "1.34", "1.36", "1.37")
"""Of Kubernetes: the oldest that the chart takes, and newer ones."""
OPERATED = {"cert-manager.io", "monitoring.coreos.com", "rabbitmq.com", "redis.redis.opstreelabs.in"}
"""Groups whose schemas come with their operators."""

Object = dict[str, Any]
Rendered = dict[str, list[Object]]


def find(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def pods(objects: list[Object]) -> dict[str, Object]:
    """Specifications of pods, by what makes them."""
    return {
        re.sub(r"-[0-9a-f]{8}$", "", each["metadata"]["name"]): each["spec"]["template"]["spec"]
        for each in objects
        if each["kind"] in ("Deployment", "Job")
    }


def containers(pod: Object) -> dict[str, Object]:
    return {each["name"]: each for each in (*pod.get("initContainers", ()), *pod["containers"])}


def every_container(rendered: Rendered) -> Iterator[tuple[str, Object, Object]]:
    for objects in rendered.values():
        for owner, pod in pods(objects).items():
            for name, container in containers(pod).items():
                yield f"{owner}/{name}", pod, container


@pytest.fixture(scope="module")
def managed(rendered: Rendered) -> list[Object]:
    return rendered["managed"]


@pytest.fixture(scope="module")
def pod(managed: list[Object]) -> Object:
    return pods(managed)["student-service"]


@pytest.fixture(scope="module")
def sidecar(pod: Object) -> Object:
    return containers(pod)["authz-sidecar"]


@cache
def definitions(version: str) -> Registry:
    content = json.loads(_schema_file(version, "_definitions.json"))
    return Registry().with_resource("_definitions.json", Resource.from_contents(content)).crawl()


@cache
def _schema_file(version: str, name: str) -> str:
    schemas = files("kubernetes_validate") / "kubernetes-json-schema"
    return (schemas / f"v{version}.0-local-strict" / name).read_text()


def complaints(of: Object, version: str) -> list[str]:
    group, _, number = of["apiVersion"].rpartition("/")
    parts = (of["kind"].lower(), group.split(".")[0], number)
    schema = json.loads(_schema_file(version, "-".join(filter(None, parts)) + ".json"))
    validator = Draft202012Validator(schema, registry=definitions(version))
    return [f"{each.json_path}: {each.message}" for each in validator.iter_errors(of)]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_all_of_it(rendered: Rendered, version: str) -> None:
    different = {json.dumps(each): each for objects in rendered.values() for each in objects}
    for each in different.values():
        if each["apiVersion"].split("/")[0] not in OPERATED:
            assert complaints(each, version) == [], each["metadata"]["name"]


def test_what_kubernetes_does_not_know_would_be_noticed(pod: Object) -> None:
    wrong = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {**pod, "hostsNetwork": True}}
    assert complaints(wrong, VERSIONS[0]) != []


def test_the_plain_manifests_are_what_the_chart_renders(managed: list[Object]) -> None:
    """`python -m lab.manifests` renews them."""
    assert list(filter(None, yaml.safe_load_all(manifests.PLAIN.read_text()))) == managed


def test_helm_has_nothing_to_complain_of(helm: str) -> None:
    for values in ([manifests.EXAMPLE], [manifests.EXAMPLE, manifests.OPERATORS]):
        assert "0 chart(s) failed" in manifests.lint(values)


def test_the_chart_is_of_this_version() -> None:
    """`python -m lab.manifests` puts it there."""
    text = (manifests.CHART / "Chart.yaml").read_text()
    assert manifests.of_this_version(text) == text
    chart = yaml.safe_load(text)
    assert chart["version"] == chart["appVersion"] == authz_sidecar.__version__


def environment(container: Object) -> dict[str, str]:
    """Its variables, with some text for each that a secret holds."""
    secrets = {"AUTHZ_REDIS_URL": "rediss://h", "AUTHZ_AMQP_URL": "amqps://h"}
    return {each["name"]: each.get("value", secrets.get(each["name"], "secret")) for each in container["env"]}


def settings(container: Object, tmp_path: Path) -> reading.Settings:
    """As the sidecar would read them; what stands in files is told directly."""
    given = environment(container)
    for name in [name for name in given if name.endswith("_FILE")]:
        given[name.removesuffix("_FILE")] = given.pop(name) and "secret"
    for name in ("AUTHZ_TLS_CERT", "AUTHZ_TLS_KEY"):
        given.pop(name, None)
    return reading.load({}, given)


@pytest.mark.parametrize("asked", ["managed", "operators", "sidecar"])
def test_every_variable_is_a_setting_with_a_value_it_accepts(
    rendered: Rendered, asked: str, tmp_path: Path
) -> None:
    sidecar = containers(pods(rendered[asked])["student-service"])["authz-sidecar"]
    known = {setting.variable for setting in TABLE}
    known |= {f"{setting.variable}_FILE" for setting in TABLE if setting.secret}
    ours = {name for name in environment(sidecar) if name.startswith("AUTHZ_")}
    assert ours <= known
    assert settings(sidecar, tmp_path).upstream == UpstreamAddress("127.0.0.1", UPSTREAM_PORT)


def test_it_is_a_native_sidecar_that_starts_after_the_migration_and_before_the_service(pod: Object) -> None:
    assert [each["name"] for each in pod["initContainers"]] == ["migrate", "authz-sidecar"]
    assert pod["initContainers"][1]["restartPolicy"] == "Always"
    assert [each["name"] for each in pod["containers"]] == ["student-service"]
    # One that waits for the service would wait for ever: that starts when this has succeeded.
    assert pod["initContainers"][1]["startupProbe"]["httpGet"]["path"] == "/livez"


SIDECAR_URLS = {"AUTHZ_REDIS_URL", "AUTHZ_AMQP_URL"}
ADMINISTRATOR = {f"DJANGO_SUPERUSER_{each}" for each in ("USERNAME", "EMAIL", "PASSWORD")}
USES = {
    "student-service/migrate": {"DATABASE_URL"},
    "student-service/student-service": {"DATABASE_URL", "DJANGO_SECRET_KEY"},
    "student-service/authz-sidecar": {*SIDECAR_URLS, "AUTHZ_SERVICE_TOKEN", "AUTHZ_ADMIN_TOKEN", "tls.key"},
    "user-service/wait": {"DATABASE_URL"},
    "user-service/user-service": {"DATABASE_URL", "DJANGO_SECRET_KEY", "tls.key", "signing keys"},
    "user-service-relay/relay": {"DATABASE_URL", "AUTHZ_AMQP_URL"},
    "user-service-setup/setup": {"DATABASE_URL", "SERVICE_TOKEN_0", *ADMINISTRATOR},
}


def secrets_of(pod: Object, container: Object) -> set[str]:
    """What it is given of Secrets, as variables and as files."""
    given = {variable["name"] for variable in container["env"] if "valueFrom" in variable}
    volumes = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    for mount in container["volumeMounts"]:
        for item in volumes.get(mount["name"], {}).get("items", [{"key": "signing keys"}]):
            if mount["name"] in volumes:
                given.add(item["key"])
    return given - {"ca.crt", "tls.crt"}


def test_a_secret_is_only_where_it_is_used(managed: list[Object]) -> None:
    found = {
        f"{owner}/{name}": secrets_of(pod, container)
        for owner, pod in pods(managed).items()
        for name, container in containers(pod).items()
    }
    assert found == USES


def test_the_readme_tells_how_to_make_each_secret(managed: list[Object]) -> None:
    readme = (ROOT / "deploy" / "README.md").read_text()
    made = {
        name: set(re.findall(r"--from-(?:literal|file)=\"?([\w.$]+)", arguments))
        for name, arguments in re.findall(r"create secret generic (\S+)((?:\\\n|[^\n])*)", readme)
    }
    needed: dict[str, set[str]] = {}
    for each in pods(managed).values():
        for container in containers(each).values():
            for variable in container["env"]:
                if "valueFrom" in variable:
                    reference = variable["valueFrom"]["secretKeyRef"]
                    needed.setdefault(reference["name"], set()).add(reference["key"])
        for secret in (volume["secret"] for volume in each["volumes"] if "secret" in volume):
            keys = {item["key"] for item in secret.get("items", [{"key": "$key"}])}
            needed.setdefault(secret["secretName"], set()).update(keys)
    assert made == needed


def test_no_secret_is_shown(rendered: Rendered) -> None:
    secret = {setting.variable for setting in TABLE if setting.secret}
    secret |= {"DATABASE_URL", "DJANGO_SECRET_KEY", "REDIS_PASSWORD", "RABBITMQ_PASSWORD", *ADMINISTRATOR}
    for where, _, container in every_container(rendered):
        for variable in container["env"]:
            if variable["name"] in secret:
                # A URL may be put together of what comes from Secrets.
                assert "valueFrom" in variable or "$(" in variable["value"], where


def test_everything_between_the_parts_is_encrypted(rendered: Rendered) -> None:
    for where, _, container in every_container(rendered):
        for name, value in environment(container).items():
            if scheme := re.match(r"([a-z+]+)://", value):
                inside_the_pod = name == "AUTHZ_UPSTREAM" and value.startswith("http://127.0.0.1:")
                assert inside_the_pod or scheme[1] in {"https", "rediss", "amqps"}, (where, name)
    users = containers(pods(rendered["managed"])["user-service"])["user-service"]
    assert "--certfile=/etc/certificate/tls.crt" in environment(users)["GUNICORN_CMD_ARGS"]
    cluster = find(rendered["operators"], "RabbitmqCluster", "rabbitmq")
    assert cluster["spec"]["tls"]["disableNonTLSListeners"]
    assert "TLS" in find(rendered["operators"], "Redis", "redis")["spec"]


def test_every_certificate_is_for_the_name_that_is_asked_for(rendered: Rendered) -> None:
    certificates = {
        each["spec"]["secretName"]: each["spec"]["dnsNames"]
        for each in rendered["operators"]
        if each["kind"] == "Certificate"
    }
    assert {name.removesuffix("-tls") for name in certificates} == {
        "student-service",
        "user-service",
        "rabbitmq",
        "redis",
    }
    for secret, names in certificates.items():
        assert secret.removesuffix("-tls") in names


def test_containers_can_do_nothing_but_their_work(rendered: Rendered) -> None:
    for where, pod, container in every_container(rendered):
        assert pod["automountServiceAccountToken"] is False, where
        assert pod["securityContext"]["runAsNonRoot"], where
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, where
        assert "memory" in container["resources"]["limits"], where


def test_what_may_be_written_to_has_a_size(rendered: Rendered) -> None:
    for where, pod, container in every_container(rendered):
        sizes = {
            volume["name"]: volume["emptyDir"].get("sizeLimit")
            for volume in pod["volumes"]
            if "emptyDir" in volume
        }
        assert all(sizes.values()), where
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert mounts["/tmp"]["name"] in sizes, where  # noqa: S108 (a path in containers)
        writable = {mount["name"] for mount in mounts.values() if not mount.get("readOnly")}
        assert writable <= set(sizes), where


def test_the_sidecar_and_the_service_share_no_directory(pod: Object) -> None:
    mounts = {
        name: {mount["name"] for mount in container["volumeMounts"]}
        for name, container in containers(pod).items()
    }
    assert not mounts["authz-sidecar"] & mounts["student-service"]


def test_probes_ask_paths_that_exist_on_the_admin_port(sidecar: Object, tmp_path: Path) -> None:
    admin = settings(sidecar, tmp_path).admin.listen[0].port
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    asked = {name: sidecar[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert [probe["path"] for probe in asked.values()] == ["/livez", "/livez", "/readyz"]
    for probe in asked.values():
        assert probe["path"] in OPEN_PATHS
        assert ports[probe["port"]] == admin


def test_the_user_service_answers_its_probes(managed: list[Object]) -> None:
    """To the address of a pod it would not answer: it must be called by a name that it is told."""
    container = containers(pods(managed)["user-service"])["user-service"]
    hosts = environment(container)["DJANGO_ALLOWED_HOSTS"].split(",")
    for probe in ("livenessProbe", "readinessProbe"):
        (header,) = container[probe]["httpGet"]["httpHeaders"]
        assert header["value"] in hosts


def test_the_only_way_in_is_the_sidecars_port(
    managed: list[Object], pod: Object, sidecar: Object, tmp_path: Path
) -> None:
    listen = settings(sidecar, tmp_path).listen[0].port
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    service = find(managed, "Service", "student-service")
    assert [ports[port["targetPort"]] for port in service["spec"]["ports"]] == [listen]
    rules = find(managed, "NetworkPolicy", "student-service")["spec"]["ingress"]
    open_to_all = [port["port"] for rule in rules if "from" not in rule for port in rule["ports"]]
    assert open_to_all == [listen]
    assert UPSTREAM_PORT not in [port["port"] for rule in rules for port in rule["ports"]]
    bound = environment(containers(pod)["student-service"])["GUNICORN_CMD_ARGS"].split()[0]
    assert bound == f"--bind=127.0.0.1:{UPSTREAM_PORT}"


def test_all_parts_name_the_same_pods(managed: list[Object]) -> None:
    for name in ("student-service", "user-service"):
        deployment = find(managed, "Deployment", name)["spec"]
        chosen = deployment["selector"]["matchLabels"]
        assert chosen.items() <= deployment["template"]["metadata"]["labels"].items()
        assert find(managed, "Service", name)["spec"]["selector"] == chosen
        for kind, selector in (("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")):
            assert find(managed, kind, name)["spec"][selector]["matchLabels"] == chosen


def test_the_service_outlives_the_sidecars_drain(pod: Object, sidecar: Object, tmp_path: Path) -> None:
    """Kubernetes stops native sidecars last: this one stops before, and is served until it has drained."""
    shell = sidecar["lifecycle"]["preStop"]["exec"]["command"]
    settling = re.fullmatch(r"sleep (\d+); kill -TERM 1", shell[-1])
    assert settling is not None
    serves_on = containers(pod)["student-service"]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert serves_on >= int(settling[1]) + settings(sidecar, tmp_path).limits.drain_seconds
    assert pod["terminationGracePeriodSeconds"] > serves_on


def test_what_needs_the_tables_waits_until_the_job_has_migrated(managed: list[Object]) -> None:
    wait = "until python manage.py migrate --check"
    assert containers(pods(managed)["user-service"])["wait"]["command"][-1].startswith(wait)
    assert containers(pods(managed)["user-service-relay"])["relay"]["command"][-1].startswith(wait)


def test_another_job_has_another_name(rendered: Rendered) -> None:
    """A Job cannot be changed, and Helm would try."""
    (one,) = (each for each in rendered["managed"] if each["kind"] == "Job")
    (other,) = (each for each in rendered["operators"] if each["kind"] == "Job")
    assert one["metadata"]["name"] != other["metadata"]["name"]
    assert one["spec"] != other["spec"]


def test_the_policy_is_the_one_of_the_other_example(
    managed: list[Object], sidecar: Object, tmp_path: Path
) -> None:
    data = find(managed, "ConfigMap", "student-service-policy")["data"]
    assert environment(sidecar)["AUTHZ_POLICY"] == "/etc/authz/policy.yaml"
    path = tmp_path / "policy.yaml"
    path.write_text(data["policy.yaml"])
    assert policy_file.load(path).digest == policy_file.load(ROOT / "compose" / "policy.yaml").digest


def test_the_broker_gets_the_rights_and_limits_of_the_other_example(rendered: Rendered) -> None:
    """As objects of its operator: compose/broker.json says why each is as it is."""
    broker = json.loads((ROOT / "compose" / "broker.json").read_text())
    objects = rendered["operators"]
    for given in broker["permissions"]:
        spec = find(objects, "Permission", f"rabbitmq-{given['user']}")["spec"]
        assert spec["userReference"] == {"name": f"rabbitmq-{given['user']}"}
        assert spec["permissions"] == {each: given[each] for each in ("configure", "write", "read")}
    (exchange,) = broker["exchanges"]
    made = find(objects, "Exchange", "rabbitmq-changes")["spec"]
    assert all(made[each] == exchange[each] for each in ("name", "type", "vhost"))
    policy, limits = (each["value"] for each in broker["parameters"])
    made = find(objects, "OperatorPolicy", "rabbitmq-sidecars")["spec"]
    assert (made["pattern"], made["definition"]) == (policy["pattern"], policy["definition"])
    assert find(objects, "Vhost", "rabbitmq-authz")["spec"]["limits"] == {"queues": limits["max-queues"]}
    (limit,) = (user["limits"] for user in broker["users"] if "limits" in user)
    user = find(objects, "User", "rabbitmq-sidecar")["spec"]["limits"]
    assert user == {each: limit[f"max-{each}"] for each in ("connections", "channels")}


def test_the_alerts_are_all_there_and_find_the_sidecars(rendered: Rendered) -> None:
    rules = find(rendered["operators"], "PrometheusRule", "students-alerts")
    assert rules["spec"] == yaml.safe_load((manifests.CHART / "monitoring" / "alerts.yaml").read_text())
    shown = find(rendered["operators"], "ConfigMap", "students-dashboard")["data"]["authz-sidecar.json"]
    assert json.loads(shown) == dashboard.dashboard()
    monitor = find(rendered["operators"], "ServiceMonitor", "student-service")["spec"]
    admin = find(rendered["operators"], "Service", "student-service-admin")
    labels = admin["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["jobLabel"]] == "authz-sidecar"  # as the alert AuthzDown calls it
    assert monitor["endpoints"][0]["port"] == admin["spec"]["ports"][0]["name"]
