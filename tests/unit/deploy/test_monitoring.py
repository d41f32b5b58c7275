"""The dashboard, the alert rules and docs/metrics.md against the registry of the real processes, and the rules by promtool."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from prometheus_client.core import Metric
from typer.core import TyperGroup

from learning_stores.settings import ServiceSettings
from learning_workers import metrics
from learning_workers.backlog_metrics import BacklogCollector

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "ops/monitoring/prometheus"
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
DASHBOARD = json.loads((ROOT / "ops/monitoring/grafana/dashboards/learning-machine.json").read_text())
DOCUMENT = (ROOT / "docs/metrics.md").read_text()

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: install Debian's package prometheus")

LABELS = {"store", "model", "reason", "state", "via", "outcome", "curator_job"}
# What Prometheus itself and its client add.
FOREIGN = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}


def families() -> dict[str, Metric]:
    """Everything that a dispatcher or a worker exports, by the name that queries have."""
    urls = {"dispatcher_database_url": "postgresql://a@127.0.0.1:1/none", "redis_url": "redis://127.0.0.1:1/0"}
    collector = BacklogCollector(ServiceSettings.load(**urls))
    own: list[Metric] = [*collector.describe()]
    for each in (metrics.SHARDS_HELD, metrics.TASKS, metrics.THREADS):
        own += each.describe()
    own += [family for family in metrics.REGISTRY.collect() if family.name.startswith("learning_")]
    return {family.name + ("_total" if family.type == "counter" else ""): family for family in own}


def labels_of(name: str) -> tuple[str, ...]:
    """The labels that a metric was made with."""
    for made in [*vars(metrics).values()]:
        if getattr(made, "_name", None) is not None and name in (made._name, f"{made._name}_total"):
            return tuple(made._labelnames)
    return tuple(getattr(FAMILIES[name], "_labelnames", ()))


FAMILIES = families()


def names_in(expression: str) -> set[str]:
    """The metrics that a query names."""
    bare = re.sub(r'"[^"]*"', "", expression)
    return {found for found in re.findall(r"\b(?:learning|process)_\w+|\bup\b", bare) if not found.endswith(("_job",))}


def base(name: str) -> str:
    """The metric of a histogram's series."""
    for suffix in ("_bucket", "_count", "_sum"):
        if name.removesuffix(suffix) in FAMILIES:
            return name.removesuffix(suffix)
    return name


def panels() -> Iterator[dict[str, Any]]:
    """Those that ask something."""
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


QUERIES = [
    *((f"alert {rule['alert']}", rule["expr"]) for group in RULES["groups"] for rule in group["rules"]),
    *((f"panel {panel['title']}", target["expr"]) for panel in panels() for target in panel["targets"]),
    *(("variable", each["definition"]) for each in DASHBOARD["templating"]["list"] if "definition" in each),
]


@pytest.mark.parametrize(("where", "expression"), QUERIES, ids=[f"{where} {n}" for n, (where, _) in enumerate(QUERIES)])
def test_given_a_panel_or_a_rule_when_its_metrics_are_looked_for_then_the_real_registry_exports_each_with_its_labels(
    where: str, expression: str
) -> None:
    named = names_in(expression)
    assert named, where
    unknown = {name for name in named if base(name) not in FAMILIES} - FOREIGN
    assert not unknown
    grouped = {
        label.strip() for found in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for label in found.split(",")
    }
    matched = set(re.findall(r"[{,](\w+)[=!]", expression))
    have = {label for name in named - FOREIGN for label in labels_of(base(name))} | {"le", "instance", "job"}
    assert grouped | matched <= have, where


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_given_a_metric_when_its_name_and_labels_are_read_then_they_follow_the_conventions(name: str) -> None:
    assert name.startswith("learning_")
    assert re.fullmatch(r"[a-z_]+", name)
    assert FAMILIES[name].documentation
    assert set(labels_of(name)) <= LABELS
    if FAMILIES[name].type == "histogram":
        assert name.endswith("_seconds")
    assert not re.search(r"_(ms|millis|milliseconds|minutes|kb|mb)(_|$)", name), "base units"


def documented() -> dict[str, tuple[str, set[str]]]:
    """Metric to type and labels, of the rows of the tables."""
    rows = re.findall(r"^\| `(learning_\w+)` \| (\w+) \|([^|]*)\|[^|]+\|[^|]*\|$", DOCUMENT, re.M)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_given_the_document_when_held_against_the_registry_then_each_has_the_metrics_of_the_other() -> None:
    found = documented()
    assert found.keys() == FAMILIES.keys()
    for name, (kind, labels) in found.items():
        assert kind == FAMILIES[name].type, name
        assert labels == set(labels_of(name)), name


def test_given_every_metric_of_ours_when_the_dashboard_is_read_then_it_shows_it() -> None:
    shown = {base(name) for _, expression in QUERIES for name in names_in(expression)}
    assert not FAMILIES.keys() - shown


def test_given_the_dashboard_when_its_form_is_looked_at_then_panels_have_places_ids_and_a_source_that_can_be_chosen() -> (
    None
):
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${datasource}"}
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "store"]


def test_given_an_alert_when_read_then_it_says_how_bad_it_is_what_is_wrong_and_what_to_do_with_commands_that_exist() -> (
    None
):
    from learning_ops.cli import app

    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    names = [rule["alert"] for each in RULES["groups"] for rule in each["rules"]]
    assert len(names) == len(set(names))
    for rule in (rule for each in RULES["groups"] for rule in each["rules"]):
        assert rule["alert"].startswith("Learning")
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "action"}
        for command in re.findall(r"learning-machine (\w+)", rule["annotations"]["action"]):
            assert command in group.commands


@needs_promtool
def test_given_the_rules_when_promtool_checks_them_then_it_accepts_all_of_them() -> None:
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", "rules.yml"], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    count = sum(len(group["rules"]) for group in RULES["groups"])
    assert f"{count} rules found" in done.stdout


@needs_promtool
def test_given_the_rules_when_their_unit_tests_are_run_then_they_pass() -> None:
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", "rules_test.yml"], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
