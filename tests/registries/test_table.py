"""What registrars send by mail becomes registrations, or is refused by row and column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet

from enforcer.errors import PolicyError
from enforcer.registries.reading import Asked, Reading, read_registry
from tests.registries.sheets import HEADER, saved, workbook

PLAIN = Asked()
CATEGORIES = ("software-house", "call-centre", "freelancer", "mission")


def read(
    rows: Sequence[Sequence[Any]],
    change: Callable[[Worksheet], None] = lambda _: None,
    asked: Asked = PLAIN,
) -> Reading:
    return read_registry("r", workbook(rows, change), CATEGORIES, asked)


def lines(reading: Reading) -> list[tuple[int, str, str, str, str, str, str]]:
    """The rows with their numbers, in order."""
    registry = reading.registry
    found = []
    for number in range(len(registry)):
        row = registry.row(number)
        days = (str(day or "") for day in (row.valid_from, row.valid_until))
        services = " ".join(map(str, row.services))
        place = registry.place(number)[1]
        found.append((place, row.id, str(row.prefix), row.category, *days, services))
    return sorted(found)


EVENING = datetime.fromisoformat("2026-12-31T18:30:00")
ROW = ("R-1", "20.0.0.0/24", "mission", date(2026, 1, 1), date(2026, 12, 31), "udp/51820 esp")
MEANT = ("R-1", "20.0.0.0/24", "mission", "2026-01-01", "2026-12-31", "udp/51820 esp")


def test_the_header_of_the_contract() -> None:
    assert lines(read([HEADER, ROW])) == [(2, *MEANT)]


@pytest.mark.parametrize(
    "rows",
    [
        [["Registered VPN addresses"], [], ["as of", date(2026, 11, 1)], [None, None, *HEADER]],
        [["No.", "Remark", "Licence No", "IP Ranges", "Type", "From", "Valid Till", "Ports"]],
        [["", "", "Reg. no", "CIDR", "Sector", "Start_Date", "EXPIRY DATE:", "services/ports"]],
        [
            ["", "", "id", "prefix", "category", "Validity", None, "services"],
            ["", "", None, None, None, "from", "until", None],
        ],
    ],
    ids=["below a title", "other words", "other signs", "two rows"],
)
def test_a_header_in_any_of_a_few_places(rows: list[Sequence[Any]]) -> None:
    row = (None, None, *ROW)
    assert [line[1:] for line in lines(read([*rows, row]))] == [MEANT]


def test_columns_in_another_order_and_dropped_ones_are_told() -> None:
    reading = read([["Phone", "prefix", "id", "category"], ["555", "20.0.0.0/24", "R", "mission"]])
    assert lines(reading) == [(2, "R", "20.0.0.0/24", "mission", "", "", "")]
    assert list(map(str, reading.notes)) == ['values of the column "Phone", dropped: line 2']


def test_days_as_the_spreadsheet_has_them() -> None:
    def shown_as_numbers(sheet: Worksheet) -> None:
        sheet["D2"].number_format = "General"

    rows = [
        HEADER,
        ROW,
        (*ROW[:3], 46023, EVENING, ROW[5]),
        (*ROW[:3], "1.1.2026", "2026/12/31", ROW[5]),
        (*ROW[:3], "2026-01-01T00:00:00Z", "2026-12-31 00:00:00", ROW[5]),
    ]
    reading = read(rows, shown_as_numbers)
    assert lines(reading) == [(row, *MEANT) for row in (2, 3, 4, 5)]
    assert [str(note) for note in reading.notes] == [
        "times of day, dropped: registrations count whole days: line 3"
    ]


def test_days_that_count_from_1904() -> None:
    book = openpyxl.Workbook()
    book.epoch = CALENDAR_MAC_1904
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    for row in (HEADER, ROW):
        sheet.append(list(row))
    assert lines(read_registry("r", saved(book), CATEGORIES)) == [(2, *MEANT)]


def test_ids_that_were_eaten_as_numbers() -> None:
    def filled(sheet: Worksheet) -> None:
        sheet["A3"].number_format = "000000"
        sheet["A4"].number_format = '"R-"0000'

    reading = read([HEADER, *([n, *ROW[1:]] for n in (123.0, 123, 45))], filled)
    assert [line[1] for line in lines(reading)] == ["123", "000123", "R-0045"]
    assert [str(note) for note in reading.notes] == [
        "ids that are numbers; zeros before them, if there were any, are lost: line 2"
    ]


def test_merged_cells_count_for_each_row_that_they_span() -> None:
    def merge(sheet: Worksheet) -> None:
        for place in ("A2:A4", "C2:C4", "E3:E4", "A6:F6"):
            sheet.merge_cells(place)

    rows = [
        HEADER,
        ("R-1", "20.0.0.0/24", "mission", None, None, None),
        (None, "20.0.1.0/24", None, None, "2026-12-31", None),
        (None, "20.0.2.0/24", None, None, None, "esp"),
        ("R-2", "20.0.3.0/24", "freelancer", None, None, None),
        ("issued by the ministry",),
    ]
    assert lines(read(rows, merge)) == [
        (2, "R-1", "20.0.0.0/24", "mission", "", "", ""),
        (3, "R-1", "20.0.1.0/24", "mission", "", "2026-12-31", ""),
        (4, "R-1", "20.0.2.0/24", "mission", "", "2026-12-31", "esp"),
        (5, "R-2", "20.0.3.0/24", "freelancer", "", "", ""),
    ]


def test_ranges_masks_lists_and_bare_addresses() -> None:
    reading = read(
        [
            HEADER,
            ("a", "20.0.0.0 – 20.0.0.47", "Call Centre", None, None, "any"),
            ("b", "20.0.1.0/255.255.255.0", "call_centre", None, None, "UDP/500, esp"),
            ("c", "20.0.2.7\n2a01::/48; 2a01:0:1::1", "call-centre", None, None, "-"),
            ("d", "\u200f۲۰.۰.۳.۰/۲۴", "call-centre", "۲۰۲۶-۰۱-۰۱", None, None),
        ]
    )
    assert lines(reading) == [
        (2, "a", "20.0.0.0/27", "call-centre", "", "", ""),
        (2, "a", "20.0.0.32/28", "call-centre", "", "", ""),
        (3, "b", "20.0.1.0/24", "call-centre", "", "", "udp/500 esp"),
        (4, "c", "20.0.2.7/32", "call-centre", "", "", ""),
        (4, "c", "2a01:0:1::1/128", "call-centre", "", "", ""),
        (4, "c", "2a01::/48", "call-centre", "", "", ""),
        (5, "d", "20.0.3.0/24", "call-centre", "2026-01-01", "", ""),
    ]
    assert [str(note) for note in reading.notes] == [
        "prefixes written with other digits, dashes or spaces: 3 times, first in line 2",
        "ranges of addresses, each made the fewest prefixes that hold it: line 2",
        "netmasks, each made a length: line 3",
        "fields with several prefixes, each made a row: line 4",
        "addresses without a length, each made a prefix of one address: 2 times, first in line 4",
    ]


def test_an_address_in_two_columns() -> None:
    first_last = read(
        [["id", "Start IP", "End IP", "category"], ["a", "20.0.0.0", "20.0.0.2", "mission"]]
    )
    assert [line[2] for line in lines(first_last)] == ["20.0.0.0/31", "20.0.0.2/32"]
    mask = [["id", "Network", "Netmask", "category"], ["a", "20.0.0.0", "255.255.0.0", "mission"]]
    assert [line[2] for line in lines(read(mask))] == ["20.0.0.0/16"]
    length = [["id", "Network", "Prefix length", "category"], ["a", "20.0.0.0", 20, "mission"]]
    assert [line[2] for line in lines(read(length))] == ["20.0.0.0/20"]


def test_without_ids_and_categories() -> None:
    asked = Asked(category="mission", id_prefix="PK-")
    assert lines(read([["IP"], ["20.0.0.1"]], asked=asked)) == [
        (2, "PK-20.0.0.1/32", "20.0.0.1/32", "mission", "", "", "")
    ]


def test_the_sheet_with_the_header_is_found_and_the_others_told() -> None:
    book = openpyxl.Workbook()
    cover = book.active
    assert isinstance(cover, Worksheet)
    cover.title = "Cover"
    cover.append(["Dear operator"])
    for title in ("Data", "Draft"):
        sheet = book.create_sheet(title)
        sheet.append(list(HEADER))
        sheet.append([title, *ROW[1:]])
    book.create_sheet("Secret").sheet_state = "hidden"
    reading = read_registry("r", saved(book), CATEGORIES)
    assert [line[1] for line in lines(reading)] == ["Data"]
    assert list(map(str, reading.notes)) == [
        'the sheet "Cover", not read',
        'the sheet "Draft", not read',
        'the sheet "Secret", not read',
    ]
    draft = read_registry("r", saved(book), CATEGORIES, Asked(sheet="Draft"))
    assert [line[1] for line in lines(draft)] == ["Draft"]
    with pytest.raises(PolicyError) as refused:
        read_registry("r", saved(book), CATEGORIES, Asked(sheet="Secret"))
    assert str(refused.value) == (
        'r: has no visible sheet "Secret"; choose one of "Cover", "Data", "Draft"'
    )


def refused(rows: Sequence[Sequence[Any]], change: Callable[[Worksheet], None]) -> str:
    with pytest.raises(PolicyError) as error:
        read(rows, change)
    return str(error.value)


def nothing(_: Worksheet) -> None:
    return


def failed_formula(sheet: Worksheet) -> None:
    sheet["C2"] = "#REF!"
    sheet["C2"].data_type = "e"


@pytest.mark.parametrize(
    ("rows", "change", "message"),
    [
        (
            [["Dear operator"], ["please find attached"]],
            nothing,
            (
                "r: no row of its first 50 is a header with a column for the prefix; name the "
                "columns id, prefix, category, valid_from, valid_until, services, or choose "
                "another --sheet"
            ),
        ),
        (
            [["id", "prefix", "IP range", "category"]],
            nothing,
            "r: has two columns for prefix; name one of them otherwise",
        ),
        (
            [["id", "prefix"], ["a", "20.0.0.0/24"]],
            nothing,
            "r: has no column for the category; give one with --category",
        ),
        ([HEADER], nothing, "r: no registration in it; check that it is the right one"),
        (
            [HEADER, [1, 100200100200, "mission"], [1.5, "20.0.0.0/24", "mission"]],
            nothing,
            (
                "r:2:2: prefix is the number 100200100200: the spreadsheet took an address for a "
                "number; format the column as text and write the address again\n"
                "r:3:1: id is the number 1.5, which a spreadsheet does not keep exactly; format "
                "the column as text and write it again"
            ),
        ),
        (
            [HEADER, ["a", "20.0.0.0/24", "mission", 59, None, None]],
            nothing,
            (
                "r:2:4: valid_from is the number 59, which is no day of a spreadsheet; write it "
                "like 2026-12-31"
            ),
        ),
        (
            [HEADER, ["a", "20.0.0.0/24", "", None, "12/31/2026", None]],
            failed_formula,
            "r:2:3: category is #REF!, a formula that failed; correct it",
        ),
        (
            [
                [None, *HEADER],
                [None, "a", "20.0.0.0/24", "mission", None, "12/31/2026", None],
                [None, "b", "20.0.0.1/24", "mission"],
                [None, "c", None, "mission"],
                [None, "d", "20.0.0.0/24", "missoin"],
                [None, "", "20.0.0.0/24", "mission"],
                [None, "e", "20.0.0.9 - 20.0.0.1", "mission"],
                [None, "f", "20.0.0.0/24", "mission", None, None, 443],
            ],
            nothing,
            (
                "r:2:6: valid_until '12/31/2026' is not a date; write it like 2026-12-31, or "
                "leave it out\n"
                "r:3:3: prefix '20.0.0.1/24' has host bits set; write 20.0.0.0/24, or a longer "
                "length\n"
                "r:4:3: prefix is empty; write it like 192.0.2.0/24 or 2001:db8::/56\n"
                "r:5:4: category 'missoin' is not declared; write mission, or declare it\n"
                "r:6:2: id is empty; give the registration's id\n"
                "r:7:3: prefix '20.0.0.9-20.0.0.1' is no range; write the lower address first, of "
                "one family\n"
                "r:8:7: services '443' is not a service; write tcp/443, udp/51820, sctp/36412, "
                "udp/5000-5100, esp, ah or gre"
            ),
        ),
    ],
    ids=[
        "no header",
        "prefix twice",
        "no category",
        "only a header",
        "numbers",
        "the leap day that never was",
        "failed formula",
        "each field",
    ],
)
def test_a_bad_sheet_is_refused_with_exactly_its_message(
    rows: Sequence[Sequence[Any]], change: Callable[[Worksheet], None], message: str
) -> None:
    assert refused(rows, change) == message


def test_merges_over_everything_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from enforcer.registries import table

    monkeypatch.setattr(table, "_MOST_FILLED", 3)

    def merge(sheet: Worksheet) -> None:
        sheet.merge_cells("A2:A6")

    message = refused([HEADER, *[ROW] * 5], merge)
    assert message == "r: has merged cells over millions of rows; export it as CSV"
