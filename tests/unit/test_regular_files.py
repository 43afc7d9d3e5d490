"""Files that are none, folders that vanish, other people's locks: named, and nobody waits."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from effmark.cache import build_once, default_cache
from effmark.catalogue import Catalogue
from effmark.errors import PrerequisiteError, SpecError, StoreError
from effmark.probes.lock import device_lock
from effmark.record import Record
from effmark.regular_files import open_regular, read_regular, replace_file
from effmark.store import Damage, Journal, read_records, results_folder

Make = Callable[..., Record]
NOBODY = 65534


def test_what_is_no_file_is_said_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    for name, said in (("pipe", "is a pipe"), ("folder", "is a folder"), ("link", "No such file")):
        for flags in (os.O_RDONLY, os.O_RDWR | os.O_APPEND):
            if name == "link":
                with pytest.raises(FileNotFoundError):
                    open_regular(tmp_path / name, flags)
                continue
            with pytest.raises(OSError, match=said):
                open_regular(tmp_path / name, flags)
    with pytest.raises(OSError, match="is a device"):
        read_regular(Path("/dev/zero"))


def test_a_file_is_replaced_in_one_step_and_keeps_mode_and_links(tmp_path: Path) -> None:
    target, link = tmp_path / "report.json", tmp_path / "latest"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with target.open() as reader:
        replace_file(link, b"new")
        assert reader.read() == "old"
    assert target.read_text() == "new"
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    replace_file(Path("/dev/null"), b"new")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        replace_file(tmp_path / "pipe", b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["latest", "pipe", "report.json"]


def test_an_export_that_cannot_be_finished_leaves_the_old_file(
    tmp_path: Path, make_record: Make
) -> None:
    """The file system allows 4 kB; the export is larger."""
    with Journal(tmp_path / "results", "toy", 1) as journal:
        for number in range(4):
            journal.append(make_record(precision=f"q{number}"))
    (tmp_path / "out.json").write_text("old")
    code = (
        "import resource, signal, sys; from effmark.cli import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "export", "pytest-benchmark", "results", "-o", "out.json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "export 'out.json' cannot be written" in done.stderr
    assert (tmp_path / "out.json").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "results"]


def odd_results(results: Path, record: Record) -> None:
    with Journal(results, "toy", 1) as journal:
        journal.append(record)
    os.mkfifo(results / "pipe.jsonl")
    (results / "dangling.jsonl").symlink_to(results / "nowhere")
    (results / "folder.jsonl").mkdir()
    (results / "folder.jsonl" / "inner.jsonl").symlink_to("/dev/zero")


def test_pipes_and_dangling_links_among_results_are_named_and_skipped(
    tmp_path: Path, make_record: Make
) -> None:
    odd_results(tmp_path, make_record())
    damage = Damage()
    assert len(list(read_records(tmp_path, damage))) == 1
    assert sorted(place.removeprefix(f"{tmp_path}/") for place in damage.places) == [
        "dangling.jsonl: is a dangling link",
        "folder.jsonl/inner.jsonl: is a device, wants a regular file",
        "pipe.jsonl: is a pipe, wants a regular file",
    ]
    assert "3 no regular file" in damage.summary


def test_so_does_the_catalogue_of_a_large_folder(tmp_path: Path, make_record: Make) -> None:
    pytest.importorskip("duckdb", reason="DuckDB is not installed: pip install 'effmark[store]'")
    odd_results(tmp_path, make_record())
    os.mkfifo(tmp_path / "toy-v1" / "other.jsonl")
    damage = Damage()
    assert Catalogue(tmp_path, damage).count() == (1, 1)
    assert len(damage.places) == 4


def as_nobody(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as a user who is not root and owns nothing."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    start = f"import effmark.store, os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY});"
    return subprocess.run(
        [sys.executable, "-c", f"{start}\n{code}", *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users can get to, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


READ = """
import sys
from pathlib import Path
from effmark.store import Damage, read_records
damage = Damage()
print(len(list(read_records(Path(sys.argv[1]), damage))), damage.places)
"""


def test_a_folder_that_cannot_be_searched_is_named(public: Path, make_record: Make) -> None:
    with Journal(public, "toy", 1) as journal:
        journal.append(make_record())
    (public / "secret").mkdir(mode=0o700)
    done = as_nobody(READ, str(public))
    assert done.stdout.startswith("1 ["), done.stderr
    assert "secret: cannot be searched: Permission denied" in done.stdout


def test_results_behind_a_closed_door_are_one_sentence(public: Path) -> None:
    (public / "door" / "results").mkdir(parents=True)
    (public / "door").chmod(0o700)
    code = "import sys; from effmark.store import results_folder; results_folder(sys.argv[1])"
    done = as_nobody(code, str(public / "door" / "results"))
    assert "StoreError: results '" in done.stderr
    assert "cannot be read: Permission denied" in done.stderr


@pytest.mark.parametrize("what", ["folder", "file", "replaced"])
def test_results_that_are_removed_meanwhile_are_written_again(
    tmp_path: Path, make_record: Make, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    results = tmp_path / "results"
    with Journal(results, "toy", 1) as journal:
        journal.append(make_record(precision="fp32"))
        if what == "folder":
            shutil.rmtree(results)
        else:
            journal.path.unlink()
        if what == "replaced":
            journal.path.write_text("")
        journal.append(make_record(precision="int8"))
    kept = [r.cell.precision for r in read_records(results)]
    assert kept == ["fp32", "int8"]
    assert capsys.readouterr().err.count("were removed meanwhile") == 1


def test_so_they_are_when_the_last_record_is_written_already(
    tmp_path: Path, make_record: Make
) -> None:
    with Journal(tmp_path / "results", "toy", 1) as journal:
        journal.append(make_record())
        journal.path.unlink()
    assert len(list(read_records(tmp_path / "results"))) == 1


def test_results_that_cannot_be_made_again_end_the_run(tmp_path: Path, make_record: Make) -> None:
    results = tmp_path / "results"
    journal = Journal(results, "toy", 1)
    journal.append(make_record())
    shutil.rmtree(results)
    results.write_text("a file is here now")
    with pytest.raises(StoreError, match="cannot be written"):
        journal.append(make_record())


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_a_lock_that_is_no_file_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "kind").mkdir()
    for path in (tmp_path / "effmark-cpu.lock", tmp_path / "kind" / "key.lock"):
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(tmp_path / "no" / "where")
    with device_lock("cpu") as alone:
        assert alone
    if kind != "link":
        with pytest.raises(PrerequisiteError, match=r"key.lock' is a \w+, wants a regular file"):
            build_once(tmp_path, "kind", "key", lambda folder: None, "a thing")


LOCKED = """
import sys, tempfile
from effmark.probes.lock import device_lock
tempfile.tempdir = sys.argv[1]
with device_lock("cpu") as alone:
    print(alone)
