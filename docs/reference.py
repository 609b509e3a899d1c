"""Pages that are made from what the code says: settings, commands, operations, topics, metrics, alerts.

python -m docs.reference writes them into docs/reference; building the site does so as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
import yaml  # type: ignore[import-untyped]
from prometheus_client import REGISTRY
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

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
        (f"`{PREFIX}{name.upper()}`", f"{_sentence(field.description or '')} *{_kind(field)}{_default(field)}*")
        for name, field in Settings.model_fields.items()
    ]
    return f"""# Settings

Each is read from the environment, then from `.env`, then from a directory of files that `GOALSTREAM_SECRETS_DIR` names. All that is
wrong is told at once, a line each. `goalstream config` shows what is in force and where it comes from; secrets stay hidden.

{_table(("setting", "meaning"), rows)}"""


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
            yield f"## {name}\n\n{_sentence(help_text)}\n"
        for other in inner.values():
            yield from _commands(other, f"{name} {other.name}", level + 1)
        return
    rows = [
        (_parameter(one), _sentence(getattr(one, "help", None) or "")) for one in command.params if one.name != "help"
    ]
    yield f"{'#' * level} {name}\n\n{help_text}\n\n{_table(('takes', 'which is'), rows) if rows else ''}"


def operations() -> str:
    """The HTTP API from its OpenAPI document."""
    settings = Settings.model_validate({"jwt_secret": "x" * 32})
    document = create_app(settings, Database("postgresql://nowhere/none", size=2)).openapi()
    parts = [
        "# HTTP operations\n\nFrom the OpenAPI document that `goalstream api` serves at `/openapi.json`; [](../http.md) shows them"
        " at work. Each needs a bearer token with the scope that is named, and can answer 401, 403, 429 and 503 as well.\n"
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(method.upper(), path, operation))
    return "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    scopes = ", ".join(
        f"`{scope}`" for one in operation.get("security", []) for found in one.values() for scope in found
    )
    rows = [
        (f"`{one['name']}`", one["in"], _sentence(one.get("description", "")) or _schema_kind(one["schema"]))
        for one in operation.get("parameters", [])
    ]
    answers = [
        (status, _sentence(answer["description"]) if status < "300" else answer["description"])
        for status, answer in operation["responses"].items()
        if status not in ("401", "403", "429", "503")
    ]
    text = f"## {operation['summary']}\n\n`{method} {path}` · scope {scopes}\n\n{operation.get('description', '')}\n\n"
    if rows:
        text += _table(("parameter", "in", "is"), rows) + "\n"
    return text + _table(("answers", "with"), answers)


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
    data = schema.get("$defs", {}).get("data", schema)
    required = set(data.get("required", ()))
    rows = [
        (f"`{name}`", "yes" if name in required else "", _sentence(part.get("description", "")) or _schema_kind(part))
        for name, part in data.get("properties", {}).items()
    ]
    text = f"## {contract.topic}\n\n{channel['title']}. {channel['description']}\n\n"
    if rows:
        text += _table(("member", "needed", "is"), rows) + "\n"
    examples = sorted((schemas_folder() / contract.topic / "examples" / "valid").glob("*.json"))
    if examples:
        shown = json.dumps(json.loads(examples[0].read_text("utf-8")), indent=2, ensure_ascii=False)
        text += f"```json\n{shown}\n```\n"
    return text


def metrics_page() -> str:
    """Every metric with its labels and meaning."""
    declared = {one._name: one for one in vars(metrics).values() if hasattr(one, "_labelnames")}
    found = {family.name: family for family in REGISTRY.collect() if family.name in declared}
    rows = [
        (
            f"`{name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            ", ".join(f"`{label}`" for label in declared[name]._labelnames),
            "api" if name in metrics.OF_API else "both" if name in metrics.OF_BOTH else "worker",
            _sentence(family.documentation),
        )
        for name, family in found.items()
    ]
    return f"""# Metrics

At `/metrics`: a worker's on `GOALSTREAM_METRICS_PORT`, the API's on its own port. Every series is there from the start, labels are
bounded. Histograms of latency carry exemplars that lead to traces (OpenMetrics). Faust's own begin with `faust_`.

{_table(("metric", "kind", "labels", "of", "meaning"), rows)}"""


def alerts() -> str:
    """Every alert with its condition, and where the runbook says what to do."""
    document = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))
    parts = [
        "# Alerts\n\nFrom `deploy/prometheus/alerts.yml`; each has a test there, and was seen firing in a real Prometheus.\n"
    ]
    for group in document["groups"]:
        for rule in group["rules"]:
            anchor = rule["annotations"]["runbook_url"].partition("#")[2]
            wait = f", for {rule['for']}" if "for" in rule else ""
            parts.append(
                f"## {rule['alert']}\n\n{_sentence(rule['annotations']['summary'])} Severity `{rule['labels']['severity']}`{wait};"
                f" [what to do](../runbook.md#{anchor}).\n\n```text\n{rule['expr'].strip()}\n```\n"
            )
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in line)} |\n" for line in lines
    )


def _sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = " ".join(text.split())
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?:" else ".")


def _kind(field: FieldInfo) -> str:
    kind: Any = field.annotation
    options = [one for one in get_args(kind) if one is not type(None)]
    if str(get_origin(kind)).endswith("Literal"):
        return " or ".join(f"`{one}`" for one in options)
    kind = options[0] if options else kind
    name = {str: "text", int: "integer", float: "number", bool: "true or false", SecretStr: "secret"}[kind]
    bounds = [
        f"{mark} {getattr(one, attribute)}"
        for one in field.metadata
        for attribute, mark in _BOUNDS.items()
        if hasattr(one, attribute)
    ]
    return ", ".join([name, *bounds])


_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value is PydanticUndefined or value == "":
        return ""
    return f"; by default `{value.get_secret_value() if isinstance(value, SecretStr) else value}`"


def _parameter(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{one.name.upper()}{'…' if one.nargs == -1 else ''}`"
    return ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))


def _schema_kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(f"`{one}`" for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(filter(None, (_schema_kind(one) for one in schema["anyOf"] if one.get("type") != "null")))
    return str(schema.get("format") or schema.get("type") or "")


if __name__ == "__main__":
    write(Path(__file__).parent)
