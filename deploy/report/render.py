"""Turns a report into one self-contained page for people who run schools."""

from __future__ import annotations

from fedtrace.deploy.report import charts, run_charts
from fedtrace.deploy.report.model import CONDITIONS, Report, Scores
from fedtrace.deploy.report.pages import page_environment, styles

ENGINES = {
    "loopback": "A real deployment on one computer: aggregator and schools ran as separate "
    "programs that spoke over encrypted connections.",
    "in-process": "A simulation on one computer: the programs of schools and aggregator ran "
    "together, without a network. They are the same programs that a deployment runs.",
    "ray": "A simulation: the programs of schools and aggregator ran without a network, and the "
    "schools' work was spread over processes or computers by Ray. They are the same programs that "
    "a deployment runs.",
}
STATUS_WORDS = {
    "PASS": "Every check passed",
    "WARN": "A person should look",
    "FAIL": "A check failed",
}
TRUST_MODES = {
    "local": "Each school adds all of the noise itself, before anything leaves; nobody else has to "
    "be trusted.",
    "distributed": "Each school adds its share of the noise, and only the sum over the schools "
    "can be opened.",
}


def render_page(report: Report) -> str:
    """The page for ``report``: one file, no script, nothing fetched from elsewhere."""
    environment = page_environment()
    environment.filters |= {"count": count, "score": score, "data_size": data_size, "span": span}
    return environment.get_template("report.html").render(
        report=report,
        css=styles(environment, "report.css"),
        conditions=[
            (name, CONDITIONS[name], report.metrics[name])
            for name in CONDITIONS
            if name in report.metrics
        ],
        headline=headline(report),
        gains=gains(report),
        schools=charts.schools_by_size(report),
        released_bytes=sum(item.bytes for item in report.released),
        engine=ENGINES[report.engine],
        trust=TRUST_MODES.get(report.trust_mode, ""),
        status_words=STATUS_WORDS,
        charts={
            "auc": charts.auc_by_condition(report),
            "schools": charts.auc_by_school(report),
            "epsilon": run_charts.epsilon_by_round(report),
            "timeline": run_charts.timeline(report),
        },
    )


def headline(report: Report) -> Scores | None:
    """The scores of what schools would use: private and adjusted, else private, else any."""
    for name in ("personalised", "private", *CONDITIONS):
        if name in report.metrics:
            return report.metrics[name].pooled
    return None


def gains(report: Report) -> dict[str, float]:
    """AUC that joining under the promise adds to each school over staying alone.

    Empty where the run did not measure both.
    """
    alone = report.metrics.get("local_only")
    joined = report.metrics.get("personalised") or report.metrics.get("private")
    if alone is None or joined is None:
        return {}
    found = {}
    for school, scores in joined.per_school.items():
        own = alone.per_school.get(school)
        if own is not None and own.auc is not None and scores.auc is not None:
            found[school] = scores.auc - own.auc
    return found


def count(number: int | None) -> str:
    """A whole number with thousands separated; a dash where there is none."""
    return "–" if number is None else f"{number:,}"


def score(number: float | None, digits: int = 3) -> str:
    """A number to ``digits`` places; a dash where there is none."""
    return "–" if number is None else f"{number:.{digits}f}"


def data_size(number: int) -> str:
    """A number of bytes in the unit that people read."""
    size = float(number)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def span(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"
