"""`enforcer registry`: what it says, what it writes, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from enforcer.cli import main as main_module
from tests.cli.cli_worlds import Place
from tests.registries.sheets import workbook

HEADER = "id,prefix,category,valid_from,valid_until,services\n"
GOOD = HEADER + "R-1,20.0.0.0/24,software-house,,,\nR-2,2a01::/48,freelancer,,,udp/51820\n"


@pytest.fixture
def old(place: Place) -> Path:
    return put(place, "old.csv", GOOD)


def put(place: Place, name: str, text: str | bytes) -> Path:
    path = place.folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_import_says_what_it_read_dropped_and_wrote(place: Place) -> None:
    rows = [
        ["id", "prefix", "category", "phone"],
        ["R-1", "20.0.0.0 - 20.0.0.2", "Freelancer", 1],
    ]
    mail, made = put(place, "mail.xlsx", workbook(rows)), place.folder / "new.csv"
    said = place.run("registry", "import", str(mail), "--output", str(made))
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        f"{mail}: read as xlsx, by its look: 2 rows (2 IPv4, 0 IPv6) in 1 category\n"
        'note: values of the column "phone", dropped: line 2\n'
        "note: ranges of addresses, each made the fewest prefixes that hold it: line 2\n"
        f"{made}: written; see what changed with registry diff, look it over with registry lint\n"
    )
    assert made.read_text() == (
        HEADER + "R-1,20.0.0.0/31,freelancer,,,\nR-1,20.0.0.2/32,freelancer,,,\n"
    )


def test_import_writes_over_nothing_unless_it_is_told_to(place: Place, old: Path) -> None:
    mail = put(place, "mail.json", '["20.0.9.0/24"]')
    argv = ("registry", "import", str(mail), "--category", "freelancer", "--output", str(old))
    said = place.run(*argv)
    assert (said.code, said.out) == (1, "")
    assert (
        said.err
        == f"enforcer: {old}: is there already; write to another file, or over it with --force\n"
    )
    assert old.read_text() == GOOD
    said = place.run(*argv, "--force", "--id-prefix", "PK-", "--format", "json")
    assert said.code == 0
    assert said.json == {
        "file": str(mail),
        "from_format": "json",
        "output": str(old),
        "rows": 1,
        "prefixes": {"ipv4": 1, "ipv6": 0},
        "categories": {"freelancer": 1},
        "notes": [],
    }
    assert old.read_text() == HEADER + "PK-20.0.9.0/24,20.0.9.0/24,freelancer,,,\n"


def test_a_refused_import_leaves_what_is_there(place: Place, old: Path) -> None:
    mail = put(place, "mail.json", '["20.0.9.0/24",\n{"id": "a", "prefix": "20.0.0.1/24"}]')
    argv = ("registry", "import", str(mail), "--category", "freelancer", "--output", str(old))
    said = place.run(*argv, "--force")
    assert (said.code, said.out) == (78, "")
    assert said.err == (
        f"{mail}:2:1: prefix '20.0.0.1/24' has host bits set; write 20.0.0.0/24, or a longer "
        "length\n"
    )
    assert old.read_text() == GOOD
    assert sorted(p.name for p in place.folder.glob("*old*")) == ["old.csv"]


def test_import_of_one_country(place: Place) -> None:
    records = (
        "apnic|PK|ipv4|20.0.0.0|768|20010101|allocated|A91\n"
        "apnic|IR|ipv4|20.0.8.0|256|20010101|assigned|A92\n"
        "apnic|PK|ipv4|20.0.9.0|256|20010101|reserved|A93\n"
    )
    mail = put(place, "delegated-apnic-extended", records)
    said = place.run(
        *("registry", "import", str(mail), "--category", "freelancer", "--country", "pk"),
        *("--output", "-"),
    )
    assert said.code == 0
    assert said.out == (
        HEADER + "apnic-A91,20.0.0.0/23,freelancer,,,\napnic-A91,20.0.2.0/24,freelancer,,,\n"
    )
    assert f"{mail}: read as delegated, by its look: 2 rows" in said.err
    assert 'note: records with the status "reserved", left out: line 3' in said.err
    assert "written" not in said.err


def test_the_form_may_be_said(place: Place) -> None:
    mail = put(place, "mail", "20.0.0.0/24,20.0.1.0/24\n")
    argv = ("registry", "import", str(mail), "--output", "-", "--category", "freelancer")
    assert "is not the header" in place.run(*argv).err
    said = place.run(*argv, "--from-format", "plain")
    assert (said.code, said.err) == (
        78,
        f"{mail}: '20.0.0.0/24,20.0.1.0/24' is not the header; begin with {HEADER}".replace(
            ": '", ":1:1: '"
        ),
    )


def test_without_a_configuration_categories_are_not_checked(
    place: Place, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = place.folder / "nowhere.yaml"
    monkeypatch.setattr("enforcer.cli.registries.DEFAULT_CONFIG", nowhere)
    code = main_module.main(["--config", str(nowhere), "registry", "diff", str(old), str(old)])
    assert code == 0
    said = place.run("--config", str(nowhere), "registry", "lint")
    assert (said.code, said.out) == (
        1,
        (
            f"{nowhere}: error: does not exist; name registry files, or a configuration with "
            "--config [refused]\n1 error, 0 warnings, 0 notes\n"
        ),
    )
    said = place.run("--config", str(nowhere), "registry", "lint", str(old))
    assert said.err == (
        f"{nowhere}: no configuration, so that categories are taken from the file and not "
        "checked; name one with --config\n"
    )
    assert said.code == 0


def test_diff_tells_rows_addresses_and_exits_2(place: Place, old: Path) -> None:
    new = put(
        place,
        "new.csv",
        HEADER
        + "R-2,2a01::/48,freelancer,,,\nR-1,20.0.0.0/25,software-house,,,\n"
        + "R-3,20.0.7.0/24,freelancer,,,\n",
    )
    said = place.run("registry", "diff", str(old), str(new))
    assert (said.code, said.err) == (2, "")
    assert said.out == (
        f"- {old}:2\n"
        f"~ {new}:2 (was line 3): services\n"
        f"+ {new}:3\n"
        f"+ {new}:4\n"
        "\n"
        "today           prefixes   IPv4 addresses  IPv6 /64s\n"
        "software-house  1 (+1 -1)  128 (+0 -128)   0\n"
        "freelancer      2 (+1 -0)  256 (+256 -0)   65,536\n"
        "\n"
        "rows: 2 added, 1 removed, 1 changed\n"
    )
    said = place.run("registry", "diff", str(old), str(new), "--most", "1")
    assert said.out.startswith(f"- {old}:2\n… and 3 more; --most N tells more\n")
    same = place.run("registry", "diff", str(old), str(old))
    assert (same.code, same.out) == (0, f"{old} and {old} register the same\n")
    found = place.run("registry", "diff", str(old), str(new), "--format", "json")
    assert found.code == 2
    assert {k: found.json[k] for k in ("changes", "added", "removed", "changed")} == {
        "changes": True,
        "added": 2,
        "removed": 1,
        "changed": 1,
    }
    assert found.json["lines"][1] == {"old": 3, "new": 2, "fields": ["services"]}
    assert found.json["categories"][0] == {
        "category": "software-house",
        "prefixes": {"old": 1, "new": 1, "appear": 1, "vanish": 1},
        "ipv4_addresses": {"old": 256, "new": 128, "appear": 0, "vanish": 128},
        "ipv6_slash_64s": {"old": 0, "new": 0, "appear": 0, "vanish": 0},
    }


def test_lint_passes_with_warnings_and_fails_on_errors(place: Place, old: Path) -> None:
    said = place.run("registry", "lint", str(old))
    assert (said.code, said.out) == (
        0,
        "2 rows (1 IPv4, 1 IPv6) in 2 categories: 0 errors, 0 warnings, 0 notes\n",
    )
    twice = put(place, "twice.csv", GOOD + "R-3,20.0.0.0/25,freelancer,,,\n" * 2)
    said = place.run("registry", "lint", str(twice), "--most", "1")
    assert (said.code, said.out) == (
        0,
        (
            f"{twice}:5: warning: says the same as line 4; remove one of them [duplicate]\n"
            f"{twice}:4: warning: overlaps line 2 of another registrant; agree on whose it is "
            "[overlap]\n"
            "… and 1 more of [overlap]\n"
            "4 rows (3 IPv4, 1 IPv6) in 2 categories: 0 errors, 3 warnings, 0 notes\n"
        ),
    )
    lab = put(place, "lab.csv", HEADER + "R-1,10.0.0.0/24,freelancer,,,\n")
    assert place.run("registry", "lint", str(lab)).code == 1
    assert place.run("registry", "lint", str(lab), "--lab").code == 0
    bad = put(place, "bad.csv", HEADER + "R-1,20.0.0.1/24,freelancer,,,\n")
    said = place.run("registry", "lint", str(bad), str(twice), "--format", "json")
    assert said.code == 1
    assert said.json == {
        "ok": False,
        "rows": None,
        "findings": [
            {
                "check": "refused",
                "severity": "error",
                "count": 1,
                "places": [
                    {
                        "file": str(bad),
                        "line": 2,
                        "message": "prefix '20.0.0.1/24' has host bits set; write 20.0.0.0/24, or "
                        "a longer length",
                    }
                ],
            }
        ],
    }


def test_lint_looks_at_several_files_as_one_and_at_those_of_the_configuration(
    place: Place, old: Path
) -> None:
    more = put(
        place, "more.json", '[{"id": "X", "prefix": "20.0.0.7/32", "category": "freelancer"}]'
    )
    said = place.run("registry", "lint", str(old), str(more))
    assert said.out.startswith(f"{more}:1: warning: overlaps {old}:2 of another registrant;")
    said = place.run("registry", "lint", "--lab")
    assert f"{place.folder / 'registry.csv'}:3: warning: says the same as line 2" in said.out


def test_lint_with_rpki(place: Place, old: Path) -> None:
    vrps = put(place, "vrps.json", '{"roas": [{"asn": "AS64500", "prefix": "20.0.0.0/16"}]}')
    origins = put(place, "origins.csv", "id,asn\nR-1,AS64501\nR-2,AS64502\n")
    argv = ("registry", "lint", str(old), "--vrp", str(vrps), "--origins", str(origins))
    said = place.run(*argv)
    assert (said.code, said.out) == (
        1,
        (
            f"{old}:2: error: RPKI has other ASes announce it, not its registrant's; ask the "
            "registrant whose prefix it is [rpki-origin]\n"
            f"{old}:3: warning: RPKI says nothing of it; ask the registrant for a ROA "
            "[rpki-silent]\n"
            "2 rows (1 IPv4, 1 IPv6) in 2 categories: 1 error, 1 warning, 0 notes\n"
        ),
    )
    said = place.run("registry", "lint", str(old), "--origins", str(origins))
    assert (said.code, said.err) == (
        64,
        "enforcer registry: --origins needs --vrp; see enforcer registry --help\n",
    )
    said = place.run(*argv[:3], "--vrp", str(place.folder / "none.json"))
    assert "none.json: error: does not exist; create it, or correct its name" in said.out


@pytest.mark.parametrize("form", ["csv", "json", "xlsx"])
def test_export_and_import_again(place: Place, old: Path, form: str) -> None:
    made, back = place.folder / f"made.{form}", place.folder / "back.csv"
    said = place.run("registry", "export", str(old), "--to", form, "--output", str(made))
    assert (said.code, said.out) == (
        0,
        f"{made}: 2 rows (1 IPv4, 1 IPv6) in 2 categories written as {form}\n",
    )
    assert place.run("registry", "import", str(made), "--output", str(back)).code == 0
    assert back.read_text() == GOOD


def test_export_of_the_configuration_says_what_is_lost(place: Place) -> None:
    said = place.run("registry", "export", "--to", "plain", "--output", "-")
    assert (said.code, said.out) == (
        0,
        "198.51.100.0/24\n198.51.100.7/32\n2001:db8:5::/48\n",
    )
    assert said.err.splitlines() == [
        "note: ids, dropped (4 rows)",
        "note: categories, dropped (4 rows)",
        "note: days of validity, dropped: what is read back is valid always (1 rows)",
        "note: services, dropped: what is read back is registered for any service (1 rows)",
        "-: 4 rows (3 IPv4, 1 IPv6) in 2 categories written as plain",
    ]
    made = place.folder / "made.txt"
    said = place.run(
        "registry", "export", "--to", "plain", "--output", str(made), "--format", "json"
    )
    assert json.loads(said.out)["notes"][0] == {
        "text": "ids, dropped (4 rows)",
        "count": 1,
        "line": None,
    }


def test_a_folder_that_cannot_be_written_to(place: Place, old: Path) -> None:
    argv = ("registry", "export", str(old), "--to", "csv")
    said = place.run(*argv, "--output", str(place.folder / "none" / "x.csv"))
    assert said.code == 1
    assert "x.csv: cannot be written: No such file or directory; check the folder" in said.err


@pytest.mark.parametrize(
    "argv",
    [
        ("registry",),
        ("registry", "prune"),
        ("registry", "import", "x"),
        ("registry", "diff", "x"),
        ("registry", "export", "x", "--output", "y"),
        ("registry", "lint", "--most", "0"),
    ],
)
def test_wrong_usage(place: Place, argv: tuple[str, ...]) -> None:
    assert place.run(*argv).code == 64
