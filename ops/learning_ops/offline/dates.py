"""Phrases that say when something happened, resolved against the day on which they were said.

A date is as exact as its words: YYYY, YYYY-MM or YYYY-MM-DD. Weeks count as seven days. Days of the week and months without
a year are the last ones before the day of speaking, since what has happened lies behind.
"""

import re
from datetime import date, timedelta

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december")  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "a couple of": 2,
}  # fmt: skip

_MONTH = "(?:" + "|".join(month.capitalize() for month in _MONTHS) + ")"
_DAY = "(?:" + "|".join(day.capitalize() for day in _DAYS) + ")"
_COUNT = (
    r"(?:\d{1,3}|a\s+couple\s+of|a\s+few|several|some|an?|" + "|".join(one for one in _NUMBERS if len(one) > 2) + ")"
)
_YEAR = r"(?:1[5-9]|20)\d\d"
_ORDINAL = r"(?:st|nd|rd|th)?"
_PHRASE = re.compile(
    rf"\b(?:(?P<ago>(?i:{_COUNT}))\s+(?P<unit>(?:day|week|month|year|decade)s?)\s+ago"
    r"|(?P<near>(?i:(?:earlier\s+)?today|this\s+(?:morning|afternoon|evening)|tonight|the\s+day\s+before\s+yesterday"
    r"|yesterday(?:\s+(?:morning|afternoon|evening))?|last\s+night))"
    r"|(?i:earlier\s+)?(?P<this>(?i:this\s+(?:week|month|year|spring|summer|autumn|fall|winter|quarter)))"
    rf"|(?i:last)\s+(?P<last>week|month|year|quarter|spring|summer|autumn|fall|winter|weekend|{_DAY}|{_MONTH})"
    r"|(?:(?i:on|as\s+of)\s+)?(?P<iso>\d{4}-\d\d-\d\d)"
    rf"|(?:(?i:on)\s+)?(?:(?i:the)\s+)?(?P<day>\d{{1,2}}){_ORDINAL}\s+(?:of\s+)?(?P<month>{_MONTH})(?:,?\s+(?P<year>{_YEAR}))?"
    rf"|(?:(?i:on)\s+)?(?P<month2>{_MONTH})\s+(?P<day2>\d{{1,2}}){_ORDINAL}(?!\d)(?:,?\s+(?P<year2>{_YEAR}))?"
    rf"|(?i:on)\s+(?P<weekday>{_DAY})"
    rf"|(?:(?i:back)\s+)?(?i:in|during)\s+(?:(?:early|mid|late)[\s-]+)?(?P<month3>{_MONTH})(?:,?\s+(?:of\s+)?(?P<year3>{_YEAR}))?"
    rf"|(?:(?i:back)\s+)?(?i:in|during)\s+(?:(?:early|mid|late)[\s-]+)?(?P<year4>{_YEAR}))(?![\w-])"
)


def find_date(text: str, said: date | None) -> tuple[str, str | None] | None:
    """The text without its last phrase of time, and the date that this names; None where there is no phrase.

    The date is None where the phrase is too vague ("a few weeks ago"), or relative and the day of speaking is not known.
    """
    found = list(_PHRASE.finditer(text))
    if not found:
        return None
    last = found[-1]
    rest = f"{text[: last.start()].rstrip(' ,')} {text[last.end() :].lstrip(' ,')}".strip()
    return rest, _resolved({name: value for name, value in last.groupdict().items() if value}, said)


def leading_date(text: str, said: date | None) -> tuple[str, str | None] | None:
    """The same for a phrase of time with which the text begins."""
    found = _PHRASE.match(text[:1].lower() + text[1:]) or _PHRASE.match(text)
    if not found:
        return None
    named = {name: value for name, value in found.groupdict().items() if value}
    return text[found.end() :].lstrip(" ,"), _resolved(named, said)


def _resolved(parts: dict[str, str], said: date | None) -> str | None:
    if "iso" in parts:
        try:
            return date.fromisoformat(parts["iso"]).isoformat()
        except ValueError:
            return None
    day = parts.get("day") or parts.get("day2")
    month = parts.get("month") or parts.get("month2") or parts.get("month3")
    year = next((parts[name] for name in ("year", "year2", "year3", "year4") if name in parts), None)
    if month:
        return _calendar(int(day) if day else None, _MONTHS.index(month.lower()) + 1, int(year) if year else None, said)
    if year:
        return year
    return _relative(parts, said) if said else None


def _calendar(day: int | None, month: int, year: int | None, said: date | None) -> str | None:
    if year is None:
        if said is None:
            return None
        year = said.year if (month, day or 1) <= (said.month, said.day) else said.year - 1
    if day is None:
        return f"{year:04}-{month:02}"
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _relative(parts: dict[str, str], said: date) -> str | None:
    if "near" in parts:
        near = parts["near"].lower()
        back = 2 if near.startswith("the day before") else 1 if near.startswith(("yesterday", "last")) else 0
        return _days_before(said, back)
    if "ago" in parts:
        words = " ".join(parts["ago"].lower().split())
        count = int(words) if words.isdecimal() else _NUMBERS.get(words)
        return None if count is None else _before(said, count, parts["unit"].removesuffix("s"))
    if "this" in parts:
        unit = parts["this"].lower().split()[1]
        return {"month": f"{said:%Y-%m}", "year": f"{said:%Y}"}.get(unit)
    named = (parts.get("last") or parts["weekday"]).lower()
    if named in _DAYS:
        return _days_before(said, (said.weekday() - _DAYS.index(named) - 1) % 7 + 1)
    if named in _MONTHS:
        month = _MONTHS.index(named) + 1
        return f"{said.year - (month >= said.month):04}-{month:02}"
    return _before(said, 1, named)


def _days_before(said: date, days: int) -> str | None:
    return (
        (said - timedelta(days=days)).isoformat() if said.toordinal() > days else None
    )  # the calendar begins with year 1


def _before(said: date, count: int, unit: str) -> str | None:
    months = said.year * 12 + said.month - 1 - count
    if unit in {"day", "week"}:
        return _days_before(said, count * (7 if unit == "week" else 1))
    if unit == "month" and months >= 12:
        return f"{months // 12:04}-{months % 12 + 1:02}"
    return f"{said.year - count:04}" if unit == "year" and count < said.year else None
