"""How every page that people read is made: one file, no script, nothing fetched from elsewhere."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_LOOK = "fedtrace.deploy.report"


def page_environment(package: str = _LOOK) -> Environment:
    """Templates of a package, beside those that give every page one look.

    Whatever is put into a page is text; a name that is missing is an error.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader(_LOOK, ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def styles(environment: Environment, *names: str) -> Markup:
    """Style sheets of the environment's packages, as they go into a page."""
    loader = environment.loader
    if loader is None:
        raise ValueError("the environment has no loader")
    css = "".join(loader.get_source(environment, name)[0] for name in names)
    return Markup(css)  # noqa: S704  (the package's own files)