"""


@pytest.mark.parametrize("mode", [0o444, 0o600])
def test_another_users_lock_is_used_or_left_alone(public: Path, mode: int) -> None:
    (public / "effmark-cpu.lock").touch()
    (public / "effmark-cpu.lock").chmod(mode)
    public.chmod(0o1777)
    done = as_nobody(LOCKED, str(public))
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "-1"])
def test_a_wait_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("EFFMARK_LOCK_WAIT_S", text)
    with pytest.raises(SpecError, match=f"EFFMARK_LOCK_WAIT_S: '{text}' is no number"), \
            device_lock("cpu"):  # fmt: skip
        pass


def test_a_user_without_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = (
        "import os, sys; os.environ.pop('HOME', None); os.chdir(sys.argv[1]);"
        "os.environ.pop('EFFMARK_CACHE', None); os.environ.pop('EFFMARK_RESULTS', None);"
        "import effmark.cache, effmark.store, effmark.errors; os.setuid(54321)\n"
        "for where in (effmark.cache.default_cache, effmark.store.results_folder):\n"
        "    try: where()\n"
        "    except effmark.errors.PrerequisiteError as error: print(error)\n"
    )
    if os.getuid() != 0:
        pytest.skip("only root can become a user without an entry")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    sentences = done.stdout.splitlines()
    assert len(sentences) == 2, done.stderr
    assert all("EFFMARK_CACHE" in s and "--results" in s for s in sentences)
    monkeypatch.setenv("EFFMARK_CACHE", str(tmp_path))
    assert default_cache() == tmp_path


def test_a_current_folder_that_is_gone_is_no_traceback(tmp_path: Path) -> None:
    code = (
        "import os, sys; from effmark.store import results_folder;"
        "os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]);"
        "os.environ.pop('EFFMARK_RESULTS', None); print(results_folder())"
    )
    (tmp_path / "gone").mkdir()
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "gone")], check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout.endswith("effmark/results\n"), done.stderr
    assert results_folder("given") == Path("given")


def test_what_leads_to_a_pipe_without_a_name_is_written_to() -> None:
    code = (
        "from pathlib import Path; from effmark.regular_files import replace_file; "
        "replace_file(Path('/dev/stdout'), b'all of it')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"all of it", b"")
