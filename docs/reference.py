"""Pages that are made from what the code says: settings, commands, operations, topics, metrics, alerts.

python -m docs.reference writes them into docs/reference; building the site does so as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import typer
import yaml  # type: ignore[import-untyped]
from prometheus_client import REGISTRY

from docs.words import (
    default_of_setting,
    definitions,
    kind_of_schema,
    kind_of_setting,
    parameter,
    sentence,
    table,
    without_parameter,
)
from goalstream.api.app import create_app
from goalstream.cli.program import app as program
from goalstream.config import PREFIX, Settings
from goalstream.contracts import Contract, known_contracts, schemas_folder
from goalstream.observability import metrics
from goalstream.storage.pool import Database

ROOT = Path(__file__).parents[1]


def write(folder: Path) -> None:
    """Writes every page that is not as it should be; what did not change keeps its time, and is not built again."""
    pages = {
        "configuration": configuration(),
        "commands": commands(),
        "operations": operations(),
        "events": events(),
        "metrics": metrics_page(),
        "alerts": alerts(),
    }
    (folder / "reference").mkdir(exist_ok=True)
    for name, text in pages.items():
        path = folder / "reference" / f"{name}.md"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def configuration() -> str:
    """Every setting: name, what it may be, default, meaning."""
    rows = [
        (
            f"`{PREFIX}{name.upper()}`",
            f"{sentence(field.description or '')}\\\n*{kind_of_setting(field)}{default_of_setting(field)}*",
        )
        for name, field in Settings.model_fields.items()
    ]
    return f"""# Settings

Each is read from the environment; what is not there from `.env` in the current folder; then from a file of its name in the folder
that `GOALSTREAM_SECRETS_DIR` names; else it has its default. Yours to set are `GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS`,
`GOALSTREAM_DATABASE_URL`, and for `goalstream api` `GOALSTREAM_JWT_SECRET` or `GOALSTREAM_JWKS_URL`. All that is wrong is told at
once, a line each, with exit code 2. `goalstream config` shows what is in force and where it comes from; secrets stay hidden. A change
takes effect when a process is started again.

