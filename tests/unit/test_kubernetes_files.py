"""The files for Kubernetes fit together, and to what goalstream needs: names, ports, images, probes, times, limits, networks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from goalstream.config import Settings
from goalstream.domain.addresses import Address, Network, is_public
from tests.unit.kubernetes_files import FOLDER, ROOT, WORKLOADS, Workload, all_of, selects

SERVING = {
    "worker": ("metrics", "metrics_port"),
    "deliverer": ("metrics", "metrics_port"),
    "api": ("http", "http_port"),
}
"""Of what serves: the name of its port, and the setting that names it."""

STOPS_WITHIN_SECONDS = 15
POSTGRESQL_CONNECTIONS = 97
"""What a PostgreSQL with its default of 100 leaves to those who are no superusers."""

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
SCALED: dict[str, Any] = all_of("ScaledObject")["goalstream-worker"]["spec"]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
COMPONENTS = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
SERVERS = pytest.mark.parametrize("workload", [WORKLOADS[name] for name in SERVING], ids=SERVING)


def test_every_command_that_is_deployed_has_a_workload() -> None:
    assert set(WORKLOADS) == {"migrate", "topics", "worker", "deliverer", "api"}
    assert all(one.container["args"] == [component] for component, one in WORKLOADS.items())


def test_every_image_is_one_and_the_same_of_this_version() -> None:
    names = {one.container["image"] for one in WORKLOADS.values()}
    (image,) = names
    name, _, tag = image.rpartition(":")
    assert tag == VERSION
    (told,) = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["images"]
    assert told == {"name": name, "newTag": VERSION}


def test_no_image_of_the_compose_file_is_whatever_is_newest() -> None:
    foreign = [one["image"] for one in COMPOSE["services"].values() if "build" not in one]
    assert foreign
    assert all(re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", image) for image in foreign)


@COMPONENTS
def test_selectors_take_the_pods_that_they_are_meant_for(workload: Workload) -> None:
    spec = workload.spec
    if "selector" in spec:
        assert selects(spec["selector"], workload.labels)
        assert spec["selector"]["matchLabels"]["app.kubernetes.io/component"] == workload.component
    for constraint in workload.pod.get("topologySpreadConstraints", []):
        assert constraint["labelSelector"] == spec["selector"]
    assert workload.labels == workload.document["metadata"]["labels"]


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_whatever_selects_pods_finds_the_one_that_it_is_named_after(kind: str) -> None:
    found = all_of(kind)
    assert found
    for name, document in found.items():
        selector = document["spec"].get("selector") or document["spec"]["podSelector"]
        selector = {"matchLabels": selector} if kind == "Service" else selector
        taken = {one for one, workload in WORKLOADS.items() if selects(selector, workload.labels)}
        component = name.removeprefix("goalstream-")
        assert taken == {component} if component in WORKLOADS else len(taken) > 1


def test_what_serves_has_a_disruption_budget() -> None:
    assert set(all_of("PodDisruptionBudget")) == {f"goalstream-{name}" for name in SERVING}


@COMPONENTS
def test_a_pod_finds_what_it_names(workload: Workload) -> None:
    pod, container = workload.pod, workload.container
    assert pod["serviceAccountName"] in all_of("ServiceAccount")
    for source in container["envFrom"]:
        assert source["configMapRef"]["name"] in all_of("ConfigMap")
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            assert source["secret"]["name"] in all_of("Secret")
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    for probe in PROBES:
        assert probe not in container or workload.port(container[probe]["httpGet"]["port"])


def test_every_secret_and_every_setting_has_somebody_who_reads_it() -> None:
    read = {source["configMapRef"]["name"] for one in WORKLOADS.values() for source in one.container["envFrom"]}
    mounted = {
        source["secret"]["name"]
        for one in WORKLOADS.values()
        for volume in one.pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
    }
    assert read == set(all_of("ConfigMap"))
    assert mounted == set(all_of("Secret"))


@SERVERS
def test_ports_are_those_of_the_settings_and_of_the_image(workload: Workload) -> None:
    name, setting = SERVING[workload.component]
    default = Settings.model_fields[setting].default
    assert workload.port(name) == default
    assert workload.settings[f"GOALSTREAM_{setting.upper()}"] == str(default)
    assert workload.annotations["prometheus.io/port"] == str(default)
    assert workload.settings["GOALSTREAM_HTTP_HOST"] == "0.0.0.0"
    (exposed,) = re.findall(r"^EXPOSE (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert str(default) in exposed.split()


def test_the_service_leads_to_the_api() -> None:
    (port,) = all_of("Service")["goalstream-api"]["spec"]["ports"]
    assert WORKLOADS["api"].port(port["targetPort"]) == port["port"]


@SERVERS
def test_an_outage_kills_nobody_and_holds_rollouts_up(workload: Workload) -> None:
    container = workload.container
    assert container["startupProbe"]["httpGet"]["path"] == "/livez"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["periodSeconds"] * container[probe]["failureThreshold"] >= 60
    budget = all_of("PodDisruptionBudget")[f"goalstream-{workload.component}"]["spec"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@SERVERS
def test_whoever_stops_has_the_time_that_it_may_take(workload: Workload) -> None:
    before = workload.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert workload.pod["terminationGracePeriodSeconds"] >= before + STOPS_WITHIN_SECONDS
    grace = COMPOSE["services"][workload.component]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= STOPS_WITHIN_SECONDS


@pytest.mark.parametrize("component", ["worker", "deliverer"])
def test_a_rollout_never_runs_more_than_there_are_partitions_and_connections_for(component: str) -> None:
    assert WORKLOADS[component].spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_whatever_is_scaled_to_stays_within_the_partitions() -> None:
    partitions = int(WORKLOADS["worker"].settings["GOALSTREAM_TOPIC_PARTITIONS"])
    least, most = SCALED["minReplicaCount"], SCALED["maxReplicaCount"]
    assert 2 <= least <= SCALED["fallback"]["replicas"] <= most <= partitions
    assert least == WORKLOADS["worker"].spec["replicas"]


def test_whatever_is_scaled_to_finds_connections_to_postgresql() -> None:
    specs = {name: WORKLOADS[name].spec for name in SERVING}
    most = {name: one["replicas"] + one["strategy"]["rollingUpdate"]["maxSurge"] for name, one in specs.items()}
    most["worker"] = SCALED["maxReplicaCount"]
    pools = {name: int(WORKLOADS[name].settings["GOALSTREAM_DATABASE_POOL_SIZE"]) for name in SERVING}
    # A migration asks for one, and every process looks at migrations by one of its own.
    connections = sum(most[name] * (pools[name] + 1) for name in SERVING) + 1
    assert connections <= POSTGRESQL_CONNECTIONS
    assert f"{connections} of the {POSTGRESQL_CONNECTIONS} connections" in (FOLDER / "settings.yaml").read_text()


def test_what_scales_looks_at_the_group_that_workers_are_in() -> None:
    settings = WORKLOADS["worker"].settings
    kafka, cpu = (trigger["metadata"] for trigger in SCALED["triggers"])
    assert SCALED["scaleTargetRef"]["name"] == WORKLOADS["worker"].document["metadata"]["name"]
    assert kafka["bootstrapServers"] == settings["GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS"]
    assert kafka["consumerGroup"] == settings["GOALSTREAM_KAFKA_GROUP_ID"]
    assert f"SASL_SSL {kafka['sasl']} {kafka['tls']}" == "SASL_SSL scram_sha512 enable"
    assert settings["GOALSTREAM_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    assert settings["GOALSTREAM_KAFKA_SASL_MECHANISM"] == "SCRAM-SHA-512"
    (reference,) = (one["authenticationRef"]["name"] for one in SCALED["triggers"] if "authenticationRef" in one)
    authentication = all_of("TriggerAuthentication")[reference]["spec"]
    for one in authentication["configMapTargetRef"]:
        assert one["key"] in all_of("ConfigMap")[one["name"]]["data"]
    for one in authentication["secretTargetRef"]:
        assert one["key"] in all_of("Secret")[one["name"]]["stringData"]
    assert cpu == {"value": "60"}


def test_a_backlog_is_what_a_worker_needs_seconds_for() -> None:
    alone = next(one for one in _measured("scaling")["workers"] if one["workers"] == 1)
    threshold = int(SCALED["triggers"][0]["metadata"]["lagThreshold"])
    assert 5 <= threshold / alone["events_per_second"] <= 30


def test_a_worker_has_the_memory_that_was_measured_with_room_for_a_million_goals() -> None:
    resources = WORKLOADS["worker"].container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "1Gi"
    busiest = max(run["max_rss_mb"] for run in _measured("results")["runs"] if run["system"] == "goalstream") * 10**6
    million = max(one["bytes_per_goal"] for one in _measured("goal_table") if one["goals"] == 1_000_000) * 1_000_000
    assert busiest + million <= 2**30


def _measured(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())


@COMPONENTS
def test_a_pod_is_restricted(workload: Workload) -> None:
    """What the restricted Pod Security Standard asks for, and a root file system that is only read."""
    pod, container = workload.pod, workload.container
    (user,) = re.findall(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == int(user)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
    assert all(set(volume) - {"name"} <= {"emptyDir", "projected"} for volume in pod["volumes"])
    enforced = all_of("Namespace")["goalstream"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"


@COMPONENTS
def test_a_pod_knows_nothing_of_kubernetes(workload: Workload) -> None:
    assert all_of("ServiceAccount")["goalstream"]["automountServiceAccountToken"] is False
    assert workload.pod["automountServiceAccountToken"] is False
    # A Service named goalstream-http would be GOALSTREAM_HTTP_PORT=tcp://… in the environment.
    assert workload.pod["enableServiceLinks"] is False


DNS = {("kube-system", "UDP", 53), ("kube-system", "TCP", 53)}
KAFKA, DATABASE = ("kafka", "TCP", 9093), ("database", "TCP", 5432)
INTERNET = {("0.0.0.0/0", "TCP", 443), ("2000::/3", "TCP", 443)}


@pytest.mark.parametrize(
    ("component", "outwards", "inwards"),
    [
        ("worker", {KAFKA, DATABASE, ("monitoring", "TCP", 4318)}, {("monitoring", "TCP", 8647)}),
        ("deliverer", {KAFKA, DATABASE, *INTERNET}, {("monitoring", "TCP", 8647)}),
        ("api", {KAFKA, DATABASE, ("anywhere", "TCP", 443)}, {("monitoring", "TCP", 8646), ("ingress", "TCP", 8646)}),
        ("migrate", {DATABASE}, set()),
        ("topics", {KAFKA}, set()),
    ],
)
def test_a_pod_may_speak_to_what_it_needs_and_to_nobody_else(
    component: str, outwards: set[tuple[str, str, int]], inwards: set[tuple[str, str, int]]
) -> None:
    workload = WORKLOADS[component]
    policies = [one["spec"] for one in all_of("NetworkPolicy").values()]
    denying = [one for one in policies if one["podSelector"] == {} and not {"ingress", "egress"} & set(one)]
    assert [set(one["policyTypes"]) for one in denying] == [{"Ingress", "Egress"}]
    taken = [one for one in policies if selects(one["podSelector"], workload.labels)]
    assert _allowed(taken, "egress", "to", workload) == outwards | DNS
    assert _allowed(taken, "ingress", "from", workload) == inwards


def _allowed(policies: list[dict[str, Any]], way: str, whom: str, workload: Workload) -> set[tuple[str, str, int]]:
    return {
        (
            _named(peer),
            port["protocol"],
            workload.port(port["port"]) if isinstance(port["port"], str) else port["port"],
        )
        for policy in policies
        if way.capitalize() in policy["policyTypes"]
        for rule in policy.get(way, [])
        for peer in rule.get(whom, [None])
        for port in rule["ports"]
    }


def _named(peer: dict[str, Any] | None) -> str:
    if peer is None:
        return "anywhere"
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    return str(peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])


BLOCKS: list[dict[str, Any]] = [
    peer["ipBlock"] for rule in all_of("NetworkPolicy")["goalstream-deliverer"]["spec"]["egress"] for peer in rule["to"]
]


def _is_let_out(address: Address) -> bool:
    return any(
        address in ip_network(block["cidr"]) and not any(address in ip_network(one) for one in block["except"])
        for block in BLOCKS
    )


@given(st.ip_addresses())
def test_whatever_address_goalstream_refuses_the_network_policy_refuses_too(address: Address) -> None:
    assert not _is_let_out(address) or is_public(address)


def test_the_network_policy_lets_out_to_public_addresses_up_to_the_edges_of_what_it_refuses() -> None:
    edges = {
        edge
        for block in BLOCKS
        for network in map(ip_network, [block["cidr"], *block["except"]])
        for edge in (network[0], network[-1], *_beside(network))
    }
    assert len(edges) > 60
    assert {edge for edge in edges if _is_let_out(edge)} == {edge for edge in edges if is_public(edge)}


def _beside(network: Network) -> list[Address]:
    """The addresses before and after it, where there are any."""
    kind, most = (IPv4Address, 2**32) if network.version == 4 else (IPv6Address, 2**128)
    numbers = int(network[0]) - 1, int(network[-1]) + 1
    return [kind(number) for number in numbers if 0 <= number < most]


def test_the_way_to_kafka_is_open_where_the_settings_lead() -> None:
    host, _, port = WORKLOADS["worker"].settings["GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS"].partition(":")
    assert (host.split(".")[1], "TCP", int(port)) == KAFKA


def test_prometheus_takes_pods_under_the_jobs_that_alerts_name(tmp_path: Path) -> None:
    folder = ROOT / "deploy" / "prometheus"
    assert shutil.which("promtool"), "install the Debian package prometheus"
    # Debian's promtool is built without Kubernetes; everything else in the file it knows.
    discovery = "kubernetes_sd_configs: [{role: pod}]"
    text = (folder / "pods.yml").read_text()
    assert text.count(discovery) == 1
    (tmp_path / "pods.yml").write_text(text.replace(discovery, "static_configs: []"))
    check = ["promtool", "check", "config", "--syntax-only", "pods.yml"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = yaml.safe_load((folder / "pods.yml").read_text())["scrape_configs"]
    (named,) = (one for one in job["relabel_configs"] if one.get("target_label") == "job")
    assert named["source_labels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_component"]
    jobs = {named["replacement"].replace("$1", component) for component in SERVING}
    asked = re.findall(r'job="([^"]+)"', (folder / "alerts.yml").read_text())
    assert asked
    assert set(asked) <= jobs
    for component in SERVING:
        assert WORKLOADS[component].annotations["prometheus.io/scrape"] == "true"
        assert WORKLOADS[component].annotations["prometheus.io/path"] == "/metrics"
