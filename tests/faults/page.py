"""The merged results as a page for people.

python -m tests.faults.page docs/faults.json docs/stock_faust.json > docs/faults.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_TOP = """\
# What was done to it, and what came of it

Real workers on a real Kafka and a real PostgreSQL were put under each fault while a stream of facts went on. Afterwards an
oracle, a slow and separate implementation of the rules, said what must hold; that was compared with the rows, with every
message on the topics, and with the dead letters. *Lost*: an achievement or message that is missing, or an offset that was
acknowledged before PostgreSQL had the fact (looked for at every fault). *Duplicate*: a second row, or a repeated message that
is not the same to the byte. *Wrong*: anything that the oracle does not say. *Limits*: times and counts that a fault must keep.

`python -m tests.faults --only F1,F3 --size full --json docs/faults.json` runs rows and puts their results in the place of older
ones; `python -m tests.faults.page docs/faults.json docs/stock_faust.json > docs/faults.md` writes this page. Recovery is the time
in seconds from the fault until everything that was in Kafka then is acknowledged.
"""

_HEADINGS = """
| fault | what is done | size | lost | duplicate | wrong | dead letters wrong | limits missed | recovery, median | max |
|---|---|---|--:|--:|--:|--:|--:|--:|--:|
"""

_STOCK = """
## The same worker on Faust as it comes

With Faust's own acknowledgement, rebalancing and producer in the place of ours, and everything else the same
(`python -m tests.faults --stock-faust --only F1,F3,F4 --json docs/stock_faust.json`). That facts are stored first and that messages
wait in an outbox keeps it from losing anything here as well. It takes longer to go on, and does not end within 20 s of SIGTERM while
PostgreSQL is stuck.
"""


def page(results: Iterable[Mapping[str, Any]], stock: Iterable[Mapping[str, Any]] = ()) -> str:
    """Markdown: a table, what was measured in each row, and the same of Faust as it comes."""
    documents, others = list(results), list(stock)
    text = (
        _TOP + _HEADINGS + "".join(_line(one) for one in documents) + "\n## Measured\n\n" + "".join(_figures(documents))
    )
    return text + _STOCK + _HEADINGS + "".join(_line(one) for one in others) if others else text


def _line(result: Mapping[str, Any]) -> str:
    counts = [result[name] for name in ("lost", "duplicate", "wrong", "dead_letters_wrong", "limits_missed")]
    recovery = [_shown(result[f"recovery_{which}_seconds"]) for which in ("median", "max")]
    cells = [result["fault"], result["title"], result["size"], *map(str, counts), *recovery]
    return f"| {' | '.join(cells)} |\n"


def _figures(results: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for result in results:
        figures = (f"{name.replace('_', ' ')} {_shown(value)}" for name, value in result["figures"].items())
        yield f"- **{result['fault']}**, {result['size']}, seed {result['seed']}: {', '.join(figures)}.\n"


def _shown(value: float | int | None) -> str:
    if value is None:
        return ""
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


if __name__ == "__main__":
    sys.stdout.write(page(*(json.loads(Path(name).read_text()) for name in sys.argv[1:])))