{definitions(rows)}"""


def commands() -> str:
    """Every command with what it takes, as its help says."""
    parts = [
        "# Commands\n\nEach exits with 0 (done), 1 (failed) or 2 (wrong usage or settings), and says what is wrong in one line.\n"
    ]
    parts += _commands(typer.main.get_command(program), "goalstream", 1)
    return "\n".join(parts)


def _commands(command: Any, name: str, level: int) -> Iterable[str]:
    help_text = (command.help or "").strip()
    if inner := getattr(command, "commands", None):
        if level > 1:
            yield f"## {name}\n\n{sentence(help_text)}\n"
        for other in inner.values():
            yield from _commands(other, f"{name} {other.name}", level + 1)
        return
    rows = [
        (parameter(one), sentence(one.help or "") + without_parameter(one))
        for one in command.params
        if one.name != "help"
    ]
    yield f"{'#' * level} {name}\n\n{help_text}\n\n{definitions(rows)}"


def operations() -> str:
    """The HTTP API from its OpenAPI document."""
    settings = Settings.model_validate({"jwt_secret": "x" * 32})
    document = create_app(settings, Database("postgresql://nowhere/none", size=2)).openapi()
    parts = [
        "# HTTP operations\n\nFrom the OpenAPI document that `goalstream api` serves at `/openapi.json`; [HTTP](../http.md) shows them"
        " at work. Each needs a bearer token or an API key with the scope that is named. Beside the answers that are named, each can"
        " answer 401 `unauthorized`, 403 `forbidden`, 429 `rate_limited` and 503 `unavailable`.\n"
    ]
    found = [
        (operation["tags"][0], path, method.upper(), operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    for tag, of_tag in groupby(sorted(found, key=itemgetter(0, 1)), key=itemgetter(0)):
        parts.append(f"## {tag.capitalize()}\n")
        parts += [
            _operation(method, path, operation, document["components"]["schemas"])
            for _, path, method, operation in of_tag
        ]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    scopes = ", ".join(
        f"`{scope}`" for one in operation.get("security", []) for found in one.values() for scope in found
    )
    rows = [
        (
            f"`{one['name']}` *in {'the ' if one['in'] != 'header' else 'a '}{one['in']}*",
            sentence(one.get("description", "") or kind_of_schema(one["schema"], schemas)),
        )
        for one in operation.get("parameters", [])
    ]
    answers = [
        (status, text)
        for status, answer in operation["responses"].items()
        if status not in ("401", "403", "429", "503") and (text := _answer(answer))
    ]
    text = f"### {operation['summary']}\n\n`{method} {path}` · scope {scopes}\n\n{operation.get('description', '')}\n\n"
    text += definitions(rows) + "\n" + table(("answers", "with"), answers)
    return text + "".join(
        _example(answer, schemas) for status, answer in operation["responses"].items() if status < "300"
    )


def _example(answer: dict[str, Any], schemas: dict[str, Any]) -> str:
    """What an answer looks like, where the document has an example."""
    for content in answer.get("content", {}).values():
        schema = schemas.get(content["schema"].get("$ref", "").rpartition("/")[2], {})
        for example in schema.get("examples", ()):
            return f"\n```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```\n"
    return ""


def _answer(answer: dict[str, Any]) -> str:
    """The `error` of a problem, the document that is shown below, or what is said of it."""
    for content in answer.get("content", {}).values():
        if isinstance(content.get("example"), dict):
            return f"{answer['description']}, such as `{content['example']['error']}`"
    said: str = answer["description"]
    if said != "Successful Response":
        return said
    return "the document below" if answer.get("content") else "nothing more"


def events() -> str:
    """Every topic from the AsyncAPI document, with its members and an example."""
    document = yaml.safe_load((schemas_folder() / "asyncapi.yaml").read_text("utf-8"))
    channels = {one["address"]: one for one in document["channels"].values()}
    parts = [
        "# Events\n\nFrom `schemas/asyncapi.yaml` and the JSON Schemas beside it. What is read may be a plain envelope or a CloudEvent,"
        " binary or structured; what is published is a CloudEvent in binary mode. `goalstream schemas show TOPIC` prints a schema,"
        " `goalstream schemas validate FILE` holds events against it.\n"
    ]
    parts += [_topic(contract, channels[contract.topic]) for contract in known_contracts()]
    return "\n".join(parts)


def _topic(contract: Contract, channel: dict[str, Any]) -> str:
    schema = contract.schema
    parts = schema.get("$defs", {})
    data = parts.get("data", schema)
    required = set(data.get("required", ()))
    rows = [
        (
            f"`{name}`{' *needed*' if name in required else ''}",
            sentence(part.get("description", "")) or sentence(kind_of_schema(part, parts)),
        )
        for name, part in data.get("properties", {}).items()
    ]
    text = f"## {contract.topic}\n\n{channel['title']}. {channel['description']}\n\n{definitions(rows)}"
    examples = schemas_folder() / contract.topic / "examples" / "valid"
    usual = [one for name in ("complete", "letter") if (one := examples / f"{name}.json").exists()]
    shown = (usual or sorted(examples.glob("*.json")))[0]
    document = json.dumps(json.loads(shown.read_text("utf-8")), indent=2, ensure_ascii=False)
    return f"{text}\n```json\n{document}\n```\n"


def _process(metric: str) -> str:
    processes = {"the API": metrics.OF_API, "deliverers": metrics.OF_DELIVERER, "every process": metrics.OF_ALL}
    return next((process for process, names in processes.items() if metric in names), "workers")


def metrics_page() -> str:
    """Every metric with its labels and meaning."""
    declared = {one._name: one for one in vars(metrics).values() if hasattr(one, "_labelnames")}
    found = {family.name: family for family in REGISTRY.collect() if family.name in declared}
    rows = [
        (
            f"`{name}{'_total' if family.type == 'counter' else ''}`",
            f"{sentence(family.documentation)}\\\n*{family.type} of"
            f" {_process(name)}"
            f"{', by ' if declared[name]._labelnames else ''}{', '.join(f'`{one}`' for one in declared[name]._labelnames)}*",
        )
        for name, family in found.items()
    ]
    return f"""# Metrics

At `/metrics`: a worker's on `GOALSTREAM_METRICS_PORT`, the API's on its own port. Every series is there from the start, labels are
bounded. Histograms of latency carry exemplars that lead to traces (OpenMetrics). Faust's own begin with `faust_`.

{definitions(rows)}"""


def alerts() -> str:
    """Every alert with its condition, and where the runbook says what to do."""
    document = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))
    parts = ["# Alerts\n\nFrom `deploy/prometheus/alerts.yml`; each has a test beside it.\n"]
    for group in document["groups"]:
        for rule in group["rules"]:
            anchor = rule["annotations"]["runbook_url"].partition("#")[2]
            wait = f", for {rule['for']}" if "for" in rule else ""
            summary = re.sub(r"{{ \$labels\.(\w+) }}", r"*\1*", rule["annotations"]["summary"])
            parts.append(
                f"## {rule['alert']}\n\n{sentence(summary)} Severity `{rule['labels']['severity']}`{wait};"
                f" [what to do](../runbook.md#{anchor}).\n\n```text\n{rule['expr'].strip()}\n```\n"
            )
    return "\n".join(parts)


if __name__ == "__main__":
    write(Path(__file__).parent)
