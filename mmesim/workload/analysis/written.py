"""A fitted workload as a scenario's `workload:` section, with what it stands for and how near it comes."""

from __future__ import annotations

from mmesim.units import format_count, format_duration
from mmesim.workload.analysis.fit import Fit
from mmesim.workload.types import ArrivalSpec, PopularitySpec

WIDTH = 118


def fragment(fitted: Fit, name: str, source: str) -> str:
    """YAML that a scenario takes in; its models are to be called like the pattern in the comment."""
    spec, trace = fitted.spec, fitted.trace
    width = len(fitted.models[0]) - 1
    pattern = "m{i}" if width == 1 else f"m{{i:0{width}}}"
    head = (f"{name}: synthetic, fitted by `mmesim trace fit` to {source} ({format_count(trace.requests)} requests to "
            f"{format_count(trace.models)} models in {format_duration(trace.span_s)}). No row of it is here.")
    lines = [*_comment(head), *_comment(judged(fitted)),
             *_comment(f"For as long as the trace: duration: {fitted.length_s:.0f}s. Models, the most requested first: "
                       f"{{profile: …, count: {len(fitted.models)}, name: \"{pattern}\"}}"),
             "workload:", *_arrivals(spec.arrivals), *_popularity(spec.popularity)]
    if spec.session_repeat:
        lines.append(f"  sessions: {{repeat: {spec.session_repeat:g}, reach: {spec.session_reach:g}}}")
    return "\n".join(lines) + "\n"


def judged(fitted: Fit) -> str:
    """One sentence on the part of the trace that the fit had not seen."""
    held = fitted.held_out
    if held is None:
        return "Too few requests or models to judge it on a part that the fit has not seen."
    (mean, most), (alone, alone_most) = held.error(held.fitted), held.error(held.independent)
    return (f"Fitted to the first two thirds of the time alone, LRU hit ratios of the last third are off by "
            f"{100 * mean:.1f} points on average, {100 * most:.1f} at most (independent draws: {100 * alone:.1f}, "
            f"{100 * alone_most:.1f}).")


def _arrivals(spec: ArrivalSpec) -> list[str]:
    if spec.use == "poisson":
        return [f"  arrivals: {{use: poisson, rate_rps: {spec.rate_rps:g}}}"]
    if spec.use == "mmpp":
        rates = ", ".join(f"{rate:g}" for rate in spec.rates_rps)
        sojourns = ", ".join(f"{length:g}s" for length in spec.mean_sojourn_s)
        return [f"  arrivals: {{use: mmpp, rates_rps: [{rates}], mean_sojourn: [{sojourns}]}}"]
    period = [] if spec.period_s is None else [f"    period: {_time(spec.period_s)}"]
    pairs = [f"[{_time(time)}, {factor:g}]" for time, factor in _needed(spec.shape)]
    return ["  arrivals:", "    use: profile", f"    rate_rps: {spec.rate_rps:g}", f"    cv: {spec.cv:g}",
            *period, "    shape:", *_wrapped(pairs)]


def _time(time_s: float) -> str:
    """In hours where they are short."""
    return f"{time_s / 3600:g}h" if time_s % 360 == 0 else f"{time_s:g}s"


def _needed(shape: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """The knots without those in the middle of a flat piece."""
    return [knot for k, knot in enumerate(shape)
            if not 0 < k < len(shape) - 1 or not shape[k - 1][1] == knot[1] == shape[k + 1][1]]


def _popularity(spec: PopularitySpec) -> list[str]:
    if spec.use == "zipf":
        return [f"  popularity: {{use: zipf, s: {spec.s:g}, shuffle: false}}"]
    return ["  popularity:", "    use: explicit", "    weights:",
            *_wrapped([f"{name}: {weight:g}" for name, weight in spec.weights.items()], "{}")]


def _wrapped(parts: list[str], brackets: str = "[]") -> list[str]:
    """A flow sequence over several lines."""
    lines, line = [], "      " + brackets[0]
    for k, part in enumerate(parts):
        text = part + (", " if k < len(parts) - 1 else brackets[1])
        if len(line) + len(text) > WIDTH:
            lines.append(line.rstrip())
            line = "       "
        line += text
    return [*lines, line]


def _comment(text: str) -> list[str]:
    import textwrap
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2)]
