"""Write the JSON schema of records to docs/schema, or with --check say whether it is current."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from effmark.record import SCHEMA_VERSION, Record

TARGET = Path(__file__).parents[1] / "docs" / "schema" / f"record-v{SCHEMA_VERSION}.json"


def schema_text() -> str:
    """Return the schema of a record as it is published."""
    return json.dumps(Record.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write or check the schema; 1 where it is not current."""
    if "--check" not in sys.argv:
        TARGET.write_text(schema_text(), encoding="utf-8")
        return 0
    current = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == schema_text()
    print("schema is current" if current else f"{TARGET.name} is old: run scripts/write_schema.py")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
