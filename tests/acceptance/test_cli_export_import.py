"""`learning-machine export` and `import`: whole files, what is asked first, and exit statuses."""

import json
from typing import Any

from harness import Place, rows
from learning_stores.database import Database
from running_stack import run

BY = "support@acme.com"


def _run(place: Place, *arguments: str) -> Any:
    return run(*arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160"})


def test_given_a_user_when_exported_and_imported_for_another_by_command_then_it_asks_and_brings_it_once(
    place: Place, everything_db: Database
) -> None:
    with place.machine() as machine:
        machine.add("Is vegetarian", user_id="alex", by=BY)
    file = place.directory / "alex.jsonl"
    made = _run(place, "export", "--user", "alex", "--out", str(file))
    assert (made.returncode, made.stdout) == (0, ""), made.stderr
    assert "1 learning" in made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert (lines[0]["counts"]["learning"], len(lines)) == (1, 1 + sum(lines[0]["counts"].values()))
    assert _run(place, "export", "--user", "alex").stdout.splitlines()[1:] == file.read_text().splitlines()[1:]
    again = _run(place, "export", "--user", "alex", "--out", str(file))
    assert (again.returncode, "exists" in again.stderr) == (1, True)

    into = ("import", str(file), "--user", "alexandra", "--tenant", "acme")
    looked = _run(place, *into, "--dry-run", "--json")
    assert json.loads(looked.stdout) == {"learnings": {"active": 1}, "entities": 0, "known": 0}
    assert "into user alexandra of tenant acme" in looked.stderr
    assert _run(place, *into).returncode == 2
    theirs = "SELECT content, user_id FROM learning.learning WHERE tenant = 'acme'"
    assert rows(everything_db, theirs) == []
    done = _run(place, *into, "--yes", "--by", "ann")
    assert (done.returncode, done.stdout.strip()) == (0, "imported: 1 added"), done.stderr
    assert rows(everything_db, theirs) == [{"content": "Is vegetarian", "user_id": "alexandra"}]
    assert json.loads(_run(place, *into, "--yes", "--json").stdout) == {"known": 1}


def test_given_another_tenant_or_a_wrong_file_when_asked_by_command_then_it_says_so(place: Place) -> None:
    with place.machine() as machine:
        machine.add("Is vegetarian", user_id="alex", by=BY)
    empty = _run(place, "export", "--user", "alex", "--tenant", "acme")
    assert empty.returncode == 0
    assert "nothing is held about user alex in tenant acme" in empty.stderr
    (header,) = [json.loads(line) for line in empty.stdout.splitlines()]
    assert set(header["counts"].values()) == {0}
    wrong = place.directory / "wrong.jsonl"
    wrong.write_text(json.dumps({**header, "counts": {"learning": 1}}) + '\n{"record": "learning", "id": "1"}\n')
    refused = _run(place, "import", str(wrong), "--yes")
    assert refused.returncode == 1
    assert refused.stderr.strip() == "line 2, id: is no UUID"
