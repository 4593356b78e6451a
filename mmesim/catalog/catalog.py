"""Instance types by name: the packaged table, the user's own values on top, completed by the stated rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from mmesim.catalog import overrides
from mmesim.catalog.instance import InstanceType
from mmesim.catalog.rules import stand_ins
from mmesim.catalog.table import VALUE_FIELDS, Row, packaged_rows
from mmesim.errors import InputError, Problem, alternatives

_MAY_BE_MISSING = {"gpu", "ebs_baseline_bps", "ebs_max_bps", "price_per_hour", "committed_1y_per_hour",
                   "committed_3y_per_hour", "ec2_price_per_hour"}
_NEEDED = tuple(name for name in VALUE_FIELDS if name not in _MAY_BE_MISSING)


class Catalog:
    """Looks up an :class:`InstanceType` by its name; iterates over the names."""

    def __init__(self, rows: dict[str, Row]) -> None:
        self._rows = {name: _completed(row) for name, row in rows.items()}

    def __getitem__(self, name: str) -> InstanceType:
        """The type called `name`. Raises InputError when it is unknown, or too little is known about it."""
        row = self._rows.get(name)
        if row is None:
            raise InputError(Problem(f"unknown instance type {name!r}", hint=alternatives(name, self._rows)))
        if missing := [field for field in _NEEDED if row.values[field] is None]:
            hint = f"give them under instance_types: {{{name}: {{{missing[0]}: …}}}}"
            raise InputError(Problem(f"{name}: {', '.join(missing)} not published", hint=hint))
        return InstanceType(name=name, note=row.note, source=row.source, date=row.date,
                            marks=dict(row.marks), **row.values)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> list[dict[str, Any]]:
        """Every row as {name, each field, note, source, date, marks}; missing values are None."""
        return [{"name": name, **row.values, "note": row.note, "source": row.source, "date": row.date,
                 "marks": dict(row.marks)} for name, row in self._rows.items()]


def load_catalog(user: Mapping[str, Mapping[str, object]] | None = None) -> Catalog:
    """The packaged catalog with the user's own values (type -> field -> value).

    Raises InputError with every wrong field; a problem's path is ``instance_types.<type>.<field>``.
    """
    return _changed(user) if user else _packaged()


@cache
def _packaged() -> Catalog:
    return Catalog(packaged_rows())


def _changed(user: Mapping[str, Mapping[str, object]]) -> Catalog:
    rows = packaged_rows()
    problems = []
    for name, given in user.items():
        problems += overrides.apply(rows.setdefault(name, overrides.new_row()), name, given)
    if problems:
        raise InputError(problems)
    return Catalog(rows)


def _completed(row: Row) -> Row:
    """`row` with the stand-ins of the rules, and the mark ``missing`` on what is still unknown."""
    for name, value in stand_ins(row.values).items():
        row.set(name, value, "rule")
    without_gpu = {"gpu"} if row.values["gpu_count"] == 0 else set()
    for name in VALUE_FIELDS:
        if name not in row.marks and name not in without_gpu:
            row.marks[name] = "missing"
    return row
