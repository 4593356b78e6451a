"""Figures of instances: how busy and how full each is, how many there are, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.report.theme import HALF, colour, legend_below, new_figure, to_svg
from mmesim.report.timeline import MAX_POINTS, Timeline, coarse
from mmesim.report.wording import money, share

if TYPE_CHECKING:
    from mmesim.results.run import Run

HUE = (0.20, 0.50, 0.78)
"""Of the strips: it reads on white and on black; what is little is pale."""
ROW_IN, MOST_IN = 0.30, 7.0


def use_strips(run: Run, time: Timeline, metric: str, scale: float, label: str) -> str:
    """One strip an instance, the darker the more of it (percent / `scale`) is used; empty where it was not there."""
    numbers = sorted(set(run.instances["instance"]) - {-1})
    values = _grid(run, numbers, metric) / scale
    height_in = min(MOST_IN, ROW_IN * len(numbers)) + 0.75
    figure, axes = new_figure(HALF, height_in)
    picture = np.zeros((*values.shape, 4))
    picture[..., :3] = HUE
    picture[..., 3] = np.where(np.isfinite(values), 0.07 + 0.93 * np.clip(np.nan_to_num(values), 0, 100) / 100, 0)
    axes.imshow(picture, aspect="auto", interpolation="nearest", zorder=2,
                extent=(0, time.x(time.end_s), len(numbers), 0))
    for k in range(1, len(numbers)):
        axes.axhline(k, color=colour("surface"), lw=2 if len(numbers) < 20 else 0.5, zorder=3)
    _name_rows(axes, numbers, values)
    for mark in time.marks:
        if mark.end_s is None:
            axes.axvline(time.x(mark.start_s), color=colour("grey"), lw=0.8, ls=(0, (1, 2)), zorder=4)
    axes.grid(False)
    axes.set_ylim(len(numbers), 0)
    axes.set_xlabel(f"{time.clock} ({time.unit})")
    return to_svg(figure, label)


def _grid(run: Run, numbers: list[int], metric: str) -> NDArray[np.float64]:
    """(instances, columns) means over the columns of a uniform grid; NaN where an instance did not serve."""
    table = run.instances[run.instances["instance"] >= 0]
    end_s = run.summary["run"]["ended_s"]
    columns = min(MAX_POINTS, len(run.metrics))
    middle_s = ((table["start_s"] + table["end_s"]) / 2).to_numpy()
    column = np.minimum((middle_s / end_s * columns).astype(np.int64), columns - 1)
    row = np.searchsorted(numbers, table["instance"].to_numpy())
    known = np.isfinite(table[metric].to_numpy())
    sums, n = (np.zeros((len(numbers), columns)) for _ in range(2))
    np.add.at(sums, (row[known], column[known]), table[metric].to_numpy()[known])
    np.add.at(n, (row[known], column[known]), 1)
    return np.divide(sums, n, out=np.full_like(sums, np.nan), where=n > 0)


def _name_rows(axes: Any, numbers: list[int], values: NDArray[np.float64]) -> None:
    every = -(-len(numbers) // 24)
    shown = range(0, len(numbers), every)
    axes.set_yticks([k + 0.5 for k in shown], labels=[f"instance {numbers[k]}" for k in shown])
    for k in shown:
        known = values[k][np.isfinite(values[k])]
        if len(known):
            axes.annotate(f"{share(known.mean())}, peak {share(known.max())}", (1, k + 0.5), (5, 0), va="center",
                          xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8,
                          color=colour("muted"), annotation_clip=False)


def instances_and_cost(run: Run, time: Timeline) -> str:
    """Instances wanted, paid for and in service; the right-hand scale is what they cost."""
    rows = coarse(run.metrics)
    edges = np.append(time.x(rows["start_s"]), time.x(rows["end_s"].to_numpy()[-1]))
    price = run.summary["cost"]["price_per_instance_hour"]
    figure, axes = new_figure(HALF, 3.2)
    billed = _billed(run, rows)
    axes.stairs(billed, edges, fill=True, color=colour("pale"), label="paid for")
    axes.stairs(rows["instances_serving"], edges, color=colour("blue"), lw=1.8, baseline=None, label="in service")
    axes.stairs(rows["instances_desired"], edges, color=colour("red"), lw=1.1, ls=(0, (3, 2)), baseline=None,
                label="desired")
    axes.set_ylim(0, max(billed.max(), rows["instances_desired"].max()) * 1.15)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel("instances")
    if price is not None:
        right = axes.secondary_yaxis("right", functions=(lambda n: n * price, lambda cost: cost / price))
        right.yaxis.set_major_formatter(lambda value, _: money(value))
        right.set_ylabel("cost per hour")
        right.tick_params(right=False)
        right.grid(False)
    legend_below(figure, axes)
    time.draw_on(axes, labels=True)
    axes.set_xlabel(f"{time.clock} ({time.unit})")
    return to_svg(figure, f"Instances desired, paid for and in service over {time.clock}")


def _billed(run: Run, rows: Any) -> NDArray[np.float64]:
    """Mean number of instances that were paid for in each row."""
    table, starts = run.instances, rows["start_s"].to_numpy()
    row = np.searchsorted(starts, table["start_s"].to_numpy(), side="right") - 1
    billed_s = np.bincount(row, table["billed_s"].to_numpy(), minlength=len(rows))
    return billed_s / (rows["end_s"] - rows["start_s"]).to_numpy()
