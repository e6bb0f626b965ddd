"""The suite in two processes at once: nothing is run twice, nothing is left out, and what goes wrong is told."""

import os
import shutil
import subprocess
import sys

import pytest
from programs import alive, needs_posix

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture
def suite(tmp_path):
    """A suite of its own; `suite(tests, *words)` runs it: exit status and what was printed."""
    shutil.copy(os.path.join(HERE, "shards.py"), tmp_path)
    conftest = "import shards\npytest_addoption = shards.add_options\npytest_runtestloop = shards.run_loop\n"
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "pytest.ini").write_text("[pytest]\ncache_dir = cache\n")

    def run(tests, *words):
        (tmp_path / "test_it.py").write_text(f"import os, pytest, time\nlog = {os.fspath(tmp_path / 'ran')!r}\n{tests}")
        command = [sys.executable, "-m", "pytest", "-q", "--shards", "2", *words]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        return ran.returncode, ran.stdout + ran.stderr

    run.ran = lambda: sorted((tmp_path / "ran").read_text().split()) if (tmp_path / "ran").exists() else []
    return run


NOTE = "def note(word):\n    with open(log, 'a') as file: file.write(word + '\\n')\n"


def test_every_test_is_run_once_and_the_summary_is_that_of_one_run(suite):
    tests = NOTE + "".join(f"def test_{number}():\n    note('t{number}'); time.sleep(0.02)\n" for number in range(30))
    status, said = suite(tests)
    assert (status, "30 passed" in said) == (0, True), said
    assert suite.ran() == sorted(f"t{number}" for number in range(30))


def test_the_tests_are_run_by_two_processes_neither_of_which_is_the_one_that_was_called(suite, tmp_path):
    tests = "".join(
        f"def test_{number}():\n    open(log, 'a').write(f'{{os.getppid()}}-{{os.getpid()}}\\n'); time.sleep(0.1)\n"
        for number in range(20)
    )
    status, said = suite(tests, "-p", "no:unraisableexception")
    assert status == 0, said
    pairs = {tuple(word.split("-")) for word in suite.ran()}
    assert len(pairs) == 2
    if os.name == "posix":
        assert len({parent for parent, _ in pairs}) == 1


def test_failures_errors_skips_and_parameters_are_told_as_they_are(suite):
    tests = NOTE + (
        "@pytest.fixture\ndef broken():\n    raise RuntimeError('broken')\n"
        "@pytest.mark.parametrize('number', [1, 2, 3])\ndef test_some(number):\n    assert number != 2, 'two is wrong'\n"
        "def test_error(broken):\n    pass\n"
        "def test_skipped():\n    pytest.skip('because')\n"
    )
    status, said = suite(tests)
    assert status == 1
    assert "1 failed, 2 passed, 1 skipped, 1 error" in said
    assert "two is wrong" in said
    assert "RuntimeError: broken" in said
    status, said = suite(tests, "--last-failed")
    assert (status, "1 failed, 1 error" in said) == (1, True), said


def test_a_name_that_is_another_one_in_every_process_is_no_other_test(suite):
    tests = "class It:\n    pass\n@pytest.mark.parametrize('it', [repr(It()) for _ in range(8)])\ndef test_it(it):\n    pass\n"
    status, said = suite(tests)
    assert (status, "8 passed" in said) == (0, True), said


def test_a_shard_that_dies_is_a_failure_that_names_what_was_not_run(suite):
    tests = "def test_dies():\n    os._exit(3)\n" + "".join(f"def test_{number}():\n    pass\n" for number in range(5))
    status, said = suite(tests)
    assert status == 1
    assert "no shard has run it to its end" in said
    assert "FAILED test_it.py::test_dies" in said
    assert "failed" in said.splitlines()[-1]


@needs_posix
def test_no_shard_outlives_a_run_that_is_terminated(suite):
    tests = NOTE + (
        "import signal\n@pytest.mark.parametrize('n', range(2))\ndef test_long(n):\n"
        "    note(str(os.getpid())); os.kill(os.getppid(), signal.SIGTERM); time.sleep(1000)\n"
    )
    status, said = suite(tests)
    assert status == 128 + 15, said
    assert suite.ran()
    assert not any(alive(int(pid)) for pid in suite.ran())


def test_the_first_failure_may_end_it(suite):
    tests = NOTE + "def test_0():\n    assert False\n" + "".join(f"def test_{n}():\n    note('x')\n" for n in range(1, 4))
    status, said = suite(tests, "-x")
    assert status == 1
    assert "1 failed" in said


def test_a_few_tests_are_run_by_the_process_that_was_called(suite, tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\ncache_dir = cache\n")
    (tmp_path / "test_it.py").write_text("import shards\ndef test_it():\n    assert shards._claims is None\n")
    ran = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, "1 passed" in ran.stdout) == (0, True), ran.stdout


def test_what_a_test_of_a_shard_starts_is_no_shard(suite):
    tests = "def test_it():\n    assert 'PROCESSKIT_SHARD' not in os.environ\ndef test_other():\n    pass\n"
    status, said = suite(tests)
    assert (status, "2 passed" in said) == (0, True), said


@needs_posix
def test_an_interrupt_is_heard_by_children_also_where_the_suite_began_with_it_ignored():
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    script = f'trap "" INT; exec {sys.executable} -c "import sys; sys.path.insert(0, {HERE!r}); import conftest, subprocess; '
    script += f"print(subprocess.run([sys.executable, '-c', '{code}'], capture_output=True, text=True).stdout)\""
    ran = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True)
    assert ran.stdout.strip() == "True", ran.stderr
