"""Fetch, clean and split the text that the in-repository model family learns from.

Sources are Debian 12 packages, unpacked into a folder and never installed: Jane Austen's six
novels (public domain), the Python 3.11 standard library and its documentation (PSF licence).

    python scripts/family/text.py --work WORK [--held-out suites/effmark_suites/text]

writes WORK/{austen,docs,code}.jsonl, one document a line, and the held-out files: whole chapters
and whole modules that no line of the training text repeats.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

PACKAGES = (
    "r-cran-janeaustenr",
    "python3.11-doc",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
)
HEADING = re.compile(r"^(VOLUME|CHAPTER) +[IVXL\d]+\.?$", re.IGNORECASE)
END = re.compile(r"^(THE END|FINIS|A NOTE ON THE TEXT)$", re.IGNORECASE)
# Tables and generated data: long runs of numbers that teach a small model nothing.
SKIPPED_CODE = re.compile(r"/(encodings|pydoc_data|tests?|idle_test|__phello__)/|_sysconfigdata")
HELD_OUT_CHAPTER_STEP = 30
"""Every 30th chapter is held out: about 130 kB from all six novels."""
HELD_OUT_CODE_B = 64_000
HELD_OUT_MODULE_B = (3_000, 12_000)
"""Size range of a held-out module: several whole files instead of one long one."""
STRSXP, CHARSXP = 16, 9
ORIGIN = {
    "austen": {
        "what": "chapters of Jane Austen's six novels, one paragraph a line",
        "package": "r-cran-janeaustenr 1.0.0-1",
        "licence": "public domain",
    },
    "python": {
        "what": "modules of the Python 3.11 standard library, unchanged",
        "package": "libpython3.11-minimal, libpython3.11-stdlib 3.11.2-6+deb12u9",
        "licence": "PSF-2.0",
    },
}


def fetch(work: Path) -> Path:
    """Return the folder into which the Debian packages are unpacked."""
    root = work / "packages"
    if not root.exists():
        root.mkdir(parents=True)
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=root, check=True)
        for package in sorted(root.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    return root


def rdata_chunks(data: bytes) -> Iterator[bytes]:
    """Yield the objects of an R lazy-load file: a 4-byte length, then a zlib stream, each."""
    while len(data) > 4:
        stream = zlib.decompressobj()
        yield stream.decompress(data[4:]) + stream.flush()
        data = stream.unused_data


def r_strings(chunk: bytes) -> list[str]:
    """Return the lines of one serialised R character vector (XDR, format 3)."""
    at = chunk.index(b"UTF-8") + 5
    kind, count = struct.unpack_from(">II", chunk, at)
    if kind & 0xFF != STRSXP:
        return []
    at += 8
    lines = []
    for _ in range(count):
        flags, size = struct.unpack_from(">Ii", chunk, at)
        if flags & 0xFF != CHARSXP:
            raise ValueError(f"R string at byte {at}, unknown type {flags & 0xFF}, expected 9")
        lines.append(chunk[at + 8 : at + 8 + size].decode("utf-8"))
        at += 8 + size
    return lines


def unwrap(lines: list[str]) -> str:
    """Return the lines as paragraphs: one line each, one empty line between two."""
    blocks = re.split(r"\n\s*\n", "\n".join(line.strip() for line in lines))
    paragraphs = (re.sub(r"\s+", " ", block).strip() for block in blocks)
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def chapters(lines: list[str]) -> list[str]:
    """Return the chapters of one novel, without title page and publisher's notes."""
    found: list[list[str]] = []
    for line in lines:
        if END.match(line.strip()) and found:
            break
        if HEADING.match(line.strip()):
            found.append([])
        elif found:
            found[-1].append(line)
    return [text for text in map(unwrap, found) if text]


def austen(root: Path) -> list[tuple[str, str]]:
    """Return (name, text) of every chapter of the six novels."""
    data = next(root.glob("usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")).read_bytes()
    novels = [lines for lines in map(r_strings, rdata_chunks(data)) if lines]
    return [
        (f"{lines[0].title()}, part {number}", text + "\n")
        for lines in novels
        for number, text in enumerate(chapters(lines), 1)
    ]


def documentation(root: Path) -> list[tuple[str, str]]:
    """Return (name, text) of every page source of the Python documentation."""
    base = root / "usr/share/doc/python3.11/html/_sources"
    pages = sorted(base.rglob("*.rst.txt"))
    return [(str(page.relative_to(base)), page.read_text("utf-8")) for page in pages]


def library(root: Path) -> list[tuple[str, str]]:
    """Return (name, text) of every module of the standard library worth learning from."""
    base = root / "usr/lib/python3.11"
    found = []
    for path in sorted(base.rglob("*.py")):
        if not SKIPPED_CODE.search(path.as_posix()):
            found.append((str(path.relative_to(base)), path.read_text("utf-8", errors="replace")))
    return found


def deduplicated(documents: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the documents without those whose text was already seen."""
    first: dict[str, tuple[str, str]] = {}
    for name, text in documents:
        first.setdefault(sha256(text), (name, text))
    return list(first.values())


def sha256(text: str) -> str:
    """Return the hash of a text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def held_out_chapters(documents: list[tuple[str, str]]) -> set[str]:
    """Return the names of the chapters kept from training."""
    return {name for name, _ in documents[7::HELD_OUT_CHAPTER_STEP]}


def held_out_modules(documents: list[tuple[str, str]]) -> set[str]:
    """Return the names of the modules kept from training, drawn by the hash of their names."""
    low, high = HELD_OUT_MODULE_B
    chosen: set[str] = set()
    size_b = 0
    for name, text in sorted(documents, key=lambda document: sha256(document[0])):
        fits = low <= len(text) <= high and size_b + len(text) <= HELD_OUT_CODE_B
        # A module with a notice of its own may carry another licence than Python's.
        if fits and "copyright" not in text.lower():
            chosen.add(name)
            size_b += len(text)
    return chosen


def write(documents: list[tuple[str, str]], target: Path) -> None:
    """Write one JSON line per document."""
    lines = (json.dumps({"name": n, "text": t}, ensure_ascii=False) for n, t in documents)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def hold_out(
    folder: Path, documents: dict[str, list[tuple[str, str]]], kept: dict[str, set[str]]
) -> None:
    """Write the held-out documents, one file a domain, and sources.json about them."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {}
    for domain, items in documents.items():
        chosen = [(name, text) for name, text in items if name in kept[domain]]
        whole = "\n".join(text for _, text in chosen)
        (folder / f"{domain}.txt").write_text(whole, encoding="utf-8")
        sources[f"{domain}.txt"] = {
            **ORIGIN[domain],
            "documents": [name for name, _ in chosen],
            "size_b": len(whole.encode("utf-8")),
            "sha256": sha256(whole),
        }
    (folder / "sources.json").write_text(json.dumps(sources, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Write the training text and, when asked, the held-out text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for packages and text")
    parser.add_argument("--held-out", type=Path, help="folder for the held-out files")
    options = parser.parse_args()
    root = fetch(options.work)
    novels, code = deduplicated(austen(root)), deduplicated(library(root))
    kept = {"austen": held_out_chapters(novels), "python": held_out_modules(code)}
    for name, documents, held in (
        ("austen", novels, kept["austen"]),
        ("docs", deduplicated(documentation(root)), set()),
        ("code", code, kept["python"]),
    ):
        write([item for item in documents if item[0] not in held], options.work / f"{name}.jsonl")
    if options.held_out:
        hold_out(options.held_out, {"austen": novels, "python": code}, kept)


if __name__ == "__main__":
    main()
